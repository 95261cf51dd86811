//! Lambda's Runtime API, as a function sees it.
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
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// The trace id that the Runtime API hands out with every invocation.
pub(crate) const TRACE_ID: &str =
    "Root=1-65f0a3d0-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1";

/// A Runtime API for one process; it stops when dropped.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    desk: Arc<Desk>,
    server: AbortHandle,
}

/// What a function gave back for one invocation.
pub(crate) struct Returned {
    pub(crate) body: Bytes,
    /// From handing the event out to having read the answer.
    pub(crate) took: Duration,
    /// Whether it came by `…/error`, which API Gateway turns into a 500 of its own.
    pub(crate) failed: bool,
}

/// An invocation that waits for its answer.
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) returned: oneshot::Receiver<Returned>,
    /// Tells when the function took the event.
    pub(crate) handed_out: oneshot::Receiver<()>,
}

struct Desk {
    queue: Mutex<VecDeque<Pending>>,
    queued: Notify,
    open: Mutex<HashMap<String, Open>>,
    /// How often the function has asked for an event.
    polls: watch::Sender<u64>,
    /// Bodies of `…/init/error`.
    init_errors: Mutex<Vec<Bytes>>,
}

struct Pending {
    request_id: String,
    event: String,
    deadline: Duration,
    returned: oneshot::Sender<Returned>,
    handed_out: oneshot::Sender<()>,
}

struct Open {
    since: Instant,
    returned: oneshot::Sender<Returned>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let desk = Arc::new(Desk {
            queue: Mutex::default(),
            queued: Notify::new(),
            open: Mutex::default(),
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
            .with_state(Arc::clone(&desk));
        let server =
            tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        RuntimeApi {
            address,
            desk,
            server,
        }
    }

    /// What belongs into `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queues an event; its deadline counts from when the function takes it.
    pub(crate) fn invoke(&self, event: String, deadline: Duration) -> Invocation {
        let request_id = Uuid::new_v4().to_string();
        let (returned_sender, returned) = oneshot::channel();
        let (handed_out_sender, handed_out) = oneshot::channel();
        self.desk.queue.lock().unwrap().push_back(Pending {
            request_id: request_id.clone(),
            event,
            deadline,
            returned: returned_sender,
            handed_out: handed_out_sender,
        });
        self.desk.queued.notify_one();
        Invocation {
            request_id,
            returned,
            handed_out,
        }
    }

    /// How often the function has asked for an event, and news of it.
    pub(crate) fn polls(&self) -> watch::Receiver<u64> {
        self.desk.polls.subscribe()
    }

    /// What the function reported of a start that failed.
    pub(crate) fn init_errors(&self) -> Vec<String> {
        let errors = self.desk.init_errors.lock().unwrap();
        errors
            .iter()
            .map(|body| String::from_utf8_lossy(body).into_owned())
            .collect()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(desk): State<Arc<Desk>>) -> Response {
    desk.polls.send_modify(|polls| *polls += 1);
    let pending = loop {
        let queued = desk.queued.notified();
        if let Some(pending) = desk.queue.lock().unwrap().pop_front() {
            break pending;
        }
        queued.await;
    };
    let deadline = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock past 1970")
        + pending.deadline;
    desk.open.lock().unwrap().insert(
        pending.request_id.clone(),
        Open {
            since: Instant::now(),
            returned: pending.returned,
        },
    );
    // Nobody listens any more if the test has given the invocation up.
    let _ = pending.handed_out.send(());
    (
        [
            ("lambda-runtime-aws-request-id", pending.request_id),
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
        pending.event,
    )
        .into_response()
}

async fn response(
    State(desk): State<Arc<Desk>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> StatusCode {
    desk.close(&request_id, body, false)
}

async fn error(
    State(desk): State<Arc<Desk>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> StatusCode {
    desk.close(&request_id, body, true)
}

async fn init_error(State(desk): State<Arc<Desk>>, _headers: HeaderMap, body: Bytes) -> StatusCode {
    desk.init_errors.lock().unwrap().push(body);
    StatusCode::ACCEPTED
}

impl Desk {
    fn close(&self, request_id: &str, body: Bytes, failed: bool) -> StatusCode {
        let Some(open) = self.open.lock().unwrap().remove(request_id) else {
            return StatusCode::GONE;
        };
        let returned = Returned {
            body,
            took: open.since.elapsed(),
            failed,
        };
        // Nobody listens any more if the test has given the invocation up.
        let _ = open.returned.send(returned);
        StatusCode::ACCEPTED
    }
}
