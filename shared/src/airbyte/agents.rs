//! The generation of the API that Airbyte documents in 2026 (Agent API): paths, bodies, names, settings.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::source::NewSource;
use crate::request::caller::ExternalUserId;
use crate::request::origin::Origin;

/// The path of a mint.
pub(super) const MINT_PATH: &str = "/api/v1/account/applications/widget-token";

/// The path of a create. It has no trailing slash.
pub(super) const CREATE_PATH: &str = "/api/v1/integrations/connectors";

/// The path of the list of source templates.
pub(super) const SOURCE_TEMPLATES_PATH: &str = "/api/v1/integrations/templates/sources";

/// The header with the organization's ID, on every call.
pub(super) const ORGANIZATION_HEADER: &str = "x-organization-id";

/// The optional fields of `POST /sources` that a create accepts.
pub(super) const OPTIONAL_FIELDS: &[&str] = &["name", "credentials", "environment"];

/// The fields of a create, each with its name in `POST /sources`.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("workspace_name", "externalUserId"),
    ("source_template_id", "source_config_template_id"),
    ("replication_config", "connection_configuration"),
    // The name of `replication_config` in Airbyte's server, whose errors the Agent API may pass on.
    ("connection_configuration", "connection_configuration"),
    ("credentials", "credentials"),
    ("environment", "environment"),
    ("name", "name"),
];

/// The settings of this generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agents {
    /// The token with which creates are authorized.
    pub sources_bearer: SourcesBearer,
    /// The region of a workspace that a mint creates.
    pub region_id: Option<Uuid>,
    /// The source templates that the user of a token sees.
    pub source_template_tags: TemplateTags,
    /// The connection templates that apply to the sources of a token's user.
    pub connection_template_tags: TemplateTags,
}

/// The token with which creates are authorized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SourcesBearer {
    /// The user's scoped token.
    #[default]
    Scoped,
    /// The organization's token.
    Organization,
}

/// A selection of templates. Without tags, all templates are selected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateTags {
    /// The tags.
    pub tags: Vec<String>,
    /// How many of them a template must have.
    pub mode: TagsMode,
}

/// How many of the tags a template must have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TagsMode {
    /// At least one.
    #[default]
    Any,
    /// All.
    All,
}

impl TemplateTags {
    fn selection(&self) -> (Option<&[String]>, Option<TagsMode>) {
        if self.tags.is_empty() {
            (None, None)
        } else {
            (Some(&self.tags), Some(self.mode))
        }
    }
}

/// The body of a mint.
#[derive(Serialize)]
pub(super) struct MintBody<'a> {
    workspace_name: &'a str,
    allowed_origin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    region_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected_source_template_tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected_source_template_tags_mode: Option<TagsMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected_connection_template_tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected_connection_template_tags_mode: Option<TagsMode>,
}

impl<'a> MintBody<'a> {
    pub(super) fn new(settings: &'a Agents, user: &'a ExternalUserId, origin: &'a Origin) -> Self {
        let (source_tags, source_mode) = settings.source_template_tags.selection();
        let (connection_tags, connection_mode) = settings.connection_template_tags.selection();
        Self {
            workspace_name: user.as_str(),
            allowed_origin: origin.as_str(),
            region_id: settings.region_id,
            selected_source_template_tags: source_tags,
            selected_source_template_tags_mode: source_mode,
            selected_connection_template_tags: connection_tags,
            selected_connection_template_tags_mode: connection_mode,
        }
    }
}

/// The body of a create.
#[derive(Serialize)]
pub(super) struct CreateBody<'a> {
    workspace_name: &'a str,
    source_template_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication_config: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> From<&NewSource<'a>> for CreateBody<'a> {
    fn from(source: &NewSource<'a>) -> Self {
        Self {
            workspace_name: source.user.as_str(),
            source_template_id: source.template_id,
            replication_config: source.configuration,
            credentials: source.credentials,
            environment: source.environment,
            name: source.name,
        }
    }
}
