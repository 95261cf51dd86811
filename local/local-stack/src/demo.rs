//! The demo page's server: static files, the widget's script, and the page's configuration.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use axum::http::{HeaderValue, header};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::Value;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::server::Server;

/// `GET /config.json`: where the page finds what it needs. Nothing in it is secret.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageConfig {
    /// The API, without a slash at its end.
    pub(crate) api_url: String,
    /// The development issuer.
    pub(crate) issuer_url: String,
    /// The widget's script: the vendor's bundle, or the stand-in at `/widget.js`.
    pub(crate) widget_script_url: String,
    /// What the script's `integrity` attribute says, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) widget_script_integrity: Option<String>,
    /// The source templates: `id`, `name` and `connection_specification` of each.
    pub(crate) templates: Vec<Value>,
}

/// Serves the files of a folder, and one file as `/widget.js`.
pub(crate) async fn serve(
    address: SocketAddr,
    folder: &Path,
    widget_script: &Path,
    config: PageConfig,
) -> io::Result<Server> {
    let bound = Server::bind(address).await?;
    // So that a reload shows what was just saved.
    let no_store = SetResponseHeaderLayer::overriding(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    let routes = Router::new()
        .route("/config.json", get(async move || Json(config.clone())))
        .route_service("/widget.js", ServeFile::new(widget_script))
        .fallback_service(ServeDir::new(folder))
        .layer(no_store);
    Ok(Server::serve(bound, routes))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::client::Client;

    #[tokio::test]
    async fn files_the_script_and_the_configuration_are_served_uncached() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("index.html", "<!doctype html>"),
            ("app.js", "1"),
            ("style.css", "a{}"),
            ("icon.svg", "<svg/>"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let script = folder.path().join("stand-in.js");
        std::fs::write(&script, "2").unwrap();
        let config = PageConfig {
            api_url: "http://localhost:3000".to_owned(),
            issuer_url: "http://localhost:3001".to_owned(),
            widget_script_url: "/widget.js".to_owned(),
            widget_script_integrity: None,
            templates: vec![],
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let demo = serve(address, folder.path(), &script, config)
            .await
            .unwrap();
        let url = format!("http://{}", demo.address());

        let get = async |path: &str| {
            let answer = Client::new()
                .get(&format!("{url}{path}"), Duration::from_secs(10))
                .await
                .unwrap();
            let header = |name| {
                answer
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            let body = String::from_utf8(answer.body().to_vec()).unwrap();
            (
                answer.status().as_u16(),
                header(header::CONTENT_TYPE),
                header(header::CACHE_CONTROL),
                body,
            )
        };
        let cases = [
            ("/", "text/html", "<!doctype html>"),
            ("/app.js", "text/javascript", "1"),
            ("/style.css", "text/css", "a{}"),
            ("/icon.svg", "image/svg+xml", "<svg/>"),
            ("/widget.js", "text/javascript", "2"),
            (
                "/config.json",
                "application/json",
                r#"{"apiUrl":"http://localhost:3000","issuerUrl":"http://localhost:3001","widgetScriptUrl":"/widget.js","templates":[]}"#,
            ),
        ];
        for (path, kind, body) in cases {
            let (status, content_type, cache_control, text) = get(path).await;
            assert_eq!((status, text.as_str()), (200, body), "{path}");
            assert_eq!(content_type.as_deref(), Some(kind), "{path}");
            assert_eq!(cache_control.as_deref(), Some("no-store"), "{path}");
        }
        for path in ["/nothing.html", "/../Cargo.toml", "/%2e%2e/Cargo.toml"] {
            assert_eq!(get(path).await.0, 404, "{path}");
        }
    }
}
