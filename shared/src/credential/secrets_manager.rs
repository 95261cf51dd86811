//! AWS Secrets Manager, from which the functions read one secret.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{
    AppName, HttpClient, IdentityCache, Region, StalledStreamProtectionConfig,
};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use crate::aws::{APP_NAME, AwsConfig, SdkConnector};

/// The timeout of one attempt; there are up to three.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum wait before the second attempt; it doubles before the third.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);

/// Reads one secret, named at construction.
#[derive(Debug)]
pub struct SecretsManager {
    client: Client,
    secret_id: String,
}

/// An error returned by [`SecretsManager::read`], or by the parser of the secret's value. It contains nothing of the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There was no response before the deadline.
    #[error("Secrets Manager did not respond in time")]
    Timeout,
    /// No connection could be opened, or it was lost.
    #[error("could not connect to Secrets Manager")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// Secrets Manager returned an error.
    #[error("Secrets Manager returned {code}{}", reason.clause())]
    Service {
        /// The error code, such as `AccessDeniedException`.
        code: String,
        /// What it means.
        reason: ServiceErrorReason,
    },
    /// The response of Secrets Manager could not be parsed.
    #[error("Secrets Manager returned an invalid response")]
    InvalidResponse(#[source] Box<dyn Error + Send + Sync>),
    /// The value has none of the three formats.
    #[error("the secret's value is malformed: {0}")]
    Malformed(&'static str),
}

/// The meaning of an error code of Secrets Manager. Some codes have several, which only the message distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceErrorReason {
    /// There is no such secret in this account and region.
    NotFound,
    /// The secret exists, but has no current value.
    NoValue,
    /// The secret is marked for deletion.
    MarkedForDeletion,
    /// A policy does not allow reading the secret.
    NotAllowed,
    /// A policy does not allow decrypting with the secret's KMS key.
    KeyNotAllowed,
    /// The secret is in another account, and encrypted with the AWS managed key, which works in its own account only.
    KeyOfOtherAccount,
    /// The secret's KMS key is disabled or deleted.
    KeyUnusable,
    /// The AWS credentials are invalid or expired.
    InvalidCredentials,
    /// The name or ARN of the secret is invalid.
    InvalidName,
    /// Any other code. It may be transient.
    Other,
}

impl SecretError {
    /// Returns the cause for the log. docs/operations.md lists all causes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Timeout => "secrets_manager_timeout",
            Self::Connect(_) => "secrets_manager_connect",
            Self::Service { .. } | Self::InvalidResponse(_) => "secrets_manager_error",
            Self::Malformed(_) => "secret_malformed",
        }
    }

    /// Returns the message with all sources, and with what the operator can do, for the function's log.
    #[must_use]
    pub fn with_advice(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        if let Some(advice) = self.advice() {
            text.push_str("; ");
            text.push_str(advice);
        }
        text
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Timeout | Self::Connect(_) => Some("check the function's VPC and network access"),
            Self::Service { reason, .. } => reason.advice(),
            Self::InvalidResponse(_) | Self::Malformed(_) => None,
        }
    }
}

impl ServiceErrorReason {
    /// Interprets a code and a message of `GetSecretValue`.
    #[must_use]
    pub fn new(code: &str, message: &str) -> Self {
        match code {
            "ResourceNotFoundException" if message.contains("staging label") => Self::NoValue,
            "ResourceNotFoundException" => Self::NotFound,
            "InvalidRequestException" if message.contains("different AWS account") => {
                Self::KeyOfOtherAccount
            }
            // Either "marked for deletion" or "deleted".
            "InvalidRequestException" if message.contains("delet") => Self::MarkedForDeletion,
            "AccessDeniedException" if message.contains("KMS") || message.contains("kms:") => {
                Self::KeyNotAllowed
            }
            "AccessDeniedException" => Self::NotAllowed,
            "DecryptionFailure" => Self::KeyUnusable,
            "ExpiredTokenException"
            | "IncompleteSignatureException"
            | "InvalidSignatureException"
            | "UnrecognizedClientException" => Self::InvalidCredentials,
            "InvalidParameterException" | "ValidationException" => Self::InvalidName,
            _ => Self::Other,
        }
    }

    /// Returns the text that follows the code in an error message, with its separator.
    fn clause(self) -> &'static str {
        match self {
            Self::NotFound => ": no such secret in this account and region",
            Self::NoValue => ": the secret has no current value",
            Self::MarkedForDeletion => ": the secret is marked for deletion",
            Self::NotAllowed => ": not allowed to read the secret",
            Self::KeyNotAllowed => ": not allowed to use the secret's KMS key",
            Self::KeyOfOtherAccount => {
                ": the secret is in another account, and encrypted with that account's AWS managed key"
            }
            Self::KeyUnusable => ": the secret's KMS key cannot decrypt it",
            Self::InvalidCredentials => ": the AWS credentials are invalid or expired",
            Self::InvalidName => ": the secret's name or ARN is invalid",
            Self::Other => "",
        }
    }

    fn advice(self) -> Option<&'static str> {
        match self {
            Self::NotFound => Some("check the ARN, its region, and that the secret exists"),
            Self::NoValue => Some("put a value into the secret"),
            Self::MarkedForDeletion => Some("restore the secret, or configure another one"),
            Self::NotAllowed => {
                Some("check the policies of the function's role, the secret and the VPC endpoint")
            }
            Self::KeyNotAllowed => Some("check SecretKmsKeyArn and the key's policy"),
            Self::KeyOfOtherAccount => {
                Some("encrypt the secret with a customer managed key, and set SecretKmsKeyArn")
            }
            Self::KeyUnusable => Some("check that the key is enabled and not marked for deletion"),
            Self::InvalidCredentials => Some("check the function's environment variables"),
            Self::InvalidName => Some("check OrganizationTokenSecretArn"),
            Self::Other => None,
        }
    }
}

impl SecretsManager {
    /// Creates a reader of `secret_id`, a name or an ARN, with the credentials in `aws`: it looks up no profile and calls
    /// no metadata service.
    #[must_use]
    pub fn new(aws: &AwsConfig, secret_id: String, http: SdkConnector) -> Self {
        Self {
            client: client(aws, http),
            secret_id,
        }
    }

    /// Reads the secret's current value.
    ///
    /// # Errors
    ///
    /// Fails if Secrets Manager does not return a string before the deadline.
    pub async fn read(&self, deadline: Instant) -> Result<SecretString, SecretError> {
        let request = self.client.get_secret_value().secret_id(&self.secret_id);
        let response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| SecretError::Timeout)??;
        response
            .secret_string
            .map(SecretString::from)
            .ok_or(SecretError::Malformed("it is binary; store it as a string"))
    }
}

/// Creates a client for Secrets Manager, with the credentials, the region and the endpoint in `aws`.
#[must_use]
pub fn client(aws: &AwsConfig, http: impl HttpClient + 'static) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let mut config = aws_sdk_secretsmanager::Config::builder()
        .http_client(http)
        .region(Region::new(aws.region.clone()))
        .credentials_provider(aws.credentials())
        // The credentials never change, so there is nothing to cache.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::standard().with_initial_backoff(INITIAL_BACKOFF))
        .timeout_config(timeouts)
        // Responses are small, and the connector reads them whole within the timeout.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    config.set_app_name(AppName::new(APP_NAME).ok());
    config.set_endpoint_url(aws.secrets_manager_endpoint.clone());
    Client::from_conf(config.build())
}

impl<R> From<SdkError<GetSecretValueError, R>> for SecretError
where
    R: fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<GetSecretValueError, R>) -> Self {
        match error {
            SdkError::TimeoutError(_) => Self::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::Timeout,
            SdkError::ServiceError(response) => {
                let error = response.err();
                let code = error.code().unwrap_or("an error without a code");
                Self::Service {
                    reason: ServiceErrorReason::new(code, error.message().unwrap_or_default()),
                    code: code.to_owned(),
                }
            }
            SdkError::ResponseError(_) => Self::InvalidResponse(source(error)),
            error => Self::Connect(source(error)),
        }
    }
}

fn source<R>(error: SdkError<GetSecretValueError, R>) -> Box<dyn Error + Send + Sync>
where
    R: fmt::Debug + Send + Sync + 'static,
{
    error.into_source().unwrap_or_else(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
    use aws_smithy_types::body::SdkBody;
    use secrecy::ExposeSecret as _;
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;
    use time::PrimitiveDateTime;
    use time::format_description::parse_borrowed;

    /// An HTTP client that records requests and rejects the first one, as AWS does if the clock of its caller is wrong.
    #[derive(Debug, Clone)]
    struct Recorder {
        /// How far the clock of the service is ahead.
        skew: Duration,
        requests: Arc<Mutex<Vec<http::request::Parts>>>,
    }

    impl HttpClient for Recorder {
        fn http_connector(
            &self,
            _: &HttpConnectorSettings,
            _: &RuntimeComponents,
        ) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    impl HttpConnector for Recorder {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request.try_into_http1x().unwrap().into_parts().0);
            let (status, body) = match requests.len() {
                1 => (400, r#"{"__type":"InvalidSignatureException"}"#),
                _ => (200, r#"{"SecretString":"value"}"#),
            };
            let response = http::Response::builder()
                .status(status)
                .header(
                    "date",
                    httpdate::fmt_http_date(SystemTime::now() + self.skew),
                )
                .body(SdkBody::from(body))
                .unwrap();
            HttpConnectorFuture::ready(Ok(HttpResponse::try_from(response).unwrap()))
        }
    }

    /// Reads a secret. Returns the requests that the service received, and the result.
    async fn read(
        region: &str,
        endpoint: Option<&str>,
        skew: Duration,
    ) -> (Vec<http::request::Parts>, Result<SecretString, SecretError>) {
        let aws = AwsConfig {
            region: region.to_owned(),
            access_key_id: "AKID".to_owned(),
            secret_access_key: "key".into(),
            session_token: None,
            secrets_manager_endpoint: endpoint.map(str::to_owned),
            dynamodb_endpoint: None,
        };
        let recorder = Recorder {
            skew,
            requests: Arc::default(),
        };
        let secrets = SecretsManager {
            client: client(&aws, recorder.clone()),
            secret_id: "name".to_owned(),
        };
        let result = secrets.read(Instant::now() + Duration::from_secs(5)).await;
        drop(secrets);
        (
            std::mem::take(&mut recorder.requests.lock().unwrap()),
            result,
        )
    }

    #[tokio::test]
    async fn calls_endpoint_of_region() {
        for (region, endpoint, expected) in [
            (
                "us-east-1",
                None,
                "https://secretsmanager.us-east-1.amazonaws.com/",
            ),
            (
                "ap-southeast-7",
                None,
                "https://secretsmanager.ap-southeast-7.amazonaws.com/",
            ),
            (
                "cn-north-1",
                None,
                "https://secretsmanager.cn-north-1.amazonaws.com.cn/",
            ),
            (
                "us-gov-west-1",
                None,
                "https://secretsmanager.us-gov-west-1.amazonaws.com/",
            ),
            (
                "us-iso-east-1",
                None,
                "https://secretsmanager.us-iso-east-1.c2s.ic.gov/",
            ),
            (
                "eusc-de-east-1",
                None,
                "https://secretsmanager.eusc-de-east-1.amazonaws.eu/",
            ),
            (
                "eu-central-1",
                Some("https://vpce-0a1b.secretsmanager.eu-central-1.vpce.amazonaws.com"),
                "https://vpce-0a1b.secretsmanager.eu-central-1.vpce.amazonaws.com/",
            ),
        ] {
            let (requests, _) = read(region, endpoint, Duration::ZERO).await;

            assert_eq!(requests[0].uri, expected, "{region}");
            let authorization = requests[0].headers["authorization"].to_str().unwrap();
            let scope = format!("/{region}/secretsmanager/aws4_request");
            assert!(authorization.contains(&scope), "{authorization}");
        }
    }

    #[tokio::test]
    async fn names_program_in_user_agent() {
        let (requests, _) = read("us-east-1", None, Duration::ZERO).await;

        let user_agent = requests[0].headers["user-agent"].to_str().unwrap();
        assert!(
            user_agent.ends_with("app/airbyte-embedded-functions"),
            "{user_agent}"
        );
    }

    #[tokio::test]
    async fn corrects_clock_skew() {
        const SKEW: Duration = Duration::from_secs(3_600);
        let format = parse_borrowed::<2>("[year][month][day]T[hour][minute][second]Z").unwrap();
        let signed_at = |request: &http::request::Parts| {
            let date = request.headers["x-amz-date"].to_str().unwrap();
            PrimitiveDateTime::parse(date, &format)
                .unwrap()
                .assume_utc()
        };

        let (requests, result) = read("us-east-1", None, SKEW).await;

        assert_eq!(result.unwrap().expose_secret(), "value");
        let corrected_by = signed_at(&requests[1]) - signed_at(&requests[0]);
        assert!(
            (corrected_by - SKEW).abs() < time::Duration::seconds(10),
            "{corrected_by}"
        );
    }

    #[tokio::test]
    async fn reports_invalid_signature_without_clock_skew() {
        let (requests, result) = read("us-east-1", None, Duration::ZERO).await;

        assert_eq!(requests.len(), 1);
        let reason = match result.unwrap_err() {
            SecretError::Service { reason, .. } => reason,
            error => panic!("{error}"),
        };
        assert_eq!(reason, ServiceErrorReason::InvalidCredentials);
    }

    #[test]
    fn distinguishes_meanings_of_one_code() {
        for (code, message, expected) in [
            (
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret.",
                "Secrets Manager returned ResourceNotFoundException: no such secret in this account and region; check the \
                 ARN, its region, and that the secret exists",
            ),
            (
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
                "Secrets Manager returned ResourceNotFoundException: the secret has no current value; put a value into the \
                 secret",
            ),
            (
                "InvalidRequestException",
                "You can't perform this operation on the secret because it was marked for deletion.",
                "Secrets Manager returned InvalidRequestException: the secret is marked for deletion; restore the secret, or \
                 configure another one",
            ),
            (
                "InvalidRequestException",
                "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS \
                 service key.",
                "Secrets Manager returned InvalidRequestException: the secret is in another account, and encrypted with that \
                 account's AWS managed key; encrypt the secret with a customer managed key, and set SecretKmsKeyArn",
            ),
            (
                "InvalidRequestException",
                "You can't perform this operation on the secret because it is managed.",
                "Secrets Manager returned InvalidRequestException",
            ),
            (
                "AccessDeniedException",
                "User: arn:aws:sts::123456789012:assumed-role/r/f is not authorized to perform: \
                 secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:s-AbCdEf \
                 because no identity-based policy allows the secretsmanager:GetSecretValue action",
                "Secrets Manager returned AccessDeniedException: not allowed to read the secret; check the policies of the \
                 function's role, the secret and the VPC endpoint",
            ),
            (
                "AccessDeniedException",
                "Access to KMS is not allowed",
                "Secrets Manager returned AccessDeniedException: not allowed to use the secret's KMS key; check \
                 SecretKmsKeyArn and the key's policy",
            ),
            (
                "DecryptionFailure",
                "",
                "Secrets Manager returned DecryptionFailure: the secret's KMS key cannot decrypt it; check that the key is \
                 enabled and not marked for deletion",
            ),
            (
                "ThrottlingException",
                "Rate exceeded",
                "Secrets Manager returned ThrottlingException",
            ),
        ] {
            let error = SecretError::Service {
                code: code.to_owned(),
                reason: ServiceErrorReason::new(code, message),
            };
            assert_eq!(error.with_advice(), expected, "{code}: {message}");
        }
    }

    #[test]
    fn names_sources_of_failed_connection() {
        let source = io::Error::other(io::Error::other("connection refused"));
        let error = SecretError::Connect(source.into());

        assert_eq!(
            error.with_advice(),
            "could not connect to Secrets Manager: connection refused; check the function's VPC and network access"
        );
    }
}
