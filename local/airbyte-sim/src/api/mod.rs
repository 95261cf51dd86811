//! Airbyte's own API: the routes, and what they have in common.

mod account;
mod body;
mod embedded;
mod errors;
mod integrations;

use std::sync::Arc;

use axum::Router;

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::state::State;

/// The routes of Airbyte's API.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route(
            "/api/v1/account/applications/token",
            post(account::application_token),
        )
        .route(
            "/api/v1/embedded/widget_token",
            post(embedded::widget_token),
        )
        .route(
            "/api/v1/integrations/sources/",
            get(integrations::list_sources).post(integrations::create_source),
        )
        .route(
            "/api/v1/integrations/templates/sources/",
            get(integrations::list_templates),
        )
        .route(
            "/api/v1/integrations/templates/sources/{id}",
            get(integrations::get_template),
        )
        .route(
            "/api/v1/integrations/sources",
            get(with_slash).post(with_slash),
        )
        .route("/api/v1/integrations/templates/sources", get(with_slash))
        .method_not_allowed_fallback(async || {
            errors::detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .fallback(async || errors::detail(StatusCode::NOT_FOUND, "Not Found"))
}

/// Sends a client that forgot the trailing slash to the path that has it, as FastAPI does.
async fn with_slash(uri: Uri) -> Response {
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    (
        StatusCode::TEMPORARY_REDIRECT,
        [(header::LOCATION, format!("{}/{query}", uri.path()))],
    )
        .into_response()
}

/// The token of an `Authorization: Principal` header.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
