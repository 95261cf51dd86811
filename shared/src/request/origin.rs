//! Web origins (RFC 6454): the allowed origins, and the origin of a request.
//!
//! The functions check the `Origin` header themselves, because only browsers enforce CORS.

use std::fmt;

use lambda_http::Request;
use lambda_http::http::header::ORIGIN;
use url::Url;

/// The maximum length of an origin, in bytes: the length of `https://`, a DNS name of 253 bytes, and a port, rounded up.
const MAX_LENGTH: usize = 270;

/// A validated web origin: `scheme://host[:port]` in the normalized form of browsers (`location.origin`): lower case, IDN as
/// punycode, no default port, nothing after the port.
///
/// Only this form is sent to Airbyte, because Airbyte's widget compares `allowedOrigin` with the page's origin as strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// A string that is not `scheme://host[:port]` with the scheme `https` or `http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an origin: it must be https://host or https://host:port, without a path or a trailing slash"
)]
pub struct InvalidOrigin;

impl Origin {
    /// Parses an origin. Case and a default port are normalized. Anything other than scheme, host and port is rejected:
    /// user info, path, trailing slash, query, fragment, whitespace, `null`, `*`, lists.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let is_plain = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']')
        };
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin)?;
        if text.len() > MAX_LENGTH
            || !(scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"))
            || rest.is_empty()
            || !rest.bytes().all(is_plain)
            || rest.ends_with(':')
        {
            return Err(InvalidOrigin);
        }
        let origin = Url::parse(text).map_err(|_| InvalidOrigin)?.origin();
        Ok(Self(origin.ascii_serialization()))
    }

    /// The normalized form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origins of `ALLOWED_ORIGINS`: at least one, in the configured order.
#[derive(Debug, Clone)]
pub struct AllowedOrigins(Vec<Origin>);

/// An origin that is not in the allow-list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginNotAllowed {
    /// The `Origin` header is not in the list.
    #[error("the Origin header is not an allowed origin")]
    Header,
    /// The body's `allowedOrigin` is not in the list.
    #[error("the body's origin is not an allowed origin")]
    Body,
}

impl AllowedOrigins {
    /// Parses a comma-separated list. Spaces around an entry are allowed, an empty list or entry is not; the error
    /// names the invalid entry.
    pub fn parse(list: &str) -> Result<Self, String> {
        let origins: Result<Vec<_>, _> = list
            .split(',')
            .map(str::trim)
            .map(|entry| Origin::parse(entry).map_err(|error| format!("{entry:?} is {error}")))
            .collect();
        origins.map(Self)
    }

    /// Checks the `Origin` header and returns its origin; `None` if there is no such header.
    pub fn check_header(&self, request: &Request) -> Result<Option<&Origin>, OriginNotAllowed> {
        let mut headers = request.headers().get_all(ORIGIN).iter();
        let Some(header) = headers.next() else {
            return Ok(None);
        };
        // Two headers are not an origin, even if both are allowed.
        let origin = match (header.to_str(), headers.next()) {
            (Ok(text), None) => self.get(text),
            _ => None,
        };
        origin.map(Some).ok_or(OriginNotAllowed::Header)
    }

    /// Returns the origin to bind a token to: the [checked header](Self::check_header), else the body's, else the first of
    /// the list. The body's origin must be in the list even where the header decides: no origin is replaced silently.
    pub fn resolve<'a>(
        &'a self,
        header: Option<&'a Origin>,
        body: Option<&str>,
    ) -> Result<&'a Origin, OriginNotAllowed> {
        let body = body
            .map(|text| self.get(text).ok_or(OriginNotAllowed::Body))
            .transpose()?;
        Ok(header.or(body).unwrap_or(&self.0[0]))
    }

    fn get(&self, text: &str) -> Option<&Origin> {
        let find = |text: &str| self.0.iter().find(|allowed| allowed.0 == text);
        // Browsers send the normalized form, which saves parsing it.
        find(text).or_else(|| find(Origin::parse(text).ok()?.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn normalizes_to_browser_form() {
        for (text, normal) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.COM", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:5173", "http://localhost:5173"),
            (
                "https://app.example.com:8443",
                "https://app.example.com:8443",
            ),
            (
                "https://xn--bcher-kva.example",
                "https://xn--bcher-kva.example",
            ),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://app.example.com.", "https://app.example.com."),
        ] {
            assert_eq!(
                Origin::parse(text).as_ref().map(Origin::as_str),
                Ok(normal),
                "of {text}"
            );
        }
    }

    #[test]
    fn rejects_more_than_scheme_host_port() {
        let long = format!("https://{}.example", "a".repeat(300));
        for text in [
            "",
            "null",
            "*",
            "https://*",
            "https://*.example.com",
            "app.example.com",
            "//app.example.com",
            "https://",
            "https:///",
            "https:app.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com?q",
            "https://app.example.com#f",
            "https://user@app.example.com",
            "https://user:pass@app.example.com",
            "https://app.example.com:",
            "https://app.example.com:65536",
            "https://app.example.com:x",
            "https://app.example.com\\evil",
            " https://app.example.com",
            "https://app.example.com ",
            "https://app.example.com\t",
            "https://app.example.com, https://other.example.com",
            "https://a.example,https://b.example",
            "https://b\u{fc}cher.example",
            "https://app%2eexample.com",
            "ftp://app.example.com",
            "file:///etc/passwd",
            "javascript://app.example.com",
            "chrome-extension://abcdef",
            long.as_str(),
        ] {
            assert_eq!(Origin::parse(text), Err(InvalidOrigin), "of {text:?}");
        }
    }

    fn resolve<'a>(
        allowed: &'a AllowedOrigins,
        headers: &[&str],
        body: Option<&str>,
    ) -> Result<&'a str, OriginNotAllowed> {
        let mut request = Request::new(lambda_http::Body::Empty);
        for header in headers {
            request
                .headers_mut()
                .append(ORIGIN, header.parse().unwrap());
        }
        let header = allowed.check_header(&request)?;
        allowed.resolve(header, body).map(Origin::as_str)
    }

    #[test]
    fn prefers_header_then_body_then_first_of_list() {
        const A: &str = "https://a.example";
        const B: &str = "https://b.example";
        const C: &str = "https://c.example";
        let allowed = AllowedOrigins::parse("https://a.example, https://b.example").unwrap();
        for (headers, body, expected) in [
            (&[][..], None, Ok(A)),
            (&[], Some(B), Ok(B)),
            (&[B], None, Ok(B)),
            (&[B], Some(A), Ok(B)),
            (&["HTTPS://B.Example:443"], None, Ok(B)),
            (&[C], None, Err(OriginNotAllowed::Header)),
            (&[""], None, Err(OriginNotAllowed::Header)),
            (&["null"], None, Err(OriginNotAllowed::Header)),
            (&["https://a.example."], None, Err(OriginNotAllowed::Header)),
            (&[A, B], None, Err(OriginNotAllowed::Header)),
            (&[], Some(C), Err(OriginNotAllowed::Body)),
            (&[A], Some(C), Err(OriginNotAllowed::Body)),
        ] {
            assert_eq!(
                resolve(&allowed, headers, body),
                expected,
                "headers {headers:?}, body {body:?}"
            );
        }
    }

    #[test]
    fn names_invalid_entry_of_list() {
        for list in [
            "",
            "https://a.example,",
            "https://a.example/",
            "*",
            "https://a.example;https://b.example",
        ] {
            assert!(AllowedOrigins::parse(list).is_err(), "{list:?}");
        }
        let error = AllowedOrigins::parse("https://a.example,https://b.example/").unwrap_err();
        assert!(
            error.starts_with("\"https://b.example/\" is not an origin"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn rejects_any_other_string(text in any::<String>()) {
            let allowed = AllowedOrigins::parse("https://a.example").unwrap();
            prop_assert_eq!(resolve(&allowed, &[], Some(&text)), Err(OriginNotAllowed::Body));
        }

        #[test]
        fn normalization_is_idempotent(text in "(?i)https?://[a-z0-9.-]{1,30}(:[0-9]{1,5})?") {
            if let Ok(origin) = Origin::parse(&text) {
                prop_assert_eq!(Origin::parse(origin.as_str()), Ok(origin.clone()));
                prop_assert!(!origin.as_str().ends_with('/'));
            }
        }
    }
}
