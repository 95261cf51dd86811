//! Secrets Manager as a function reaches it: moto, behind a server that logs requests and injects failures.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use airbyte_sim::{CannedResponse, FaultKind};
use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::moto;

/// A Secrets Manager of one test; it stops when dropped.
///
/// Its faults are those of the Airbyte simulator, so that one list serves both upstreams.
pub struct SecretsManager {
    address: SocketAddr,
    desk: Arc<Desk>,
    server: AbortHandle,
}

/// One call that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    /// The action, as in `secretsmanager.GetSecretValue`.
    pub target: String,
    /// The request's `authorization` header.
    pub authorization: String,
    /// The request's body.
    pub body: String,
}

#[derive(Default)]
struct Desk {
    calls: Mutex<Vec<Call>>,
    fault: Mutex<Option<InjectedFault>>,
}

struct InjectedFault {
    kind: FaultKind,
    /// How many calls it still hits; `None` for all.
    left: Option<u32>,
}

impl SecretsManager {
    /// Starts a Secrets Manager without faults.
    pub async fn start() -> SecretsManager {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let desk = Arc::new(Desk::default());
        let server = tokio::spawn(accept(listener, Arc::clone(&desk))).abort_handle();
        SecretsManager {
            address,
            desk,
            server,
        }
    }

    /// The base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Fails every call in this way until the fault is cleared.
    pub fn inject(&self, kind: FaultKind) {
        *self.desk.fault.lock().unwrap() = Some(InjectedFault { kind, left: None });
    }

    /// Fails the next `times` calls in this way.
    pub fn inject_times(&self, times: u32, kind: FaultKind) {
        *self.desk.fault.lock().unwrap() = Some(InjectedFault {
            kind,
            left: Some(times),
        });
    }

    /// Lets calls through again.
    pub fn clear_faults(&self) {
        *self.desk.fault.lock().unwrap() = None;
    }

    /// Every call so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Call> {
        self.desk.calls.lock().unwrap().clone()
    }

    /// How often the secret was asked for.
    #[must_use]
    pub fn reads(&self) -> usize {
        let calls = self.desk.calls.lock().unwrap();
        calls
            .iter()
            .filter(|call| call.target == "secretsmanager.GetSecretValue")
            .count()
    }

    /// The answer with which the real service refuses a call.
    #[must_use]
    pub fn refusal(status: u16, error: &str) -> FaultKind {
        let body = format!(r#"{{"__type":"{error}","Message":"injected failure"}}"#);
        FaultKind::Respond(
            CannedResponse::new(status)
                .header("content-type", "application/x-amz-json-1.1")
                .header("x-amzn-requestid", "00000000-0000-4000-8000-000000000000")
                .body(body),
        )
    }
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        connections.spawn(async move {
            // The client may end the connection at any time; that is no fault of the test.
            let _ = serve(stream, &desk).await;
        });
    }
}

async fn serve(mut stream: TcpStream, desk: &Desk) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(call) = read_call(&mut stream, &mut buffer).await? {
        desk.calls.lock().unwrap().push(call.clone());
        let fault = desk.take();
        match fault {
            None => stream.write_all(&forward(&call).await).await?,
            Some(FaultKind::Respond(answer)) => stream.write_all(&encode(&answer)).await?,
            Some(FaultKind::RespondAfterProcessing(answer)) => {
                forward(&call).await;
                stream.write_all(&encode(&answer)).await?;
            }
            // Without lingering, closing is a TCP reset.
            Some(FaultKind::ResetBeforeResponse) => return stream.set_zero_linger(),
            Some(FaultKind::ResetMidResponse) => {
                let answer = forward(&call).await;
                stream.write_all(&answer[..answer.len() / 2]).await?;
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
                for piece in forward(&call).await.chunks(bytes_per_tick) {
                    stream.write_all(piece).await?;
                    sleep(tick).await;
                }
            }
            Some(FaultKind::Delay(delay)) => {
                sleep(delay).await;
                stream.write_all(&forward(&call).await).await?;
            }
        }
    }
    Ok(())
}

impl Desk {
    fn take(&self) -> Option<FaultKind> {
        let mut fault = self.fault.lock().unwrap();
        let injected = fault.as_mut()?;
        match &mut injected.left {
            None => {}
            Some(0) => return None,
            Some(left) => *left -= 1,
        }
        Some(injected.kind.clone())
    }
}

/// Reads one request; `None` when the client has closed the connection.
async fn read_call(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Call>> {
    loop {
        if let Some((call, length)) = parse_call(buffer) {
            buffer.drain(..length);
            return Ok(Some(call));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// A request and its length in bytes, once it is there as a whole.
fn parse_call(bytes: &[u8]) -> Option<(Call, usize)> {
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
        Call {
            target: header("x-amz-target"),
            authorization: header("authorization"),
            body,
        },
        length,
    ))
}

/// moto's answer, as it goes over the wire.
async fn forward(call: &Call) -> Vec<u8> {
    let request = Request::post(moto::url())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", &call.target)
        .header("authorization", &call.authorization)
        .body(Bytes::from(call.body.clone()))
        .expect("a well-formed request");
    let response = moto::send(request).await;
    encode(
        &CannedResponse::new(response.status().as_u16())
            .header("content-type", "application/x-amz-json-1.1")
            .body(response.into_body().to_vec()),
    )
}

fn encode(answer: &CannedResponse) -> Vec<u8> {
    let length = ("content-length".to_owned(), answer.body.len().to_string());
    let knows_its_length = answer
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let headers = answer
        .headers
        .iter()
        .chain((!knows_its_length).then_some(&length));
    let headers: Vec<String> = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "HTTP/1.1 {} Injected\r\n{}\r\n",
        answer.status,
        headers.concat()
    );
    [head.as_bytes(), &answer.body].concat()
}
