//! The two generations of Airbyte's API behind one type, [`Api`].
//!
//! Each method returns a path, a header, a body or a setting of the generation. Calls, retries and errors do not depend on
//! the generation. Outside of this module, only the configuration and `deploy-check` do.

use secrecy::SecretString;
use serde_json::Result;
use uuid::Uuid;

use super::agents::{self, Agents, SourcesBearer};
use super::embedded;
use super::redaction::SentValues;
use super::rejection::{ErrorBody, FieldNames, Rejection};
use super::source::NewSource;
use crate::request::caller::ExternalUserId;
use crate::request::origin::Origin;

/// A generation of Airbyte's API, with its settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Api {
    /// The generation that Airbyte documented in 2025, on its page "Authentication & Token Management".
    #[default]
    Embedded,
    /// The generation that Airbyte documents in 2026, as "Agent API".
    Agents(Agents),
}

impl Api {
    /// The path of a mint.
    #[must_use]
    pub fn mint_path(&self) -> &'static str {
        match self {
            Self::Embedded => embedded::MINT_PATH,
            Self::Agents(_) => agents::MINT_PATH,
        }
    }

    /// The path of a create.
    pub(super) fn create_path(&self) -> &'static str {
        match self {
            Self::Embedded => embedded::CREATE_PATH,
            Self::Agents(_) => agents::CREATE_PATH,
        }
    }

    /// The path of the list of source templates; `None` if Airbyte documents no such endpoint. The functions do not call it.
    #[must_use]
    pub fn source_templates_path(&self) -> Option<&'static str> {
        match self {
            Self::Embedded => None,
            Self::Agents(_) => Some(agents::SOURCE_TEMPLATES_PATH),
        }
    }

    /// The name of the header for the organization's ID; `None` if the generation has no such header.
    #[must_use]
    pub fn organization_header(&self) -> Option<&'static str> {
        match self {
            Self::Embedded => None,
            Self::Agents(_) => Some(agents::ORGANIZATION_HEADER),
        }
    }

    /// Returns the body of a mint.
    pub(super) fn mint_body(
        &self,
        organization_id: Uuid,
        user: &ExternalUserId,
        origin: &Origin,
    ) -> Result<Vec<u8>> {
        match self {
            Self::Embedded => {
                serde_json::to_vec(&embedded::MintBody::new(organization_id, user, origin))
            }
            Self::Agents(settings) => {
                serde_json::to_vec(&agents::MintBody::new(settings, user, origin))
            }
        }
    }

    /// Returns the body of a create.
    pub fn create_body(&self, source: &NewSource<'_>) -> Result<Vec<u8>> {
        match self {
            Self::Embedded => serde_json::to_vec(&embedded::CreateBody::from(source)),
            Self::Agents(_) => serde_json::to_vec(&agents::CreateBody::from(source)),
        }
    }

    /// The optional fields of `POST /sources` that a create accepts.
    #[must_use]
    pub fn optional_source_fields(&self) -> &'static [&'static str] {
        match self {
            Self::Embedded => embedded::OPTIONAL_FIELDS,
            Self::Agents(_) => agents::OPTIONAL_FIELDS,
        }
    }

    /// The token with which creates are authorized.
    #[must_use]
    pub fn sources_bearer(&self) -> SourcesBearer {
        match self {
            Self::Embedded => SourcesBearer::Scoped,
            Self::Agents(settings) => settings.sources_bearer,
        }
    }

    /// Returns the part of a create's error response that may be shown to the caller. Fields have their names in
    /// `POST /sources`. Strings that contain a value that was sent are withheld.
    #[must_use]
    pub fn rejection(
        &self,
        body: &ErrorBody,
        source: &NewSource<'_>,
        bearer: &SecretString,
    ) -> Rejection {
        if body.is_empty() {
            return Rejection::default();
        }
        let names = FieldNames {
            known: match self {
                Self::Embedded => embedded::FIELDS,
                Self::Agents(_) => agents::FIELDS,
            },
            validated: if source.configuration.is_some() {
                "connection_configuration"
            } else {
                "credentials"
            },
        };
        body.redact(&names, &SentValues::of(source, bearer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::agents::{TagsMode, TemplateTags};
    use super::*;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    const ORGANIZATION: &str = "00000000-0000-0000-0000-000000000001";
    const REGION: &str = "00000000-0000-0000-0000-000000000002";

    fn mint_body(api: &Api) -> Value {
        let user = ExternalUserId::parse("alice").unwrap();
        let origin = Origin::parse("https://app.example.com").unwrap();
        let organization_id = Uuid::try_parse(ORGANIZATION).unwrap();
        let body = api.mint_body(organization_id, &user, &origin).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn mint_body_has_documented_fields() {
        let tagged = Agents {
            region_id: Some(Uuid::from_u128(2)),
            source_template_tags: TemplateTags {
                tags: vec!["crm".into(), "files".into()],
                mode: TagsMode::All,
            },
            connection_template_tags: TemplateTags {
                tags: vec!["daily".into()],
                mode: TagsMode::Any,
            },
            ..Agents::default()
        };
        for (api, expected) in [
            (
                Api::Embedded,
                json!({"externalUserId": "alice", "organizationId": ORGANIZATION, "allowedOrigin": "https://app.example.com"}),
            ),
            (
                Api::Agents(Agents::default()),
                json!({"workspace_name": "alice", "allowed_origin": "https://app.example.com"}),
            ),
            (
                Api::Agents(tagged),
                json!({
                    "workspace_name": "alice", "allowed_origin": "https://app.example.com", "region_id": REGION,
                    "selected_source_template_tags": ["crm", "files"], "selected_source_template_tags_mode": "all",
                    "selected_connection_template_tags": ["daily"], "selected_connection_template_tags_mode": "any",
                }),
            ),
        ] {
            assert_eq!(mint_body(&api), expected, "{api:?}");
        }
    }

    #[test]
    fn create_body_keeps_objects_verbatim() {
        let raw =
            |text: &'static str| -> Option<&RawValue> { Some(serde_json::from_str(text).unwrap()) };
        let user = ExternalUserId::parse("alice").unwrap();
        let source = NewSource {
            user: &user,
            workspace_id: Uuid::from_u128(1),
            template_id: Uuid::from_u128(2),
            configuration: raw(r#"{ "big":123456789012345678901234567890, "f": 1.0 }"#),
            credentials: None,
            environment: None,
            name: None,
        };
        let direct = NewSource {
            configuration: None,
            credentials: raw(r#"{ "key":"k" }"#),
            environment: raw("{ }"),
            name: Some("Mine"),
            ..source
        };
        let agents = Api::Agents(Agents::default());
        for (api, source, expected) in [
            (
                &Api::Embedded,
                &source,
                r#"{"workspace_id":"00000000-0000-0000-0000-000000000001","source_config_template_id":"00000000-0000-0000-0000-000000000002","connection_configuration":{ "big":123456789012345678901234567890, "f": 1.0 }}"#,
            ),
            (
                &agents,
                &source,
                r#"{"workspace_name":"alice","source_template_id":"00000000-0000-0000-0000-000000000002","replication_config":{ "big":123456789012345678901234567890, "f": 1.0 }}"#,
            ),
            (
                &agents,
                &direct,
                r#"{"workspace_name":"alice","source_template_id":"00000000-0000-0000-0000-000000000002","credentials":{ "key":"k" },"environment":{ },"name":"Mine"}"#,
            ),
        ] {
            let body = api.create_body(source).unwrap();
            assert_eq!(String::from_utf8(body).unwrap(), expected);
        }
    }
}
