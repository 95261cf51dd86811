//! The `embedded` generation: widget tokens, and sources.

#![expect(
    clippy::result_large_err,
    reason = "the error is a response, which is returned at once"
)]

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Fields;
use super::widget_token::{WidgetToken, widget_query};
use super::{authenticate, errors, toggle_slash};
use crate::clock;
use crate::generation::Generation;
use crate::source::Source;
use crate::state::{Principal, State, lock};

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/api/v1/embedded/widget_token", post(create_widget_token))
        .route(
            "/api/v1/integrations/sources/",
            get(list_sources).post(create_source),
        )
        .route(
            "/api/v1/integrations/sources",
            get(toggle_slash).post(toggle_slash),
        )
}

async fn create_widget_token(
    extract::State(state): extract::State<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match authenticate(&state, &headers) {
        Some(Principal::Organization) => {}
        Some(Principal::EndUser { .. }) => {
            return forbidden("An organization admin's token is required.");
        }
        None => return errors::micronaut(StatusCode::UNAUTHORIZED, "Unauthorized", uri.path()),
    }
    let mut fields = match Fields::parse(&headers, &body) {
        Ok(fields) => fields,
        Err(error) => return errors::unprocessable(&[error]),
    };
    let external_user_id = fields.string("externalUserId");
    let organization_id = fields.uuid("organizationId");
    let allowed_origin = fields.string("allowedOrigin");
    let (Some(external_user_id), Some(organization_id), Some(allowed_origin)) =
        (external_user_id, organization_id, allowed_origin)
    else {
        return errors::unprocessable(fields.errors());
    };
    if !state.has_organization(organization_id) {
        return forbidden("The organization is not entitled to Airbyte Embedded.");
    }
    let Ok(workspace) = state
        .find_or_create_workspace(organization_id, &external_user_id, None)
        .await
    else {
        return errors::uncaught_exception(
            "java.lang.IllegalStateException",
            &format!(
                "Found multiple workspaces with the same name: {external_user_id}. This is unexpected!"
            ),
        );
    };
    let Ok(token) = state.issue_scoped_token(workspace.id, &external_user_id) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let query = widget_query(workspace.id, &allowed_origin).finish();
    let widget_token = WidgetToken {
        token,
        widget_url: format!("{}/embedded-widget?{query}", state.cloud_url),
    };
    if has_parameter(uri.query(), "debug") {
        return Json(widget_token).into_response();
    }
    widget_token.into_opaque_response()
}

/// Lists the sources of the user's own workspace.
async fn list_sources(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
) -> Response {
    let workspace_id = match end_user(&state, &headers) {
        Ok((workspace_id, _)) => workspace_id,
        Err(response) => return response,
    };
    let sources: Vec<Value> = lock(&state.sources)
        .iter()
        .filter(|source| source.workspace_id == workspace_id)
        .map(describe)
        .collect();
    Json(json!({"data": sources})).into_response()
}

async fn create_source(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (own_workspace, external_user_id) = match end_user(&state, &headers) {
        Ok(end_user) => end_user,
        Err(response) => return response,
    };
    let mut fields = match Fields::parse(&headers, &body) {
        Ok(fields) => fields,
        Err(error) => return errors::unprocessable(&[error]),
    };
    let workspace_id = fields.uuid("workspace_id");
    let template_id = fields.uuid("source_config_template_id");
    let configuration = fields.object("connection_configuration");
    let (Some(workspace_id), Some(template_id), Some((configuration, text))) =
        (workspace_id, template_id, configuration)
    else {
        return errors::unprocessable(fields.errors());
    };
    if workspace_id != own_workspace {
        return errors::detail(
            StatusCode::FORBIDDEN,
            "The token is not valid for this workspace",
        );
    }
    let Some(template) = state
        .template(template_id)
        .filter(|template| template.is_in(Generation::Embedded))
    else {
        return unknown_template();
    };
    let field_errors = template.validate(configuration, &["body", "connection_configuration"]);
    if !field_errors.is_empty() {
        return errors::unprocessable(&field_errors);
    }
    let id = Uuid::new_v4();
    let source = Source {
        id,
        name: format!("{} - {id}", template.name),
        workspace_id,
        source_config_template_id: template.id,
        external_user_id,
        connection_configuration: text,
        credentials: None,
        environment: None,
        created_at: clock::rfc3339(),
    };
    let response = (StatusCode::CREATED, Json(describe(&source))).into_response();
    lock(&state.sources).push(source);
    response
}

/// Describes a source without its configuration, which contains secrets.
fn describe(source: &Source) -> Value {
    json!({
        "id": source.id,
        "name": source.name,
        "workspace_id": source.workspace_id,
        "source_config_template_id": source.source_config_template_id,
        "created_at": source.created_at,
        "updated_at": source.created_at,
    })
}

/// Returns the workspace and the ID of the end user who sent the request.
fn end_user(state: &State, headers: &HeaderMap) -> Result<(Uuid, String), Response> {
    match authenticate(state, headers) {
        Some(Principal::EndUser {
            workspace_id,
            external_user_id,
        }) => Ok((workspace_id, external_user_id)),
        Some(Principal::Organization) => Err(errors::detail(
            StatusCode::FORBIDDEN,
            "A user-scoped token is required",
        )),
        None => Err(unauthorized()),
    }
}

pub(super) fn unauthorized() -> Response {
    errors::detail(StatusCode::UNAUTHORIZED, "Invalid or expired token")
}

pub(super) fn unknown_template() -> Response {
    errors::detail(StatusCode::NOT_FOUND, "Source template not found")
}

fn forbidden(detail: &str) -> Response {
    errors::problem(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
}

/// Whether the query has a parameter of this name, with or without a value.
fn has_parameter(query: Option<&str>, name: &str) -> bool {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(known, _)| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_parameters_without_values() {
        for query in ["debug", "debug=", "a=b&debug=true"] {
            assert!(has_parameter(Some(query), "debug"), "{query}");
        }
        for query in ["", "a=debug", "debugger"] {
            assert!(!has_parameter(Some(query), "debug"), "{query}");
        }
        assert!(!has_parameter(None, "debug"));
    }
}
