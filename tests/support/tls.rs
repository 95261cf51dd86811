//! `https` servers to which no client may connect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::listener::{Tasks, listen, serve_connections};

/// A server with broken TLS; it stops when dropped.
pub struct BrokenTls {
    address: SocketAddr,
    counts: Arc<Counts>,
    _server: Tasks,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl BrokenTls {
    /// Starts a server that responds in plain HTTP.
    pub async fn plain_text() -> BrokenTls {
        Self::start(None).await
    }

    /// Starts a server with a self-signed certificate for its address.
    pub async fn untrusted() -> BrokenTls {
        let certified =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])
                .expect("a certificate");
        let key =
            PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a private key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("a certificate that matches its key");
        Self::start(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(acceptor: Option<TlsAcceptor>) -> BrokenTls {
        let (listener, address) = listen().await;
        let counts = Arc::new(Counts::default());
        let server_counts = Arc::clone(&counts);
        let server = serve_connections(listener, move |stream| {
            serve(stream, acceptor.clone(), Arc::clone(&server_counts))
        });
        BrokenTls {
            address,
            counts,
            _server: server,
        }
    }

    /// Returns the `https` base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Returns the number of connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of connections on which the client sent data after the handshake.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, counts: Arc<Counts>) {
    counts.connections.fetch_add(1, Ordering::SeqCst);
    let Some(acceptor) = acceptor else {
        return respond_in_plain_text(stream).await;
    };
    if let Ok(mut stream) = acceptor.accept(stream).await
        && matches!(stream.read(&mut [0; 1]).await, Ok(1))
    {
        counts.requests.fetch_add(1, Ordering::SeqCst);
    }
}

async fn respond_in_plain_text(mut stream: TcpStream) {
    let mut hello = [0; 1024];
    // The client may close the connection at any step, once it sees that this is not TLS.
    if stream.read(&mut hello).await.is_ok() {
        let _ = stream
            .write_all(
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            )
            .await;
    }
}
