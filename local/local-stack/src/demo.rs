//! The demo page's server: the page, the browser client's package, and the page's configuration.

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
use tower_http::services::ServeDir;
use url::Url;

use crate::server::Server;

/// The path at which pages import the browser client's package.
const CLIENT_PATH: &str = "/airbyte-embedded-web";

/// The response of `GET /config.json`: the addresses that the page needs. Nothing in it is secret.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageConfig {
    /// The API, without a slash at its end.
    pub api_url: String,
    /// The development issuer.
    pub issuer_url: String,
    /// The origin of the page inside the widget. The demo page itself reads it from each token.
    #[serde(skip)]
    pub airbyte_url: String,
    /// Whether the API has a state table, so that creates may carry an `Idempotency-Key`.
    pub idempotency_keys: bool,
    /// Airbyte's widget script. Without it the page hosts the widget itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widget_script_url: Option<String>,
    /// The script's `integrity` attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widget_script_integrity: Option<String>,
    /// The source templates: `id`, `name`, `connection_specification` and, where there is one, `mode` of each.
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
    /// Serves the folder of a page, and that of the browser client's package below `/airbyte-embedded-web`. The page works
    /// once it is [configured](Self::configure), because an API that allows the page's origin starts later than the page.
    ///
    /// # Errors
    /// If the address is not on loopback, or in use.
    pub async fn start(address: SocketAddr, page: &Path, client: &Path) -> io::Result<Self> {
        let bound = Server::bind(address).await?;
        let files = ServeDir::new(page);
        let page = Arc::<OnceLock<Page>>::default();
        let routes = Router::new()
            .route("/config.json", get(config))
            .nest_service(CLIENT_PATH, ServeDir::new(client))
            .fallback_service(files)
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

    /// Sets the page's configuration. Only the first call counts.
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

/// Allows what the page needs, and nothing else. It names the paths of other origins where they are known: a whole CDN
/// would allow every script on it.
///
/// Airbyte's widget script adds a `<style>` element with an image in it. The page and the package need neither.
fn content_security_policy(config: &PageConfig) -> io::Result<HeaderValue> {
    let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidInput, problem);
    let parse = |url: &str| Url::parse(url).map_err(|error| invalid(format!("{url}: {error}")));
    let below = |url: &str, path: &str| {
        let mut url = parse(url)?;
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        source(&url).ok_or_else(|| invalid(format!("{url}: not usable in a policy")))
    };
    let script = match config.widget_script_url.as_deref() {
        None => String::new(),
        Some(path) if path.starts_with('/') => String::new(),
        Some(url) => format!(" {}", below(url, "")?),
    };
    let (style, image) = match config.widget_script_url {
        None => ("", ""),
        Some(_) => (" 'unsafe-inline'", " data:"),
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'{script}; style-src 'self'{style}; img-src 'self'{image}; \
         connect-src 'self' {token} {sources} {issuer}; frame-src {airbyte}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        token = below(&config.api_url, "/token")?,
        sources = below(&config.api_url, "/sources")?,
        issuer = below(&config.issuer_url, "/token")?,
        airbyte = parse(&config.airbyte_url)?.origin().ascii_serialization(),
    );
    HeaderValue::try_from(policy).map_err(|error| invalid(error.to_string()))
}

/// A URL as a source expression: without query and fragment. `None` if its path has a delimiter of policies, which would
/// end the directive.
fn source(url: &Url) -> Option<String> {
    let path = url.path();
    (!path.contains([';', ','])).then(|| format!("{}{path}", url.origin().ascii_serialization()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::client::Client;

    #[tokio::test]
    async fn serves_page_client_and_configuration_uncached() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("index.html", "<!doctype html>"),
            ("app.js", "1"),
            ("style.css", "a{}"),
            ("icon.svg", "<svg/>"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let client = tempfile::tempdir().unwrap();
        std::fs::write(client.path().join("index.js"), "2").unwrap();
        let config = PageConfig {
            api_url: "http://localhost:3000".to_owned(),
            issuer_url: "http://localhost:3001".to_owned(),
            airbyte_url: "http://localhost:3002".to_owned(),
            idempotency_keys: true,
            widget_script_url: None,
            widget_script_integrity: None,
            templates: vec![],
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let demo = Demo::start(address, folder.path(), client.path())
            .await
            .unwrap();
        let url = demo.url();

        let get = async |path: &str| {
            let response = Client::new()
                .get(&format!("{url}{path}"), Duration::from_secs(10))
                .await
                .unwrap();
            let header = |name| {
                response
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            let body = String::from_utf8(response.body().to_vec()).unwrap();
            (
                response.status().as_u16(),
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
            ("/airbyte-embedded-web/index.js", "text/javascript", "2"),
            (
                "/config.json",
                "application/json",
                r#"{"apiUrl":"http://localhost:3000","issuerUrl":"http://localhost:3001","idempotencyKeys":true,"templates":[]}"#,
            ),
        ];
        for (path, kind, body) in cases {
            let (status, content_type, cache_control, text) = get(path).await;
            assert_eq!((status, text.as_str()), (200, body), "{path}");
            assert_eq!(content_type.as_deref(), Some(kind), "{path}");
            assert_eq!(cache_control.as_deref(), Some("no-store"), "{path}");
        }
        for path in [
            "/nothing.html",
            "/../Cargo.toml",
            "/%2e%2e/Cargo.toml",
            "/airbyte-embedded-web/%2e%2e/Cargo.toml",
        ] {
            assert_eq!(get(path).await.0, 404, "{path}");
        }
    }

    #[test]
    fn allows_configured_paths_and_no_others() {
        let policy = |widget_script_url: Option<&str>| {
            let policy = content_security_policy(&PageConfig {
                api_url: "https://api.example.com/stage".to_owned(),
                issuer_url: "http://localhost:3001".to_owned(),
                airbyte_url: "http://localhost:3002".to_owned(),
                idempotency_keys: true,
                widget_script_url: widget_script_url.map(str::to_owned),
                widget_script_integrity: None,
                templates: vec![],
            });
            policy.map(|policy| policy.to_str().unwrap().to_owned())
        };

        assert_eq!(
            policy(None).unwrap(),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' \
             https://api.example.com/stage/token https://api.example.com/stage/sources http://localhost:3001/token; \
             frame-src http://localhost:3002; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let of_a_cdn = policy(Some("https://cdn.example.com/w@1.2.3/w.js?v=1")).unwrap();
        assert!(
            of_a_cdn.contains(
                "script-src 'self' https://cdn.example.com/w@1.2.3/w.js; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
            ),
            "{of_a_cdn}"
        );
        let on_the_page = policy(Some("/widget.js")).unwrap();
        assert!(
            on_the_page.contains("script-src 'self'; style-src 'self' 'unsafe-inline'"),
            "{on_the_page}"
        );
        assert!(policy(Some("widget.js")).is_err());
        assert!(policy(Some("https://cdn.example.com/a;script-src *")).is_err());
    }
}
