//! From a Lambda event to an HTTP answer, whatever the handler does.
//!
//! A client's mistake never becomes a failed invocation, and a panic never reaches the wire as anything but a problem.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;

use crate::event::{Event, HttpEvent};
use crate::invocation::Invocation;
use crate::problem::{Kind, Problem};
use crate::telemetry;

/// A handler's success.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// What was done.
    pub outcome: Outcome,
}

/// What a request came to, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A user-scoped token was minted.
    TokenMinted,
    /// A source was created.
    SourceCreated,
    /// The request ended in a problem.
    Problem(Kind),
}

/// Answers invocations, one after the other, until Lambda ends the process.
///
/// `route` is for the log, as in `POST /token`.
pub async fn serve<H>(route: &'static str, handler: H) -> ExitCode
where
    H: AsyncFn(&HttpEvent, &Invocation) -> Result<Answer, Problem>,
{
    let handler = &handler;
    let cold = &AtomicBool::new(true);
    let run = lambda_runtime::Runtime::new(service_fn(async move |event: LambdaEvent<Event>| {
        let cold_start = cold.swap(false, Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(answer(route, handler, event, cold_start).await)
    }));
    match run.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the Lambda runtime API cannot be reached");
            ExitCode::FAILURE
        }
    }
}

async fn answer<H>(
    route: &'static str,
    handler: &H,
    event: LambdaEvent<Event>,
    cold_start: bool,
) -> HttpResponse
where
    H: AsyncFn(&HttpEvent, &Invocation) -> Result<Answer, Problem>,
{
    let context = event.context;
    let deadline = context.deadline();
    let invocation = Invocation::new(context.request_id, context.xray_trace_id, deadline);
    let result = match &event.payload.0 {
        Ok(event) => AssertUnwindSafe(handler(event, &invocation))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Problem::internal())),
        Err(error) => Err(Problem::from(*error)),
    };
    let api_request_id = event
        .payload
        .0
        .as_ref()
        .ok()
        .and_then(|event| event.request_context.request_id.as_deref());
    let (response, outcome) = match result {
        Ok(answer) => (
            HttpResponse::json(answer.status, answer.body),
            answer.outcome,
        ),
        Err(problem) => (
            HttpResponse::problem(&problem, &invocation.request_id),
            Outcome::Problem(problem.kind()),
        ),
    };
    telemetry::request(&telemetry::Request {
        route,
        outcome,
        status: response.status_code,
        cold_start,
        api_request_id,
        invocation: &invocation,
    });
    response
}

/// An HTTP answer in payload format 2.0.
///
/// No CORS headers: API Gateway adds its own and drops what a function sends.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpResponse {
    status_code: u16,
    headers: ResponseHeaders,
    body: String,
    is_base64_encoded: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct ResponseHeaders {
    content_type: &'static str,
    cache_control: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    www_authenticate: Option<&'static str>,
}

impl HttpResponse {
    fn json(status: u16, body: String) -> Self {
        Self::new(status, "application/json", body)
    }

    fn problem(problem: &Problem, request_id: &str) -> Self {
        let mut response = Self::new(
            problem.kind().status(),
            "application/problem+json",
            problem.to_json(request_id),
        );
        response.headers.retry_after = problem.retry_after().map(|seconds| seconds.to_string());
        // RFC 9110, section 15.5.2: a 401 must say how to authenticate (RFC 6750, section 3).
        response.headers.www_authenticate = match problem.kind() {
            Kind::Unauthenticated => Some("Bearer"),
            Kind::TokenExpired => Some("Bearer error=\"invalid_token\""),
            _ => None,
        };
        response
    }

    /// Answers hold tokens or depend on who asks: nothing may be kept by anybody.
    fn new(status_code: u16, content_type: &'static str, body: String) -> Self {
        Self {
            status_code,
            headers: ResponseHeaders {
                content_type,
                cache_control: "no-store",
                retry_after: None,
                www_authenticate: None,
            },
            body,
            is_base64_encoded: false,
        }
    }
}
