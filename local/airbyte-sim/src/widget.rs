//! The page that the Embedded Widget's iframe shows.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::state::State;

/// Whether a path belongs to the page.
pub(crate) fn is_for(path: &str) -> bool {
    path == "/embedded-widget" || path.starts_with("/embedded-widget/")
}

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route(
            "/embedded-widget",
            get(async || {
                file(
                    "text/html; charset=utf-8",
                    include_str!("../assets/widget/page.html"),
                )
            }),
        )
        .route(
            "/embedded-widget/page.css",
            get(async || {
                file(
                    "text/css; charset=utf-8",
                    include_str!("../assets/widget/page.css"),
                )
            }),
        )
        .route(
            "/embedded-widget/page.js",
            get(async || {
                file(
                    "text/javascript; charset=utf-8",
                    include_str!("../assets/widget/page.js"),
                )
            }),
        )
}

fn file(content_type: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; base-uri 'none'; form-action 'none'",
        ),
        // The page's own address names the workspace.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, content)
}
