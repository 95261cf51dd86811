//! Secrets Manager for one test: a proxy of moto that logs requests and injects failures.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use airbyte_sim::{CannedResponse, FaultKind};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::listener::{Tasks, listen, serve_connections};
use crate::moto;

/// A Secrets Manager; it stops when dropped.
///
/// Its failures are those of the Airbyte simulator, so that one list serves both upstreams.
pub struct SecretsManager {
    address: SocketAddr,
    state: Arc<State>,
    _server: Tasks,
}

/// A request to an AWS API.
#[derive(Clone, Debug)]
pub struct AwsRequest {
    /// The action, for example `secretsmanager.GetSecretValue`.
    pub target: String,
    /// The `authorization` header.
    pub authorization: String,
    /// The body.
    pub body: String,
}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<AwsRequest>>,
    fault: Mutex<Option<Fault>>,
}

struct Fault {
    kind: FaultKind,
    /// The number of requests that it still applies to; `None` for all.
    remaining: Option<u32>,
}

impl SecretsManager {
    /// Starts a Secrets Manager without failures.
    pub async fn start() -> SecretsManager {
        let (listener, address) = listen().await;
        let state = Arc::new(State::default());
        let server_state = Arc::clone(&state);
        let server = serve_connections(listener, move |stream| {
            let state = Arc::clone(&server_state);
            // The client may close the connection at any time.
            async move { drop(serve(stream, &state).await) }
        });
        SecretsManager {
            address,
            state,
            _server: server,
        }
    }

    /// Returns the base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Injects this failure into every request until it is cleared.
    pub fn inject(&self, kind: FaultKind) {
        *self.state.fault.lock().unwrap() = Some(Fault {
            kind,
            remaining: None,
        });
    }

    /// Injects this failure into the next `times` requests.
    pub fn inject_times(&self, times: u32, kind: FaultKind) {
        *self.state.fault.lock().unwrap() = Some(Fault {
            kind,
            remaining: Some(times),
        });
    }

    /// Clears the injected failure.
    pub fn clear_faults(&self) {
        *self.state.fault.lock().unwrap() = None;
    }

    /// Returns every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<AwsRequest> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Returns how often the secret was read.
    #[must_use]
    pub fn reads(&self) -> usize {
        let requests = self.state.requests.lock().unwrap();
        requests
            .iter()
            .filter(|request| request.target == "secretsmanager.GetSecretValue")
            .count()
    }

    /// Creates an error response of the real service.
    #[must_use]
    pub fn error(status: u16, error: &str) -> FaultKind {
        let body = format!(r#"{{"__type":"{error}","Message":"injected"}}"#);
        FaultKind::Respond(
            CannedResponse::new(status)
                .header("content-type", "application/x-amz-json-1.1")
                .header("x-amzn-requestid", "00000000-0000-4000-8000-000000000000")
                .body(body),
        )
    }
}

async fn serve(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        state.requests.lock().unwrap().push(request.clone());
        match state.take_fault() {
            None => stream.write_all(&forward(&request).await).await?,
            Some(FaultKind::Respond(response)) => stream.write_all(&encode(&response)).await?,
            Some(FaultKind::RespondAfterProcessing(response)) => {
                forward(&request).await;
                stream.write_all(&encode(&response)).await?;
            }
            // Without lingering, closing is a TCP reset.
            Some(FaultKind::ResetBeforeResponse) => return stream.set_zero_linger(),
            Some(FaultKind::ResetMidResponse) => {
                let response = forward(&request).await;
                stream.write_all(&response[..response.len() / 2]).await?;
                return stream.set_zero_linger();
            }
            Some(FaultKind::CloseBeforeResponse) => return Ok(()),
            Some(FaultKind::Hang) => {
                // Until the client gives up.
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            Some(FaultKind::Drip {
                bytes_per_tick,
                tick,
            }) => {
                for piece in forward(&request).await.chunks(bytes_per_tick) {
                    stream.write_all(piece).await?;
                    sleep(tick).await;
                }
            }
            Some(FaultKind::Delay(delay)) => {
                sleep(delay).await;
                stream.write_all(&forward(&request).await).await?;
            }
        }
    }
    Ok(())
}

impl State {
    fn take_fault(&self) -> Option<FaultKind> {
        let mut fault = self.fault.lock().unwrap();
        let fault = fault.as_mut()?;
        if let Some(remaining) = &mut fault.remaining {
            *remaining = remaining.checked_sub(1)?;
        }
        Some(fault.kind.clone())
    }
}

/// Reads one request. Returns `None` if the client has closed the connection.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<AwsRequest>> {
    loop {
        if let Some((request, length)) = parse_request(buffer) {
            buffer.drain(..length);
            return Ok(Some(request));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Parses a request and returns it with its length in bytes, or `None` if it is incomplete.
fn parse_request(bytes: &[u8]) -> Option<(AwsRequest, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).expect("a well-formed request")
    else {
        return None;
    };
    let header = |name: &str| {
        let found = request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found
            .map(|header| String::from_utf8_lossy(header.value).into_owned())
            .unwrap_or_default()
    };
    let length = head
        + header("content-length")
            .parse::<usize>()
            .unwrap_or_default();
    let body = String::from_utf8_lossy(bytes.get(head..length)?).into_owned();
    Some((
        AwsRequest {
            target: header("x-amz-target"),
            authorization: header("authorization"),
            body,
        },
        length,
    ))
}

/// Forwards a request to moto. Returns the bytes of the response.
async fn forward(request: &AwsRequest) -> Vec<u8> {
    let request = http::Request::post(moto::url())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", &request.target)
        .header("authorization", &request.authorization)
        .body(Bytes::from(request.body.clone()))
        .expect("a well-formed request");
    let response = moto::send(request).await;
    encode(
        &CannedResponse::new(response.status().as_u16())
            .header("content-type", "application/x-amz-json-1.1")
            .body(response.into_body().to_vec()),
    )
}

fn encode(response: &CannedResponse) -> Vec<u8> {
    let length = ("content-length".to_owned(), response.body.len().to_string());
    let has_length = response
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let headers = response
        .headers
        .iter()
        .chain((!has_length).then_some(&length));
    let headers: Vec<String> = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "HTTP/1.1 {} Injected\r\n{}\r\n",
        response.status,
        headers.concat()
    );
    [head.as_bytes(), &response.body].concat()
}
