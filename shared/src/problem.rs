//! Problem details (RFC 9457), and the conversion of the errors of this crate to them.
//!
//! A `detail` states what failed and what to do next. It never contains a token, a secret, a value of a connection
//! configuration, or text of an upstream response that was not recognized. The `cause` is for the log alone.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::airbyte::AirbyteError;
use crate::airbyte::token::DecodeError;
use crate::credential::CredentialError;
use crate::field_error::{FieldError, FieldErrors, MAX_FIELD_ERRORS};
use crate::mint::MintError;
use crate::outcome::ProblemType;
use crate::request::RequestError;
use crate::request::body::BodyError;
use crate::request::caller::{CallerError, UserIdError};
use crate::request::idempotency_key::IdempotencyKeyError;
use crate::request::origin::OriginNotAllowed;
use crate::state::idempotency::IdempotencyError;

/// The value of `Retry-After` if Airbyte's 429 has none.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// `Retry-After` where another request creates the source. Airbyte checks a connection before it responds.
const CREATE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// A problem, ready to be sent.
#[derive(Debug, Clone)]
pub struct Problem {
    r#type: ProblemType,
    detail: Cow<'static, str>,
    errors: FieldErrors,
    retry_after: Option<Duration>,
    cause: Option<&'static str>,
}

impl Problem {
    /// Creates a problem; `detail` says what failed and what to do next.
    pub fn new(problem_type: ProblemType, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            r#type: problem_type,
            detail: detail.into(),
            errors: FieldErrors::default(),
            retry_after: None,
            cause: None,
        }
    }

    /// Adds the invalid fields of the body.
    #[must_use]
    pub fn with_errors(mut self, errors: FieldErrors) -> Self {
        if errors.is_truncated() {
            let notice = format!(" Only the first {MAX_FIELD_ERRORS} errors are listed.");
            self.detail.to_mut().push_str(&notice);
        }
        self.errors = errors;
        self
    }

    /// Adds the cause, which the log names and the caller never sees. docs/operations.md lists all causes.
    #[must_use]
    pub fn with_cause(self, cause: &'static str) -> Self {
        Self {
            cause: Some(cause),
            ..self
        }
    }

    /// Creates an `internal-error` problem, for a bug.
    #[must_use]
    pub fn internal(cause: &'static str) -> Self {
        Self::new(
            ProblemType::InternalError,
            "The request failed because of an internal error. Retry; if it persists, report the `requestId`.",
        )
        .with_cause(cause)
    }

    /// Creates a `rate-limited` problem with Airbyte's `Retry-After`, at least one second.
    #[must_use]
    pub fn rate_limited(retry_after: Option<Duration>) -> Self {
        let wait = retry_after.unwrap_or(DEFAULT_RETRY_AFTER);
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        let unit = if seconds == 1 { "second" } else { "seconds" };
        Self {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Self::new(
                ProblemType::RateLimited,
                format!("Airbyte is rate limiting requests. Retry in {seconds} {unit}."),
            )
        }
    }

    /// The type.
    #[must_use]
    pub fn problem_type(&self) -> ProblemType {
        self.r#type
    }

    /// What failed and what to do next.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The invalid fields of the body.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        self.errors.as_slice()
    }

    /// The value of the `Retry-After` header, whole seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The cause, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        self.cause
    }

    /// Returns the HTTP response, `application/problem+json`.
    #[must_use]
    pub fn to_response(&self, request_id: &str) -> Response<String> {
        let mut response = Response::new(self.to_json(request_id));
        *response.status_mut() =
            StatusCode::from_u16(self.r#type.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, wait.as_secs().into());
        }
        // RFC 9110, section 15.5.2: a 401 must carry a challenge (RFC 6750, section 3).
        let challenge = match self.r#type {
            ProblemType::Unauthenticated => Some("Bearer"),
            ProblemType::TokenExpired => Some("Bearer error=\"invalid_token\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }

    fn to_json(&self, request_id: &str) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Details<'a> {
            r#type: &'a str,
            title: &'a str,
            status: u16,
            detail: &'a str,
            request_id: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
        }
        let details = Details {
            r#type: self.r#type.as_str(),
            title: self.r#type.title(),
            status: self.r#type.status(),
            detail: &self.detail,
            request_id,
            errors: self.errors(),
        };
        serde_json::to_string(&details).unwrap_or_default()
    }
}

impl From<IdempotencyKeyError> for Problem {
    fn from(error: IdempotencyKeyError) -> Self {
        let errors = [FieldError::new(
            String::new(),
            format!("header `Idempotency-Key` {error}"),
        )];
        Self::new(
            ProblemType::InvalidRequest,
            format!("The `Idempotency-Key` header {error}. Nothing was sent."),
        )
        .with_errors(errors.into_iter().collect())
    }
}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        Self::new(
            ProblemType::InvalidRequest,
            "The request body is invalid. Fix the fields listed in `errors` and try again.",
        )
        .with_errors(errors)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let invalid = |detail: Cow<'static, str>| Self::new(ProblemType::InvalidRequest, detail);
        match error {
            BodyError::TooLarge { limit } => Self::new(
                ProblemType::PayloadTooLarge,
                format!("The request body is larger than {limit}. Send a smaller one."),
            ),
            BodyError::NotUtf8 => {
                invalid("The request body is not valid UTF-8. Send JSON encoded as UTF-8.".into())
            }
            BodyError::NotJson { line, column } => invalid(
                format!("The request body is not valid JSON (line {line}, column {column}). Send a JSON object.")
                    .into(),
            ),
            BodyError::NotAnObject => invalid("The request body must be a JSON object.".into()),
            BodyError::Invalid(errors) => errors.into(),
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Body(error) => error.into(),
            RequestError::UserId(error) => error.into(),
        }
    }
}

impl From<CallerError> for Problem {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Unauthenticated => Self::new(
                ProblemType::Unauthenticated,
                "No verified caller. Send a bearer token that the API's authorizer accepts, or sign the request with \
                 SigV4.",
            ),
            CallerError::CognitoIdentity => Self::new(
                ProblemType::Forbidden,
                "The request is signed by an end user (a Cognito identity pool), but only a trusted backend may use an \
                 IAM signature. Call from the backend, or send the user's JWT.",
            ),
        }
    }
}

impl From<UserIdError> for Problem {
    fn from(error: UserIdError) -> Self {
        match error {
            UserIdError::InvalidClaim => Self::new(
                ProblemType::Forbidden,
                "The verified JWT does not identify the user. The claim named by EXTERNAL_USER_ID_CLAIM must be a string \
                 of 1 to 256 characters, without control characters and without leading or trailing whitespace or \
                 invisible characters.",
            ),
            UserIdError::ClaimNotString => Self::new(
                ProblemType::Forbidden,
                "The claim named by EXTERNAL_USER_ID_CLAIM is a list or a map in the verified JWT. It must be a string: \
                 let the identity provider add a claim with one ID.",
            ),
            UserIdError::Mismatch => Self::new(
                ProblemType::Forbidden,
                "`externalUserId` does not match the user of the JWT. Omit it: the JWT identifies the user.",
            ),
            UserIdError::Missing | UserIdError::Malformed => error
                .field_error()
                .into_iter()
                .collect::<FieldErrors>()
                .into(),
        }
    }
}

impl From<OriginNotAllowed> for Problem {
    fn from(error: OriginNotAllowed) -> Self {
        let what = match error {
            OriginNotAllowed::Header => "The `Origin` header",
            OriginNotAllowed::Body => "`allowedOrigin`",
        };
        Self::new(
            ProblemType::OriginNotAllowed,
            format!(
                "{what} is not an allowed origin. Call from an allowed origin, or add it to ALLOWED_ORIGINS."
            ),
        )
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::new(
            ProblemType::InvalidToken,
            format!(
                "`token` is invalid: {error}. Send the value returned by `POST /token` unchanged, or omit it."
            ),
        )
    }
}

impl From<MintError> for Problem {
    fn from(error: MintError) -> Self {
        let cause = error.cause();
        let problem = match error {
            // The credential store returns a 403 only if it is not about the credential.
            MintError::Airbyte(AirbyteError::Status(response))
                if response.status == 403 && response.is_airbytes() =>
            {
                return Self::new(
                    ProblemType::Forbidden,
                    "Airbyte does not allow this user to get a token. The operator must check the user's access in Airbyte.",
                );
            }
            MintError::Credential(CredentialError::Secret(_)) => Self::new(
                ProblemType::CredentialUnavailable,
                "The organization's credential cannot be read. Retry later; if it persists, see the function's logs for \
                 the cause.",
            ),
            MintError::Credential(CredentialError::Rejected) => Self::new(
                ProblemType::CredentialRejected,
                "Airbyte rejected the organization's credential. The operator must renew it in Secrets Manager.",
            ),
            MintError::Credential(CredentialError::Exchange(error)) | MintError::Airbyte(error) => {
                error.into()
            }
            MintError::Lease(_) => Self::new(
                ProblemType::UpstreamTimeout,
                "Another request is creating this user's workspace, and did not finish in time. Nothing was sent. Retry.",
            ),
            MintError::Token(error) => Self::new(
                ProblemType::UpstreamError,
                format!("Airbyte returned an invalid token: {error}. Retry later."),
            ),
        };
        problem.with_cause(cause)
    }
}

impl From<IdempotencyError> for Problem {
    fn from(error: IdempotencyError) -> Self {
        match error {
            IdempotencyError::KeyReused => Self::new(
                ProblemType::IdempotencyKeyReused,
                "This `Idempotency-Key` was used with another request body. Nothing was sent. Use a new key for a new source.",
            ),
            IdempotencyError::InProgress => Self {
                retry_after: Some(CREATE_RETRY_AFTER),
                ..Self::new(
                    ProblemType::CreateInProgress,
                    "A request with this `Idempotency-Key` is creating the source. Retry with the same key.",
                )
            },
            IdempotencyError::OutcomeUnknown => Self::new(
                ProblemType::CreateOutcomeUnknown,
                "An earlier request with this `Idempotency-Key` ended without a response from Airbyte. The source may have \
                 been created. Check before retrying with a new key.",
            ),
            IdempotencyError::Unavailable(error) => Self::new(
                ProblemType::IdempotencyUnavailable,
                "The `Idempotency-Key` cannot be recorded. Nothing was sent. Retry later with the same key.",
            )
            .with_cause(error.cause()),
        }
    }
}

/// For mints and exchanges. create-source converts the error of a create, because its `detail` must state whether the source
/// may have been created.
impl From<AirbyteError> for Problem {
    fn from(error: AirbyteError) -> Self {
        let cause = error.cause();
        let upstream = |detail: &'static str| Self::new(ProblemType::UpstreamError, detail);
        let problem = match error {
            AirbyteError::InvalidRequest => return Self::internal(cause),
            AirbyteError::Timeout | AirbyteError::ConnectTimeout => Self::new(
                ProblemType::UpstreamTimeout,
                "Airbyte did not respond in time. Retry.",
            ),
            AirbyteError::Connect(_) => upstream("Could not connect to Airbyte. Retry later."),
            AirbyteError::Tls(_) => upstream(
                "The TLS handshake with Airbyte failed. See the function's logs for the cause.",
            ),
            AirbyteError::ConnectionLost(_) => {
                upstream("The connection to Airbyte was lost. Retry.")
            }
            AirbyteError::InvalidResponse => {
                upstream("Airbyte returned an invalid response. Retry later.")
            }
            AirbyteError::Status(response) if response.status == 429 => {
                Self::rate_limited(response.retry_after)
            }
            AirbyteError::Status(response) => {
                let advice = if response.status >= 500 {
                    "Retry later."
                } else {
                    "The operator must check the configuration against the Airbyte account."
                };
                Self::new(
                    ProblemType::UpstreamError,
                    format!("Airbyte returned status {}. {advice}", response.status),
                )
            }
        };
        problem.with_cause(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field_error::json_pointer;
    use serde_json::{Value, json};

    #[test]
    fn serializes_problem_details() {
        let errors = [FieldError::new(json_pointer(["a"]), "must be a string")];
        let problem = Problem::from(errors.into_iter().collect::<FieldErrors>());

        let response = problem.to_response("r-1");

        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let json: Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(
            json,
            json!({
                "type": "invalid-request", "title": "Invalid request", "status": 400,
                "detail": "The request body is invalid. Fix the fields listed in `errors` and try again.",
                "requestId": "r-1", "errors": [{"pointer": "/a", "detail": "must be a string"}],
            })
        );
    }

    #[test]
    fn sends_no_cause_and_no_empty_errors() {
        let response = Problem::from(AirbyteError::Timeout).to_response("r");

        assert_eq!(
            response.body(),
            r#"{"type":"upstream-timeout","title":"Airbyte request timed out","status":504,"detail":"Airbyte did not respond in time. Retry.","requestId":"r"}"#
        );
    }

    #[test]
    fn sends_challenge_with_401_only() {
        for (problem_type, challenge) in [
            (ProblemType::Unauthenticated, Some("Bearer")),
            (
                ProblemType::TokenExpired,
                Some("Bearer error=\"invalid_token\""),
            ),
            (ProblemType::Forbidden, None),
        ] {
            let response = Problem::new(problem_type, "x").to_response("r");
            let header = response.headers().get(WWW_AUTHENTICATE);
            assert_eq!(
                header.map(|value| value.to_str().unwrap()),
                challenge,
                "{problem_type:?}"
            );
        }
    }

    #[test]
    fn says_when_errors_are_truncated() {
        let error = FieldError::new(json_pointer(["x"]), "unknown field");
        let errors: FieldErrors = std::iter::repeat_n(error, 1_000).collect();

        let problem = Problem::from(errors);

        assert_eq!(problem.errors().len(), MAX_FIELD_ERRORS);
        assert_eq!(
            problem.detail(),
            "The request body is invalid. Fix the fields listed in `errors` and try again. Only the first 50 errors are \
             listed."
        );
    }

    #[test]
    fn rounds_retry_after_up_to_at_least_one_second() {
        for (retry_after, seconds, detail) in [
            (Some(Duration::ZERO), 1, "Retry in 1 second."),
            (Some(Duration::from_millis(1_200)), 2, "Retry in 2 seconds."),
            (Some(Duration::from_secs(3)), 3, "Retry in 3 seconds."),
            (None, 5, "Retry in 5 seconds."),
        ] {
            let problem = Problem::rate_limited(retry_after);
            assert_eq!(problem.retry_after(), Some(Duration::from_secs(seconds)));
            assert!(problem.detail().ends_with(detail), "{}", problem.detail());
            let response = problem.to_response("r");
            assert_eq!(response.headers()[RETRY_AFTER], seconds.to_string());
        }
    }
}
