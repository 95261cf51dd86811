//! AWS Secrets Manager: the one secret that these functions read.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{IdentityCache, Region, StalledStreamProtectionConfig};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

use crate::config::AwsConfig;
use crate::http_client::SdkConnector;

/// How long one try may take; the SDK makes up to three.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Reads one secret, named at construction.
#[derive(Debug)]
pub struct SecretsManager {
    client: Client,
    secret_id: String,
}

/// Why the secret could not be read or used. The messages are for the owner's log: they name no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No answer from Secrets Manager in time.
    #[error("Secrets Manager did not answer in time; is it reachable from the function's network?")]
    TimedOut,
    /// No connection, or it broke.
    #[error("Secrets Manager cannot be reached; is it reachable from the function's network?")]
    Unreachable,
    /// Secrets Manager answered with an error; its code, such as `AccessDeniedException`.
    #[error(
        "Secrets Manager answered {0}; check that the secret exists and that the function's role may read it"
    )]
    Answered(String),
    /// There is a value, but not one of the three formats.
    #[error("the secret's value cannot be used: {0}")]
    Malformed(&'static str),
}

impl SecretsManager {
    /// A client for one secret, with the credentials of Lambda's environment: no profile, no metadata service is asked.
    #[must_use]
    pub fn new(aws: &AwsConfig, secret_id: String, http: SdkConnector) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let mut config = aws_sdk_secretsmanager::Config::builder()
            .region(Region::new(aws.region.clone()))
            .credentials_provider(Credentials::new(
                aws.access_key_id.clone(),
                aws.secret_access_key.expose_secret(),
                aws.session_token
                    .as_ref()
                    .map(|token| token.expose_secret().to_owned()),
                None,
                "environment",
            ))
            .identity_cache(IdentityCache::no_cache())
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(100)))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(timeouts)
            .http_client(http);
        if let Some(endpoint) = &aws.secrets_manager_endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(config.build()),
            secret_id,
        }
    }

    /// The secret's current value.
    pub async fn read(&self, deadline: Instant) -> Result<SecretString, SecretError> {
        let request = self
            .client
            .get_secret_value()
            .secret_id(&self.secret_id)
            .send();
        let answer = match timeout_at(deadline, request).await {
            Err(_) => return Err(SecretError::TimedOut),
            Ok(Err(error)) => return Err(explain(&error)),
            Ok(Ok(answer)) => answer,
        };
        answer
            .secret_string
            .map(SecretString::from)
            .ok_or(SecretError::Malformed("it is binary; store it as a string"))
    }
}

fn explain<E, R>(error: &SdkError<E, R>) -> SecretError
where
    E: ProvideErrorMetadata,
{
    match error {
        SdkError::TimeoutError(_) => SecretError::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => SecretError::TimedOut,
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
        _ => SecretError::Unreachable,
    }
}
