//! `POST /sources`: a source in the caller's Airbyte workspace, from a template and a connection configuration.
//!
//! If the caller sends no token from `POST /token`, the function mints one for them and caches it for their next request. With an
//! `Idempotency-Key`, a repeated request creates nothing and returns the source of the first one.

pub mod configuration;
pub mod create_error;
pub mod idempotency;
pub mod request;
pub mod scoped_tokens;

use lambda_http::http::StatusCode;
use lambda_http::{Request, Response};
use shared::airbyte::token::{OpaqueToken, UnverifiedToken};
use shared::airbyte::{NewSource, SourcesBearer};
use shared::app::App;
use shared::invocation::Invocation;
use shared::lambda::{Route, json_response};
use shared::outcome::Outcome;
use shared::problem::Problem;
use shared::request::body;
use shared::request::caller::Caller;
use shared::request::origin::Origin;
use time::OffsetDateTime;
use uuid::Uuid;

use create_error::CreateError;
use idempotency::Idempotency;
use request::SourceRequest;
use scoped_tokens::ScopedTokens;

/// The route that API Gateway sends here.
pub const ROUTE: Route = Route {
    name: "POST /sources",
    success: Outcome::SourceCreated,
};

/// The maximum size of a body.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The state of the process: clients, and cached tokens.
#[derive(Debug)]
pub struct State {
    app: App,
    scoped_tokens: ScopedTokens,
    idempotency: Idempotency,
}

/// Handles one request.
pub async fn handle(
    state: &State,
    request: &Request,
    invocation: &Invocation,
) -> Result<Response<String>, Problem> {
    let config = &state.app.config;
    let caller = Caller::from_request(request)?;
    let header_origin = config.allowed_origins.check_header(request)?;
    let origin = config.allowed_origins.resolve(header_origin, None)?;

    let key = state.idempotency.key(request)?;

    let body = body::text(request, MAX_BODY_BYTES)?;
    let optional_fields = state.app.airbyte.api().optional_source_fields();
    let claim = &config.external_user_id_claim;
    let request = SourceRequest::parse(body, &caller, claim, optional_fields)?;
    invocation.record_user(request.user.log_id(config.organization_id));

    let token = request.token.as_ref();
    let unverified = token.map(OpaqueToken::decode_unverified).transpose()?;
    if let Some(unverified) = &unverified {
        // The workspace is logged, because the token may be another user's, and its user is not known here.
        invocation.record_supplied_token(unverified.workspace_id);
    }

    let create = async || match &unverified {
        Some(unverified) => {
            state
                .create_with_callers_token(unverified, &request, invocation)
                .await
        }
        None => {
            state
                .create_with_own_token(origin, &request, invocation)
                .await
        }
    };
    let Some(key) = key else {
        return Ok(json_response(StatusCode::CREATED, create().await?.json));
    };
    key.create_once(&request, create, invocation).await
}

/// A source that Airbyte created.
struct Created {
    /// Airbyte's response.
    json: String,
    /// The workspace that it is in.
    workspace_id: Uuid,
}

impl State {
    /// Creates a state without cached tokens.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self {
            idempotency: Idempotency::new(app.state_table.clone()),
            app,
            scoped_tokens: ScopedTokens::default(),
        }
    }

    async fn create_with_callers_token(
        &self,
        unverified: &UnverifiedToken,
        request: &SourceRequest<'_>,
        invocation: &Invocation,
    ) -> Result<Created, CreateError> {
        if unverified.is_expired_at(OffsetDateTime::now_utc()) {
            return Err(CreateError::TokenExpired);
        }
        self.create(unverified, request, invocation)
            .await
            .map_err(|error| match error.status() {
                Some(401) => CreateError::TokenExpired,
                _ => error,
            })
    }

    /// Creates a source with the user's cached token, or else with a new one. If Airbyte rejects the cached token, the create is
    /// retried with a new one, because a create with a rejected token is not processed.
    async fn create_with_own_token(
        &self,
        origin: &Origin,
        request: &SourceRequest<'_>,
        invocation: &Invocation,
    ) -> Result<Created, CreateError> {
        let user = &request.user;
        if let Some(cached) = self.scoped_tokens.get(user, OffsetDateTime::now_utc()) {
            match self.create(&cached, request, invocation).await {
                Err(error) if error.status() == Some(401) => self.scoped_tokens.remove(user),
                created => return created,
            }
        }
        let minted = self.app.minter.mint(user, origin, invocation).await;
        let minted = minted.map_err(CreateError::Credential)?;
        let created = self.create(&minted.decoded, request, invocation).await;
        let is_rejected = matches!(&created, Err(error) if error.status() == Some(401));
        if !is_rejected {
            let now = OffsetDateTime::now_utc();
            self.scoped_tokens.put(user.clone(), minted.decoded, now);
        }
        created
    }

    async fn create(
        &self,
        unverified: &UnverifiedToken,
        request: &SourceRequest<'_>,
        invocation: &Invocation,
    ) -> Result<Created, CreateError> {
        let workspace_id = unverified.workspace_id;
        if request.workspace_id.is_some_and(|id| id != workspace_id) {
            return Err(CreateError::WorkspaceMismatch);
        }
        let source = NewSource {
            user: &request.user,
            workspace_id,
            template_id: request.source_config_template_id,
            configuration: request.connection_configuration,
            credentials: request.credentials,
            environment: request.environment,
            name: request.name.as_deref(),
        };
        let App {
            airbyte, minter, ..
        } = &self.app;
        let json = match airbyte.api().sources_bearer() {
            SourcesBearer::Scoped => airbyte
                .create_source(&unverified.scoped_token, &source, invocation)
                .await
                .map_err(CreateError::Airbyte),
            SourcesBearer::Organization => minter
                .create_source(&source, invocation)
                .await
                .map_err(CreateError::from),
        };
        json.map(|json| Created { json, workspace_id })
    }
}
