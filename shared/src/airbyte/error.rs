//! Failed calls to Airbyte.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::rejection::{ErrorBody, Rejection};

/// The error of a library, as the source of an [`AirbyteError`].
type Source = Box<dyn Error + Send + Sync>;

/// An error returned by [`Airbyte`](super::Airbyte).
#[derive(Debug, thiserror::Error)]
pub enum AirbyteError {
    /// The request could not be built, which is a bug. Nothing was sent.
    #[error("invalid request")]
    InvalidRequest,
    /// No connection could be opened. Nothing was sent.
    #[error("could not connect")]
    Connect(#[source] Source),
    /// The TLS handshake failed, for example because of an untrusted certificate. Nothing was sent.
    #[error("TLS handshake failed")]
    Tls(#[source] rustls::Error),
    /// No connection could be opened in time. Nothing was sent.
    #[error("connecting timed out")]
    ConnectTimeout,
    /// The connection was lost before the response was complete. The request may have been processed.
    #[error("connection lost")]
    ConnectionLost(#[source] Source),
    /// The response was not complete before the deadline. The request may have been processed.
    #[error("request timed out")]
    Timeout,
    /// Airbyte returned a status other than 2xx.
    #[error("status {}", .0.status)]
    Status(Box<ErrorResponse>),
    /// Airbyte returned 2xx, but not what it documents. The request was processed.
    #[error("invalid response")]
    InvalidResponse,
}

/// A response with a status other than 2xx.
#[derive(Debug)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// The wait that `Retry-After` asks for (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
    /// What may be shown to the caller; empty unless the call was a create.
    pub rejection: Rejection,
    /// The body.
    pub(super) body: ErrorBody,
}

impl ErrorResponse {
    /// Creates a response with an empty [`rejection`](Self::rejection).
    pub(super) fn new(status: u16, retry_after: Option<Duration>, body: ErrorBody) -> Self {
        Self {
            status,
            retry_after,
            rejection: Rejection::default(),
            body,
        }
    }

    /// Whether the body has one of the known shapes of Airbyte's errors. If not, the response may come from a proxy or a
    /// firewall.
    #[must_use]
    pub fn is_airbytes(&self) -> bool {
        !self.body.is_empty()
    }
}

impl AirbyteError {
    /// Returns the cause for the log. docs/operations.md lists all causes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectionLost(_) => "connection_lost",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::InvalidResponse => "invalid_response",
        }
    }

    /// The status of an error response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(response) => Some(response.status),
            _ => None,
        }
    }

    /// Whether this error of an exchange means that Airbyte rejects the application's ID or secret: 401, 403, or a 400 that
    /// mentions the client (`Invalid client id or token`).
    #[must_use]
    pub fn rejects_client(&self) -> bool {
        match self {
            Self::Status(response) => match response.status {
                401 | 403 => true,
                400 => response.body.mentions(&["client"]),
                _ => false,
            },
            _ => false,
        }
    }

    /// The wait that the error response asks for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(response) => response.retry_after,
            _ => None,
        }
    }

    /// Converts the error of a request without a response.
    pub(super) fn from_request_error(error: reqwest::Error) -> Self {
        if !error.is_connect() {
            Self::ConnectionLost(error.into())
        } else if error.is_timeout() {
            Self::ConnectTimeout
        } else if let Some(tls) = tls_error(&error) {
            Self::Tls(tls.clone())
        } else {
            Self::Connect(error.into())
        }
    }
}

/// Returns the TLS error among the sources; `None` also for a connection that was lost during the handshake.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        let io: Option<&io::Error> = error.downcast_ref();
        source = match io.and_then(io::Error::get_ref) {
            // The source of an I/O error is not the error inside it, but that error's source.
            Some(inside) => Some(inside),
            None => error.source(),
        };
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
    }
    None
}
