//! The HTTP client: for Airbyte, and under the AWS SDK for Secrets Manager.
//!
//! One TLS stack (rustls with ring) with Mozilla's root certificates built in: reading the system's costs milliseconds at
//! each cold start, and aws-lc-rs some forty before its first handshake.

pub mod preconnect;

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use rustls::{ClientConfig, RootCertStore};

use preconnect::Preconnect;

/// How long a connection may take to open, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an unused connection is kept. Below the minute after which load balancers usually close theirs, so that a
/// request seldom meets a connection that has just died.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// Who calls, for the logs of the other side: Airbyte's, and AWS's trail of calls (RFC 9110, section 10.1.5).
const USER_AGENT: &str = concat!("airbyte-embedded-functions/", env!("CARGO_PKG_VERSION"));

/// No answer may be larger: nothing that Airbyte or Secrets Manager has to say comes near it.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// Builds a client: no redirects (they would carry credentials elsewhere), no proxy from the environment. `preconnect` may
/// open its first connection ahead.
///
/// # Errors
///
/// Only if the TLS stack cannot be set up at all.
pub fn build(
    preconnect: Option<Preconnect>,
) -> Result<reqwest::Client, Box<dyn std::error::Error + Send + Sync>> {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let tls =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(KEEP_IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only();
    if let Some(preconnect) = preconnect {
        client = client.connector_layer(preconnect);
    }
    Ok(client.build()?)
}

/// Why an answer's body could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The connection broke before the end.
    Broken(reqwest::Error),
    /// It is larger than [`MAX_ANSWER`].
    TooLarge,
}

/// Reads an answer's body, up to [`MAX_ANSWER`].
pub async fn read(mut response: reqwest::Response) -> Result<Bytes, ReadError> {
    let too_large = |size: usize| size > MAX_ANSWER;
    let announced = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(too_large) {
        return Err(ReadError::TooLarge);
    }
    let Some(first) = response.chunk().await.map_err(ReadError::Broken)? else {
        return Ok(Bytes::new());
    };
    // Answers mostly come in one piece, which needs no copy.
    let Some(second) = response.chunk().await.map_err(ReadError::Broken)? else {
        return if too_large(first.len()) {
            Err(ReadError::TooLarge)
        } else {
            Ok(first)
        };
    };
    let mut body = BytesMut::with_capacity(announced.unwrap_or(first.len() + second.len()));
    body.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if too_large(body.len() + chunk.len()) {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
        next = response.chunk().await.map_err(ReadError::Broken)?;
    }
    Ok(body.freeze())
}

/// The client as the AWS SDK wants it, so that one TLS stack serves everything.
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
            let body = read(response).await.map_err(|error| match error {
                ReadError::Broken(error) => connector_error(error),
                ReadError::TooLarge => {
                    ConnectorError::other("the answer is too large".into(), None)
                }
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
    // The address of Secrets Manager says nothing that the log must not have, but it is of no use there either.
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
