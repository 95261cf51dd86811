//! A connection that is opened before the first request needs it.
//!
//! Opening a connection takes several round trips (DNS, TCP, TLS), which can overlap with reading the secret. reqwest opens
//! connections for requests only. So a request is started, and dropped as soon as it has asked the connector for a
//! connection. Nothing of it is sent, and the first real request uses the connection.

use std::any::Any;
use std::future::{Future, pending};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use super::timeouts::{CONNECT_TIMEOUT, POOL_IDLE_TIMEOUT};

/// A connector layer that can open one connection of its client in advance.
#[derive(Debug, Clone, Default)]
pub struct Preconnect(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    /// The next connection that the client asks for will be opened and kept.
    Armed,
    /// The connection is open or being opened: an `Opening<C>`. It is boxed, because reqwest does not export the type `C`.
    Taken(Box<dyn Any + Send>),
}

/// The task that opens the connection. It returns the connection and the time when it was ready; `None` if opening failed.
type Opening<C> = JoinHandle<Option<(C, SystemTime)>>;

impl Preconnect {
    /// Starts to open a connection of `client` to `url`, without waiting for it. Errors are ignored, because the first request
    /// then opens its own connection.
    pub fn open(&self, client: &reqwest::Client, url: &Url) {
        *self.slot() = Slot::Armed;
        // The first poll already asks for a connection.
        let _ = client.get(url.clone()).send().now_or_never();
        let mut slot = self.slot();
        if matches!(*slot, Slot::Armed) {
            *slot = Slot::Empty;
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Layer<S> for Preconnect {
    type Service = PreconnectService<S>;

    fn layer(&self, connector: S) -> Self::Service {
        PreconnectService {
            connector,
            preconnect: self.clone(),
        }
    }
}

/// A connector that returns the connection that was opened in advance, and opens all others itself.
#[derive(Debug, Clone)]
pub struct PreconnectService<S> {
    connector: S,
    preconnect: Preconnect,
}

impl<S, R> Service<R> for PreconnectService<S>
where
    S: Service<R>,
    S::Response: Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.connector.call(request);
        let mut slot = self.preconnect.slot();
        match mem::take(&mut *slot) {
            Slot::Empty => Box::pin(connecting),
            Slot::Armed => {
                let opening: Opening<S::Response> = tokio::spawn(async move {
                    let connection = timeout(CONNECT_TIMEOUT, connecting).await.ok()?.ok()?;
                    Some((connection, SystemTime::now()))
                });
                *slot = Slot::Taken(Box::new(opening));
                Box::pin(pending())
            }
            Slot::Taken(opening) => Box::pin(async move {
                if let Ok(opening) = opening.downcast::<Opening<S::Response>>()
                    && let Ok(Some((connection, since))) = opening.await
                    && since.elapsed().is_ok_and(|age| age < POOL_IDLE_TIMEOUT)
                {
                    return Ok(connection);
                }
                connecting.await
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    async fn respond_to_one(connection: &mut TcpStream) -> String {
        let mut request = vec![0; 4096];
        let length = connection.read(&mut request).await.unwrap();
        connection
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8(request[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn first_request_uses_preopened_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let preconnect = Preconnect::default();
        let client = http_client::build(Some(preconnect.clone())).unwrap();

        preconnect.open(&client, &url);
        let (mut connection, _) = listener.accept().await.unwrap();
        let request = client.post(url.join("real").unwrap()).send();
        let (response, request) = tokio::join!(request, respond_to_one(&mut connection));
        assert_eq!(response.unwrap().status(), 204);
        assert!(
            request.starts_with("POST /real "),
            "nothing was sent before: {request}"
        );

        let (response, _) = tokio::join!(client.get(url).send(), respond_to_one(&mut connection));
        assert_eq!(
            response.unwrap().status(),
            204,
            "the connection stays in the pool"
        );
    }

    #[tokio::test]
    async fn opens_connection_if_preconnect_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        drop(listener);
        let preconnect = Preconnect::default();
        let client = http_client::build(Some(preconnect.clone())).unwrap();
        preconnect.open(&client, &url);
        let error = client.get(url.clone()).send().await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");

        let listener = TcpListener::bind(address).await.unwrap();
        let server = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            respond_to_one(&mut connection).await
        };
        let (response, _) = tokio::join!(client.get(url).send(), server);
        assert_eq!(response.unwrap().status(), 204);
    }
}
