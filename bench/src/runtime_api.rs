//! Lambda's Runtime API, for one process.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::{Request, Response, Server};

/// Timeout of a function in the template.
const DEADLINE: Duration = Duration::from_secs(28);

/// A step of an invocation, with its time.
pub(crate) enum Report {
    /// The function requested an event.
    Polled(Instant),
    /// An event was sent to it.
    Sent(Instant),
    /// Its response was read completely.
    Responded(Instant, Vec<u8>),
    /// It reported an error instead of a response, or a failed start.
    Failed(String),
}

/// A Runtime API; it stops when dropped.
pub(crate) struct RuntimeApi {
    server: Server,
    events: Sender<Event>,
    reports: Receiver<Report>,
    invocations: u64,
}

struct Event {
    request_id: String,
    body: Vec<u8>,
}

impl RuntimeApi {
    pub(crate) fn start() -> io::Result<Self> {
        let (events, waiting) = mpsc::channel();
        let (reporter, reports) = mpsc::channel();
        let waiting = Mutex::new(waiting);
        let server = Server::start(move |request| serve(request, &waiting, &reporter))?;
        Ok(Self {
            server,
            events,
            reports,
            invocations: 0,
        })
    }

    /// Returns the value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Sends an event as soon as the function requests one.
    pub(crate) fn send(&mut self, event: &[u8]) {
        self.invocations += 1;
        let event = Event {
            request_id: format!("00000000-0000-4000-8000-{:012}", self.invocations),
            body: event.to_vec(),
        };
        // The server owns the receiver and lives as long as `self`.
        let _ = self.events.send(event);
    }

    /// Waits for the next report, up to the timeout.
    pub(crate) fn report(&self, timeout: Duration) -> Option<Report> {
        self.reports.recv_timeout(timeout).ok()
    }
}

fn serve(
    request: &Request,
    waiting: &Mutex<Receiver<Event>>,
    reporter: &Sender<Report>,
) -> Option<Response> {
    let arrived = Instant::now();
    // The receiver is gone once the function is being stopped.
    let report = |report| drop(reporter.send(report));
    let text = || String::from_utf8_lossy(&request.body).into_owned();
    let path = request.path.strip_prefix("/2018-06-01/runtime/")?;
    match (request.method.as_str(), path) {
        ("GET", "invocation/next") => {
            report(Report::Polled(arrived));
            let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let event = waiting.recv().ok()?;
            let response = next(event);
            report(Report::Sent(Instant::now()));
            return Some(response);
        }
        ("POST", path) if path.ends_with("/response") => {
            report(Report::Responded(arrived, request.body.clone()));
        }
        ("POST", _) => report(Report::Failed(text())),
        _ => return None,
    }
    Some(Response::json(202, r#"{"status":"OK"}"#))
}

fn next(event: Event) -> Response {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Response {
        status: 200,
        headers: vec![
            ("lambda-runtime-aws-request-id", event.request_id),
            (
                "lambda-runtime-deadline-ms",
                (now + DEADLINE).as_millis().to_string(),
            ),
            (
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:bench".to_owned(),
            ),
            (
                "lambda-runtime-trace-id",
                "Root=1-65f0a3d0-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=0"
                    .to_owned(),
            ),
        ],
        body: event.body,
    }
}
