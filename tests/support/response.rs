//! Responses of the functions.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// A function's response in payload format 2.0, as API Gateway would forward it; parsed strictly.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as a string.
    pub text: String,
    /// The body as JSON; null if it is not JSON.
    pub body: Value,
    /// The time from sending the event to receiving the response.
    pub elapsed: Duration,
    /// Lambda's ID of the invocation.
    pub request_id: String,
}

/// The parts of a problem document (RFC 9457) that differ between occurrences.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What failed, and what to do.
    pub detail: String,
    /// The invalid fields of the request, sorted by pointer.
    pub errors: Vec<FieldError>,
}

/// An invalid field of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// An RFC 6901 pointer into the request body.
    pub pointer: String,
    /// The validation error.
    pub detail: String,
}

impl Response {
    /// Parses what a function returned for an invocation.
    ///
    /// # Panics
    /// If that is not a response in payload format 2.0.
    pub(crate) fn parse(request_id: &str, returned: &str, elapsed: Duration) -> Response {
        let parse = || -> Option<Response> {
            let returned: Value = serde_json::from_str(returned).ok()?;
            let returned = returned.as_object()?;
            let status = u16::try_from(returned.get("statusCode")?.as_u64()?).ok()?;
            let headers = returned
                .get("headers")?
                .as_object()?
                .iter()
                .map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())))
                .collect::<Option<_>>()?;
            let text = match returned.get("body") {
                None | Some(Value::Null) => String::new(),
                Some(body) if returned.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
                    String::from_utf8(BASE64_STANDARD.decode(body.as_str()?).ok()?).ok()?
                }
                Some(body) => body.as_str()?.to_owned(),
            };
            let body = serde_json::from_str(&text).unwrap_or_default();
            Some(Response {
                status,
                headers,
                text,
                body,
                elapsed,
                request_id: request_id.to_owned(),
            })
        };
        parse().unwrap_or_else(|| panic!("not a response in payload format 2.0: {returned}"))
    }

    /// Returns a header's value, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Checks the status and the headers of a success, and returns its body.
    ///
    /// # Panics
    /// If the response is anything else.
    #[expect(clippy::must_use_candidate, reason = "an assertion")]
    pub fn expect_success(&self, status: u16) -> &Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        &self.body
    }

    /// Checks that this is a complete and consistent problem document of this status and type, and returns the parts
    /// that differ between occurrences.
    ///
    /// # Panics
    /// If it is anything else.
    #[expect(clippy::must_use_candidate, reason = "an assertion")]
    pub fn expect_problem(&self, status: u16, problem_type: &str) -> Problem {
        assert_eq!(
            (self.status, self.body["type"].as_str()),
            (status, Some(problem_type)),
            "{self:?}"
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        // RFC 6750, section 3: `invalid_token` is only for requests with a token.
        let challenge = match problem_type {
            "unauthenticated" => Some("Bearer"),
            "token-expired" => Some("Bearer error=\"invalid_token\""),
            _ => None,
        };
        assert_eq!(self.header("www-authenticate"), challenge, "{self:?}");
        assert_eq!(
            self.header("retry-after").is_some(),
            status == 429 || problem_type == "create-in-progress",
            "{self:?}"
        );
        assert_eq!(self.body["status"], status, "{self:?}");
        assert_eq!(self.body["requestId"], self.request_id.as_str(), "{self:?}");

        let string = |value: &Value, name: &str| match value[name].as_str() {
            Some(string) if !string.trim().is_empty() => string.to_owned(),
            _ => panic!("{name} is missing: {self:?}"),
        };
        let document = self.body.as_object().expect("a problem is an object");
        let known = ["type", "title", "status", "detail", "requestId", "errors"];
        assert!(
            document.keys().all(|key| known.contains(&key.as_str())),
            "{self:?}"
        );
        string(&self.body, "title");
        let errors = document.get("errors").map(|errors| {
            let errors = errors.as_array().expect("`errors` is a list").iter();
            errors.map(|error| FieldError {
                pointer: error["pointer"].as_str().expect("a pointer").to_owned(),
                detail: string(error, "detail"),
            })
        });
        let mut errors: Vec<_> = errors.into_iter().flatten().collect();
        errors.sort();
        Problem {
            detail: string(&self.body, "detail"),
            errors,
        }
    }

    /// Returns the value of `retry-after` in seconds.
    ///
    /// # Panics
    /// If it is missing or not a number.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.header("retry-after")
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no `retry-after` in seconds: {self:?}"))
    }
}

impl Problem {
    /// Returns all field errors as "pointer detail", sorted by pointer.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.errors
            .iter()
            .map(|error| format!("{} {}", error.pointer, error.detail))
            .collect()
    }

    /// Returns the pointers of all field errors, sorted.
    #[must_use]
    pub fn pointers(&self) -> Vec<&str> {
        self.errors
            .iter()
            .map(|error| error.pointer.as_str())
            .collect()
    }
}
