//! `/api/v1/integrations/templates/sources`: the source templates, in both generations.
//!
//! The generations share the path of one template; the list's path has a trailing slash in `embedded` only.

use std::sync::Arc;

use axum::Json;
use axum::extract::{self, Path};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{agents, authenticate, embedded, not_found, toggle_slash};
use crate::generation::Generation;
use crate::state::State;
use crate::template::Template;

/// Lists the templates in the `agents` generation, those with all (`tags_mode=any`: any) of the `tags`.
pub(super) async fn list(
    extract::State(state): extract::State<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if !state.serves(Generation::Agents) {
        return if state.serves(Generation::Embedded) {
            toggle_slash(uri).await
        } else {
            not_found()
        };
    }
    if let Err(response) = agents::authorize(&state, &headers) {
        return response;
    }
    let mut tags = Vec::new();
    let mut all = true;
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match (&*name, &*value) {
            ("tags", tag) => tags.push(tag.to_owned()),
            ("tags_mode", "all") => all = true,
            ("tags_mode", "any") => all = false,
            ("tags_mode", _) => return agents::invalid_tags_mode(&value),
            _ => {}
        }
    }
    let templates: Vec<Value> = state
        .templates
        .iter()
        .filter(|template| template.is_selected(&tags, all))
        .map(Template::summary)
        .collect();
    Json(json!({"data": templates})).into_response()
}

/// Lists the templates in the `embedded` generation.
pub(super) async fn list_embedded(
    extract::State(state): extract::State<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if !state.serves(Generation::Embedded) {
        return if state.serves(Generation::Agents) {
            toggle_slash(uri).await
        } else {
            not_found()
        };
    }
    if authenticate(&state, &headers).is_none() {
        return embedded::unauthorized();
    }
    let templates: Vec<Value> = state
        .templates
        .iter()
        .filter(|template| template.is_in(Generation::Embedded))
        .map(Template::embedded)
        .collect();
    Json(json!({"data": templates})).into_response()
}

/// Shows one template, with the members of every generation that is served.
pub(super) async fn show(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let (embedded, agents) = (
        state.serves(Generation::Embedded),
        state.serves(Generation::Agents),
    );
    if !embedded && !agents {
        return not_found();
    }
    let authorized = if embedded {
        authenticate(&state, &headers)
            .map(drop)
            .ok_or_else(embedded::unauthorized)
    } else {
        agents::authorize(&state, &headers).map(drop)
    };
    if let Err(response) = authorized {
        return response;
    }
    let template = Uuid::try_parse(&id)
        .ok()
        .and_then(|id| state.template(id))
        .filter(|template| agents || template.is_in(Generation::Embedded));
    let Some(template) = template else {
        return if embedded {
            embedded::unknown_template()
        } else {
            agents::not_found("Source template not found")
        };
    };
    let mut description = json!({});
    for part in [
        agents.then(|| template.details()),
        embedded.then(|| template.embedded()),
    ] {
        if let (Some(whole), Some(Value::Object(part))) = (description.as_object_mut(), part) {
            whole.extend(part);
        }
    }
    Json(description).into_response()
}
