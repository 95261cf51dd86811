//! `POST /token`: a verified caller's short-lived Airbyte token, scoped to their workspace and bound to the page's origin.

use lambda_http::http::StatusCode;
use lambda_http::{Request, Response};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use shared::app::App;
use shared::invocation::Invocation;
use shared::lambda::{Route, json_response};
use shared::mint::MintedToken;
use shared::outcome::Outcome;
use shared::problem::Problem;
use shared::request::RequestError;
use shared::request::body::{self, JsonObject};
use shared::request::caller::{Caller, ExternalUserId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The route that API Gateway sends here.
pub const ROUTE: Route = Route {
    name: "POST /token",
    success: Outcome::TokenMinted,
};

/// The maximum size of a body.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Handles one request.
pub async fn handle(
    app: &App,
    request: &Request,
    invocation: &Invocation,
) -> Result<Response<String>, Problem> {
    let config = &app.config;
    let caller = Caller::from_request(request)?;
    let header_origin = config.allowed_origins.check_header(request)?;

    let body = body::text(request, MAX_BODY_BYTES)?;
    let TokenRequest {
        user,
        allowed_origin,
    } = TokenRequest::parse(body, &caller, &config.external_user_id_claim)?;
    invocation.record_user(user.log_id(config.organization_id));
    let origin = config
        .allowed_origins
        .resolve(header_origin, allowed_origin.as_deref())?;

    let minted = app.minter.mint(&user, origin, invocation).await?;
    to_response(&minted, OffsetDateTime::now_utc())
}

/// The body of `POST /token`.
struct TokenRequest {
    /// The user that the token is for.
    user: ExternalUserId,
    /// The origin to bind the token to, if the request has no `Origin` header.
    allowed_origin: Option<String>,
}

impl TokenRequest {
    /// Parses a caller's body. `claim` is the JWT claim with the user's ID.
    fn parse(text: &str, caller: &Caller<'_>, claim: &str) -> Result<Self, RequestError> {
        let mut body = JsonObject::parse(text)?;
        let allowed_origin = body.string("allowedOrigin");
        let user = body.external_user_id(caller, claim);
        body.build(|| Some(()))?;
        Ok(Self {
            user: user?,
            allowed_origin,
        })
    }
}

/// The response of `POST /token`; it can be passed to the Embedded Widget unchanged.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenResponse<'a> {
    token: &'a str,
    scoped_token: &'a str,
    widget_url: &'a str,
    workspace_id: String,
    expires_at: String,
    expires_in: i64,
}

fn to_response(minted: &MintedToken, now: OffsetDateTime) -> Result<Response<String>, Problem> {
    let decoded = &minted.decoded;
    let expires_at = decoded
        .expires_at
        .format(&Rfc3339)
        .map_err(|_| Problem::internal("serialization"))?;
    let response = TokenResponse {
        token: minted.opaque.expose(),
        scoped_token: decoded.scoped_token.expose_secret(),
        widget_url: &decoded.widget_url,
        workspace_id: decoded.workspace_id.to_string(),
        expires_at,
        // Zero for an expired token, because a negative duration helps no client.
        expires_in: (decoded.expires_at - now).whole_seconds().max(0),
    };
    let body = serde_json::to_string(&response).map_err(|_| Problem::internal("serialization"))?;
    Ok(json_response(StatusCode::OK, body))
}
