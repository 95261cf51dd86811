//! Errors of a create, and the problems that they become. The `detail` of a problem states whether the source may have been
//! created.

use shared::airbyte::AirbyteError;
use shared::airbyte::rejection::Rejection;
use shared::mint::MintError;
use shared::outcome::ProblemType;
use shared::problem::Problem;

/// The advice after a create with an unknown outcome.
const CHECK_FIRST: &str = "The source may have been created. Check before retrying.";

/// An error of a create. After some errors the source [may have been created](Self::may_have_created).
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The request's workspace is not the token's. Nothing was sent.
    #[error("workspace does not match the token's")]
    WorkspaceMismatch,
    /// The caller's token has expired, or Airbyte rejects it. Nothing was created.
    #[error("token expired")]
    TokenExpired,
    /// The call that creates the source failed.
    #[error("failed to create")]
    Airbyte(#[source] AirbyteError),
    /// There is no token for the user, or no usable organization credential. Nothing was created.
    #[error("no usable credential")]
    Credential(#[source] MintError),
}

/// For the errors of [`Minter::create_source`](shared::mint::Minter::create_source), where [`MintError::Airbyte`] is the error of
/// the create. An error of a mint is [`CreateError::Credential`] as a whole.
impl From<MintError> for CreateError {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Airbyte(error) => Self::Airbyte(error),
            error => Self::Credential(error),
        }
    }
}

impl CreateError {
    /// The status of Airbyte's error response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Airbyte(error) => error.status(),
            Self::WorkspaceMismatch | Self::TokenExpired | Self::Credential(_) => None,
        }
    }

    /// Whether the source may have been created.
    #[must_use]
    pub fn may_have_created(&self) -> bool {
        match self {
            Self::WorkspaceMismatch | Self::TokenExpired | Self::Credential(_) => false,
            Self::Airbyte(error) => match error {
                AirbyteError::InvalidRequest
                | AirbyteError::Connect(_)
                | AirbyteError::Tls(_)
                | AirbyteError::ConnectTimeout => false,
                AirbyteError::ConnectionLost(_)
                | AirbyteError::Timeout
                | AirbyteError::InvalidResponse => true,
                AirbyteError::Status(response) => {
                    !matches!(response.status, 400 | 401 | 403 | 404 | 409 | 422 | 429)
                }
            },
        }
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::WorkspaceMismatch => Problem::new(
                ProblemType::Forbidden,
                "`workspace_id` does not match the token's workspace. Omit it, or send the matching ID.",
            ),
            CreateError::TokenExpired => Problem::new(
                ProblemType::TokenExpired,
                "`token` has expired. Get a new one from `POST /token`, or omit `token`.",
            ),
            CreateError::Credential(error) => error.into(),
            CreateError::Airbyte(error) => {
                let cause = error.cause();
                failed(error).with_cause(cause)
            }
        }
    }
}

fn failed(error: AirbyteError) -> Problem {
    let upstream = |detail: String| Problem::new(ProblemType::UpstreamError, detail);
    match error {
        AirbyteError::InvalidRequest => error.into(),
        AirbyteError::Timeout => Problem::new(
            ProblemType::UpstreamTimeout,
            format!("Airbyte did not respond in time. {CHECK_FIRST}"),
        ),
        AirbyteError::ConnectTimeout => Problem::new(
            ProblemType::UpstreamTimeout,
            "Airbyte did not respond in time. The request was not sent. Retry.",
        ),
        AirbyteError::Connect(_) => {
            upstream("Could not connect to Airbyte. The request was not sent. Retry later.".to_owned())
        }
        AirbyteError::Tls(_) => upstream(
            "The TLS handshake with Airbyte failed. The request was not sent. See the function's logs for the cause."
                .to_owned(),
        ),
        AirbyteError::ConnectionLost(_) => upstream(format!("The connection to Airbyte was lost. {CHECK_FIRST}")),
        AirbyteError::InvalidResponse => upstream(
            "Airbyte created the source but returned an invalid response. Check before retrying.".to_owned(),
        ),
        AirbyteError::Status(response) => match response.status {
            400 | 404 | 409 | 422 => rejected(response.rejection),
            401 => upstream("Airbyte rejected the token that it had just issued. Retry later.".to_owned()),
            403 if response.is_airbytes() => Problem::new(
                ProblemType::Forbidden,
                "Airbyte does not allow this user to create this source. Check the template and the workspace.",
            ),
            // A 403 from a proxy or a firewall.
            403 => upstream("Airbyte returned status 403. The source was not created. Retry later.".to_owned()),
            429 => Problem::rate_limited(response.retry_after),
            // The outcome is unknown after a 408 or a redirect, too.
            status => upstream(format!("Airbyte returned status {status}. {CHECK_FIRST}")),
        },
    }
}

fn rejected(rejection: Rejection) -> Problem {
    let detail = match rejection.message {
        Some(message) => format!("Airbyte rejected the source: {message}"),
        None if rejection.errors.is_empty() => {
            "Airbyte rejected the source without a reason. Check `source_config_template_id`, and \
             `connection_configuration` against the template."
                .to_owned()
        }
        None => "Airbyte rejected the source. Fix the fields listed in `errors` and try again."
            .to_owned(),
    };
    Problem::new(ProblemType::SourceRejected, detail).with_errors(rejection.errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::state::lease::LeaseTimeout;

    #[test]
    fn detail_says_whether_source_may_exist() {
        let lost = || AirbyteError::ConnectionLost("x".into());
        for (error, expected) in [
            (CreateError::WorkspaceMismatch, false),
            (CreateError::TokenExpired, false),
            (CreateError::Credential(LeaseTimeout.into()), false),
            // The error of a mint, not of the create.
            (CreateError::Credential(MintError::Airbyte(lost())), false),
            (
                CreateError::Airbyte(AirbyteError::Connect("x".into())),
                false,
            ),
            (CreateError::Airbyte(AirbyteError::ConnectTimeout), false),
            (CreateError::Airbyte(AirbyteError::InvalidRequest), false),
            (CreateError::Airbyte(lost()), true),
            (CreateError::Airbyte(AirbyteError::Timeout), true),
            (CreateError::Airbyte(AirbyteError::InvalidResponse), true),
        ] {
            let name = format!("{error:?}");
            assert_eq!(error.may_have_created(), expected, "{name}");
            let problem = Problem::from(error);
            let says_so = problem.detail().contains("Check before retrying");
            assert_eq!(says_so, expected, "{name}: {}", problem.detail());
        }
    }
}
