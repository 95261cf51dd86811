//! `POST /token`: a verified caller's short-lived Airbyte token, scoped to their own workspace and bound to the page's
//! origin.

use secrecy::ExposeSecret as _;
use serde::Serialize;
use shared::body::{self, Object};
use shared::caller::{Caller, NAMED_USER};
use shared::event::HttpEvent;
use shared::invocation::Invocation;
use shared::mint::MintedToken;
use shared::problem::Problem;
use shared::respond::{Answer, Outcome};
use shared::start::Services;
use shared::telemetry;
use time::format_description::well_known::Rfc3339;

/// The route that API Gateway sends here.
pub const ROUTE: &str = "POST /token";

/// The largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Answers one request.
pub async fn handle(
    services: &Services,
    event: &HttpEvent,
    invocation: &Invocation,
) -> Result<Answer, Problem> {
    let config = &services.config;
    let caller = Caller::from_authorizer(&event.request_context.authorizer)?;
    let origin = event.headers.origin.as_deref();
    config.allowed_origins.choose(origin, None)?;

    let text = body::text(event, MAX_BODY)?;
    let mut body = Object::parse(&text)?;
    let allowed_origin = body.string("allowedOrigin");
    let named_user = body.string(NAMED_USER);
    let user = caller.external_user_id(&config.external_user_id_claim, named_user.as_deref());
    let user = body.finish_with_user(user)?;
    invocation.note_user(telemetry::user_hash(config.organization_id, &user));
    let origin = config
        .allowed_origins
        .choose(origin, allowed_origin.as_deref())?;

    let minted = services.mint.mint(&user, origin, invocation).await?;
    Ok(Answer {
        status: 200,
        body: answer(&minted)?,
        outcome: Outcome::TokenMinted,
    })
}

/// What the Embedded Widget takes as it is, and what a front end of one's own needs besides.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer<'a> {
    token: &'a str,
    scoped_token: &'a str,
    widget_url: &'a str,
    workspace_id: String,
    expires_at: String,
}

fn answer(minted: &MintedToken) -> Result<String, Problem> {
    let decoded = &minted.decoded;
    let answer = TokenAnswer {
        token: minted.opaque.expose(),
        scoped_token: decoded.scoped_token.expose_secret(),
        widget_url: &decoded.widget_url,
        workspace_id: decoded.workspace_id.to_string(),
        expires_at: decoded
            .expires_at
            .format(&Rfc3339)
            .map_err(|_| Problem::internal())?,
    };
    serde_json::to_string(&answer).map_err(|_| Problem::internal())
}
