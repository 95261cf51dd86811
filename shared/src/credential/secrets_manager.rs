//! AWS Secrets Manager: the one secret that these functions read.

mod operation;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::{
    GetSecretValueError, GetSecretValueInput, GetSecretValueOutput,
};
use aws_smithy_runtime::client::orchestrator::invoke;
use aws_smithy_runtime_api::client::interceptors::context::Input;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugins;
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use crate::aws::AwsConfig;
use crate::aws::SdkConnector;

/// Reads one secret, named at construction.
#[derive(Debug)]
pub struct SecretsManager {
    plugins: RuntimePlugins,
    secret_id: String,
}

/// Why the secret could not be read or used. The messages are for the owner's log: they name no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No answer from Secrets Manager in time.
    #[error("Secrets Manager did not answer in time; is it reachable from the function's network?")]
    Timeout,
    /// No connection, or it broke.
    #[error("Secrets Manager cannot be reached; is it reachable from the function's network?")]
    Connect,
    /// Secrets Manager answered with an error; its code, such as `AccessDeniedException`.
    #[error("Secrets Manager answered {0}{advice}", advice = advice(.0))]
    Answered(String),
    /// There is a value, but not one of the three formats.
    #[error("the secret's value cannot be used: {0}")]
    Malformed(&'static str),
}

impl SecretError {
    /// Returns the cause for the log. docs/operations.md lists all causes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Timeout => "secrets_manager_timeout",
            Self::Connect => "secrets_manager_connect",
            Self::Answered(_) => "secrets_manager_error",
            Self::Malformed(_) => "secret_malformed",
        }
    }
}

impl SecretsManager {
    /// Reads with the credentials of Lambda's environment: no profile, no metadata service is asked.
    #[must_use]
    pub fn new(aws: &AwsConfig, secret_id: String, http: SdkConnector) -> Self {
        Self {
            plugins: operation::plugins(aws, http),
            secret_id,
        }
    }

    /// The secret's current value.
    pub async fn read(&self, deadline: Instant) -> Result<SecretString, SecretError> {
        let answer = timeout_at(deadline, self.get_secret_value())
            .await
            .map_err(|_| SecretError::Timeout)?
            .map_err(|error| explain(&error))?;
        answer
            .secret_string
            .map(SecretString::from)
            .ok_or(SecretError::Malformed("it is binary; store it as a string"))
    }

    async fn get_secret_value(
        &self,
    ) -> Result<GetSecretValueOutput, SdkError<GetSecretValueError, HttpResponse>> {
        let input = GetSecretValueInput::builder()
            .secret_id(&self.secret_id)
            .build()
            .map_err(SdkError::construction_failure)?;
        let output = invoke(
            "Secrets Manager",
            "GetSecretValue",
            Input::erase(input),
            &self.plugins,
        )
        .await
        .map_err(|error| {
            error.map_service_error(|error| {
                error
                    .downcast()
                    .unwrap_or_else(GetSecretValueError::unhandled)
            })
        })?;
        // The operation's own type: there is no other.
        output
            .downcast()
            .map_err(|_| SdkError::construction_failure("the answer is of another operation"))
    }
}

/// What an owner can do about an error code.
fn advice(code: &str) -> &'static str {
    match code {
        "AccessDeniedException" => "; check that the function's role may read the secret",
        "ResourceNotFoundException" => "; check that the secret exists, in this region",
        "InvalidRequestException" => "; check that the secret is not marked for deletion",
        "DecryptionFailure" => "; check the secret's KMS key",
        _ => "",
    }
}

fn explain<E, R>(error: &SdkError<E, R>) -> SecretError
where
    E: ProvideErrorMetadata,
{
    match error {
        SdkError::TimeoutError(_) => SecretError::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => SecretError::Timeout,
        SdkError::ServiceError(answer) => SecretError::Answered(
            answer
                .err()
                .code()
                .unwrap_or("an error without a code")
                .to_owned(),
        ),
        SdkError::ResponseError(_) => {
            SecretError::Answered("something that is not understood".to_owned())
        }
        _ => SecretError::Connect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_told_what_to_check_where_the_code_says_it() {
        let told = |code: &str| SecretError::Answered(code.to_owned()).to_string();
        assert_eq!(
            told("ResourceNotFoundException"),
            "Secrets Manager answered ResourceNotFoundException; check that the secret exists, in this region"
        );
        // It passes: there is nothing to check.
        assert_eq!(
            told("ThrottlingException"),
            "Secrets Manager answered ThrottlingException"
        );
    }
}
