//! A small blocking HTTP/1.1 server: enough for the Lambda runtime and for the functions' HTTP clients, and cheap, so that
//! its own cost does not distort the measurements.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// A complete request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A response with a JSON body.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// A server on loopback; it stops accepting when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
}

impl Request {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }
}

impl Response {
    /// Creates a response without additional headers.
    pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            // Writing to a string cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

impl Server {
    /// Serves each connection on its own thread. The connection is closed when the handler returns `None`.
    pub(crate) fn start(
        handler: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let server = Self {
            address: listener.local_addr()?,
            connections: Arc::default(),
            stopping: Arc::default(),
        };
        let (connections, stopping) = (
            Arc::clone(&server.connections),
            Arc::clone(&server.stopping),
        );
        let handler = Arc::new(handler);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                let handler = Arc::clone(&handler);
                // An I/O error is ignored here, because the client sees it too.
                thread::spawn(move || serve(stream, &*handler));
            }
        });
        Ok(server)
    }

    /// Returns the address that it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of accepted connections.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread. An error means that it has already ended.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, handler: &dyn Fn(&Request) -> Option<Response>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    while let Some(request) = read(&mut stream, &mut received)? {
        let Some(response) = handler(&request) else {
            return Ok(());
        };
        stream.write_all(&response.encode())?;
    }
    Ok(())
}

/// Reads one request. Returns `None` if the client has closed the connection.
fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some((request, length)) = parse(received)? {
            received.drain(..length);
            return Ok(Some(request));
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            length => received.extend_from_slice(&chunk[..length]),
        }
    }
}

/// Parses a request and returns it with its length in bytes, or `None` if it is incomplete. A body requires
/// `content-length`.
fn parse(received: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(received) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(invalid(error.to_string())),
    };
    let headers = parsed.headers.iter();
    let headers = headers.map(|header| {
        (
            header.name.to_owned(),
            String::from_utf8_lossy(header.value).into_owned(),
        )
    });
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    if request.header("transfer-encoding").is_some() {
        return Err(invalid("transfer-encoding is not supported".to_owned()));
    }
    let length = request
        .header("content-length")
        .map_or(Ok(0), str::parse::<usize>)
        .map_err(|error| invalid(error.to_string()))?;
    let end = head + length;
    let Some(body) = received.get(head..end) else {
        return Ok(None);
    };
    request.body = body.to_vec();
    Ok(Some((request, end)))
}
