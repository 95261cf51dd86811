//! Airbyte's API: three calls, what of them may be repeated, and what can go wrong.
//!
//! A concrete client with an injectable address. Statuses become typed errors here; what they mean for a caller is
//! decided in [`crate::problem`] and in the functions.

use std::error::Error as _;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;
use url::Url;

use super::wire::{
    self, ApplicationTokenAnswer, ApplicationTokenRequest, CreateSourceRequest, Rejection,
    WidgetTokenAnswer, WidgetTokenRequest,
};
use crate::airbyte::token::OpaqueToken;
use crate::http_client::{self, ReadError};
use crate::invocation::Invocation;
use crate::json;

/// The most times that one call is sent.
const MAX_ATTEMPTS: u32 = 3;

/// The first wait before a repetition is random up to this ("full jitter"), later ones up to twice the one before.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);

/// A repetition is only worth waiting for if this much is left for it.
const MIN_TIME_FOR_RETRY: Duration = Duration::from_millis(250);

/// A client for one Airbyte API.
#[derive(Debug, Clone)]
pub struct Airbyte {
    http: reqwest::Client,
    application_token_url: Url,
    widget_token_url: Url,
    sources_url: Url,
}

/// An error returned by [`Airbyte`].
#[derive(Debug, thiserror::Error)]
pub enum AirbyteError {
    /// No connection could be opened. Nothing was sent.
    #[error("could not connect")]
    Connect,
    /// The TLS handshake failed, for example because of an untrusted certificate. Nothing was sent.
    #[error("TLS handshake failed")]
    Tls,
    /// No connection could be opened in time. Nothing was sent.
    #[error("connecting timed out")]
    ConnectTimeout,
    /// The connection was lost before the response was complete. The request may have been processed.
    #[error("connection lost")]
    ConnectionLost,
    /// The response was not complete before the deadline. The request may have been processed.
    #[error("request timed out")]
    Timeout,
    /// Airbyte returned a status other than 2xx.
    #[error("status {}", .0.status)]
    Status(ErrorResponse),
    /// Airbyte returned 2xx, but not what it documents. The request was processed.
    #[error("invalid response")]
    InvalidResponse,
}

/// A response with a status other than 2xx.
#[derive(Debug)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// How long Airbyte asks to wait (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
    /// What the body says, if it has a known shape.
    pub rejection: Rejection,
}

/// A token for the organization that an application's id and secret were exchanged for.
#[derive(Debug)]
pub struct ApplicationToken {
    /// The token.
    pub token: SecretString,
    /// What the answer says of its lifetime. The JWT's own `exp` is to be preferred.
    pub expires_in: Option<Duration>,
}

/// When a call may be sent once more.
#[derive(Clone, Copy)]
enum Repeat {
    /// Sending it twice does no harm.
    Idempotent,
    /// Twice sent is twice done: only if it certainly was not processed.
    NonIdempotent,
}

impl Airbyte {
    /// A client for the API at `base`, which has no slash at its end.
    #[must_use]
    pub fn new(http: reqwest::Client, base: &Url) -> Self {
        let url = |path: &str| {
            let mut url = base.clone();
            url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
            url
        };
        Self {
            http,
            application_token_url: url(wire::APPLICATION_TOKEN_PATH),
            widget_token_url: url(wire::WIDGET_TOKEN_PATH),
            sources_url: url(wire::SOURCES_PATH),
        }
    }

    /// Exchanges an application's id and secret for a token of the organization's.
    pub async fn application_token(
        &self,
        request: &ApplicationTokenRequest<'_>,
        invocation: &Invocation,
    ) -> Result<ApplicationToken, AirbyteError> {
        let answer = self
            .call(
                &self.application_token_url,
                None,
                request,
                Repeat::Idempotent,
                invocation,
            )
            .await?;
        let answer: ApplicationTokenAnswer =
            json::parse_object(&answer).ok_or(AirbyteError::InvalidResponse)?;
        Ok(ApplicationToken {
            token: SecretString::from(answer.access_token),
            expires_in: answer
                .expires_in
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }

    /// Gets a token for one user's workspace, which Airbyte finds or creates.
    pub async fn widget_token(
        &self,
        organization_token: &SecretString,
        request: &WidgetTokenRequest<'_>,
        invocation: &Invocation,
    ) -> Result<OpaqueToken, AirbyteError> {
        let answer = self
            .call(
                &self.widget_token_url,
                Some(organization_token),
                request,
                Repeat::Idempotent,
                invocation,
            )
            .await?;
        let answer: WidgetTokenAnswer =
            json::parse_object(&answer).ok_or(AirbyteError::InvalidResponse)?;
        Ok(OpaqueToken::new(answer.token))
    }

    /// Creates a source; Airbyte's answer, a JSON object. Airbyte has no idempotency key, so this is never sent twice if
    /// the first may have been processed. A refusal repeats neither the token nor a value of the configuration.
    pub async fn create_source(
        &self,
        scoped_token: &SecretString,
        request: &CreateSourceRequest<'_>,
        invocation: &Invocation,
    ) -> Result<String, AirbyteError> {
        let answer = self
            .call(
                &self.sources_url,
                Some(scoped_token),
                request,
                Repeat::NonIdempotent,
                invocation,
            )
            .await
            .map_err(|error| match error {
                AirbyteError::Status(mut refusal) => {
                    let configuration = request.connection_configuration;
                    refusal.rejection = refusal.rejection.without(configuration, scoped_token);
                    AirbyteError::Status(refusal)
                }
                error => error,
            })?;
        let answer = String::from_utf8(answer.into()).map_err(|_| AirbyteError::InvalidResponse)?;
        match serde_json::from_str::<&RawValue>(&answer) {
            Ok(json) if json.get().starts_with('{') => Ok(answer),
            _ => Err(AirbyteError::InvalidResponse),
        }
    }

    async fn call(
        &self,
        url: &Url,
        bearer: Option<&SecretString>,
        body: &impl Serialize,
        repeat: Repeat,
        invocation: &Invocation,
    ) -> Result<Bytes, AirbyteError> {
        let body =
            Bytes::from(serde_json::to_vec(body).map_err(|_| AirbyteError::InvalidResponse)?);
        let headers = headers(bearer).ok_or(AirbyteError::InvalidResponse)?;
        let mut backoff = INITIAL_BACKOFF;
        let mut attempt = 1;
        loop {
            let error = match self.send(url, &headers, &body, invocation).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = error
                .retry_after()
                .unwrap_or_else(|| backoff.mul_f64(fastrand::f64()));
            if attempt == MAX_ATTEMPTS
                || !error.allows(repeat)
                || wait + MIN_TIME_FOR_RETRY > invocation.time_left()
            {
                return Err(error);
            }
            sleep(wait).await;
            attempt += 1;
            backoff *= 2;
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
        let began = Instant::now();
        let mut status = None;
        let answered = timeout_at(invocation.deadline(), async {
            let response = self
                .http
                .execute(request)
                .await
                .map_err(|error| sending(&error))?;
            status = Some(response.status());
            let retry_after = retry_after(response.headers(), SystemTime::now());
            let body = http_client::read_body(response).await;
            Ok((retry_after, body))
        })
        .await;
        invocation.record_upstream(began.elapsed(), status.map(|status| status.as_u16()));
        let (retry_after, body) = answered.unwrap_or(Err(AirbyteError::Timeout))?;
        let status = status.ok_or(AirbyteError::ConnectionLost)?;
        if status.is_success() {
            return body.map_err(|error| match error {
                ReadError::ConnectionLost(_) => AirbyteError::ConnectionLost,
                ReadError::TooLarge => AirbyteError::InvalidResponse,
            });
        }
        // A refusal is one whatever its body says, or if it breaks off.
        let rejection = body.map(|body| Rejection::parse(&body)).unwrap_or_default();
        Err(AirbyteError::Status(ErrorResponse {
            status: status.as_u16(),
            retry_after,
            rejection,
        }))
    }
}

impl AirbyteError {
    /// Returns the cause for the log. docs/operations.md lists all causes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectionLost => "connection_lost",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::InvalidResponse => "invalid_response",
        }
    }

    /// The status of an error response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    fn allows(&self, repeat: Repeat) -> bool {
        match (self, repeat) {
            (Self::Connect | Self::ConnectTimeout, _)
            | (Self::ConnectionLost, Repeat::Idempotent) => true,
            (Self::Status(refusal), Repeat::Idempotent) => {
                matches!(refusal.status, 429 | 502..=504)
            }
            (Self::Status(refusal), Repeat::NonIdempotent) => refusal.status == 429,
            // Of these, TLS because a certificate does not become valid within the second.
            (Self::ConnectionLost, Repeat::NonIdempotent)
            | (Self::Tls | Self::Timeout | Self::InvalidResponse, _) => false,
        }
    }
}

/// `None` if the token holds what no header can.
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

fn sending(error: &reqwest::Error) -> AirbyteError {
    if !error.is_connect() {
        AirbyteError::ConnectionLost
    } else if error.is_timeout() {
        AirbyteError::ConnectTimeout
    } else if let Some(reason) = tls_error(error) {
        warn!(%reason, "no TLS connection to Airbyte comes about");
        AirbyteError::Tls
    } else {
        AirbyteError::Connect
    }
}

/// What TLS has against the other side. A connection that breaks in the handshake is not of its making.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        let io: Option<&io::Error> = error.downcast_ref();
        cause = match io.and_then(io::Error::get_ref) {
            // The source of an I/O error is not the error in it, but that one's source.
            Some(inside) => Some(inside),
            None => error.source(),
        };
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
    }
    None
}

/// Seconds or an HTTP date (RFC 9110, section 10.2.3); a date in the past is no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after_of(text: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        retry_after(
            &headers,
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
        )
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after_of("3"), Some(Duration::from_secs(3)));
        assert_eq!(retry_after_of(" 0 "), Some(Duration::ZERO));
        assert_eq!(
            retry_after_of("Sun, 09 Sep 2001 01:46:45 GMT"),
            Some(Duration::from_secs(5))
        );
        assert_eq!(
            retry_after_of("Sun, 09 Sep 2001 01:46:00 GMT"),
            Some(Duration::ZERO)
        );
        for text in ["", "soon", "-1", "1.5", "99999999999"] {
            assert_eq!(retry_after_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_base_with_a_path_keeps_it() {
        let base = Url::parse("https://proxy.example/airbyte").unwrap();
        let airbyte = Airbyte::new(reqwest_client(), &base);
        assert_eq!(
            airbyte.sources_url.as_str(),
            "https://proxy.example/airbyte/api/v1/integrations/sources/"
        );
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_not_sent() {
        assert!(headers(Some(&SecretString::from("a\r\nb"))).is_none());
        let headers = headers(Some(&SecretString::from("canary"))).unwrap();
        assert!(!format!("{headers:?}").contains("canary"));
    }

    #[test]
    fn a_create_is_repeated_only_if_it_was_not_processed() {
        let refused = |status| {
            AirbyteError::Status(ErrorResponse {
                status,
                retry_after: None,
                rejection: Rejection::default(),
            })
        };
        let repeatable = |error: &AirbyteError| {
            (
                error.allows(Repeat::Idempotent),
                error.allows(Repeat::NonIdempotent),
            )
        };
        assert_eq!(repeatable(&AirbyteError::Connect), (true, true));
        assert_eq!(repeatable(&AirbyteError::ConnectTimeout), (true, true));
        assert_eq!(repeatable(&refused(429)), (true, true));
        assert_eq!(repeatable(&AirbyteError::ConnectionLost), (true, false));
        for status in [502, 503, 504] {
            assert_eq!(repeatable(&refused(status)), (true, false), "{status}");
        }
        assert_eq!(repeatable(&AirbyteError::Tls), (false, false));
        assert_eq!(repeatable(&AirbyteError::Timeout), (false, false));
        assert_eq!(repeatable(&AirbyteError::InvalidResponse), (false, false));
        for status in [302, 400, 401, 403, 404, 409, 422, 500, 501] {
            assert_eq!(repeatable(&refused(status)), (false, false), "{status}");
        }
    }

    fn reqwest_client() -> reqwest::Client {
        http_client::build(None).unwrap()
    }
}
