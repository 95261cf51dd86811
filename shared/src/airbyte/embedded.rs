//! The generation of the API that Airbyte's "Authentication & Token Management" page documents: paths, bodies, names.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::source::NewSource;
use crate::request::caller::ExternalUserId;
use crate::request::origin::Origin;

/// The path of a mint.
pub(super) const MINT_PATH: &str = "/api/v1/embedded/widget_token";

/// The path of a create. The trailing slash belongs to it.
pub(super) const CREATE_PATH: &str = "/api/v1/integrations/sources/";

/// The optional fields of `POST /sources` that a create accepts.
pub(super) const OPTIONAL_FIELDS: &[&str] = &[];

/// The fields of a create, each with its name in `POST /sources`.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("workspace_id", "workspace_id"),
    ("source_config_template_id", "source_config_template_id"),
    ("connection_configuration", "connection_configuration"),
];

/// The body of a mint.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MintBody<'a> {
    external_user_id: &'a str,
    organization_id: Uuid,
    allowed_origin: &'a str,
}

impl<'a> MintBody<'a> {
    pub(super) fn new(organization_id: Uuid, user: &'a ExternalUserId, origin: &'a Origin) -> Self {
        Self {
            external_user_id: user.as_str(),
            organization_id,
            allowed_origin: origin.as_str(),
        }
    }
}

/// The body of a create.
#[derive(Serialize)]
pub(super) struct CreateBody<'a> {
    workspace_id: Uuid,
    source_config_template_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_configuration: Option<&'a RawValue>,
}

impl<'a> From<&NewSource<'a>> for CreateBody<'a> {
    fn from(source: &NewSource<'a>) -> Self {
        Self {
            workspace_id: source.workspace_id,
            source_config_template_id: source.template_id,
            connection_configuration: source.configuration,
        }
    }
}
