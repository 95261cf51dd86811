//! A port that can be closed.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpSocket, TcpStream};

use crate::listener::{Tasks, serve_connections};

/// A loopback port that forwards to a server. Closed, it refuses connections like a port that nothing listens on.
pub struct Gate {
    address: SocketAddr,
    target: SocketAddr,
    /// Bound, but never listening: reserves the port while the gate is closed.
    _reservation: TcpSocket,
    forwarder: Mutex<Tasks>,
}

impl Gate {
    /// Creates a closed gate in front of `url`, which is `http://ADDRESS:PORT`.
    #[must_use]
    pub fn closed(url: &str) -> Gate {
        let target = url
            .strip_prefix("http://")
            .and_then(|address| address.parse().ok());
        let target = target.unwrap_or_else(|| panic!("{url} is not http://ADDRESS:PORT"));
        let reservation = bind("127.0.0.1:0".parse().expect("an address"));
        let address = reservation
            .local_addr()
            .expect("a bound socket has an address");
        Gate {
            address,
            target,
            _reservation: reservation,
            forwarder: Mutex::default(),
        }
    }

    /// Creates an open gate in front of `url`, which is `http://ADDRESS:PORT`.
    #[must_use]
    pub fn opened(url: &str) -> Gate {
        let gate = Gate::closed(url);
        gate.open();
        gate
    }

    /// Returns the gate's base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts connections.
    pub fn open(&self) {
        let listener = bind(self.address).listen(64).expect("the reserved port");
        let target = self.target;
        *self.forwarder.lock().unwrap() =
            serve_connections(listener, move |stream| forward(stream, target));
    }

    /// Refuses connections, and drops open ones.
    pub async fn close(&self) {
        let mut forwarder = std::mem::take(&mut *self.forwarder.lock().unwrap());
        forwarder.shutdown().await;
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("a port can be shared");
    socket
        .set_reuseaddr(true)
        .expect("an address can be used again");
    socket.bind(address).expect("a free port");
    socket
}

async fn forward(mut client: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        // Either side may end the connection at any time.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
