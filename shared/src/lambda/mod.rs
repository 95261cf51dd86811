//! The loop of the Lambda runtime: it converts events to requests and responses to results, and catches panics.
//!
//! An invalid event or request results in a problem, not in a failed invocation. So does a panic.

pub mod event;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::http::StatusCode;
use lambda_http::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _, Response};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::invocation::Invocation;
use crate::outcome::Outcome;
use crate::problem::Problem;
use crate::telemetry::{self, RequestRecord};

/// A function's route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The name in logs, as in `POST /token`.
    pub name: &'static str,
    /// The outcome of a request that succeeds.
    pub success: Outcome,
}

/// Returns a response with a body that is JSON.
#[must_use]
pub fn json_response(status: StatusCode, json: String) -> Response<String> {
    let mut response = Response::new(json);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Handles invocations, one after the other, until Lambda ends the process.
pub async fn serve<H>(route: Route, handler: H) -> ExitCode
where
    H: AsyncFn(&Request, &Invocation) -> Result<Response<String>, Problem>,
{
    let (route, handler) = (&route, &handler);
    let is_cold = &AtomicBool::new(true);
    let service = service_fn(async move |event: LambdaEvent<Box<RawValue>>| {
        let cold_start = is_cold.swap(false, Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(respond(route, handler, event, cold_start).await)
    });
    match lambda_runtime::Runtime::new(service).run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "failed to reach the Lambda runtime API");
            ExitCode::FAILURE
        }
    }
}

/// Handles one event and logs the request.
async fn respond<H>(
    route: &Route,
    handler: &H,
    event: LambdaEvent<Box<RawValue>>,
    cold_start: bool,
) -> ApiGatewayV2httpResponse
where
    H: AsyncFn(&Request, &Invocation) -> Result<Response<String>, Problem>,
{
    let context = event.context;
    let deadline = context.deadline();
    let invocation = Invocation::new(context.request_id, context.xray_trace_id, deadline);
    let request = event::parse(&event.payload);
    let result = match &request {
        Ok(request) => AssertUnwindSafe(handler(request, &invocation))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Problem::internal("panic"))),
        Err(error) => Err(Problem::from(*error)),
    };
    let (response, outcome, cause) = match result {
        Ok(response) if invocation.is_replay() => (response, Outcome::SourceReplayed, None),
        Ok(response) => (response, route.success, None),
        Err(problem) => (
            problem.to_response(&invocation.request_id),
            Outcome::Problem(problem.problem_type()),
            problem.cause(),
        ),
    };
    telemetry::log_request(&RequestRecord {
        route: route.name,
        outcome,
        status: response.status().as_u16(),
        cause,
        cold_start,
        api_request_id: request.as_ref().ok().and_then(api_request_id),
        invocation: &invocation,
    });
    to_event(response)
}

/// Returns API Gateway's ID of the request, which is also in its access log.
fn api_request_id(request: &Request) -> Option<&str> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.request_id.as_deref(),
        _ => None,
    }
}

/// Converts a response to payload format 2.0.
///
/// No response may be cached, because all contain tokens or depend on the caller. There are no CORS headers, because API
/// Gateway adds its own and drops a function's.
fn to_event(response: Response<String>) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let mut event = ApiGatewayV2httpResponse::default();
    event.status_code = parts.status.as_u16().into();
    event.headers = parts.headers;
    event
        .headers
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    event.body = Some(Body::Text(body));
    event
}
