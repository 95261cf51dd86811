//! Plain HTTP calls to what runs on this machine.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There was no whole answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The other side could not be reached, or went away.
    #[error("{0}")]
    Failed(String),
}

/// Keeps connections for the calls to come. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Client(Connections<HttpConnector, Full<Bytes>>);

impl Client {
    pub(crate) fn new() -> Self {
        Self(Connections::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn call(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let exchange = async {
            let answer = self
                .0
                .request(request)
                .await
                .map_err(|error| CallError::Failed(chain(&error)))?;
            let (head, body) = answer.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| CallError::Failed(chain(&error)))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .unwrap_or(Err(CallError::TimedOut(timeout)))
    }

    /// `GET url`.
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

/// An error and its causes: the client's own text says no more than that the request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
