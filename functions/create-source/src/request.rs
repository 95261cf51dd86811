//! The body of `POST /sources`.

use serde_json::value::RawValue;
use shared::airbyte::token::OpaqueToken;
use shared::request::RequestError;
use shared::request::body::JsonObject;
use shared::request::caller::{Caller, ExternalUserId};
use uuid::Uuid;

use crate::configuration;

/// A valid body. No `Debug`, because the configuration may contain secrets.
pub struct SourceRequest<'a> {
    /// `source_config_template_id`.
    pub source_config_template_id: Uuid,
    /// `connection_configuration`, verbatim.
    pub connection_configuration: &'a RawValue,
    /// `workspace_id`: the workspace that the caller expects.
    pub workspace_id: Option<Uuid>,
    /// `token`: an opaque token from `POST /token`.
    pub token: Option<OpaqueToken>,
    /// The user that the source is for: the caller, or the `externalUserId` that a backend names.
    pub user: ExternalUserId,
}

impl<'a> SourceRequest<'a> {
    /// Parses a caller's body. `claim` is the JWT claim with the user's ID.
    pub fn parse(text: &'a str, caller: &Caller<'_>, claim: &str) -> Result<Self, RequestError> {
        const TEMPLATE: &str = "source_config_template_id";
        const CONFIGURATION: &str = "connection_configuration";

        let mut body = JsonObject::parse(text)?;
        let template = body.uuid(TEMPLATE);
        body.require(TEMPLATE, template.is_some());
        let configuration = body.raw_object(CONFIGURATION);
        body.require(CONFIGURATION, configuration.is_some());
        if let Some(configuration) = configuration {
            body.add_errors(configuration::validate(configuration, CONFIGURATION));
        }
        let workspace_id = body.uuid("workspace_id");
        let token = body.string("token").map(OpaqueToken::new);
        let user = body.external_user_id(caller, claim);
        let (source_config_template_id, connection_configuration) =
            body.build(|| Some((template?, configuration?)))?;
        Ok(Self {
            source_config_template_id,
            connection_configuration,
            workspace_id,
            token,
            user: user?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::field_error::{FieldErrors, MAX_FIELD_ERRORS};
    use shared::problem::Problem;
    use shared::request::body::BodyError;
    use std::collections::HashMap;

    fn parse(text: &str) -> Result<SourceRequest<'_>, RequestError> {
        let claims = HashMap::from([("sub".to_owned(), "alice".to_owned())]);
        SourceRequest::parse(text, &Caller::Jwt(&claims), "sub")
    }

    fn errors(text: &str) -> FieldErrors {
        match parse(text).err() {
            Some(RequestError::Body(BodyError::Invalid(errors))) => errors,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keeps_configuration_verbatim() {
        let text = r#"{
            "source_config_template_id": "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
            "connection_configuration": { "port":5432.0, "big" : 12345678901234567890123 },
            "workspace_id": "FBA81218-3467-4588-a8d5-a8396cde6c03",
            "token": "opaque"
        }"#;

        let Ok(request) = parse(text) else {
            panic!("rejected")
        };

        assert_eq!(
            request.connection_configuration.get(),
            r#"{ "port":5432.0, "big" : 12345678901234567890123 }"#
        );
        assert_eq!(
            request.workspace_id.unwrap().to_string(),
            "fba81218-3467-4588-a8d5-a8396cde6c03"
        );
        assert_eq!(request.token.unwrap().expose(), "opaque");
        assert_eq!(request.user.as_str(), "alice");
    }

    #[test]
    fn returns_all_field_errors() {
        let required = vec![
            "/source_config_template_id is required",
            "/connection_configuration is required",
        ];
        for (text, expected) in [
            ("", required.clone()),
            ("{}", required),
            (
                r#"{"connection_configuration": {"a": {"b": 1, "b": 2}}, "workspace_id": 7, "name": "x"}"#,
                vec![
                    "/source_config_template_id is required",
                    "/connection_configuration/a/b appears more than once",
                    "/workspace_id must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
                    "/name unknown field",
                ],
            ),
        ] {
            let errors: Vec<_> = errors(text)
                .as_slice()
                .iter()
                .map(|error| format!("{} {}", error.pointer, error.detail))
                .collect();
            assert_eq!(errors, expected, "{text}");
        }
    }

    #[test]
    fn longest_response_fits_lambdas_limit() {
        // Each character of these keys takes six bytes in JSON, and seven in the JSON around it.
        let key = format!("\"{}\":", "\\u0001".repeat(100));
        let deepest = format!("{{{key}1{}}}", format!(",{key}1").repeat(100));
        let levels = configuration::MAX_DEPTH - 1;
        let nested = format!(
            "{}{deepest}{}",
            format!("{{{key}").repeat(levels),
            "}".repeat(levels)
        );
        let text = format!("{{\"connection_configuration\": {nested}}}");

        let errors = errors(&text);
        assert_eq!(errors.as_slice().len(), MAX_FIELD_ERRORS);
        let response = Problem::from(errors).to_response("r");

        let event = serde_json::to_string(response.body()).unwrap();
        let bytes = event.len();
        assert!(
            (1024 * 1024..6 * 1024 * 1024).contains(&bytes),
            "{bytes} bytes"
        );
    }
}
