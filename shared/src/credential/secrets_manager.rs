//! AWS Secrets Manager: the one secret that these functions read.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{
    AppName, HttpClient, IdentityCache, Region, StalledStreamProtectionConfig,
};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};

use crate::aws::{AwsConfig, SdkConnector};

/// The name of this program in the user agent, for the logs of AWS.
const APP_NAME: &str = "airbyte-embedded-functions";

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
    /// Creates a reader of `secret_id`, a name or an ARN, with the credentials in `aws`: it looks up no profile and calls
    /// no metadata service.
    #[must_use]
    pub fn new(aws: &AwsConfig, secret_id: String, http: SdkConnector) -> Self {
        Self {
            client: client(aws, http),
            secret_id,
        }
    }

    /// The secret's current value.
    pub async fn read(&self, deadline: Instant) -> Result<SecretString, SecretError> {
        let request = self.client.get_secret_value().secret_id(&self.secret_id);
        let response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| SecretError::Timeout)?
            .map_err(|error| explain(&error))?;
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
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
    use aws_smithy_types::body::SdkBody;
    use secrecy::ExposeSecret as _;
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
        assert_eq!(
            result.unwrap_err(),
            SecretError::Answered("InvalidSignatureException".to_owned())
        );
    }

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
