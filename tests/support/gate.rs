//! A port that can be shut.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A loopback port in front of a server. Shut, it refuses connections as a machine does on which nothing listens.
pub struct Gate {
    address: SocketAddr,
    target: SocketAddr,
    /// Bound and never listening: keeps the port from being given to someone else while the gate is shut.
    _reservation: TcpSocket,
    open: Mutex<Option<JoinHandle<()>>>,
}

impl Gate {
    /// A shut gate in front of `url`, which names a loopback address and a port.
    #[must_use]
    pub fn shut(url: &str) -> Gate {
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
            open: Mutex::default(),
        }
    }

    /// The gate's own base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts connections from now on.
    pub fn open(&self) {
        let listener = bind(self.address).listen(64).expect("the reserved port");
        *self.open.lock().unwrap() = Some(tokio::spawn(forward(listener, self.target)));
    }

    /// Refuses connections from now on, and drops those that are open.
    pub async fn close(&self) {
        let task = self.open.lock().unwrap().take();
        if let Some(task) = task {
            task.abort();
            // Ends with the error that says "aborted"; the listener is closed then.
            let _ = task.await;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(task) = self.open.lock().unwrap().take() {
            task.abort();
        }
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

async fn forward(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(target).await {
                // Either side may end the connection in whatever way it likes.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
