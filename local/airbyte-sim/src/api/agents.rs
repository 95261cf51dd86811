//! The `agents` generation: widget tokens, scoped tokens, and connectors, which are sources.
//!
//! A workspace is found by its name, which is the external user ID. The organization is named in the header
//! `X-Organization-Id`. The requests and responses are those of Airbyte's public description; what it leaves open:
//!
//! - 401 has FastAPI's shape, and an error about the whole body has the field `body`, as both have been seen;
//! - a workspace or template that does not exist is a 404 in the generation's own shape;
//! - `replication_config` in a response has its secrets masked;
//! - the tags that a widget token selects are in the query of its `widgetUrl`.

#![expect(
    clippy::result_large_err,
    reason = "the error is a response, which is returned at once"
)]

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{self, Path};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body::{Fields, Object};
use super::widget_token::{WidgetToken, widget_query};
use super::{authenticate, errors, toggle_slash};
use crate::clock;
use crate::options::SourcesBearer;
use crate::source::Source;
use crate::state::{Principal, State, lock};
use crate::template::{Mode, Template};
use crate::validation::FieldError;
use crate::workspace::Workspace;

const ORGANIZATION_HEADER: &str = "x-organization-id";

/// The values of every `…_tags_mode`.
const TAGS_MODES: [&str; 2] = ["all", "any"];

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route(
            "/api/v1/account/applications/widget-token",
            post(create_widget_token),
        )
        .route(
            "/api/v1/account/applications/scoped-token",
            post(create_scoped_token),
        )
        .route(
            "/api/v1/account/applications/scoped-token/info",
            get(show_scoped_token),
        )
        .route(
            "/api/v1/integrations/connectors",
            get(list_connectors).post(create_connector),
        )
        .route(
            "/api/v1/integrations/connectors/",
            get(toggle_slash).post(toggle_slash),
        )
        .route("/api/v1/integrations/connectors/{id}", get(show_connector))
}

async fn create_widget_token(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let caller = match authorize_organization(&state, &headers) {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let mut fields = match Fields::parse(&headers, &body) {
        Ok(fields) => fields,
        Err(error) => return unprocessable(&[error]),
    };
    let workspace_name = fields.string("workspace_name");
    let allowed_origin = fields.string("allowed_origin");
    let region_id = fields.optional_uuid("region_id");
    let source_tags = fields.strings("selected_source_template_tags");
    let source_tags_mode = fields.choice("selected_source_template_tags_mode", &TAGS_MODES);
    read_connection_tags(&mut fields);
    let (Some(workspace_name), Some(allowed_origin), []) =
        (workspace_name, allowed_origin, fields.errors())
    else {
        return unprocessable(fields.errors());
    };
    let (workspace, token) = match issue_token(&state, &caller, &workspace_name, region_id).await {
        Ok(issued) => issued,
        Err(response) => return response,
    };
    let mut query = widget_query(workspace.id, &allowed_origin);
    for tag in &source_tags {
        query.append_pair("tags", tag);
    }
    if !source_tags.is_empty() {
        query.append_pair("tags_mode", source_tags_mode.as_deref().unwrap_or("any"));
    }
    WidgetToken {
        token,
        widget_url: format!("{}/quick-start/widget?{}", state.cloud_url, query.finish()),
    }
    .into_opaque_response()
}

async fn create_scoped_token(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let caller = match authorize_organization(&state, &headers) {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let mut fields = match Fields::parse(&headers, &body) {
        Ok(fields) => fields,
        Err(error) => return unprocessable(&[error]),
    };
    let workspace_name = fields.string("workspace_name");
    let region_id = fields.optional_uuid("region_id");
    let (Some(workspace_name), []) = (workspace_name, fields.errors()) else {
        return unprocessable(fields.errors());
    };
    match issue_token(&state, &caller, &workspace_name, region_id).await {
        Ok((_, token)) => Json(json!({"token": token})).into_response(),
        Err(response) => response,
    }
}

/// Creates the user's workspace if there is none, and issues a token for it.
async fn issue_token(
    state: &State,
    caller: &Caller,
    workspace_name: &str,
    region_id: Option<Uuid>,
) -> Result<(Workspace, String), Response> {
    let workspace = state
        .find_or_create_workspace(caller.organization_id, workspace_name, region_id)
        .await
        .map_err(|_| duplicate_workspaces(workspace_name))?;
    let token = state
        .issue_scoped_token(workspace.id, workspace_name)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())?;
    Ok((workspace, token))
}

async fn show_scoped_token(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
) -> Response {
    match authorize(&state, &headers) {
        Ok(Caller {
            workspace: Some(workspace),
            ..
        }) => Json(json!({
            "organization_id": workspace.organization_id,
            "workspace_id": workspace.id,
            "workspace_name": workspace.name,
        }))
        .into_response(),
        Ok(_) => errors::agents(StatusCode::FORBIDDEN, "A scoped token is required"),
        Err(response) => response,
    }
}

/// Lists the sources of the organization, or of the scoped token's workspace.
async fn list_connectors(
    extract::State(state): extract::State<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let caller = match authorize(&state, &headers) {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let parameters: Vec<(String, String)> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let matches = |source: &Source| {
        let template = state.template(source.source_config_template_id);
        parameters.iter().all(|(name, value)| match name.as_str() {
            "workspace_id" => Uuid::try_parse(value).is_ok_and(|id| id == source.workspace_id),
            "workspace_name" | "customer_name" | "external_user_id" => {
                *value == source.external_user_id
            }
            "definition_id" => {
                template.is_some_and(|template| template.is_of(None, Uuid::try_parse(value).ok()))
            }
            _ => true,
        })
    };
    let sources: Vec<Value> = lock(&state.sources)
        .iter()
        .filter(|source| caller.may_see(&state, source) && matches(source))
        .map(|source| {
            json!({
                "id": source.id,
                "name": source.name,
                "summarized_source_template": state
                    .template(source.source_config_template_id)
                    .map(Template::summary),
                "created_at": source.created_at,
                "updated_at": source.created_at,
            })
        })
        .collect();
    Json(json!({"data": sources})).into_response()
}

async fn show_connector(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let caller = match authorize(&state, &headers) {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let sources = lock(&state.sources);
    let source = Uuid::try_parse(&id).ok().and_then(|id| {
        sources
            .iter()
            .find(|source| source.id == id && caller.may_see(&state, source))
    });
    source.map_or_else(
        || not_found("Connector not found"),
        |source| Json(describe(&state, source)).into_response(),
    )
}

async fn create_connector(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let caller = match authorize(&state, &headers) {
        Ok(caller) => caller,
        Err(response) => return response,
    };
    let accepted = lock(&state.settings).sources_bearer;
    match (accepted, &caller.workspace) {
        (SourcesBearer::Scoped, None) => {
            return errors::agents(StatusCode::FORBIDDEN, "A scoped token is required");
        }
        (SourcesBearer::Organization, Some(_)) => {
            return errors::agents(StatusCode::FORBIDDEN, "An access token is required");
        }
        _ => {}
    }
    let request = match ConnectorRequest::parse(&headers, &body) {
        Ok(request) => request,
        Err(field_errors) => return unprocessable(&field_errors),
    };
    let workspace = match caller.workspace(&state, &request.workspace_name) {
        Ok(workspace) => workspace,
        Err(response) => return response,
    };
    let Some(template) = request.template(&state) else {
        return not_found("Source template not found");
    };
    let field_errors = request.validate(template);
    if !field_errors.is_empty() {
        return unprocessable(&field_errors);
    }
    let id = Uuid::new_v4();
    let text = |object: Option<Object>| object.map(|(_, text)| text);
    let source = Source {
        id,
        name: request
            .name
            .unwrap_or_else(|| format!("{} - {id}", template.name)),
        workspace_id: workspace.id,
        source_config_template_id: template.id,
        external_user_id: workspace.name,
        connection_configuration: text(request.replication_config).unwrap_or_default(),
        credentials: text(request.credentials),
        environment: text(request.environment),
        created_at: clock::rfc3339(),
    };
    let response = Json(describe(&state, &source)).into_response();
    lock(&state.sources).push(source);
    response
}

/// The body of a request to create a source.
struct ConnectorRequest {
    workspace_name: String,
    name: Option<String>,
    template_id: Option<Uuid>,
    definition_id: Option<Uuid>,
    connector_type: Option<String>,
    replication_config: Option<Object>,
    credentials: Option<Object>,
    environment: Option<Object>,
    has_oauth_secret: bool,
}

impl ConnectorRequest {
    fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::parse(headers, body).map_err(|error| vec![error])?;
        let workspace_name = fields.string("workspace_name");
        let request = Self {
            workspace_name: workspace_name.unwrap_or_default(),
            name: fields.optional_string("name"),
            template_id: fields.optional_uuid("source_template_id"),
            definition_id: fields.optional_uuid("definition_id"),
            connector_type: fields.optional_string("connector_type"),
            replication_config: fields.optional_object("replication_config"),
            credentials: fields.optional_object("credentials"),
            environment: fields.optional_object("environment"),
            has_oauth_secret: fields
                .optional_string("server_side_oauth_secret_id")
                .is_some(),
        };
        read_connection_tags(&mut fields);
        if fields.errors().is_empty() {
            request.check_alternatives(&mut fields);
        }
        match fields.errors() {
            [] => Ok(request),
            errors => Err(errors.to_vec()),
        }
    }

    /// Checks what a JSON Schema does not express, which Airbyte too checks last.
    fn check_alternatives(&self, fields: &mut Fields) {
        if self.template_id.is_none()
            && self.definition_id.is_none()
            && self.connector_type.is_none()
        {
            fields.reject("provide source_template_id, definition_id or connector_type");
        }
        if self.replication_config.is_none() && self.credentials.is_none() && !self.has_oauth_secret
        {
            fields.reject("provide replication_config, credentials or server_side_oauth_secret_id");
        }
    }

    fn template<'a>(&self, state: &'a State) -> Option<&'a Template> {
        match self.template_id {
            Some(id) => state.template(id),
            None => state.templates.iter().find(|template| {
                template.is_of(self.connector_type.as_deref(), self.definition_id)
            }),
        }
    }

    /// Returns what is wrong with the configuration that the template's mode takes.
    fn validate(&self, template: &Template) -> Vec<FieldError> {
        let value = |object: &Option<Object>| {
            object
                .as_ref()
                .map(|(object, _)| Value::Object(object.clone()))
        };
        match template.mode {
            Mode::Replication => match &self.replication_config {
                Some((configuration, _)) => {
                    template.validate(configuration.clone(), &["body", "replication_config"])
                }
                None => vec![FieldError::missing(
                    vec!["body".into(), "replication_config".into()],
                    Value::Null,
                )],
            },
            Mode::Direct if self.has_oauth_secret => Vec::new(),
            Mode::Direct => {
                let members = [
                    ("credentials", value(&self.credentials)),
                    ("environment", value(&self.environment)),
                ];
                let configuration: Map<String, Value> = members
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                    .collect();
                template.validate(configuration, &["body"])
            }
        }
    }
}

/// Who sent a request, and for which organization.
pub(super) struct Caller {
    organization_id: Uuid,
    /// The workspace that a scoped token is confined to; `None` for the organization's token.
    workspace: Option<Workspace>,
}

impl Caller {
    /// Returns the workspace to create a source in.
    fn workspace(&self, state: &State, name: &str) -> Result<Workspace, Response> {
        match &self.workspace {
            Some(own) if own.name == name => Ok(own.clone()),
            Some(_) => Err(errors::agents(
                StatusCode::FORBIDDEN,
                "The token is not valid for this workspace",
            )),
            None => state
                .find_workspace(self.organization_id, name)
                .map_err(|_| duplicate_workspaces(name))?
                .ok_or_else(|| not_found("Workspace not found")),
        }
    }

    fn may_see(&self, state: &State, source: &Source) -> bool {
        match &self.workspace {
            Some(own) => own.id == source.workspace_id,
            None => state
                .workspace(source.workspace_id)
                .is_some_and(|workspace| workspace.organization_id == self.organization_id),
        }
    }
}

/// Authenticates the caller, and finds the organization that the request is for.
///
/// A scoped token implies the organization. With an organization's token the header names it, unless there is only one.
pub(super) fn authorize(state: &State, headers: &HeaderMap) -> Result<Caller, Response> {
    let principal = authenticate(state, headers).ok_or_else(|| {
        errors::detail(
            StatusCode::UNAUTHORIZED,
            "Invalid authentication credentials",
        )
    })?;
    let named = organization_header(headers).map_err(|error| unprocessable(&[error]))?;
    let workspace = match principal {
        Principal::Organization => None,
        Principal::EndUser { workspace_id, .. } => state.workspace(workspace_id),
    };
    let implied = workspace
        .as_ref()
        .map(|workspace| workspace.organization_id)
        .or_else(|| state.sole_organization());
    let Some(organization_id) = named.or(implied) else {
        let error = FieldError::missing(
            vec!["header".into(), ORGANIZATION_HEADER.into()],
            Value::Null,
        );
        return Err(errors::agents_fields(
            StatusCode::BAD_REQUEST,
            "The user belongs to several organizations: the header X-Organization-Id is required",
            &[error],
        ));
    };
    let is_own = workspace
        .as_ref()
        .is_none_or(|workspace| workspace.organization_id == organization_id);
    if !is_own || !state.has_organization(organization_id) {
        return Err(errors::agents(
            StatusCode::FORBIDDEN,
            "No access to this organization",
        ));
    }
    Ok(Caller {
        organization_id,
        workspace,
    })
}

/// Like [`authorize`], for the organization's token only.
fn authorize_organization(state: &State, headers: &HeaderMap) -> Result<Caller, Response> {
    let caller = authorize(state, headers)?;
    if caller.workspace.is_some() {
        return Err(errors::agents(
            StatusCode::FORBIDDEN,
            "An access token is required",
        ));
    }
    Ok(caller)
}

/// Reads the header `X-Organization-Id`.
pub(super) fn organization_header(headers: &HeaderMap) -> Result<Option<Uuid>, FieldError> {
    let Some(value) = headers.get(ORGANIZATION_HEADER) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    match Uuid::try_parse(&text) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(FieldError::invalid_uuid(
            vec!["header".into(), ORGANIZATION_HEADER.into()],
            text,
        )),
    }
}

/// Reads the tags that select connection templates, for their errors alone: the simulator has no connections.
fn read_connection_tags(fields: &mut Fields) {
    fields.strings("selected_connection_template_tags");
    fields.choice("selected_connection_template_tags_mode", &TAGS_MODES);
}

/// Describes a source with its template, and with its configuration, in which secrets are masked.
fn describe(state: &State, source: &Source) -> Value {
    let template = state.template(source.source_config_template_id);
    let configuration = serde_json::from_str(&source.connection_configuration).unwrap_or_default();
    json!({
        "id": source.id,
        "name": source.name,
        "source_template": template.map(Template::details),
        "replication_config": template.map(|template| template.masked(configuration)),
        "entities": null,
        "created_at": source.created_at,
        "updated_at": source.created_at,
    })
}

fn unprocessable(field_errors: &[FieldError]) -> Response {
    errors::agents_fields(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Validation error",
        field_errors,
    )
}

pub(super) fn invalid_tags_mode(value: &str) -> Response {
    unprocessable(&[FieldError {
        kind: "enum",
        loc: vec!["query".into(), "tags_mode".into()],
        msg: format!("Input should be one of {TAGS_MODES:?}"),
        input: value.into(),
    }])
}

pub(super) fn not_found(message: &str) -> Response {
    errors::agents(StatusCode::NOT_FOUND, message)
}

fn duplicate_workspaces(name: &str) -> Response {
    errors::agents(
        StatusCode::INTERNAL_SERVER_ERROR,
        &format!("Found multiple workspaces with the same name: {name}. This is unexpected!"),
    )
}
