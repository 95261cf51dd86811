//! `/api/v1/integrations/`: source templates, and the sources that users make from them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{self, Path};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Fields;
use super::{bearer_token, errors};
use crate::clock;
use crate::source::Source;
use crate::state::{Principal, State, lock};
use crate::template::Template;

pub(crate) async fn list_templates(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
) -> Response {
    if bearer(&state, &headers).is_none() {
        return unauthorized();
    }
    let templates: Vec<Value> = state.templates.iter().map(Template::description).collect();
    Json(json!({"data": templates})).into_response()
}

pub(crate) async fn get_template(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if bearer(&state, &headers).is_none() {
        return unauthorized();
    }
    let template = Uuid::try_parse(&id).ok().and_then(|id| state.template(id));
    template.map_or_else(unknown_template, |template| {
        Json(template.description()).into_response()
    })
}

/// The sources of the user's own workspace.
pub(crate) async fn list_sources(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
) -> Response {
    let workspace = match end_user(&state, &headers) {
        Ok((workspace, _)) => workspace,
        Err(refusal) => return refusal.into_response(),
    };
    let sources = lock(&state.sources);
    let own: Vec<&Source> = sources
        .iter()
        .filter(|source| source.workspace_id == workspace)
        .collect();
    Json(json!({"data": own})).into_response()
}

pub(crate) async fn create_source(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (own_workspace, external_user_id) = match end_user(&state, &headers) {
        Ok(end_user) => end_user,
        Err(refusal) => return refusal.into_response(),
    };
    let mut fields = match Fields::read(&headers, &body) {
        Ok(fields) => fields,
        Err(error) => return errors::unprocessable(&[error]),
    };
    let workspace = fields.uuid("workspace_id");
    let template = fields.uuid("source_config_template_id");
    let configuration = fields.object("connection_configuration");
    let (Some(workspace_id), Some(template), Some((configuration, text))) =
        (workspace, template, configuration)
    else {
        return errors::unprocessable(&fields.into_errors());
    };
    if workspace_id != own_workspace {
        return errors::detail(
            StatusCode::FORBIDDEN,
            "The token is not valid for this workspace",
        );
    }
    let Some(template) = state.template(template) else {
        return unknown_template();
    };
    let faults = template.check(configuration);
    if !faults.is_empty() {
        return errors::unprocessable(&faults);
    }
    let id = Uuid::new_v4();
    let source = Source {
        id,
        name: format!("{} - {id}", template.name),
        workspace_id,
        source_config_template_id: template.id,
        external_user_id,
        connection_configuration: text,
        created_at: clock::rfc3339(),
    };
    let answer = (StatusCode::CREATED, Json(&source)).into_response();
    lock(&state.sources).push(source);
    answer
}

fn bearer(state: &State, headers: &HeaderMap) -> Option<Principal> {
    state.bearer(bearer_token(headers)?)
}

/// The workspace and the external user id of the end user who asks.
fn end_user(state: &State, headers: &HeaderMap) -> Result<(Uuid, String), Refusal> {
    match bearer(state, headers) {
        Some(Principal::EndUser {
            workspace_id,
            external_user_id,
        }) => Ok((workspace_id, external_user_id)),
        Some(Principal::Organization) => Err(Refusal::NoEndUser),
        None => Err(Refusal::Unknown),
    }
}

/// Why a request is not taken for an end user's.
enum Refusal {
    Unknown,
    NoEndUser,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown => unauthorized(),
            Self::NoEndUser => {
                errors::detail(StatusCode::FORBIDDEN, "A user-scoped token is required")
            }
        }
    }
}

fn unauthorized() -> Response {
    errors::detail(StatusCode::UNAUTHORIZED, "Invalid or expired token")
}

fn unknown_template() -> Response {
    errors::detail(StatusCode::NOT_FOUND, "Source template not found")
}
