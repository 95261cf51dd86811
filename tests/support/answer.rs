//! What a caller gets.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// A function's answer as API Gateway would send it on: payload format 2.0, read strictly.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, with their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub raw: String,
    /// The body as JSON; null where it is not JSON.
    pub body: Value,
    /// From the function's taking the event to its answer.
    pub took: Duration,
    /// Lambda's id of the invocation.
    pub request_id: String,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug)]
pub struct Problem {
    /// What went wrong, as the error table names it.
    pub kind: String,
    /// What to do next.
    pub detail: String,
    /// What is wrong where, for bad input; sorted by pointer.
    pub errors: Vec<FieldError>,
}

/// One fault of the caller's input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// An RFC 6901 pointer into the request's body.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Answer {
    pub(crate) fn new(request_id: &str, returned: &str, took: Duration) -> Answer {
        let parse = || -> Option<Answer> {
            let returned: Value = serde_json::from_str(returned).ok()?;
            let returned = returned.as_object()?;
            let status = u16::try_from(returned.get("statusCode")?.as_u64()?).ok()?;
            let headers = returned
                .get("headers")?
                .as_object()?
                .iter()
                .map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())))
                .collect::<Option<_>>()?;
            let raw = match returned.get("body") {
                None | Some(Value::Null) => String::new(),
                Some(body) if returned.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
                    String::from_utf8(BASE64_STANDARD.decode(body.as_str()?).ok()?).ok()?
                }
                Some(body) => body.as_str()?.to_owned(),
            };
            let body = serde_json::from_str(&raw).unwrap_or_default();
            Some(Answer {
                status,
                headers,
                raw,
                body,
                took,
                request_id: request_id.to_owned(),
            })
        };
        parse().unwrap_or_else(|| panic!("not an answer in payload format 2.0: {returned}"))
    }

    /// A header's value, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Checks that this is a success: its status, JSON, and not to be stored.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn success(&self, status: u16) -> &Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        &self.body
    }

    /// Checks that this is a problem of the given status and type, whole and consistent, and gives what differs from
    /// one occurrence to the next.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn problem(&self, status: u16, kind: &str) -> Problem {
        assert_eq!(
            (self.status, self.body["type"].as_str()),
            (status, Some(kind)),
            "{self:?}"
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        // RFC 6750, section 3: a challenge says `invalid_token` only where there was a token.
        let challenge = match kind {
            "unauthenticated" => Some("Bearer"),
            "token-expired" => Some("Bearer error=\"invalid_token\""),
            _ => None,
        };
        assert_eq!(self.header("www-authenticate"), challenge, "{self:?}");
        assert_eq!(
            self.header("retry-after").is_some(),
            status == 429,
            "{self:?}"
        );
        assert_eq!(self.body["status"], status, "{self:?}");
        assert_eq!(self.body["requestId"], self.request_id.as_str(), "{self:?}");

        let text = |value: &Value, name: &str| match value[name].as_str() {
            Some(text) if !text.trim().is_empty() => text.to_owned(),
            _ => panic!("{name} is missing: {self:?}"),
        };
        let document = self.body.as_object().expect("a problem is an object");
        let known = ["type", "title", "status", "detail", "requestId", "errors"];
        assert!(
            document.keys().all(|key| known.contains(&key.as_str())),
            "{self:?}"
        );
        let _ = text(&self.body, "title");
        let mut errors: Vec<FieldError> = match document.get("errors") {
            None => Vec::new(),
            Some(errors) => errors
                .as_array()
                .expect("errors is a list")
                .iter()
                .map(|error| FieldError {
                    pointer: error["pointer"].as_str().expect("a pointer").to_owned(),
                    detail: text(error, "detail"),
                })
                .collect(),
        };
        errors.sort();
        Problem {
            kind: kind.to_owned(),
            detail: text(&self.body, "detail"),
            errors,
        }
    }

    /// The value of `retry-after` in seconds.
    ///
    /// # Panics
    /// When it is missing or not a number of seconds.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        let value = self
            .header("retry-after")
            .unwrap_or_else(|| panic!("no retry-after: {self:?}"));
        value
            .parse()
            .unwrap_or_else(|_| panic!("not a number of seconds: {self:?}"))
    }
}

impl Problem {
    /// The pointers of all faults, sorted.
    #[must_use]
    pub fn pointers(&self) -> Vec<&str> {
        self.errors
            .iter()
            .map(|error| error.pointer.as_str())
            .collect()
    }
}
