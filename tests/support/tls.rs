//! Servers behind an `https` address with which no connection may come about.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A listener that breaks TLS; it stops when dropped.
pub struct BrokenTls {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    server: AbortHandle,
}

#[derive(Clone)]
enum Kind {
    PlainText,
    Untrusted(TlsAcceptor),
}

impl BrokenTls {
    /// Answers the client's hello with plain HTTP.
    pub async fn plain_text() -> BrokenTls {
        Self::start(Kind::PlainText).await
    }

    /// Speaks TLS with a certificate for its own address that nobody vouches for.
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
            .expect("a certificate that fits its key");
        Self::start(Kind::Untrusted(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(kind: Kind) -> BrokenTls {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let server = tokio::spawn(accept(
            listener,
            kind,
            Arc::clone(&connections),
            Arc::clone(&requests),
        ));
        BrokenTls {
            address,
            connections,
            requests,
            server: server.abort_handle(),
        }
    }

    /// The `https` base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many connections were opened.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// On how many of them anything was sent after the handshake.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for BrokenTls {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(
    listener: TcpListener,
    kind: Kind,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
) {
    let mut served = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        let requests = Arc::clone(&requests);
        match kind.clone() {
            Kind::PlainText => served.spawn(plain_text(stream)),
            Kind::Untrusted(acceptor) => served.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                if matches!(stream.read(&mut [0; 1]).await, Ok(1)) {
                    requests.fetch_add(1, Ordering::SeqCst);
                }
            }),
        };
    }
}

async fn plain_text(mut stream: TcpStream) {
    let mut hello = [0; 1024];
    // The client hangs up when it sees that this is not TLS, at whichever of these steps.
    if stream.read(&mut hello).await.is_ok() {
        let _ = stream
            .write_all(
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            )
            .await;
    }
}
