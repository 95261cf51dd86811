//! The HTTP server: accepts connections, and injects failures or responds.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::connection_script::{Action, ConnectionScript, wire_format};
use crate::fault::{CannedResponse, FaultKind};
use crate::generation::Generation;
use crate::request_log::{Entry, Exchange, Outcome};
use crate::state::{State, lock};
use crate::{api, clock, control, widget};

/// The maximum length of a request body.
const MAX_BODY_BYTES: usize = 16 << 20;

/// The delay after a failed accept, which is usually due to a lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// The time to retry binding a port that the simulator has just released.
const BIND_TIMEOUT: Duration = Duration::from_secs(5);
/// The delay between two attempts to bind.
const BIND_RETRY_DELAY: Duration = Duration::from_millis(5);

/// The number of connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A command to the running server.
pub(crate) enum Command {
    /// Closes every connection and refuses new ones.
    Refuse(oneshot::Sender<io::Result<()>>),
    /// Accepts connections again.
    Accept(oneshot::Sender<io::Result<()>>),
}

/// The socket that accepts connections.
enum Listener {
    Open(TcpListener),
    /// The port is bound, but not listened on: connections are refused.
    Closed(TcpSocket),
}

/// Serves until the task that runs this is aborted.
pub(crate) async fn run(
    state: Arc<State>,
    address: SocketAddr,
    listener: TcpListener,
    mut commands: mpsc::Receiver<Command>,
) {
    let router = router(&state);
    let mut socket = Listener::Open(listener);
    // Dropped with this future, it ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = next_connection(&socket) => {
                let number = state.connections.fetch_add(1, Ordering::Relaxed) + 1;
                connections.spawn(serve_connection(stream, number, Arc::clone(&state), router.clone()));
            }
            Some(command) = commands.recv() => {
                let (next, reply) = match command {
                    Command::Refuse(reply) => {
                        drop(socket);
                        connections.shutdown().await;
                        (reserve(address).await.map(Listener::Closed), reply)
                    }
                    Command::Accept(reply) => (open(socket), reply),
                };
                match next {
                    Ok(next) => socket = next,
                    // Another process bound the port: there is nothing left to serve.
                    Err(error) => {
                        let _ = reply.send(Err(error));
                        return;
                    }
                }
                let _ = reply.send(Ok(()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The routes of Airbyte's API, of the widget's page and of the control API.
fn router(state: &Arc<State>) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(control::routes())
        .merge(widget::routes())
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(state))
}

/// Listens on the reserved port. It is never released in between, because a new socket could conflict with a copy of the
/// old one in a process that is being started.
fn open(listener: Listener) -> io::Result<Listener> {
    match listener {
        Listener::Open(_) => Ok(listener),
        Listener::Closed(reserved) => reserved.listen(BACKLOG).map(Listener::Open),
    }
}

/// Binds the address without listening.
///
/// Retries, because a copy of the closed listener may live on for a moment in a process that is being started.
async fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let since = Instant::now();
    loop {
        match bind(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && since.elapsed() < BIND_TIMEOUT =>
            {
                tokio::time::sleep(BIND_RETRY_DELAY).await;
            }
            outcome => return outcome,
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn next_connection(listener: &Listener) -> TcpStream {
    match listener {
        Listener::Open(socket) => loop {
            match socket.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => tokio::time::sleep(ACCEPT_RETRY_DELAY).await,
            }
        },
        Listener::Closed(_) => std::future::pending().await,
    }
}

/// Serves one connection until either side closes it.
///
/// hyper reads requests and sends most responses. Where an injected failure is something that no HTTP server does, the
/// connection is taken from hyper, the [`ConnectionScript`] runs on the bare stream, and hyper gets the connection back
/// if it is still usable.
async fn serve_connection(mut stream: TcpStream, number: u64, state: Arc<State>, router: Router) {
    // A response in several writes would otherwise wait for the client's acknowledgements.
    let _ = stream.set_nodelay(true);
    loop {
        let (hand_over, mut scripts) = mpsc::channel(1);
        let service = service_fn(|request| {
            let server = Server {
                state: Arc::clone(&state),
                router: router.clone(),
                connection: number,
            };
            let hand_over = hand_over.clone();
            async move {
                match server.respond(request).await {
                    Reply::Response(response) => Ok::<_, Infallible>(response.map(Full::new)),
                    Reply::ConnectionScript(script) => {
                        let _ = hand_over.send(script).await;
                        // Never resolves: handing over the connection drops this future.
                        std::future::pending().await
                    }
                }
            }
        });
        let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let script = tokio::select! {
            _ = &mut connection => return,
            Some(script) = scripts.recv() => script,
        };
        let parts = connection.into_parts();
        // Pipelined requests are lost with hyper's buffer.
        let has_more = !parts.read_buf.is_empty();
        match script.run(parts.io.into_inner()).await {
            Some(open) if !has_more => stream = open,
            _ => return,
        }
    }
}

/// The service of one connection.
struct Server {
    state: Arc<State>,
    router: Router,
    connection: u64,
}

/// The reaction to a request.
enum Reply {
    Response(Response<Bytes>),
    ConnectionScript(ConnectionScript),
}

impl Server {
    async fn respond(self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY_BYTES)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
        else {
            return Reply::Response(plain(StatusCode::PAYLOAD_TOO_LARGE));
        };
        if control::is_for(parts.uri.path()) || widget::is_for(parts.uri.path()) {
            return Reply::Response(self.process(parts, body).await);
        }
        let entry = self
            .state
            .request_log
            .begin(exchange(&parts, &body, self.connection));
        let fault = lock(&self.state.faults).take(parts.method.as_str(), parts.uri.path(), &body);
        let keep_open = parts
            .headers
            .get(header::CONNECTION)
            .is_none_or(|value| value.as_bytes() != b"close");
        let act = match fault {
            None => return self.complete(entry, parts, body).await,
            Some(FaultKind::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                return self.complete(entry, parts, body).await;
            }
            Some(FaultKind::Respond(response)) => {
                entry.status(response.status);
                Action::Send(wire_format(response))
            }
            Some(FaultKind::RespondAfterProcessing(response)) => {
                self.process(parts, body).await;
                entry.status(response.status);
                Action::Send(wire_format(response))
            }
            Some(FaultKind::ResetMidResponse) => {
                let mut bytes = self.response_bytes(&entry, parts, body).await;
                bytes.truncate(bytes.len() / 2);
                Action::SendAndReset(bytes)
            }
            Some(FaultKind::Drip {
                bytes_per_tick,
                tick,
            }) => {
                let bytes = self.response_bytes(&entry, parts, body).await;
                Action::Drip {
                    bytes,
                    bytes_per_tick,
                    tick,
                }
            }
            Some(FaultKind::ResetBeforeResponse) => Action::SendAndReset(Vec::new()),
            Some(FaultKind::CloseBeforeResponse) => Action::Close,
            Some(FaultKind::Hang) => Action::Hang,
        };
        Reply::ConnectionScript(ConnectionScript {
            entry,
            act,
            keep_open,
        })
    }

    /// Processes the request and returns the response.
    async fn complete(self, entry: Entry, parts: Parts, body: Bytes) -> Reply {
        let response = self.process(parts, body).await;
        entry.status(response.status().as_u16());
        entry.end(Outcome::Completed);
        Reply::Response(response)
    }

    /// Processes the request and returns the response's bytes.
    async fn response_bytes(self, entry: &Entry, parts: Parts, body: Bytes) -> Vec<u8> {
        let (parts, body) = self.process(parts, body).await.into_parts();
        entry.status(parts.status.as_u16());
        wire_format(CannedResponse {
            status: parts.status.as_u16(),
            headers: header_strings(&parts.headers),
            body: body.into(),
        })
    }

    /// Processes the request, to the end even if the client closes the connection in between, as a real server does.
    async fn process(self, parts: Parts, body: Bytes) -> Response<Bytes> {
        let generation = Generation::of_path(parts.uri.path());
        if generation.is_some_and(|generation| !self.state.serves(generation)) {
            return collect(api::not_found()).await;
        }
        let request = Request::from_parts(parts, Body::from(body));
        let processing = tokio::spawn(async move {
            let Ok(response) = self.router.oneshot(request).await;
            collect(response).await
        });
        processing
            .await
            .unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

async fn collect(response: Response<Body>) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => Response::from_parts(parts, body.to_bytes()),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn exchange(parts: &Parts, body: &Bytes, connection: u64) -> Exchange {
    Exchange {
        at: clock::unix_milliseconds(),
        connection,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: header_strings(&parts.headers),
        body: body.to_vec(),
        status: None,
        outcome: Outcome::Pending,
    }
}

/// Returns names and values in order. Bytes that are not UTF-8 are replaced.
fn header_strings(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// Creates a response with a status alone.
fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn rebinds_port_despite_listener_copies() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let copy = listener.try_clone().unwrap();
        drop(listener);
        assert_eq!(
            bind(address).unwrap_err().kind(),
            io::ErrorKind::AddrInUse,
            "the copy is in the way"
        );
        // The copy is dropped after the first attempt.
        let (reserved, ()) = tokio::join!(reserve(address), async { drop(copy) });
        assert_eq!(reserved.unwrap().local_addr().unwrap(), address);
    }
}
