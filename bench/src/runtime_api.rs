//! Lambda's Runtime API, for one process.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::{Request, Response, Server};

/// The function timeout of the template.
const DEADLINE: Duration = Duration::from_secs(28);

/// What the process does, and when.
pub(crate) enum Report {
    /// It asks for an event.
    Polled(Instant),
    /// It was given one.
    HandedOut(Instant),
    /// Its answer has been read whole.
    Answered(Instant, Vec<u8>),
    /// It reports an error instead of an answer, or that it cannot start.
    Failed(String),
}

/// The API; it stops when dropped.
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

    /// What belongs into `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Hands out an event as soon as the process asks for one.
    pub(crate) fn hand_out(&mut self, event: &[u8]) {
        self.invocations += 1;
        let event = Event {
            request_id: format!("00000000-0000-4000-8000-{:012}", self.invocations),
            body: event.to_vec(),
        };
        // The receiver is the server's, which lives as long as this.
        let _ = self.events.send(event);
    }

    /// The next report, if there is one in time.
    pub(crate) fn report(&self, patience: Duration) -> Option<Report> {
        self.reports.recv_timeout(patience).ok()
    }
}

fn serve(
    request: &Request,
    waiting: &Mutex<Receiver<Event>>,
    reporter: &Sender<Report>,
) -> Option<Response> {
    let arrived = Instant::now();
    // Nobody listens any more once the process is being ended.
    let report = |report| drop(reporter.send(report));
    let text = || String::from_utf8_lossy(&request.body).into_owned();
    let path = request.path.strip_prefix("/2018-06-01/runtime/")?;
    match (request.method.as_str(), path) {
        ("GET", "invocation/next") => {
            report(Report::Polled(arrived));
            let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let event = waiting.recv().ok()?;
            let response = next(event);
            report(Report::HandedOut(Instant::now()));
            return Some(response);
        }
        ("POST", path) if path.ends_with("/response") => {
            report(Report::Answered(arrived, request.body.clone()));
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
