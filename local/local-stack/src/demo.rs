//! The demo page's server: static files, the widget's script, and the page's configuration.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;
use tower_http::services::{ServeDir, ServeFile};
use url::Url;

use crate::server::Server;

/// `GET /config.json`: where the page finds what it needs. Nothing in it is secret.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageConfig {
    /// The API, without a slash at its end.
    pub api_url: String,
    /// The development issuer.
    pub issuer_url: String,
    /// Where the page inside of the widget comes from. The page itself learns it from each token.
    #[serde(skip)]
    pub airbyte_url: String,
    /// The widget's script: the vendor's bundle, or the stand-in at `/widget.js`.
    pub widget_script_url: String,
    /// What the script's `integrity` attribute says, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widget_script_integrity: Option<String>,
    /// The source templates: `id`, `name` and `connection_specification` of each.
    pub templates: Vec<Value>,
}

/// A running server for the demo page. It stops when dropped.
#[derive(Debug)]
pub struct Demo {
    server: Server,
    page: Arc<OnceLock<Page>>,
}

/// What depends on the configuration.
#[derive(Debug)]
struct Page {
    config: PageConfig,
    policy: HeaderValue,
}

impl Demo {
    /// Serves the files of a folder, and one file as `/widget.js`. The page works once it is
    /// [configured](Self::configure): an API that is to allow the page's origin starts later than the page.
    ///
    /// # Errors
    /// If the address is not on loopback, or in use.
    pub async fn start(
        address: SocketAddr,
        folder: &Path,
        widget_script: &Path,
    ) -> io::Result<Self> {
        let bound = Server::bind(address).await?;
        let page = Arc::<OnceLock<Page>>::default();
        let routes = Router::new()
            .route("/config.json", get(config))
            .route_service("/widget.js", ServeFile::new(widget_script))
            .fallback_service(ServeDir::new(folder))
            .layer(map_response_with_state(Arc::clone(&page), with_headers))
            .with_state(Arc::clone(&page));
        Ok(Self {
            server: Server::serve(bound, routes),
            page,
        })
    }

    /// Its URL, which is the page's origin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Tells the page where everything is. Only the first call counts.
    ///
    /// # Errors
    /// If one of the addresses is not a URL.
    pub fn configure(&self, config: PageConfig) -> io::Result<()> {
        let policy = content_security_policy(&config)?;
        // Set before: the page may have read it.
        let _ = self.page.set(Page { config, policy });
        Ok(())
    }
}

async fn config(State(page): State<Arc<OnceLock<Page>>>) -> Response {
    match page.get() {
        Some(page) => axum::Json(&page.config).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "not configured yet\n").into_response(),
    }
}

async fn with_headers(State(page): State<Arc<OnceLock<Page>>>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    // So that a reload shows what was just saved.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    if let Some(page) = page.get() {
        headers.insert(header::CONTENT_SECURITY_POLICY, page.policy.clone());
    }
    response
}

/// What the page needs, and nothing else. The widget's script adds a `<style>` element with an image in it; the page
/// itself has no inline styles.
fn content_security_policy(config: &PageConfig) -> io::Result<HeaderValue> {
    let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidInput, problem);
    let origin = |url: &str| match Url::parse(url) {
        Ok(url) => Ok(url.origin().ascii_serialization()),
        Err(error) => Err(invalid(format!("{url}: {error}"))),
    };
    let script = match config.widget_script_url.as_str() {
        path if path.starts_with('/') => String::new(),
        url => origin(url)?,
    };
    let policy = format!(
        "default-src 'none'; script-src 'self' {script}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self' {api} {issuer}; frame-src {airbyte}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        api = origin(&config.api_url)?,
        issuer = origin(&config.issuer_url)?,
        airbyte = origin(&config.airbyte_url)?,
    );
    HeaderValue::try_from(policy).map_err(|error| invalid(error.to_string()))
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
            airbyte_url: "http://localhost:3002".to_owned(),
            widget_script_url: "/widget.js".to_owned(),
            widget_script_integrity: None,
            templates: vec![],
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let demo = Demo::start(address, folder.path(), &script).await.unwrap();
        let url = demo.url();

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
        assert_eq!(get("/config.json").await.0, 503);
        demo.configure(config).unwrap();
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
    #[test]
    fn the_policy_names_the_configured_origins_and_no_others() {
        let config = |widget_script_url: &str| PageConfig {
            api_url: "https://api.example.com/stage".to_owned(),
            issuer_url: "http://localhost:3001".to_owned(),
            airbyte_url: "http://localhost:3002".to_owned(),
            widget_script_url: widget_script_url.to_owned(),
            widget_script_integrity: None,
            templates: vec![],
        };
        let directive = |script: &str, name: &str| {
            let policy = content_security_policy(&config(script)).unwrap();
            let policy = policy.to_str().unwrap().to_owned();
            let directive = policy
                .split("; ")
                .find_map(|text| text.strip_prefix(name))
                .unwrap();
            directive
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            directive("/widget.js", "connect-src"),
            ["'self'", "https://api.example.com", "http://localhost:3001"]
        );
        assert_eq!(
            directive("/widget.js", "frame-src"),
            ["http://localhost:3002"]
        );
        assert_eq!(directive("/widget.js", "script-src"), ["'self'"]);
        assert_eq!(
            directive("https://cdn.example.com/w@1.2.3/w.js", "script-src"),
            ["'self'", "https://cdn.example.com"]
        );
        assert!(content_security_policy(&config("widget.js")).is_err());
    }
}
