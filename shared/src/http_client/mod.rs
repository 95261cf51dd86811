//! The HTTP client for Airbyte and for the AWS SDK.
//!
//! It has one TLS stack, rustls with ring, and Mozilla's root certificates are built in. Loading the system's certificates would
//! take 3 ms per cold start, and aws-lc-rs about 40 ms of CPU time before the first handshake.

pub mod preconnect;
pub mod timeouts;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustls::{ClientConfig, RootCertStore};

use preconnect::Preconnect;
use timeouts::{CONNECT_TIMEOUT, POOL_IDLE_TIMEOUT};

/// The user agent (RFC 9110, section 10.1.5), for the logs of Airbyte. The AWS SDK sends its own.
const USER_AGENT: &str = concat!("airbyte-embedded-functions/", env!("CARGO_PKG_VERSION"));

/// The maximum size of a response body. Airbyte and AWS send far less.
pub const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// Builds a client. It follows no redirects, because they would forward credentials to another host, and ignores the proxy
/// variables of the environment. If `preconnect` is given, it can open the client's first connection in advance.
///
/// # Errors
///
/// Fails only if the TLS stack cannot be initialized.
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
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only();
    if let Some(preconnect) = preconnect {
        client = client.connector_layer(preconnect);
    }
    Ok(client.build()?)
}

/// An error returned by [`read_body`].
#[derive(Debug)]
pub enum ReadError {
    /// The connection was lost before the end.
    ConnectionLost(reqwest::Error),
    /// The body is larger than [`MAX_RESPONSE_BYTES`].
    TooLarge,
}

/// Reads a response body of at most [`MAX_RESPONSE_BYTES`].
pub async fn read_body(mut response: reqwest::Response) -> Result<Bytes, ReadError> {
    let too_large = |size: usize| size > MAX_RESPONSE_BYTES;
    let announced = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(too_large) {
        return Err(ReadError::TooLarge);
    }
    let Some(first) = response.chunk().await.map_err(ReadError::ConnectionLost)? else {
        return Ok(Bytes::new());
    };
    // Most bodies arrive in one chunk, which needs no copy.
    let Some(second) = response.chunk().await.map_err(ReadError::ConnectionLost)? else {
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
        next = response.chunk().await.map_err(ReadError::ConnectionLost)?;
    }
    Ok(body.freeze())
}
