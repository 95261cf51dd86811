//! Web origins (RFC 6454): which pages may use the API, and which of them a request comes from.
//!
//! Browsers alone enforce CORS, so the functions check the `Origin` header themselves.

use std::fmt;

use url::Url;

/// The longest origin that is looked at, in bytes: `https://`, a DNS name of 253 and a port fit.
const MAX_LENGTH: usize = 270;

/// `scheme://host[:port]` in the form in which browsers send it and pages see it (`location.origin`): lower case, IDN
/// as punycode, no default port, nothing behind it.
///
/// Airbyte's widget compares `allowedOrigin` to the page's origin character by character, so this form alone is sent
/// on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// The text is not `scheme://host[:port]` with the scheme `https` or `http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an origin: it must be https://host or https://host:port, without a path or a trailing slash"
)]
pub struct NotAnOrigin;

impl Origin {
    /// Reads one origin. Case and a default port do not matter (they are not kept); anything besides scheme, host and
    /// port is refused: user info, path, trailing slash, query, fragment, white space, `null`, `*`, lists.
    pub fn parse(text: &str) -> Result<Self, NotAnOrigin> {
        let plain = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']')
        };
        let (scheme, rest) = text.split_once("://").ok_or(NotAnOrigin)?;
        if text.len() > MAX_LENGTH
            || !(scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"))
            || rest.is_empty()
            || !rest.bytes().all(plain)
            || rest.ends_with(':')
        {
            return Err(NotAnOrigin);
        }
        let origin = Url::parse(text).map_err(|_| NotAnOrigin)?.origin();
        Ok(Self(origin.ascii_serialization()))
    }

    /// The normal form.
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

/// The origins of `ALLOWED_ORIGINS`: at least one, in the order given.
#[derive(Debug, Clone)]
pub struct AllowedOrigins(Vec<Origin>);

/// Why a request's origin is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginRefused {
    /// The `Origin` header is not in the list.
    Header,
    /// The `allowedOrigin` of the body is not in the list.
    Body,
}

impl AllowedOrigins {
    /// Reads a comma-separated list. Blanks around an entry are allowed, an empty list or entry is not; the error
    /// names the entry that is at fault.
    pub fn parse(list: &str) -> Result<Self, String> {
        let origins: Result<Vec<_>, _> = list
            .split(',')
            .map(str::trim)
            .map(|entry| Origin::parse(entry).map_err(|error| format!("{entry:?} is {error}")))
            .collect();
        origins.map(Self)
    }

    /// The origin to bind a token to: the `Origin` header if there is one, else what the body asks for, else the first
    /// of the list. Whatever is given must be in the list: nothing is ever replaced silently.
    pub fn choose(
        &self,
        header: Option<&str>,
        body: Option<&str>,
    ) -> Result<&Origin, OriginRefused> {
        let header = header
            .map(|text| self.find(text).ok_or(OriginRefused::Header))
            .transpose()?;
        let body = body
            .map(|text| self.find(text).ok_or(OriginRefused::Body))
            .transpose()?;
        Ok(header.or(body).unwrap_or(&self.0[0]))
    }

    fn find(&self, text: &str) -> Option<&Origin> {
        // What browsers send is in the normal form already, and need not be parsed for it.
        let sent = |text: &str| self.0.iter().find(|allowed| allowed.0 == text);
        sent(text).or_else(|| sent(Origin::parse(text).ok()?.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_normal_form_is_what_a_browser_would_send() {
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
    fn anything_besides_scheme_host_and_port_is_refused() {
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
            assert_eq!(Origin::parse(text), Err(NotAnOrigin), "of {text:?}");
        }
    }

    #[test]
    fn a_trailing_dot_is_another_host() {
        let allowed = AllowedOrigins::parse("https://app.example.com").unwrap();
        assert_eq!(
            allowed.choose(Some("https://app.example.com."), None),
            Err(OriginRefused::Header)
        );
    }

    #[test]
    fn the_header_comes_first_then_the_body_then_the_first_of_the_list() {
        let allowed = AllowedOrigins::parse("https://a.example, https://b.example").unwrap();
        let choose = |header, body| allowed.choose(header, body).map(Origin::as_str);
        assert_eq!(choose(None, None), Ok("https://a.example"));
        assert_eq!(
            choose(None, Some("https://b.example")),
            Ok("https://b.example")
        );
        assert_eq!(
            choose(Some("https://b.example"), None),
            Ok("https://b.example")
        );
        assert_eq!(
            choose(Some("https://b.example"), Some("https://a.example")),
            Ok("https://b.example")
        );
        assert_eq!(
            choose(Some("https://c.example"), None),
            Err(OriginRefused::Header)
        );
        assert_eq!(choose(Some(""), None), Err(OriginRefused::Header));
        assert_eq!(
            choose(None, Some("https://c.example")),
            Err(OriginRefused::Body)
        );
        assert_eq!(
            choose(Some("https://a.example"), Some("https://c.example")),
            Err(OriginRefused::Body)
        );
    }

    #[test]
    fn a_list_with_a_fault_names_the_entry() {
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
        fn no_text_is_taken_for_an_origin_of_the_list(text in any::<String>()) {
            let allowed = AllowedOrigins::parse("https://a.example").unwrap();
            prop_assert_eq!(allowed.choose(Some(&text), None), Err(OriginRefused::Header));
        }

        #[test]
        fn the_normal_form_is_its_own_normal_form(text in "(?i)https?://[a-z0-9.-]{1,30}(:[0-9]{1,5})?") {
            if let Ok(origin) = Origin::parse(&text) {
                prop_assert_eq!(Origin::parse(origin.as_str()), Ok(origin.clone()));
                prop_assert!(!origin.as_str().ends_with('/'));
            }
        }
    }
}
