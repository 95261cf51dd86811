//! The client for Airbyte's API: its calls, each bounded by the invocation's deadline.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use url::Url;

use super::embedded::{
    APPLICATION_TOKEN_PATH, ApplicationTokenRequest, CreateSourceRequest, SOURCES_PATH,
    WIDGET_TOKEN_PATH, WidgetTokenRequest,
};
use super::error::{AirbyteError, ErrorResponse};
use super::rejection::Rejection;
use super::retry::{Attempts, RetryPolicy, parse_retry_after};
use super::token::OpaqueToken;
use crate::http_client::{self, ReadError};
use crate::invocation::Invocation;
use crate::json;

/// A client for one Airbyte API.
#[derive(Debug, Clone)]
pub struct Airbyte {
    http: reqwest::Client,
    application_token_url: Url,
    widget_token_url: Url,
    sources_url: Url,
}

/// An organization token that an application's ID and secret were exchanged for.
#[derive(Debug)]
pub struct ApplicationToken {
    /// The token.
    pub token: SecretString,
    /// The lifetime according to the response. The JWT's own `exp` is more reliable: 900 s has been seen beside an `exp`
    /// after 180 s.
    pub expires_in: Option<Duration>,
}

#[derive(Deserialize)]
struct ApplicationTokenResponse {
    access_token: String,
    expires_in: Option<f64>,
}

#[derive(Deserialize)]
struct WidgetTokenResponse {
    token: String,
}

impl Airbyte {
    /// Creates a client for the API at `base`, which has no trailing slash.
    #[must_use]
    pub fn new(http: reqwest::Client, base: &Url) -> Self {
        let url = |path: &str| {
            let mut url = base.clone();
            url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
            url
        };
        Self {
            http,
            application_token_url: url(APPLICATION_TOKEN_PATH),
            widget_token_url: url(WIDGET_TOKEN_PATH),
            sources_url: url(SOURCES_PATH),
        }
    }

    /// Exchanges an application's ID and secret for an organization token.
    pub async fn application_token(
        &self,
        request: &ApplicationTokenRequest<'_>,
        invocation: &Invocation,
    ) -> Result<ApplicationToken, AirbyteError> {
        let body = self
            .call(
                &self.application_token_url,
                None,
                request,
                RetryPolicy::Idempotent,
                invocation,
            )
            .await?;
        let response: ApplicationTokenResponse =
            json::parse_object(&body).ok_or(AirbyteError::InvalidResponse)?;
        Ok(ApplicationToken {
            token: SecretString::from(response.access_token),
            expires_in: response
                .expires_in
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }

    /// Mints a token for one user's workspace, which Airbyte finds or creates.
    pub async fn widget_token(
        &self,
        organization_token: &SecretString,
        request: &WidgetTokenRequest<'_>,
        invocation: &Invocation,
    ) -> Result<OpaqueToken, AirbyteError> {
        let body = self
            .call(
                &self.widget_token_url,
                Some(organization_token),
                request,
                RetryPolicy::Idempotent,
                invocation,
            )
            .await?;
        let response: WidgetTokenResponse =
            json::parse_object(&body).ok_or(AirbyteError::InvalidResponse)?;
        Ok(OpaqueToken::new(response.token))
    }

    /// Creates a source and returns Airbyte's response, a JSON object.
    ///
    /// Airbyte has no idempotency key, so a request that may have been processed is not retried. The strings of an error
    /// response are redacted: they contain neither the token nor a value of the configuration.
    pub async fn create_source(
        &self,
        scoped_token: &SecretString,
        request: &CreateSourceRequest<'_>,
        invocation: &Invocation,
    ) -> Result<String, AirbyteError> {
        let body = self
            .call(
                &self.sources_url,
                Some(scoped_token),
                request,
                RetryPolicy::NonIdempotent,
                invocation,
            )
            .await
            .map_err(|error| match error {
                AirbyteError::Status(mut response) => {
                    let configuration = request.connection_configuration;
                    response.rejection = response.rejection.redact(configuration, scoped_token);
                    AirbyteError::Status(response)
                }
                error => error,
            })?;
        let body = String::from_utf8(body.into()).map_err(|_| AirbyteError::InvalidResponse)?;
        match serde_json::from_str::<&RawValue>(&body) {
            Ok(json) if json.get().starts_with('{') => Ok(body),
            _ => Err(AirbyteError::InvalidResponse),
        }
    }

    /// Sends a request, and retries it where the policy and the deadline allow.
    async fn call(
        &self,
        url: &Url,
        bearer: Option<&SecretString>,
        body: &impl Serialize,
        policy: RetryPolicy,
        invocation: &Invocation,
    ) -> Result<Bytes, AirbyteError> {
        let body =
            Bytes::from(serde_json::to_vec(body).map_err(|_| AirbyteError::InvalidResponse)?);
        let headers = headers(bearer).ok_or(AirbyteError::InvalidResponse)?;
        let mut attempts = Attempts::new(policy);
        loop {
            match self.send(url, &headers, &body, invocation).await {
                Ok(body) => return Ok(body),
                Err(error) => attempts.next(error, invocation).await?,
            }
        }
    }

    /// Sends a request once.
    async fn send(
        &self,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
        invocation: &Invocation,
    ) -> Result<Bytes, AirbyteError> {
        if invocation.time_left().is_zero() {
            return Err(AirbyteError::ConnectTimeout);
        }
        let mut request = reqwest::Request::new(http::Method::POST, url.clone());
        *request.headers_mut() = headers.clone();
        *request.body_mut() = Some(body.clone().into());
        let started = Instant::now();
        let mut status = None;
        let response = timeout_at(invocation.deadline(), async {
            let response = self
                .http
                .execute(request)
                .await
                .map_err(AirbyteError::from_request_error)?;
            status = Some(response.status());
            let retry_after = parse_retry_after(response.headers(), SystemTime::now());
            let body = http_client::read_body(response).await;
            Ok((retry_after, body))
        })
        .await;
        invocation.record_upstream(started.elapsed(), status.map(|status| status.as_u16()));
        let (retry_after, body) = match response.unwrap_or(Err(AirbyteError::Timeout)) {
            Ok(response) => response,
            Err(error) => {
                if let AirbyteError::Tls(error) = &error {
                    warn!(%error, "TLS handshake with Airbyte failed");
                }
                return Err(error);
            }
        };
        let Some(status) = status.filter(|status| !status.is_success()) else {
            return body.map_err(|error| match error {
                ReadError::ConnectionLost(error) => AirbyteError::ConnectionLost(error.into()),
                ReadError::TooLarge => AirbyteError::InvalidResponse,
            });
        };
        // The status counts even if the body is not recognized, or incomplete.
        let rejection = body.map(|body| Rejection::parse(&body)).unwrap_or_default();
        Err(AirbyteError::Status(ErrorResponse {
            status: status.as_u16(),
            retry_after,
            rejection,
        }))
    }
}

/// Returns the headers of a call; `None` if the token is not a valid header value.
fn headers(bearer: Option<&SecretString>) -> Option<HeaderMap> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(ACCEPT, JSON);
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(token) = bearer {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_path_of_base_url() {
        let base = Url::parse("https://proxy.example/airbyte").unwrap();
        let airbyte = Airbyte::new(http_client::build(None).unwrap(), &base);
        assert_eq!(
            airbyte.sources_url.as_str(),
            "https://proxy.example/airbyte/api/v1/integrations/sources/"
        );
    }

    #[test]
    fn rejects_token_that_is_no_header_value() {
        assert!(headers(Some(&SecretString::from("a\r\nb"))).is_none());
        let headers = headers(Some(&SecretString::from("canary"))).unwrap();
        assert!(!format!("{headers:?}").contains("canary"));
    }
}
