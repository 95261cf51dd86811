//! The API that Airbyte's "Authentication & Token Management" page documents: paths and bodies.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// The path of the exchange of an application's ID and secret.
pub(super) const APPLICATION_TOKEN_PATH: &str = "/api/v1/account/applications/token";
/// The path of a mint.
pub(super) const WIDGET_TOKEN_PATH: &str = "/api/v1/embedded/widget_token";
/// The path of a create. The trailing slash belongs to it.
pub(super) const SOURCES_PATH: &str = "/api/v1/integrations/sources/";

/// The body of the exchange. JSON only, because Airbyte returns 401 to a form.
#[derive(Serialize)]
pub struct ApplicationTokenRequest<'a> {
    /// The application's ID.
    pub client_id: &'a str,
    /// The application's secret.
    pub client_secret: &'a str,
}

/// The body of a mint.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WidgetTokenRequest<'a> {
    /// The user, as the organization knows them.
    pub external_user_id: &'a str,
    /// The Airbyte organization.
    #[serde(serialize_with = "hyphenated")]
    pub organization_id: Uuid,
    /// The origin of the page that embeds the widget.
    pub allowed_origin: &'a str,
}

/// The body of a create.
#[derive(Serialize)]
pub struct CreateSourceRequest<'a> {
    /// The workspace to create the source in.
    #[serde(serialize_with = "hyphenated")]
    pub workspace_id: Uuid,
    /// The template of the source.
    #[serde(serialize_with = "hyphenated")]
    pub source_config_template_id: Uuid,
    /// The caller's JSON verbatim, because numbers would change if they were parsed and serialized.
    pub connection_configuration: &'a RawValue,
}

fn hyphenated<S: serde::Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_keeps_configuration_verbatim() {
        let text = r#"{ "big":123456789012345678901234567890, "f": 1.0 }"#;
        let request = CreateSourceRequest {
            workspace_id: Uuid::from_u128(1),
            source_config_template_id: Uuid::from_u128(2),
            connection_configuration: serde_json::from_str(text).unwrap(),
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            format!(
                r#"{{"workspace_id":"00000000-0000-0000-0000-000000000001","source_config_template_id":"00000000-0000-0000-0000-000000000002","connection_configuration":{text}}}"#
            )
        );
    }
}
