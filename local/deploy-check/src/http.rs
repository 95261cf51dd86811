//! Requests to services other than AWS.

use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;

/// The timeout of a request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Builds a client with this machine's proxies and root certificates, unlike the functions' client.
///
/// # Errors
/// If the TLS stack cannot be initialized.
pub(crate) fn client(redirects: Policy) -> reqwest::Result<Client> {
    // An error means that it is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .timeout(TIMEOUT)
        .redirect(redirects)
        .build()
}

/// Describes a request without a response. The text completes a sentence that begins with the URL.
pub(crate) fn failure(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "does not respond in time".to_owned()
    } else {
        format!("cannot be reached ({})", cause(error))
    }
}

/// Returns the innermost cause, because the others only say that there is one.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
