//! The stand-in's own HTTP interface, for what is not in the same process.
//!
//! | request | effect |
//! | --- | --- |
//! | `GET /_sim/health` | 200 as soon as it serves |
//! | `GET /_sim/requests` | the [exchanges](crate::Exchange), oldest first |
//! | `DELETE /_sim/requests` | clears the log |
//! | `POST /_sim/faults` | injects a [fault](crate::Fault) |
//! | `DELETE /_sim/faults` | clears all injected failures |
//! | `GET /_sim/sources` | the [sources](crate::Source) with their configurations as they were received, as text |
//! | `PUT /_sim/settings` | changes what it names, see below |
//! | `POST /_sim/revoke-scoped-tokens` | answers 401 to every scoped token issued so far |
//! | `POST /_sim/revoke-application-tokens` | answers 401 to every application token issued so far |
//!
//! A fault is `{"route": "sources", "times": 2, "skip": 1, "kind": …}`, where
//!
//! - `route` is `any`, `application-token`, `widget-token`, `sources` or `templates`;
//! - `times` (all requests if left out) and `skip` (0) count requests;
//! - `kind` is `"reset-before-response"`, `"reset-mid-response"`, `"close-before-response"`, `"hang"`,
//!   `{"drip": {"bytes_per_tick": 1, "tick_ms": 100}}`, `{"delay": {"ms": 500}}`,
//!   `{"respond": {"status": 503, "headers": [["retry-after", "1"]], "body": "text"}}`, or the same as
//!   `{"respond-after-processing": …}`; `body_base64` in place of `body` takes any bytes.
//!
//! Settings are any of `{"organization_tokens": ["…"], "applications": [{"client_id": "…", "client_secret": "…"}],
//! "scoped_token_lifetime_seconds": 60, "application_token_lifetime_seconds": 60}`.
//!
//! Bodies are JSON. What cannot be understood is answered with 400, 415 or 422 and a sentence, and changes nothing.

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

use crate::fault::{CannedResponse, Fault, FaultKind, Route};
use crate::jwt::Key;
use crate::options::Application;
use crate::request_log::Exchange;
use crate::source::Source;
use crate::state::{State, lock};

/// Whether a path belongs to this interface.
pub(crate) fn is_for(path: &str) -> bool {
    path.starts_with("/_sim/")
}

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/_sim/health", get(async || Json(json!({"status": "ok"}))))
        .route("/_sim/requests", get(requests).delete(clear_requests))
        .route("/_sim/faults", post(inject_fault).delete(clear_faults))
        .route("/_sim/sources", get(sources))
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
        .map_err(|problem| (StatusCode::UNPROCESSABLE_ENTITY, problem))?;
    lock(&state.faults).push(fault);
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(extract::State(state): extract::State<Arc<State>>) -> StatusCode {
    lock(&state.faults).clear();
    StatusCode::NO_CONTENT
}

async fn sources(extract::State(state): extract::State<Arc<State>>) -> Json<Vec<Value>> {
    Json(lock(&state.sources).iter().map(source).collect())
}

fn source(source: &Source) -> Value {
    json!({
        "id": source.id,
        "name": source.name,
        "workspace_id": source.workspace_id,
        "source_config_template_id": source.source_config_template_id,
        "external_user_id": source.external_user_id,
        "connection_configuration": source.connection_configuration,
        "created_at": source.created_at,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    organization_tokens: Option<Vec<String>>,
    applications: Option<Vec<Application>>,
    scoped_token_lifetime_seconds: Option<u64>,
    application_token_lifetime_seconds: Option<u64>,
}

async fn change_settings(
    extract::State(state): extract::State<Arc<State>>,
    Json(changes): Json<Changes>,
) -> StatusCode {
    let mut settings = lock(&state.settings);
    if let Some(tokens) = changes.organization_tokens {
        settings.organization_tokens = tokens;
    }
    if let Some(applications) = changes.applications {
        settings.applications = applications;
    }
    if let Some(seconds) = changes.scoped_token_lifetime_seconds {
        settings.scoped_token_lifetime = Duration::from_secs(seconds);
    }
    if let Some(seconds) = changes.application_token_lifetime_seconds {
        settings.application_token_lifetime = Duration::from_secs(seconds);
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

/// A [`Fault`] as it is written in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultSpec {
    route: RouteSpec,
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
    Sources,
    Templates,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum KindSpec {
    Respond(ResponseSpec),
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
            RouteSpec::Sources => Route::Sources,
            RouteSpec::Templates => Route::Templates,
        };
        let kind = match self.kind {
            KindSpec::Respond(response) => FaultKind::Respond(response.into_response()?),
            KindSpec::RespondAfterProcessing(response) => {
                FaultKind::RespondAfterProcessing(response.into_response()?)
            }
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
    fn every_kind_of_fault_can_be_written_in_json() {
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
    fn every_route_can_be_written_in_json() {
        for (name, expected) in [
            ("any", Route::Any),
            ("application-token", Route::ApplicationToken),
            ("widget-token", Route::WidgetToken),
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
    fn an_order_is_for_every_request_unless_it_says_otherwise() {
        let open_ended = fault(json!({"route": "any", "kind": "hang"}));
        assert_eq!((open_ended.times, open_ended.skip), (None, 0));

        let counted = fault(json!({"route": "any", "kind": "hang", "times": 2, "skip": 1}));
        assert_eq!((counted.times, counted.skip), (Some(2), 1));
    }

    #[test]
    fn an_order_that_is_not_understood_is_refused() {
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
