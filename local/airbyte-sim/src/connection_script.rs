//! Injected failures on a bare connection, where no HTTP server would do it on purpose.

use std::io;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fault::CannedResponse;
use crate::request_log::{Entry, Outcome};

/// What to do with a connection instead of responding as usual.
pub(crate) struct ConnectionScript {
    pub(crate) entry: Entry,
    pub(crate) act: Action,
    /// Whether the client keeps the connection open after a whole response.
    pub(crate) keep_open: bool,
}

pub(crate) enum Action {
    Send(Vec<u8>),
    Drip {
        bytes: Vec<u8>,
        bytes_per_tick: usize,
        tick: Duration,
    },
    SendAndReset(Vec<u8>),
    Close,
    Hang,
}

impl ConnectionScript {
    /// Runs the action. Returns the connection if it can be used for another request.
    pub(crate) async fn run(self, mut stream: TcpStream) -> Option<TcpStream> {
        let Self {
            entry,
            act,
            keep_open,
        } = self;
        let sent = match act {
            Action::Send(bytes) => {
                entry.end(Outcome::Completed);
                stream.write_all(&bytes).await
            }
            Action::Drip {
                bytes,
                bytes_per_tick,
                tick,
            } => drip(&mut stream, &entry, &bytes, bytes_per_tick, tick).await,
            Action::SendAndReset(bytes) => {
                entry.end(Outcome::Reset);
                // Without a time to linger, closing the socket resets the connection.
                let _ = stream
                    .write_all(&bytes)
                    .await
                    .and_then(|()| stream.set_zero_linger());
                return None;
            }
            Action::Close => {
                entry.end(Outcome::Closed);
                return None;
            }
            Action::Hang => {
                client_gone(&mut stream).await;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        };
        if sent.is_err() {
            entry.end(Outcome::Abandoned);
            return None;
        }
        keep_open.then_some(stream)
    }
}

/// Sends `bytes` a few at a time, until the client closes the connection.
async fn drip(
    stream: &mut TcpStream,
    entry: &Entry,
    bytes: &[u8],
    bytes_per_tick: usize,
    tick: Duration,
) -> io::Result<()> {
    let mut chunks = bytes.chunks(bytes_per_tick.max(1)).peekable();
    while let Some(chunk) = chunks.next() {
        if chunks.peek().is_none() {
            entry.end(Outcome::Completed);
            return stream.write_all(chunk).await;
        }
        stream.write_all(chunk).await?;
        tokio::select! {
            () = tokio::time::sleep(tick) => {}
            () = client_gone(stream) => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
    Ok(())
}

/// Waits until the client closes the connection. Discards what it sends until then.
async fn client_gone(stream: &mut TcpStream) {
    let mut discarded = [0; 1024];
    while matches!(stream.read(&mut discarded).await, Ok(read) if read > 0) {}
}

/// Encodes a response in HTTP/1.1.
pub(crate) fn wire_format(response: CannedResponse) -> Vec<u8> {
    let reason = StatusCode::from_u16(response.status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut head = vec![format!(
        "HTTP/1.1 {} {}",
        response.status,
        reason.unwrap_or_default()
    )];
    head.extend(
        response
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    let has_framing = response.headers.iter().any(|(name, _)| {
        name.eq_ignore_ascii_case("content-length")
            || name.eq_ignore_ascii_case("transfer-encoding")
    });
    let has_body = !matches!(response.status, 100..=199 | 204 | 304);
    if has_body && !has_framing {
        head.push(format!("content-length: {}", response.body.len()));
    }
    let mut bytes = head.join("\r\n").into_bytes();
    bytes.extend(b"\r\n\r\n");
    if has_body {
        bytes.extend(response.body);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: CannedResponse) -> String {
        String::from_utf8(wire_format(response)).unwrap()
    }

    #[test]
    fn adds_missing_content_length() {
        assert_eq!(
            text(
                CannedResponse::new(200)
                    .header("content-type", "text/html")
                    .body("<p>")
            ),
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 3\r\n\r\n<p>"
        );
        assert_eq!(
            text(CannedResponse::new(500)),
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(
            text(CannedResponse::new(799)),
            "HTTP/1.1 799 \r\ncontent-length: 0\r\n\r\n"
        );
    }

    #[test]
    fn keeps_explicit_framing() {
        assert_eq!(
            text(
                CannedResponse::new(200)
                    .header("Content-Length", "9")
                    .body("abc")
            ),
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
        );
        assert_eq!(
            text(
                CannedResponse::new(200)
                    .header("Transfer-Encoding", "chunked")
                    .body("1\r\na\r\n")
            ),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
        );
    }

    #[test]
    fn omits_body_where_status_forbids_it() {
        assert_eq!(
            text(CannedResponse::new(204).body("abc")),
            "HTTP/1.1 204 No Content\r\n\r\n"
        );
    }
}
