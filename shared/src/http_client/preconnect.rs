//! A connection opened before the first request needs it.
//!
//! Opening one takes round trips (DNS, TCP, TLS) that can pass while the secret is being read. reqwest opens connections
//! for requests only, so a request is begun, and given up as soon as it has asked for its connection: nothing of it is
//! sent, and the connection waits for the first real one.

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

/// Opens one connection ahead, for the client that this is the connector layer of.
#[derive(Debug, Clone, Default)]
pub struct Preconnect(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    /// The next connection that is asked for is to be opened and kept.
    Armed,
    /// It is being opened, or open: an `Opening<C>`, whose `C` reqwest does not name.
    Taken(Box<dyn Any + Send>),
}

/// The connection and when it was ready, unless that failed.
type Opening<C> = JoinHandle<Option<(C, SystemTime)>>;

impl Preconnect {
    /// Begins to open a connection of `client` to `url`. Nothing waits for it, and if it fails nothing is said: the first
    /// request opens its own then.
    pub fn open(&self, client: &reqwest::Client, url: &Url) {
        *self.slot() = Slot::Armed;
        // One poll is enough for it to ask for a connection.
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

/// A connector that hands out the connection that was opened ahead, and opens all others itself.
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
    async fn the_first_request_uses_the_connection_that_was_opened_ahead() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let preconnect = Preconnect::default();
        let client = http_client::build(Some(preconnect.clone())).unwrap();

        preconnect.open(&client, &url);
        let (mut connection, _) = listener.accept().await.unwrap();
        let request = client.post(url.join("real").unwrap()).send();
        let (answer, request) = tokio::join!(request, respond_to_one(&mut connection));
        assert_eq!(answer.unwrap().status(), 204);
        assert!(
            request.starts_with("POST /real "),
            "nothing was sent before: {request}"
        );

        let (answer, _) = tokio::join!(client.get(url).send(), respond_to_one(&mut connection));
        assert_eq!(
            answer.unwrap().status(),
            204,
            "and it is kept like any other"
        );
    }

    #[tokio::test]
    async fn where_none_could_be_opened_ahead_the_first_request_opens_its_own() {
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
        let (answer, _) = tokio::join!(client.get(url).send(), server);
        assert_eq!(answer.unwrap().status(), 204);
    }
}
