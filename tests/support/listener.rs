//! Loopback servers that stop when they are dropped.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Tasks that are aborted when this is dropped.
pub(crate) type Tasks = JoinSet<()>;

/// Listens on a free loopback port.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    (listener, address)
}

/// Starts a task.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Tasks {
    let mut tasks = Tasks::new();
    tasks.spawn(task);
    tasks
}

/// Serves an axum router.
pub(crate) fn serve(listener: TcpListener, router: axum::Router) -> Tasks {
    // An axum server only ends when it is aborted.
    spawn(async move { drop(axum::serve(listener, router).await) })
}

/// Serves each connection in its own task.
pub(crate) fn serve_connections<F>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    spawn(async move {
        let mut connections = Tasks::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    })
}
