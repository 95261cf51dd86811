//! HTTP client for servers on this machine.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// An error of a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The response was not complete in time.
    #[error("no response within {0:?}")]
    Timeout(Duration),
    /// The server could not be reached, or closed the connection.
    #[error("{0}")]
    Failed(String),
}

/// A client that keeps connections open. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Client(Connections<HttpConnector, Full<Bytes>>);

impl Client {
    pub(crate) fn new() -> Self {
        Self(Connections::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn call(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let exchange = async {
            let response = self
                .0
                .request(request)
                .await
                .map_err(|error| CallError::Failed(chain(&error)))?;
            let (head, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| CallError::Failed(chain(&error)))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or(Err(CallError::Timeout(timeout)))
    }

    /// Sends `GET url`.
    pub(crate) async fn get(
        &self,
        url: &str,
        timeout: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let request = Request::get(url)
            .body(Full::default())
            .map_err(|error| CallError::Failed(error.to_string()))?;
        self.call(request, timeout).await
    }
}

/// An error and its causes, because the client's own message names no cause.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
