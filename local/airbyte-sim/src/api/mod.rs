//! Airbyte's API: the routes, and what the generations share.

mod account;
mod agents;
mod body;
mod embedded;
mod errors;
mod templates;
mod widget_token;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::state::{Principal, State};

/// The routes of Airbyte's API.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route(
            "/api/v1/account/applications/token",
            post(account::application_token),
        )
        .route(
            "/api/v1/integrations/templates/sources",
            get(templates::list),
        )
        .route(
            "/api/v1/integrations/templates/sources/",
            get(templates::list_embedded),
        )
        .route(
            "/api/v1/integrations/templates/sources/{id}",
            get(templates::show),
        )
        .merge(embedded::routes())
        .merge(agents::routes())
        .method_not_allowed_fallback(async || {
            errors::detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .fallback(async || not_found())
}

/// The response to a request for an unknown path, and for one of a generation that is switched off.
pub(crate) fn not_found() -> Response {
    errors::detail(StatusCode::NOT_FOUND, "Not Found")
}

/// Redirects to the path that differs in its trailing slash, as FastAPI does.
async fn toggle_slash(uri: Uri) -> Response {
    let path = uri.path();
    let path = path
        .strip_suffix('/')
        .map_or_else(|| format!("{path}/"), str::to_owned);
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    (
        StatusCode::TEMPORARY_REDIRECT,
        [(header::LOCATION, format!("{path}{query}"))],
    )
        .into_response()
}

/// Returns the principal of the request's bearer token.
fn authenticate(state: &State, headers: &HeaderMap) -> Option<Principal> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    state.authenticate(token)
}
