//! Errors as callers see them: problem details (RFC 9457), and the one place where each error gets its face.
//!
//! A `detail` says what to do next. It never carries a token, a secret, a value of a connection configuration, or an
//! upstream answer that was not understood.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::airbyte::AirbyteError;
use crate::caller::{NotTrusted, UserRefused};
use crate::event::NotAnHttpEvent;
use crate::mint::MintError;
use crate::organization::CredentialError;
use crate::origin::OriginRefused;
use crate::token::DecodeError;

/// The kinds of problems. Each has one `type` and one status, and the README documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below is the documentation")]
pub enum Kind {
    InvalidRequest,
    InvalidToken,
    Unauthenticated,
    TokenExpired,
    Forbidden,
    OriginNotAllowed,
    PayloadTooLarge,
    SourceRejected,
    RateLimited,
    InternalError,
    UpstreamError,
    CredentialRejected,
    CredentialUnavailable,
    UpstreamTimeout,
}

impl Kind {
    /// The problem's `type` (RFC 9457, section 3.1.1): a relative reference that never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.facts().1
    }

    /// The `title`: the same for each occurrence.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.facts().2
    }

    #[rustfmt::skip]
    fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::InvalidRequest        => ("invalid-request", 400, "The request is not valid"),
            Self::InvalidToken          => ("invalid-token", 400, "The token cannot be read"),
            Self::Unauthenticated       => ("unauthenticated", 401, "There is no verified caller"),
            Self::TokenExpired          => ("token-expired", 401, "The token has expired"),
            Self::Forbidden             => ("forbidden", 403, "The caller may not do this"),
            Self::OriginNotAllowed      => ("origin-not-allowed", 403, "The origin is not allowed"),
            Self::PayloadTooLarge       => ("payload-too-large", 413, "The body is too large"),
            Self::SourceRejected        => ("source-rejected", 422, "Airbyte rejected the source"),
            Self::RateLimited           => ("rate-limited", 429, "Airbyte limits the rate"),
            Self::InternalError         => ("internal-error", 500, "Something went wrong here"),
            Self::UpstreamError         => ("upstream-error", 502, "Airbyte did not answer as it should"),
            Self::CredentialRejected    => ("credential-rejected", 502, "Airbyte rejected the organization's credential"),
            Self::CredentialUnavailable => ("credential-unavailable", 503, "The organization's credential is not available"),
            Self::UpstreamTimeout       => ("upstream-timeout", 504, "Airbyte did not answer in time"),
        }
    }
}

/// One fault in a request's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// What: it reads on from the name of the place.
    pub detail: Cow<'static, str>,
}

impl Fault {
    /// A fault at a [`pointer()`].
    pub fn new(pointer: String, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            pointer,
            detail: detail.into(),
        }
    }
}

/// A JSON pointer (RFC 6901) of its parts. Very long names are cut: they are somebody's input, sent back.
pub fn pointer<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    const LONGEST: usize = 100;
    let mut pointer = String::new();
    for part in parts {
        pointer.push('/');
        for c in part.chars().take(LONGEST) {
            match c {
                '~' => pointer.push_str("~0"),
                '/' => pointer.push_str("~1"),
                c => pointer.push(c),
            }
        }
    }
    pointer
}

/// One problem, ready to be sent.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    faults: Vec<Fault>,
    retry_after: Option<u64>,
}

impl Problem {
    /// The most faults that are told at once, so that a hostile body cannot order a huge answer.
    pub const MOST_FAULTS: usize = 50;

    /// A problem of this kind; `detail` says what to do next.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            faults: Vec::new(),
            retry_after: None,
        }
    }

    /// With the body's faults, the first [`MOST_FAULTS`](Self::MOST_FAULTS) of them.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        if self.faults.len() > Self::MOST_FAULTS {
            self.faults.truncate(Self::MOST_FAULTS);
            self.detail
                .to_mut()
                .push_str(" Only the first of them are listed.");
        }
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do next.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The faults of the body, if it is about the body.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The `Retry-After` header's value, in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The body, `application/problem+json`.
    #[must_use]
    pub fn to_json(&self, request_id: &str) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Details<'a> {
            r#type: &'a str,
            title: &'a str,
            status: u16,
            detail: &'a str,
            request_id: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [Fault],
        }
        let details = Details {
            r#type: self.kind.name(),
            title: self.kind.title(),
            status: self.kind.status(),
            detail: &self.detail,
            request_id,
            errors: &self.faults,
        };
        serde_json::to_string(&details).unwrap_or_default()
    }

    /// A body that has these faults.
    #[must_use]
    pub fn faulty_body(faults: Vec<Fault>) -> Self {
        Self::new(
            Kind::InvalidRequest,
            "The body has faults; `errors` tells each with its place. Mend them and send it again.",
        )
        .with_faults(faults)
    }

    /// What must not happen did.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            Kind::InternalError,
            "The request was not carried out to its end. Try again.",
        )
    }

    /// Airbyte asks to wait; without a time of its own, a few seconds. At once is no time: it was tried again already.
    #[must_use]
    pub fn rate_limited(retry_after: Option<Duration>) -> Self {
        const DEFAULT: u64 = 5;
        let seconds = retry_after.map_or(DEFAULT, |wait| {
            (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
        });
        let mut problem = Self::new(
            Kind::RateLimited,
            format!("Airbyte limits the rate. Try again in {seconds} s."),
        );
        problem.retry_after = Some(seconds);
        problem
    }
}

impl From<NotAnHttpEvent> for Problem {
    fn from(NotAnHttpEvent: NotAnHttpEvent) -> Self {
        Self::new(
            Kind::InvalidRequest,
            "This is not an HTTP request from API Gateway (payload format 2.0). Call the API's address.",
        )
    }
}

impl From<NotTrusted> for Problem {
    fn from(error: NotTrusted) -> Self {
        match error {
            NotTrusted::Nobody => Self::new(
                Kind::Unauthenticated,
                "API Gateway verified no caller. Send a JWT that the API's authorizer accepts, or sign the request with \
                 IAM.",
            ),
            NotTrusted::EndUserSignature => Self::new(
                Kind::Forbidden,
                "IAM callers are trusted backends, and this signature is that of an end user (a Cognito identity pool). \
                 Call from the backend, or send the user's JWT.",
            ),
        }
    }
}

impl From<UserRefused> for Problem {
    fn from(error: UserRefused) -> Self {
        match error {
            UserRefused::Claim => Self::new(
                Kind::Forbidden,
                "The verified JWT does not say who the user is. The claim that holds the user's id (see \
                 EXTERNAL_USER_ID_CLAIM) must be there and hold 1 to 256 characters, no control characters, no white \
                 space at the ends.",
            ),
            UserRefused::SomebodyElse => Self::new(
                Kind::Forbidden,
                "`externalUserId` is not the user of the JWT. Leave it out: the JWT says who the user is.",
            ),
            UserRefused::Missing | UserRefused::Malformed => {
                Self::faulty_body(error.fault().into_iter().collect())
            }
        }
    }
}

impl From<OriginRefused> for Problem {
    fn from(error: OriginRefused) -> Self {
        let what = match error {
            OriginRefused::Header => "The page's origin",
            OriginRefused::Body => "The `allowedOrigin` of the body",
        };
        Self::new(
            Kind::OriginNotAllowed,
            format!(
                "{what} is not in the list of allowed origins (ALLOWED_ORIGINS). Call from a page in the list, or have \
                 the origin added."
            ),
        )
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::new(
            Kind::InvalidToken,
            format!(
                "`token` cannot be read: {error}. Send the `token` of POST /token as it came, or leave it out."
            ),
        )
    }
}

impl From<MintError> for Problem {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Credential(CredentialError::Secret(_)) => Self::new(
                Kind::CredentialUnavailable,
                "The organization's credential cannot be read at the moment. Try again later; if it lasts, the owner \
                 finds the reason in the function's log.",
            ),
            MintError::Credential(CredentialError::Rejected) => Self::new(
                Kind::CredentialRejected,
                "Airbyte does not accept the organization's credential. The owner must renew it in Secrets Manager.",
            ),
            MintError::Credential(CredentialError::Exchange(error)) | MintError::Airbyte(error) => {
                error.into()
            }
            MintError::Token(error) => Self::new(
                Kind::UpstreamError,
                format!("Airbyte answered with a token that cannot be used: {error}."),
            ),
        }
    }
}

/// For calls that may be repeated without harm; a create that failed has more to say, and says it itself.
impl From<AirbyteError> for Problem {
    fn from(error: AirbyteError) -> Self {
        let upstream = |detail: &'static str| Self::new(Kind::UpstreamError, detail);
        match error {
            AirbyteError::TimedOut | AirbyteError::ConnectTimedOut => Self::new(
                Kind::UpstreamTimeout,
                "Airbyte did not answer in time. Try again.",
            ),
            AirbyteError::Unreachable => upstream("Airbyte cannot be reached. Try again later."),
            AirbyteError::NoTls => upstream(
                "No secure connection to Airbyte can be opened. The owner finds the reason in the function's log.",
            ),
            AirbyteError::ConnectionLost => upstream("The connection to Airbyte broke. Try again."),
            AirbyteError::NotUnderstood => {
                upstream("Airbyte answered with something that is not understood. Try again later.")
            }
            AirbyteError::Refused(refusal) if refusal.status == 429 => {
                Self::rate_limited(refusal.retry_after)
            }
            AirbyteError::Refused(refusal) => {
                let mut detail = format!("Airbyte answered with status {}.", refusal.status);
                let _ = write!(
                    detail,
                    " {}",
                    if refusal.status >= 500 {
                        "Try again later."
                    } else {
                        "The owner should check the configuration of this API against the Airbyte account."
                    }
                );
                Self::new(Kind::UpstreamError, detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_problem_is_rfc_9457_json_with_its_request_id() {
        let problem = Problem::new(Kind::InvalidRequest, "Mend it.").with_faults(vec![Fault::new(
            pointer(["a/b", "c~d", "0"]),
            "must be a string",
        )]);
        let json: Value = serde_json::from_str(&problem.to_json("r-1")).unwrap();
        assert_eq!(
            json,
            json!({
                "type": "invalid-request", "title": "The request is not valid", "status": 400, "detail": "Mend it.",
                "requestId": "r-1", "errors": [{"pointer": "/a~1b/c~0d/0", "detail": "must be a string"}],
            })
        );
    }

    #[test]
    fn only_problems_of_the_body_have_errors() {
        let json = Problem::new(Kind::UpstreamTimeout, "Again.").to_json("r");
        assert!(!json.contains("errors"), "{json}");
    }

    #[test]
    fn a_hostile_body_gets_a_bounded_answer() {
        let fault = Fault::new(pointer([&*"x".repeat(10_000)]), "is not known");
        assert_eq!(fault.pointer.len(), 101);
        let problem =
            Problem::new(Kind::InvalidRequest, "Mend it.").with_faults(vec![fault; 1_000]);
        assert_eq!(problem.faults().len(), Problem::MOST_FAULTS);
        assert_eq!(
            problem.detail(),
            "Mend it. Only the first of them are listed."
        );
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds_and_is_one_at_least() {
        assert_eq!(
            Problem::rate_limited(Some(Duration::ZERO)).retry_after(),
            Some(1)
        );
        assert_eq!(
            Problem::rate_limited(Some(Duration::from_millis(1_200))).retry_after(),
            Some(2)
        );
        assert_eq!(
            Problem::rate_limited(Some(Duration::from_secs(3))).retry_after(),
            Some(3)
        );
        assert_eq!(Problem::rate_limited(None).retry_after(), Some(5));
    }
}
