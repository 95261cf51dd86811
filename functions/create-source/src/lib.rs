//! `POST /sources`: a source in the caller's own Airbyte workspace, made from a template and a connection configuration.
//!
//! With a token from `POST /token`, or without: then one is minted for the caller, and kept for their next call.

pub mod configuration;
pub mod request;
pub mod scoped_tokens;

use shared::airbyte::wire::{CreateSourceRequest, Rejection};
use shared::airbyte::{AirbyteError, Refusal};
use shared::body;
use shared::caller::Caller;
use shared::event::HttpEvent;
use shared::invocation::Invocation;
use shared::origin::Origin;
use shared::problem::{Kind, Problem};
use shared::respond::{Answer, Outcome};
use shared::start::Services;
use shared::telemetry;
use shared::token::UnverifiedToken;
use time::OffsetDateTime;

use request::SourceRequest;
use scoped_tokens::ScopedTokens;

/// The route that API Gateway sends here.
pub const ROUTE: &str = "POST /sources";

/// The largest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// What the function works with, for as long as its process lives.
#[derive(Debug)]
pub struct State {
    services: Services,
    scoped_tokens: ScopedTokens,
}

impl State {
    /// With no scoped tokens yet.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self {
            services,
            scoped_tokens: ScopedTokens::default(),
        }
    }
}

/// Answers one request.
pub async fn handle(
    state: &State,
    event: &HttpEvent,
    invocation: &Invocation,
) -> Result<Answer, Problem> {
    let config = &state.services.config;
    let caller = Caller::from_authorizer(&event.request_context.authorizer)?;
    let origin = config
        .allowed_origins
        .choose(event.headers.origin.as_deref(), None)?;

    let text = body::text(event, MAX_BODY)?;
    let request = SourceRequest::parse(&text, &caller, &config.external_user_id_claim)?;
    invocation.note_user(telemetry::user_hash(config.organization_id, &request.user));

    let body = match &request.token {
        Some(token) => {
            let token = token.decode_unverified()?;
            if token.is_expired_at(OffsetDateTime::now_utc()) {
                return Err(token_expired());
            }
            state
                .create(&token, &request, invocation)
                .await
                .map_err(|error| create_failed(error, TokenFrom::Caller))?
        }
        None => state.create_as(origin, &request, invocation).await?,
    };
    Ok(Answer {
        status: 201,
        body,
        outcome: Outcome::SourceCreated,
    })
}

/// Whose token Airbyte was called with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenFrom {
    Caller,
    Us,
}

enum CreateError {
    /// The workspace asked for is not the token's; nothing was sent.
    OtherWorkspace,
    Airbyte(AirbyteError),
}

impl State {
    /// Creates with a token of ours: the one kept for the user, else a new one. Airbyte may refuse one that was kept, for
    /// reasons of its own; a create that was refused for its token was not carried out, so it is sent again with a new
    /// one.
    async fn create_as(
        &self,
        origin: &Origin,
        request: &SourceRequest<'_>,
        invocation: &Invocation,
    ) -> Result<String, Problem> {
        let user = &request.user;
        if let Some(token) = self.scoped_tokens.get(user, OffsetDateTime::now_utc()) {
            match self.create(&token, request, invocation).await {
                Err(CreateError::Airbyte(AirbyteError::Refused(Refusal {
                    status: 401, ..
                }))) => {
                    self.scoped_tokens.remove(user);
                }
                created => {
                    return created.map_err(|error| create_failed(error, TokenFrom::Us));
                }
            }
        }
        let minted = self.services.mint.mint(user, origin, invocation).await?;
        let created = self.create(&minted.decoded, request, invocation).await;
        if !matches!(&created, Err(CreateError::Airbyte(error)) if error.status() == Some(401)) {
            self.scoped_tokens
                .put(user.clone(), minted.decoded, OffsetDateTime::now_utc());
        }
        created.map_err(|error| create_failed(error, TokenFrom::Us))
    }

    async fn create(
        &self,
        token: &UnverifiedToken,
        request: &SourceRequest<'_>,
        invocation: &Invocation,
    ) -> Result<String, CreateError> {
        if request
            .workspace_id
            .is_some_and(|workspace_id| workspace_id != token.workspace_id)
        {
            return Err(CreateError::OtherWorkspace);
        }
        let wire = CreateSourceRequest {
            workspace_id: token.workspace_id,
            source_config_template_id: request.source_config_template_id,
            connection_configuration: request.connection_configuration,
        };
        self.services
            .airbyte
            .create_source(&token.scoped_token, &wire, invocation)
            .await
            .map_err(CreateError::Airbyte)
    }
}

fn token_expired() -> Problem {
    Problem::new(
        Kind::TokenExpired,
        "`token` has expired. Get another one from POST /token, or leave `token` out.",
    )
}

/// A create is not like other calls: what may have happened must be said.
fn create_failed(error: CreateError, token_from: TokenFrom) -> Problem {
    const LOOK_FIRST: &str = "The source may have been created: look before you try again.";
    let upstream = |detail: String| Problem::new(Kind::UpstreamError, detail);
    let error = match error {
        CreateError::OtherWorkspace => {
            return Problem::new(
                Kind::Forbidden,
                "`workspace_id` is not the workspace of the token. Leave it out: the token says which it is.",
            );
        }
        CreateError::Airbyte(error) => error,
    };
    match error {
        AirbyteError::TimedOut => {
            Problem::new(Kind::UpstreamTimeout, format!("Airbyte did not answer in time. {LOOK_FIRST}"))
        }
        AirbyteError::ConnectTimedOut => Problem::new(
            Kind::UpstreamTimeout,
            "Airbyte did not answer in time, and nothing was sent. Try again.",
        ),
        AirbyteError::Unreachable => {
            upstream("Airbyte cannot be reached, and nothing was sent. Try again later.".to_owned())
        }
        AirbyteError::NoTls => upstream(
            "No secure connection to Airbyte can be opened, and nothing was sent. The owner finds the reason in the \
             function's log."
                .to_owned(),
        ),
        AirbyteError::ConnectionLost => upstream(format!("The connection to Airbyte broke. {LOOK_FIRST}")),
        AirbyteError::NotUnderstood => upstream(
            "Airbyte accepted the source, but its answer is not understood. Look for the source before you try again."
                .to_owned(),
        ),
        AirbyteError::Refused(refusal) => match refusal.status {
            400 | 404 | 409 | 422 => rejected(refusal.rejection),
            401 if token_from == TokenFrom::Caller => token_expired(),
            401 => upstream("Airbyte refused the token that it had just issued. Try again later.".to_owned()),
            403 => Problem::new(
                Kind::Forbidden,
                "Airbyte does not allow this user to create this source. Check the template and the workspace.",
            ),
            429 => Problem::rate_limited(refusal.retry_after),
            // A 408 or a redirect too: what became of the source is not known.
            status => upstream(format!("Airbyte answered with status {status}. {LOOK_FIRST}")),
        },
    }
}

fn rejected(rejection: Rejection) -> Problem {
    let detail = match rejection.message {
        Some(message) => format!("Airbyte says: {message}"),
        None if rejection.faults.is_empty() => {
            "Airbyte does not say why. Check source_config_template_id and the configuration against the template."
                .to_owned()
        }
        None => "Mend what `errors` tells, and send it again.".to_owned(),
    };
    Problem::new(Kind::SourceRejected, detail).with_faults(rejection.faults)
}
