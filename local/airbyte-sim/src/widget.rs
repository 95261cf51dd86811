//! The page that the widget's iframe shows, at the address of each generation.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::state::State;

/// Whether a path belongs to the page.
pub(crate) fn is_for(path: &str) -> bool {
    path == "/embedded-widget" || path == "/quick-start/widget" || path.starts_with("/widget-page/")
}

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/embedded-widget", get(page))
        .route("/quick-start/widget", get(page))
        .route(
            "/widget-page/page.css",
            get(async || {
                file(
                    "text/css; charset=utf-8",
                    include_str!("../assets/widget/page.css"),
                )
            }),
        )
        .route(
            "/widget-page/page.js",
            get(async || {
                file(
                    "text/javascript; charset=utf-8",
                    include_str!("../assets/widget/page.js"),
                )
            }),
        )
}

async fn page() -> impl IntoResponse {
    file(
        "text/html; charset=utf-8",
        include_str!("../assets/widget/page.html"),
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
        // The page's address names the workspace.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, content)
}
