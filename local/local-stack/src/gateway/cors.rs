//! Cross-origin calls, answered from the API's CORS configuration.
//!
//! Unverified on AWS, and decided here: the preflight of an origin that is not allowed is answered 204 without CORS
//! headers, and the gateway's own refusals carry the CORS headers of an allowed origin, so that a page can read them.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::template::Cors;

impl Cors {
    /// The answer to a preflight, which never reaches a route; `None` if the request is not one.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let is_preflight = method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = headers.get(header::ORIGIN).filter(|_| is_preflight)?;

        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let Some(allowed) = self.allowed(origin) else {
            return Some(response);
        };
        let headers = response.headers_mut();
        self.insert_common(headers, allowed);
        insert(
            headers,
            header::ACCESS_CONTROL_ALLOW_METHODS,
            &self.allow_methods.join(","),
        );
        insert(
            headers,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            &self.allow_headers.join(","),
        );
        if let Some(seconds) = self.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, seconds.into());
        }
        Some(response)
    }

    /// Puts the gateway's CORS headers in the place of those that the function may have set.
    pub(super) fn apply(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let theirs: Vec<_> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"))
            .cloned()
            .collect();
        for name in theirs {
            headers.remove(name);
        }
        if let Some(allowed) = origin.and_then(|origin| self.allowed(origin)) {
            self.insert_common(headers, allowed);
            insert(
                headers,
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                &self.expose_headers.join(","),
            );
        }
    }

    /// What `access-control-allow-origin` says to an origin; `None` if it is not allowed.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let text = origin.to_str().ok()?;
        let matches = |allowed: &str| match allowed {
            "http://*" => text.starts_with("http://"),
            "https://*" => text.starts_with("https://"),
            exact => exact == text,
        };
        if self.allow_origins.iter().any(|allowed| allowed == "*") {
            Some(HeaderValue::from_static("*"))
        } else {
            self.allow_origins
                .iter()
                .any(|allowed| matches(allowed))
                .then(|| origin.clone())
        }
    }

    fn insert_common(&self, headers: &mut HeaderMap, allowed: HeaderValue) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.allow_credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }
}

/// Sets a header unless there is nothing to say.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &[&str], origin: &'static str) -> Option<String> {
        let cors = Cors {
            allow_origins: list.iter().map(|&origin| origin.to_owned()).collect(),
            ..Cors::default()
        };
        cors.allowed(&HeaderValue::from_static(origin))
            .map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn origins_are_compared_exactly() {
        let list = ["https://a.example", "http://localhost:5173"];
        assert_eq!(
            allowed(&list, "https://a.example").as_deref(),
            Some("https://a.example")
        );
        assert_eq!(
            allowed(&list, "http://localhost:5173").as_deref(),
            Some("http://localhost:5173")
        );
        for origin in [
            "http://a.example",
            "https://A.example",
            "https://a.example/",
            "https://x.a.example",
            "http://localhost",
            "null",
        ] {
            assert_eq!(allowed(&list, origin), None, "{origin}");
        }
    }

    #[test]
    fn wildcards_are_those_of_api_gateway() {
        assert_eq!(allowed(&["*"], "https://a.example").as_deref(), Some("*"));
        assert_eq!(
            allowed(&["https://*"], "https://a.example").as_deref(),
            Some("https://a.example")
        );
        assert_eq!(allowed(&["https://*"], "http://a.example"), None);
        assert_eq!(allowed(&["https://*.example"], "https://a.example"), None);
    }
}
