//! A small blocking HTTP/1.1 server: enough for the Lambda runtime and the clients inside of the functions, and light, so
//! that it is not measured along with them.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// A request, read whole.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer in JSON.
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
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }
}

impl Response {
    /// Without headers of its own.
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
    /// Serves each connection on a thread of its own; a connection ends when there is no answer.
    pub(crate) fn start(
        answer: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
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
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                // A connection that breaks is the client's to notice.
                thread::spawn(move || serve(stream, &*answer));
            }
        });
        Ok(server)
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts. Where that fails, it is not waiting any more.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Request) -> Option<Response>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    while let Some(request) = read(&mut stream, &mut received)? {
        let Some(response) = answer(&request) else {
            return Ok(());
        };
        stream.write_all(&response.encode())?;
    }
    Ok(())
}

/// Reads one request; `None` when the client has closed the connection.
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

/// A request and its length in bytes, once it is there as a whole. Bodies have to come with their length.
fn parse(received: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
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
        return Err(invalid("a body without its length".to_owned()));
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
