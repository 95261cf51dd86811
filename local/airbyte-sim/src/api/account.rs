//! `POST /api/v1/account/applications/token`: exchanges an application's credentials for a token. Both generations
//! have it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::body::{Fields, is_json};
use super::{agents, errors};
use crate::options::Application;
use crate::state::State;

/// The response's `expires_in`, in seconds. It does not depend on the token, because Airbyte has been seen to return 900
/// with a token that expired after 180 seconds.
const EXPIRES_IN: u32 = 900;

pub(crate) async fn application_token(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // A form, which OAuth clients would send, is not read at all.
    if !is_json(&headers) {
        return unauthorized();
    }
    let organization = match agents::organization_header(&headers) {
        Ok(organization) => organization,
        Err(error) => return errors::unprocessable(&[error]),
    };
    let mut fields = match Fields::parse(&headers, &body) {
        Ok(fields) => fields,
        Err(error) => return errors::unprocessable(&[error]),
    };
    let (client_id, client_secret) = (fields.string("client_id"), fields.string("client_secret"));
    let (Some(client_id), Some(client_secret)) = (client_id, client_secret) else {
        return errors::unprocessable(fields.errors());
    };
    if organization.is_some_and(|organization| !state.has_organization(organization)) {
        return errors::detail(StatusCode::FORBIDDEN, "Organization not found");
    }
    match state.issue_application_token(&Application {
        client_id,
        client_secret,
    }) {
        Some(Ok(token)) => Json(json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": EXPIRES_IN,
            "organization_id": organization.or_else(|| state.sole_organization()),
        }))
        .into_response(),
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => unauthorized(),
    }
}

fn unauthorized() -> Response {
    errors::detail(StatusCode::UNAUTHORIZED, "Invalid client credentials")
}
