//! Lambda's Runtime API for one function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::listener::{Tasks, listen, serve};

/// The trace ID that the Runtime API sends with every invocation.
pub(crate) const TRACE_ID: &str =
    "Root=1-65f0a3d0-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1";

/// A Runtime API; it stops when dropped.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    invocations: Arc<Invocations>,
    _server: Tasks,
}

/// The result of an invocation.
pub(crate) struct Returned {
    pub(crate) body: Bytes,
    /// The time from sending the event to receiving the response.
    pub(crate) elapsed: Duration,
    /// Whether it was sent to `…/error`, for which API Gateway returns a 500.
    pub(crate) is_error: bool,
}

/// An invocation in progress.
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) returned: oneshot::Receiver<Returned>,
    /// Completes when the function takes the event.
    pub(crate) taken: oneshot::Receiver<()>,
}

struct Invocations {
    queue: Mutex<VecDeque<Queued>>,
    queued: Notify,
    running: Mutex<HashMap<String, Running>>,
    /// The number of requests for an event.
    polls: watch::Sender<u64>,
    /// The bodies of `…/init/error`.
    init_errors: Mutex<Vec<Bytes>>,
}

struct Queued {
    request_id: String,
    event: String,
    timeout: Duration,
    returned: oneshot::Sender<Returned>,
    taken: oneshot::Sender<()>,
}

struct Running {
    started: Instant,
    returned: oneshot::Sender<Returned>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        let (listener, address) = listen().await;
        let invocations = Arc::new(Invocations {
            queue: Mutex::default(),
            queued: Notify::new(),
            running: Mutex::default(),
            polls: watch::channel(0).0,
            init_errors: Mutex::default(),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{request_id}/response",
                post(response),
            )
            .route(
                "/2018-06-01/runtime/invocation/{request_id}/error",
                post(error),
            )
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&invocations));
        RuntimeApi {
            address,
            invocations,
            _server: serve(listener, router),
        }
    }

    /// Returns the value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queues an event; the timeout starts when the function takes it.
    pub(crate) fn invoke(&self, event: String, timeout: Duration) -> Invocation {
        let request_id = Uuid::new_v4().to_string();
        let (returned_sender, returned) = oneshot::channel();
        let (taken_sender, taken) = oneshot::channel();
        self.invocations.queue.lock().unwrap().push_back(Queued {
            request_id: request_id.clone(),
            event,
            timeout,
            returned: returned_sender,
            taken: taken_sender,
        });
        self.invocations.queued.notify_one();
        Invocation {
            request_id,
            returned,
            taken,
        }
    }

    /// Watches the number of times that the function has requested an event.
    pub(crate) fn polls(&self) -> watch::Receiver<u64> {
        self.invocations.polls.subscribe()
    }

    /// Returns the errors that the function reported during init.
    pub(crate) fn init_errors(&self) -> Vec<String> {
        let errors = self.invocations.init_errors.lock().unwrap();
        errors
            .iter()
            .map(|body| String::from_utf8_lossy(body).into_owned())
            .collect()
    }
}

async fn next(State(invocations): State<Arc<Invocations>>) -> Response {
    invocations.polls.send_modify(|polls| *polls += 1);
    let next = loop {
        let queued = invocations.queued.notified();
        if let Some(next) = invocations.queue.lock().unwrap().pop_front() {
            break next;
        }
        queued.await;
    };
    let deadline = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock past 1970")
        + next.timeout;
    invocations.running.lock().unwrap().insert(
        next.request_id.clone(),
        Running {
            started: Instant::now(),
            returned: next.returned,
        },
    );
    // The receiver is gone if the test has dropped the invocation.
    let _ = next.taken.send(());
    (
        [
            ("lambda-runtime-aws-request-id", next.request_id),
            (
                "lambda-runtime-deadline-ms",
                deadline.as_millis().to_string(),
            ),
            (
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:test".to_owned(),
            ),
            ("lambda-runtime-trace-id", TRACE_ID.to_owned()),
            ("content-type", "application/json".to_owned()),
        ],
        next.event,
    )
        .into_response()
}

async fn response(
    State(invocations): State<Arc<Invocations>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> StatusCode {
    invocations.finish(&request_id, body, false)
}

async fn error(
    State(invocations): State<Arc<Invocations>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> StatusCode {
    invocations.finish(&request_id, body, true)
}

async fn init_error(State(invocations): State<Arc<Invocations>>, body: Bytes) -> StatusCode {
    invocations.init_errors.lock().unwrap().push(body);
    StatusCode::ACCEPTED
}

impl Invocations {
    fn finish(&self, request_id: &str, body: Bytes, is_error: bool) -> StatusCode {
        let Some(running) = self.running.lock().unwrap().remove(request_id) else {
            return StatusCode::GONE;
        };
        let returned = Returned {
            body,
            elapsed: running.started.elapsed(),
            is_error,
        };
        // The receiver is gone if the test has dropped the invocation.
        let _ = running.returned.send(returned);
        StatusCode::ACCEPTED
    }
}
