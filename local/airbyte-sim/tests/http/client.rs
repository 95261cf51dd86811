//! An HTTP client that exposes the bytes of a connection and how it ended.

use std::collections::BTreeMap;
use std::io;

use airbyte_sim::Airbyte;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request that can be sent.
#[derive(Clone)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the bearer token.
    pub(crate) fn bearer(mut self, token: &str) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Sends it on a new connection, and requires a whole response.
    pub(crate) async fn send(&self, airbyte: &Airbyte) -> Reply {
        let received = self
            .clone()
            .header("connection", "close")
            .receive(airbyte)
            .await;
        assert!(
            received.end.is_ok(),
            "the connection ended in {:?}",
            received.end
        );
        Reply::parse(&received.bytes)
    }

    /// Sends it on a new connection, and returns the response's status.
    pub(crate) async fn status(&self, airbyte: &Airbyte) -> u16 {
        self.send(airbyte).await.status
    }

    /// Sends it on a new connection, and returns everything until the connection ends.
    pub(crate) async fn receive(&self, airbyte: &Airbyte) -> Received {
        let mut connection = Connection::open(airbyte).await.unwrap();
        connection.write(self).await;
        connection.read_to_end().await
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = vec![
            format!("{} {} HTTP/1.1", self.method, self.path),
            "host: airbyte.test".to_owned(),
        ];
        head.extend(
            self.headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        head.push(format!("content-length: {}\r\n\r\n", self.body.len()));
        [head.join("\r\n").into_bytes(), self.body.clone()].concat()
    }
}

/// What was received on a connection.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    /// How it ended: closed, or with an error.
    pub(crate) end: Result<(), io::ErrorKind>,
}

/// A connection that stays open between requests.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn open(airbyte: &Airbyte) -> io::Result<Self> {
        let address = airbyte.url().trim_start_matches("http://").to_owned();
        TcpStream::connect(address).await.map(Self)
    }

    pub(crate) async fn write(&mut self, request: &Request) {
        self.write_bytes(&request.bytes()).await;
    }

    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends a request and reads the response.
    pub(crate) async fn send(&mut self, request: &Request) -> Reply {
        self.write(request).await;
        self.read_reply().await
    }

    /// Reads one response, of the length in `content-length`.
    pub(crate) async fn read_reply(&mut self) -> Reply {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(self.0.read_u8().await.unwrap());
        }
        let mut reply = Reply::parse(&bytes);
        let mut body = vec![0; reply.headers["content-length"].parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        reply.body = body;
        reply
    }

    pub(crate) async fn read_to_end(&mut self) -> Received {
        let mut bytes = Vec::new();
        let end = self
            .0
            .read_to_end(&mut bytes)
            .await
            .map(drop)
            .map_err(|error| error.kind());
        Received { bytes, end }
    }

    /// Reads once; returns nothing if the connection has ended.
    pub(crate) async fn read_some(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 16];
        let read = self.0.read(&mut bytes).await.unwrap();
        bytes.truncate(read);
        bytes
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a whole head");
        let head = str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}
