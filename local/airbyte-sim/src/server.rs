//! Connections: accepting them, and deciding what becomes of each request.

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
use crate::request_log::{Entry, Exchange, Outcome};
use crate::state::{State, lock};
use crate::{api, clock, control, widget};

/// The longest request body that is read, in bytes.
const LONGEST_BODY: usize = 16 << 20;

/// How long to wait before accepting again when no connection can be accepted, for want of file descriptors usually.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// How long to try to bind a port that was ours until now, and how long to wait in between.
const BIND_FOR: Duration = Duration::from_secs(5);
const BIND_AGAIN: Duration = Duration::from_millis(5);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What the server can be told while it runs.
pub(crate) enum Command {
    /// To end every connection and refuse new ones.
    Refuse(oneshot::Sender<io::Result<()>>),
    /// To accept connections again.
    Accept(oneshot::Sender<io::Result<()>>),
}

/// Where connections come in.
enum Listener {
    Open(TcpListener),
    /// The port is kept from others, but nobody listens on it: connections are refused.
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
    let mut door = Listener::Open(listener);
    // Dropped with this future, it ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = next_connection(&door) => {
                let number = state.connections.fetch_add(1, Ordering::Relaxed) + 1;
                connections.spawn(serve_connection(stream, number, Arc::clone(&state), router.clone()));
            }
            Some(command) = commands.recv() => {
                let (next, reply) = match command {
                    Command::Refuse(reply) => {
                        drop(door);
                        connections.shutdown().await;
                        (reserve(address).await.map(Listener::Closed), reply)
                    }
                    Command::Accept(reply) => (open(door), reply),
                };
                match next {
                    Ok(next) => door = next,
                    // Another process took the port: there is nothing left to serve.
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

/// Everything that is served, Airbyte's own and the stand-in's.
fn router(state: &Arc<State>) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(control::routes())
        .merge(widget::routes())
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(state))
}

/// The port is never let go of in between: a socket that is bound anew could meet a copy of the old one, in a process that
/// is just being started.
fn open(door: Listener) -> io::Result<Listener> {
    match door {
        Listener::Open(_) => Ok(door),
        Listener::Closed(reserved) => reserved.listen(BACKLOG).map(Listener::Open),
    }
}

/// A socket that is bound to the address and does not listen.
///
/// A listener that was let go of may live on for a moment: as a copy in a process that is just being started.
async fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let since = Instant::now();
    loop {
        match bind(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && since.elapsed() < BIND_FOR =>
            {
                tokio::time::sleep(BIND_AGAIN).await;
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

async fn next_connection(door: &Listener) -> TcpStream {
    match door {
        Listener::Open(listener) => loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            }
        },
        Listener::Closed(_) => std::future::pending().await,
    }
}

/// Answers on one connection until either side ends it.
///
/// Requests are read and most are answered by hyper. Where an order asks for what no HTTP server does on purpose, the
/// connection is taken from hyper, the [`ConnectionScript`] is carried out on the bare stream, and if that left the connection in
/// a good state hyper gets it back.
async fn serve_connection(mut stream: TcpStream, number: u64, state: Arc<State>, router: Router) {
    // An answer in several writes would otherwise wait for the client's acknowledgements.
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
                    Reply::Response(answer) => Ok::<_, Infallible>(answer.map(Full::new)),
                    Reply::ConnectionScript(script) => {
                        let _ = hand_over.send(script).await;
                        // Never resolved: what hands over the connection drops this future.
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
        // What a client sent ahead of the answer is lost with hyper's buffer.
        let has_more = !parts.read_buf.is_empty();
        match script.run(parts.io.into_inner()).await {
            Some(open) if !has_more => stream = open,
            _ => return,
        }
    }
}

/// What answers the requests of one connection.
struct Server {
    state: Arc<State>,
    router: Router,
    connection: u64,
}

/// What becomes of a request.
enum Reply {
    Response(Response<Bytes>),
    ConnectionScript(ConnectionScript),
}

impl Server {
    async fn respond(self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, LONGEST_BODY)
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
        let fault = lock(&self.state.faults).take(parts.method.as_str(), parts.uri.path());
        let keep_open = parts
            .headers
            .get(header::CONNECTION)
            .is_none_or(|value| value.as_bytes() != b"close");
        let act = match fault {
            None => return self.answer(entry, parts, body).await,
            Some(FaultKind::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                return self.answer(entry, parts, body).await;
            }
            Some(FaultKind::Respond(answer)) => {
                entry.status(answer.status);
                Action::Send(wire_format(answer))
            }
            Some(FaultKind::RespondAfterProcessing(answer)) => {
                self.process(parts, body).await;
                entry.status(answer.status);
                Action::Send(wire_format(answer))
            }
            Some(FaultKind::ResetMidResponse) => {
                let mut bytes = self.answer_bytes(&entry, parts, body).await;
                bytes.truncate(bytes.len() / 2);
                Action::SendAndReset(bytes)
            }
            Some(FaultKind::Drip {
                bytes_per_tick,
                tick,
            }) => {
                let bytes = self.answer_bytes(&entry, parts, body).await;
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

    /// The real answer, sent as usual.
    async fn answer(self, entry: Entry, parts: Parts, body: Bytes) -> Reply {
        let answer = self.process(parts, body).await;
        entry.status(answer.status().as_u16());
        entry.end(Outcome::Completed);
        Reply::Response(answer)
    }

    /// The bytes of the real answer.
    async fn answer_bytes(self, entry: &Entry, parts: Parts, body: Bytes) -> Vec<u8> {
        let (parts, body) = self.process(parts, body).await.into_parts();
        entry.status(parts.status.as_u16());
        wire_format(CannedResponse {
            status: parts.status.as_u16(),
            headers: header_texts(&parts.headers),
            body: body.into(),
        })
    }

    /// Carries the request out.
    async fn process(self, parts: Parts, body: Bytes) -> Response<Bytes> {
        let Ok(answer) = self
            .router
            .oneshot(Request::from_parts(parts, Body::from(body)))
            .await;
        let (parts, body) = answer.into_parts();
        match body.collect().await {
            Ok(body) => Response::from_parts(parts, body.to_bytes()),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

fn exchange(parts: &Parts, body: &Bytes, connection: u64) -> Exchange {
    Exchange {
        at: clock::unix_milliseconds(),
        connection,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: header_texts(&parts.headers),
        body: body.to_vec(),
        status: None,
        outcome: Outcome::Pending,
    }
}

/// Names and values in order; bytes that are not UTF-8 are replaced.
fn header_texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// An answer that is a status and nothing else.
fn plain(status: StatusCode) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_port_is_kept_though_a_copy_of_its_listener_lives_a_little_longer() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let copy = listener.try_clone().unwrap();
        drop(listener);
        assert_eq!(
            bind(address).unwrap_err().kind(),
            io::ErrorKind::AddrInUse,
            "the copy is in the way"
        );
        // The copy goes once the port has been tried for.
        let (reserved, ()) = tokio::join!(reserve(address), async { drop(copy) });
        assert_eq!(reserved.unwrap().local_addr().unwrap(), address);
    }
}
