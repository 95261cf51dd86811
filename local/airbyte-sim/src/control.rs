//! The simulator's own HTTP API, for clients in other processes.
//!
//! | request | effect |
//! | --- | --- |
//! | `GET /_sim/health` | returns 200 as soon as the simulator serves |
//! | `GET /_sim/requests` | returns the request log: [exchanges](crate::Exchange), oldest first |
//! | `DELETE /_sim/requests` | clears the request log |
//! | `POST /_sim/faults` | injects a [fault](crate::Fault) |
//! | `DELETE /_sim/faults` | clears all injected faults |
//! | `GET /_sim/error-shapes` | returns the [error responses](crate::ErrorShape) that can be injected by name |
//! | `GET /_sim/sources` | returns the [sources](crate::Source), with their configurations as strings |
//! | `GET /_sim/workspaces` | returns the [workspaces](crate::Workspace) |
//! | `PUT /_sim/settings` | changes the settings in the body |
//! | `POST /_sim/revoke-scoped-tokens` | revokes every scoped token issued so far |
//! | `POST /_sim/revoke-application-tokens` | revokes every application token issued so far |
//!
//! A fault is `{"route": "sources", "times": 2, "skip": 1, "kind": …}`:
//!
//! - `route` is `any`, `application-token`, `widget-token`, `scoped-token`, `sources` or `templates`;
//! - `user` (default: any) limits the fault to requests whose bodies name this user, by `externalUserId` or `workspace_name`;
//! - `times` (default: all requests) and `skip` (default: 0) count requests;
//! - `kind` is `"reset-before-response"`, `"reset-mid-response"`, `"close-before-response"`, `"hang"`,
//!   `{"drip": {"bytes_per_tick": 1, "tick_ms": 100}}`, `{"delay": {"ms": 500}}`, `{"error": "invalid-client"}`,
//!   `{"respond": {"status": 503, "headers": [["retry-after", "1"]], "body": "text"}}`, or
//!   `{"respond-after-processing": …}` with the same object. `body_base64` instead of `body` takes any bytes.
//!
//! Settings are any of:
//!
//! ```json
//! {
//!   "organization_tokens": ["…"],
//!   "applications": [{"client_id": "…", "client_secret": "…"}],
//!   "scoped_token_lifetime_seconds": 60,
//!   "application_token_lifetime_seconds": 60,
//!   "generations": ["embedded", "agents"],
//!   "sources_bearer": "any",
//!   "workspace_creation_ms": 50
//! }
//! ```
//!
//! Bodies are JSON. An invalid one gets 400, 415 or 422 with a message, and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error_shape::ErrorShape;
use crate::fault::{CannedResponse, Fault, FaultKind, Route};
use crate::generation::Generation;
use crate::jwt::Key;
use crate::options::{Application, SourcesBearer};
use crate::request_log::Exchange;
use crate::source::Source;
use crate::state::{State, lock};
use crate::workspace::Workspace;

/// Whether a path belongs to this API.
pub(crate) fn is_for(path: &str) -> bool {
    path.starts_with("/_sim/")
}

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/_sim/health", get(async || Json(json!({"status": "ok"}))))
        .route("/_sim/requests", get(requests).delete(clear_requests))
        .route("/_sim/faults", post(inject_fault).delete(clear_faults))
        .route("/_sim/error-shapes", get(error_shapes))
        .route("/_sim/sources", get(sources))
        .route("/_sim/workspaces", get(workspaces))
        .route("/_sim/settings", put(change_settings))
        .route("/_sim/revoke-scoped-tokens", post(revoke_scoped_tokens))
        .route(
            "/_sim/revoke-application-tokens",
            post(revoke_application_tokens),
        )
}

async fn requests(extract::State(state): extract::State<Arc<State>>) -> Json<Vec<Value>> {
    Json(state.request_log.exchanges().iter().map(exchange).collect())
}

fn exchange(exchange: &Exchange) -> Value {
    let mut value = json!({
        "at": exchange.at,
        "connection": exchange.connection,
        "method": exchange.method,
        "path": exchange.path,
        "query": exchange.query,
        "headers": exchange.headers,
        "status": exchange.status,
        "outcome": exchange.outcome.to_string(),
    });
    match str::from_utf8(&exchange.body) {
        Ok(text) => value["body"] = text.into(),
        Err(_) => value["body_base64"] = STANDARD.encode(&exchange.body).into(),
    }
    value
}

async fn clear_requests(extract::State(state): extract::State<Arc<State>>) -> StatusCode {
    state.request_log.clear();
    StatusCode::NO_CONTENT
}

async fn inject_fault(
    extract::State(state): extract::State<Arc<State>>,
    Json(spec): Json<FaultSpec>,
) -> Result<StatusCode, (StatusCode, &'static str)> {
    let fault = spec
        .into_fault()
        .map_err(|message| (StatusCode::UNPROCESSABLE_ENTITY, message))?;
    lock(&state.faults).push(fault);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(extract::State(state): extract::State<Arc<State>>) -> StatusCode {
    lock(&state.faults).clear();
    StatusCode::NO_CONTENT
}

async fn error_shapes() -> Json<Vec<Value>> {
    let describe = |shape: ErrorShape| {
        let response = shape.response();
        json!({
            "name": shape.as_str(),
            "status": response.status,
            "body": String::from_utf8_lossy(&response.body),
        })
    };
    Json(ErrorShape::ALL.into_iter().map(describe).collect())
}

async fn sources(extract::State(state): extract::State<Arc<State>>) -> Json<Vec<Source>> {
    Json(lock(&state.sources).clone())
}

async fn workspaces(extract::State(state): extract::State<Arc<State>>) -> Json<Vec<Workspace>> {
    Json(state.workspaces())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsUpdate {
    organization_tokens: Option<Vec<String>>,
    applications: Option<Vec<Application>>,
    scoped_token_lifetime_seconds: Option<u64>,
    application_token_lifetime_seconds: Option<u64>,
    generations: Option<Vec<Generation>>,
    sources_bearer: Option<SourcesBearer>,
    workspace_creation_ms: Option<u64>,
}

async fn change_settings(
    extract::State(state): extract::State<Arc<State>>,
    Json(update): Json<SettingsUpdate>,
) -> StatusCode {
    let mut settings = lock(&state.settings);
    if let Some(tokens) = update.organization_tokens {
        settings.organization_tokens = tokens;
    }
    if let Some(applications) = update.applications {
        settings.applications = applications;
    }
    if let Some(seconds) = update.scoped_token_lifetime_seconds {
        settings.scoped_token_lifetime = Duration::from_secs(seconds);
    }
    if let Some(seconds) = update.application_token_lifetime_seconds {
        settings.application_token_lifetime = Duration::from_secs(seconds);
    }
    if let Some(generations) = update.generations {
        settings.generations = generations;
    }
    if let Some(bearer) = update.sources_bearer {
        settings.sources_bearer = bearer;
    }
    if let Some(milliseconds) = update.workspace_creation_ms {
        settings.workspace_creation_time = Duration::from_millis(milliseconds);
    }
    StatusCode::NO_CONTENT
}

async fn revoke_scoped_tokens(extract::State(state): extract::State<Arc<State>>) -> StatusCode {
    lock(&state.settings).scoped_token_key = Key::random();
    StatusCode::NO_CONTENT
}

async fn revoke_application_tokens(
    extract::State(state): extract::State<Arc<State>>,
) -> StatusCode {
    lock(&state.settings).application_token_key = Key::random();
    StatusCode::NO_CONTENT
}

/// A [`Fault`] in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultSpec {
    route: RouteSpec,
    user: Option<String>,
    times: Option<u32>,
    #[serde(default)]
    skip: u32,
    kind: KindSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RouteSpec {
    Any,
    ApplicationToken,
    WidgetToken,
    ScopedToken,
    Sources,
    Templates,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum KindSpec {
    Respond(ResponseSpec),
    Error(String),
    RespondAfterProcessing(ResponseSpec),
    ResetBeforeResponse,
    ResetMidResponse,
    CloseBeforeResponse,
    Hang,
    Drip { bytes_per_tick: usize, tick_ms: u64 },
    Delay { ms: u64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseSpec {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

impl FaultSpec {
    fn into_fault(self) -> Result<Fault, &'static str> {
        let route = match self.route {
            RouteSpec::Any => Route::Any,
            RouteSpec::ApplicationToken => Route::ApplicationToken,
            RouteSpec::WidgetToken => Route::WidgetToken,
            RouteSpec::ScopedToken => Route::ScopedToken,
            RouteSpec::Sources => Route::Sources,
            RouteSpec::Templates => Route::Templates,
        };
        let kind = match self.kind {
            KindSpec::Respond(response) => FaultKind::Respond(response.into_response()?),
            KindSpec::RespondAfterProcessing(response) => {
                FaultKind::RespondAfterProcessing(response.into_response()?)
            }
            KindSpec::Error(name) => ErrorShape::from_name(&name)
                .ok_or("Unknown error shape. GET /_sim/error-shapes lists them.")?
                .into(),
            KindSpec::ResetBeforeResponse => FaultKind::ResetBeforeResponse,
            KindSpec::ResetMidResponse => FaultKind::ResetMidResponse,
            KindSpec::CloseBeforeResponse => FaultKind::CloseBeforeResponse,
            KindSpec::Hang => FaultKind::Hang,
            KindSpec::Drip {
                bytes_per_tick,
                tick_ms,
            } => FaultKind::Drip {
                bytes_per_tick,
                tick: Duration::from_millis(tick_ms),
            },
            KindSpec::Delay { ms } => FaultKind::Delay(Duration::from_millis(ms)),
        };
        Ok(Fault {
            route,
            user: self.user,
            times: self.times,
            skip: self.skip,
            kind,
        })
    }
}

impl ResponseSpec {
    fn into_response(self) -> Result<CannedResponse, &'static str> {
        let body = match (self.body, self.body_base64) {
            (Some(_), Some(_)) => return Err("A response has `body` or `body_base64`, not both."),
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => STANDARD
                .decode(base64)
                .map_err(|_| "`body_base64` is not base64.")?,
            (None, None) => Vec::new(),
        };
        Ok(CannedResponse {
            status: self.status,
            headers: self.headers,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(spec: Value) -> Fault {
        serde_json::from_value::<FaultSpec>(spec)
            .unwrap()
            .into_fault()
            .unwrap()
    }

    #[test]
    fn parses_all_fault_kinds() {
        let response = CannedResponse::new(503).header("retry-after", "1");
        for (kind, expected) in [
            (
                json!("reset-before-response"),
                FaultKind::ResetBeforeResponse,
            ),
            (json!("reset-mid-response"), FaultKind::ResetMidResponse),
            (
                json!("close-before-response"),
                FaultKind::CloseBeforeResponse,
            ),
            (json!("hang"), FaultKind::Hang),
            (
                json!({"error": "html-forbidden"}),
                FaultKind::Respond(ErrorShape::HtmlForbidden.response()),
            ),
            (
                json!({"drip": {"bytes_per_tick": 3, "tick_ms": 20}}),
                FaultKind::Drip {
                    bytes_per_tick: 3,
                    tick: Duration::from_millis(20),
                },
            ),
            (
                json!({"delay": {"ms": 250}}),
                FaultKind::Delay(Duration::from_millis(250)),
            ),
            (
                json!({"respond": {"status": 503, "headers": [["retry-after", "1"]], "body": "no"}}),
                FaultKind::Respond(response.clone().body("no")),
            ),
            (
                json!({"respond-after-processing": {"status": 503, "headers": [["retry-after", "1"]], "body_base64": "/w=="}}),
                FaultKind::RespondAfterProcessing(response.body([0xff])),
            ),
        ] {
            assert_eq!(fault(json!({"route": "any", "kind": kind})).kind, expected);
        }
    }

    #[test]
    fn parses_all_routes() {
        for (name, expected) in [
            ("any", Route::Any),
            ("application-token", Route::ApplicationToken),
            ("widget-token", Route::WidgetToken),
            ("scoped-token", Route::ScopedToken),
            ("sources", Route::Sources),
            ("templates", Route::Templates),
        ] {
            assert_eq!(
                fault(json!({"route": name, "kind": "hang"})).route,
                expected
            );
        }
    }

    #[test]
    fn applies_to_all_requests_by_default() {
        let open_ended = fault(json!({"route": "any", "kind": "hang"}));
        assert_eq!((open_ended.times, open_ended.skip), (None, 0));
        assert_eq!(open_ended.user, None);

        let limited = fault(json!({"route": "any", "kind": "hang", "user": "bob"}));
        assert_eq!(limited.user.as_deref(), Some("bob"));

        let counted = fault(json!({"route": "any", "kind": "hang", "times": 2, "skip": 1}));
        assert_eq!((counted.times, counted.skip), (Some(2), 1));
    }

    #[test]
    fn rejects_invalid_faults() {
        for spec in [
            json!({"route": "nowhere", "kind": "hang"}),
            json!({"route": "any", "kind": "explode"}),
            json!({"route": "any", "kind": "hang", "time": 1}),
        ] {
            assert!(
                serde_json::from_value::<FaultSpec>(spec.clone()).is_err(),
                "{spec}"
            );
        }
        for response in [
            json!({"status": 200, "body": "", "body_base64": ""}),
            json!({"status": 200, "body_base64": "?"}),
        ] {
            let spec = json!({"route": "any", "kind": {"respond": response}});
            assert!(
                serde_json::from_value::<FaultSpec>(spec.clone())
                    .unwrap()
                    .into_fault()
                    .is_err(),
                "{spec}"
            );
        }
    }
}
