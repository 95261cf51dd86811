//! The client for Airbyte's API. Every call ends by the invocation's deadline.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use url::Url;
use uuid::Uuid;

use super::api::Api;
use super::error::{AirbyteError, ErrorResponse};
use super::rejection::ErrorBody;
use super::retry::{Attempts, RetryPolicy, parse_retry_after};
use super::source::NewSource;
use super::token::OpaqueToken;
use crate::http_client::{self, ReadError};
use crate::invocation::Invocation;
use crate::json;
use crate::request::caller::ExternalUserId;
use crate::request::origin::Origin;

/// The path of the exchange of an application's ID and secret, equal in all generations of the API.
const EXCHANGE_PATH: &str = "/api/v1/account/applications/token";

/// A client for one organization and one generation of Airbyte's API.
#[derive(Debug, Clone)]
pub struct Airbyte {
    http: reqwest::Client,
    api: Api,
    organization_id: Uuid,
    /// The headers of every call.
    headers: HeaderMap,
    exchange_url: Url,
    mint_url: Url,
    create_url: Url,
}

/// An organization token, issued in exchange for an application's ID and secret.
#[derive(Debug)]
pub struct ApplicationToken {
    /// The token.
    pub token: SecretString,
    /// The lifetime according to the response. The claim `exp` of the token is more reliable: Airbyte has returned 900 s for a
    /// token that expired after 180 s.
    pub expires_in: Option<Duration>,
}

/// The body of the exchange. JSON only, because Airbyte returns 401 to a form.
#[derive(Serialize)]
struct ExchangeBody<'a> {
    client_id: &'a str,
    client_secret: &'a str,
}

#[derive(Deserialize)]
struct ExchangeResponse {
    access_token: String,
    expires_in: Option<f64>,
}

#[derive(Deserialize)]
struct MintResponse {
    token: String,
}

/// Returns the URL of an endpoint: `path` is appended to the path of the base URL.
#[must_use]
pub fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

impl Airbyte {
    /// Creates a client for the API at `base`.
    #[must_use]
    pub fn new(http: reqwest::Client, base: &Url, organization_id: Uuid, api: Api) -> Self {
        let url = |path: &str| endpoint(base, path);
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(ACCEPT, json.clone());
        headers.insert(CONTENT_TYPE, json);
        let organization = HeaderValue::try_from(organization_id.to_string()).ok();
        if let (Some(name), Some(organization)) = (api.organization_header(), organization) {
            headers.insert(name, organization);
        }
        Self {
            http,
            headers,
            exchange_url: url(EXCHANGE_PATH),
            mint_url: url(api.mint_path()),
            create_url: url(api.create_path()),
            organization_id,
            api,
        }
    }

    /// The generation of the API, with its settings.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Exchanges an application's ID and secret for an organization token.
    pub async fn application_token(
        &self,
        client_id: &SecretString,
        client_secret: &SecretString,
        invocation: &Invocation,
    ) -> Result<ApplicationToken, AirbyteError> {
        let body = serde_json::to_vec(&ExchangeBody {
            client_id: client_id.expose_secret(),
            client_secret: client_secret.expose_secret(),
        });
        let policy = RetryPolicy::Idempotent;
        let response = self
            .call(&self.exchange_url, None, body, policy, invocation)
            .await?;
        let response: ExchangeResponse = json::parse_object(&response)
            .filter(|response: &ExchangeResponse| is_header_value(&response.access_token))
            .ok_or(AirbyteError::InvalidResponse)?;
        Ok(ApplicationToken {
            token: SecretString::from(response.access_token),
            expires_in: response
                .expires_in
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }

    /// Mints a token for one user's workspace, which Airbyte finds or creates.
    pub async fn mint(
        &self,
        organization_token: &SecretString,
        user: &ExternalUserId,
        origin: &Origin,
        invocation: &Invocation,
    ) -> Result<OpaqueToken, AirbyteError> {
        let body = self.api.mint_body(self.organization_id, user, origin);
        let bearer = Some(organization_token);
        let policy = RetryPolicy::Idempotent;
        let response = self
            .call(&self.mint_url, bearer, body, policy, invocation)
            .await?;
        let response: MintResponse =
            json::parse_object(&response).ok_or(AirbyteError::InvalidResponse)?;
        Ok(OpaqueToken::new(response.token))
    }

    /// Creates a source and returns Airbyte's response, a JSON object.
    ///
    /// Airbyte has no idempotency key, so a request that may have been processed is not retried.
    pub async fn create_source(
        &self,
        bearer: &SecretString,
        source: &NewSource<'_>,
        invocation: &Invocation,
    ) -> Result<String, AirbyteError> {
        let body = self.api.create_body(source);
        let policy = RetryPolicy::NonIdempotent;
        let response = self
            .call(&self.create_url, Some(bearer), body, policy, invocation)
            .await
            .map_err(|error| self.with_rejection(error, source, bearer))?;
        let response =
            String::from_utf8(response.into()).map_err(|_| AirbyteError::InvalidResponse)?;
        match serde_json::from_str::<&RawValue>(&response) {
            Ok(json) if json.get().starts_with('{') => Ok(response),
            _ => Err(AirbyteError::InvalidResponse),
        }
    }

    /// Sets the [`rejection`](ErrorResponse::rejection) of a create's error response.
    fn with_rejection(
        &self,
        error: AirbyteError,
        source: &NewSource<'_>,
        bearer: &SecretString,
    ) -> AirbyteError {
        match error {
            AirbyteError::Status(mut response) => {
                response.rejection = self.api.rejection(&response.body, source, bearer);
                AirbyteError::Status(response)
            }
            error => error,
        }
    }

    /// Sends a request, and retries it if the policy and the deadline allow.
    async fn call(
        &self,
        url: &Url,
        bearer: Option<&SecretString>,
        body: serde_json::Result<Vec<u8>>,
        policy: RetryPolicy,
        invocation: &Invocation,
    ) -> Result<Bytes, AirbyteError> {
        let body = Bytes::from(body.map_err(|_| AirbyteError::InvalidRequest)?);
        let headers = self.headers(bearer).ok_or(AirbyteError::InvalidRequest)?;
        let mut attempts = Attempts::new(policy);
        loop {
            let error = match self.send(url, &headers, &body, invocation).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            if let Err(error) = attempts.next(error, invocation).await {
                log(&error, url.path());
                return Err(error);
            }
        }
    }

    /// Returns the headers of a call; `None` if the token is not a valid header value.
    fn headers(&self, bearer: Option<&SecretString>) -> Option<HeaderMap> {
        let mut headers = self.headers.clone();
        if let Some(token) = bearer {
            let value = format!("Bearer {}", token.expose_secret());
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Some(headers)
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
        let mut head = None;
        let body = timeout_at(invocation.deadline(), async {
            let response = self
                .http
                .execute(request)
                .await
                .map_err(AirbyteError::from_request_error)?;
            let retry_after = parse_retry_after(response.headers(), SystemTime::now());
            head = Some((response.status(), retry_after));
            let body = http_client::read_body(response).await;
            body.map_err(|error| match error {
                ReadError::ConnectionLost(error) => AirbyteError::ConnectionLost(error.into()),
                ReadError::TooLarge => AirbyteError::InvalidResponse,
            })
        })
        .await
        .unwrap_or(Err(AirbyteError::Timeout));
        invocation.record_upstream(started.elapsed(), head.map(|(status, _)| status.as_u16()));
        let Some((status, retry_after)) = head.filter(|(status, _)| !status.is_success()) else {
            return body;
        };
        // The status counts even if the body is not recognized, incomplete or late.
        let body = body.map(|body| ErrorBody::parse(&body)).unwrap_or_default();
        let response = ErrorResponse::new(status.as_u16(), retry_after, body);
        Err(AirbyteError::Status(Box::new(response)))
    }
}

/// Whether a token can be sent in a header.
fn is_header_value(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Logs an error that the operator can fix.
fn log(error: &AirbyteError, path: &str) {
    /// Words of a 404 that is about a resource in the request: the endpoint exists.
    const RESOURCES: [&str; 4] = ["template", "workspace", "connector", "source"];
    match error {
        AirbyteError::Tls(error) => warn!(%error, "TLS handshake with Airbyte failed"),
        AirbyteError::Status(response) => {
            let status = response.status;
            let is_missing = match status {
                300..=399 => true,
                404 => !response.body.mentions(&RESOURCES),
                _ => false,
            };
            if is_missing {
                warn!(
                    status,
                    path, "no such endpoint at Airbyte: check AIRBYTE_API and AIRBYTE_API_URL"
                );
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::agents::Agents;
    use super::*;

    fn airbyte(api: Api) -> Airbyte {
        let base = Url::parse("https://proxy.example/airbyte").unwrap();
        let http = http_client::build(None).unwrap();
        Airbyte::new(http, &base, Uuid::from_u128(1), api)
    }

    #[test]
    fn keeps_path_of_base_url() {
        for (api, mint, create) in [
            (
                Api::Embedded,
                "embedded/widget_token",
                "integrations/sources/",
            ),
            (
                Api::Agents(Agents::default()),
                "account/applications/widget-token",
                "integrations/connectors",
            ),
        ] {
            let airbyte = airbyte(api);
            let base = "https://proxy.example/airbyte/api/v1";
            let exchange = format!("{base}/account/applications/token");
            assert_eq!(airbyte.exchange_url.as_str(), exchange);
            assert_eq!(airbyte.mint_url.as_str(), format!("{base}/{mint}"));
            assert_eq!(airbyte.create_url.as_str(), format!("{base}/{create}"));
        }
    }

    #[test]
    fn every_call_to_agents_names_organization() {
        let header = |api| {
            let headers = airbyte(api).headers(None).unwrap();
            let value = headers.get("x-organization-id");
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(Api::Embedded), None);
        assert_eq!(
            header(Api::Agents(Agents::default())).as_deref(),
            Some("00000000-0000-0000-0000-000000000001")
        );
    }

    #[test]
    fn rejects_token_that_is_no_header_value() {
        let airbyte = airbyte(Api::Embedded);
        let invalid = SecretString::from("a\r\nb");
        assert!(airbyte.headers(Some(&invalid)).is_none());
        let headers = airbyte
            .headers(Some(&SecretString::from("canary")))
            .unwrap();
        assert!(!format!("{headers:?}").contains("canary"));
    }
}
