//! Responses to cross-origin calls, from the API's CORS configuration.
//!
//! Unverified on AWS, and decided here: the gateway's own error responses carry the CORS headers of an allowed origin, so
//! that a page can read them. A preflight of an origin that is not allowed is 204 without CORS headers, and so is an
//! `OPTIONS` request that is not a preflight: the latter was seen on AWS.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use template::Cors;

/// Returns the response to an `OPTIONS` request, which never reaches a route; `None` for any other method.
pub(super) fn preflight(cors: &Cors, method: &Method, headers: &HeaderMap) -> Option<Response> {
    if method != Method::OPTIONS {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allowed = headers
        .get(header::ORIGIN)
        .filter(|_| headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD))
        .and_then(|origin| allowed(cors, origin));
    let Some(allowed) = allowed else {
        return Some(response);
    };
    let headers = response.headers_mut();
    insert_common(cors, headers, allowed);
    insert(
        headers,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        &cors.allow_methods.join(","),
    );
    insert(
        headers,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        &cors.allow_headers.join(","),
    );
    if let Some(seconds) = cors.max_age {
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, seconds.into());
    }
    Some(response)
}

/// Replaces the CORS headers that the function may have set by the gateway's.
pub(super) fn apply(cors: &Cors, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let of_function: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    for name in of_function {
        headers.remove(name);
    }
    if let Some(allowed) = origin.and_then(|origin| allowed(cors, origin)) {
        insert_common(cors, headers, allowed);
        insert(
            headers,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &cors.expose_headers.join(","),
        );
    }
}

/// The value of `access-control-allow-origin` for an origin; `None` if it is not allowed.
fn allowed(cors: &Cors, origin: &HeaderValue) -> Option<HeaderValue> {
    let text = origin.to_str().ok()?;
    let matches = |allowed: &str| match allowed {
        "http://*" => text.starts_with("http://"),
        "https://*" => text.starts_with("https://"),
        exact => exact == text,
    };
    if cors.allow_origins.iter().any(|allowed| allowed == "*") {
        Some(HeaderValue::from_static("*"))
    } else {
        cors.allow_origins
            .iter()
            .any(|allowed| matches(allowed))
            .then(|| origin.clone())
    }
}

fn insert_common(cors: &Cors, headers: &mut HeaderMap, allowed: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if cors.allow_credentials {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
    }
}

/// Sets a header unless its value is empty.
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

    fn allowed_by(list: &[&str], origin: &'static str) -> Option<String> {
        let cors = Cors {
            allow_origins: list.iter().map(|&origin| origin.to_owned()).collect(),
            ..Cors::default()
        };
        allowed(&cors, &HeaderValue::from_static(origin))
            .map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn compares_origins_exactly() {
        let list = ["https://a.example", "http://localhost:5173"];
        assert_eq!(
            allowed_by(&list, "https://a.example").as_deref(),
            Some("https://a.example")
        );
        assert_eq!(
            allowed_by(&list, "http://localhost:5173").as_deref(),
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
            assert_eq!(allowed_by(&list, origin), None, "{origin}");
        }
    }

    #[test]
    fn supports_wildcards_of_api_gateway() {
        assert_eq!(
            allowed_by(&["*"], "https://a.example").as_deref(),
            Some("*")
        );
        assert_eq!(
            allowed_by(&["https://*"], "https://a.example").as_deref(),
            Some("https://a.example")
        );
        assert_eq!(allowed_by(&["https://*"], "http://a.example"), None);
        assert_eq!(
            allowed_by(&["https://*.example"], "https://a.example"),
            None
        );
    }
}
