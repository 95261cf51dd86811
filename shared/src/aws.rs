//! Region, credentials and HTTP connector for the clients of the AWS SDK.

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};

use crate::http_client::{self, ReadError};

/// The name of this program in the user agent, for the logs of AWS.
pub const APP_NAME: &str = "airbyte-embedded-functions";

/// Region and credentials, from the variables that Lambda sets.
#[derive(Debug)]
pub struct AwsConfig {
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`. The SDK keeps its own copy.
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<SecretString>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, else `AWS_ENDPOINT_URL`: a Secrets Manager other than AWS's, such as a VPC
    /// endpoint or a local one.
    pub secrets_manager_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, else `AWS_ENDPOINT_URL`.
    pub dynamodb_endpoint: Option<String>,
}

impl AwsConfig {
    /// Returns the credentials for an SDK client.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        let session_token = self.session_token.as_ref();
        Credentials::new(
            &self.access_key_id,
            self.secret_access_key.expose_secret(),
            session_token.map(|token| token.expose_secret().to_owned()),
            None,
            "environment",
        )
    }
}

/// An adapter from [`reqwest::Client`] to the AWS SDK's HTTP client, so that there is only one TLS stack.
#[derive(Debug, Clone)]
pub struct SdkConnector(pub reqwest::Client);

impl HttpClient for SdkConnector {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let response = client
                .execute(to_reqwest(request)?)
                .await
                .map_err(connector_error)?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = http_client::read_body(response)
                .await
                .map_err(|error| match error {
                    ReadError::ConnectionLost(error) => connector_error(error),
                    ReadError::TooLarge => ConnectorError::other("response too large".into(), None),
                })?;
            let mut response = http::Response::new(SdkBody::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            HttpResponse::try_from(response)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn to_reqwest(request: HttpRequest) -> Result<reqwest::Request, ConnectorError> {
    let user = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let request = request
        .try_into_http1x()
        .map_err(|error| user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body.bytes().map(Bytes::copy_from_slice);
    let body = body.ok_or_else(|| user("a streamed body is not supported".into()))?;
    let request = http::Request::from_parts(parts, body);
    reqwest::Request::try_from(request).map_err(|error| user(error.into()))
}

fn connector_error(error: reqwest::Error) -> ConnectorError {
    // Without the URL, because it adds no information to the log.
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
