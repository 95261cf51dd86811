//! The body of `POST /sources`.

use serde_json::value::RawValue;
use shared::airbyte::token::OpaqueToken;
use shared::field_error::{FieldError, FieldErrors, json_pointer};
use shared::request::RequestError;
use shared::request::body::JsonObject;
use shared::request::caller::{Caller, ExternalUserId};
use uuid::Uuid;

use crate::configuration;

/// The detail for an optional field of another generation of Airbyte's API.
const UNSUPPORTED: &str = "is not known to this Airbyte API";

/// The maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 255;

/// A valid body. No `Debug`, because the objects may contain secrets.
pub struct SourceRequest<'a> {
    /// `source_config_template_id`.
    pub source_config_template_id: Uuid,
    /// `connection_configuration`, verbatim. Present unless there are `credentials`.
    pub connection_configuration: Option<&'a RawValue>,
    /// `credentials`, verbatim.
    pub credentials: Option<&'a RawValue>,
    /// `environment`, verbatim.
    pub environment: Option<&'a RawValue>,
    /// `name`.
    pub name: Option<String>,
    /// `workspace_id`: the workspace that the caller expects.
    pub workspace_id: Option<Uuid>,
    /// `token`: an opaque token from `POST /token`.
    pub token: Option<OpaqueToken>,
    /// The user that the source is for: the caller, or the `externalUserId` that a backend names.
    pub user: ExternalUserId,
}

impl<'a> SourceRequest<'a> {
    /// Parses a caller's body. `claim` is the JWT claim with the user's ID, `optional_fields` are the optional fields that
    /// the [API](shared::airbyte::Api::optional_source_fields) supports.
    pub fn parse(
        text: &'a str,
        caller: &Caller<'_>,
        claim: &str,
        optional_fields: &[&str],
    ) -> Result<Self, RequestError> {
        const TEMPLATE: &str = "source_config_template_id";
        const CONFIGURATION: &str = "connection_configuration";
        const CREDENTIALS: &str = "credentials";
        const ENVIRONMENT: &str = "environment";
        const NAME: &str = "name";

        let mut body = JsonObject::parse(text)?;
        let template = body.uuid(TEMPLATE);
        body.require(TEMPLATE, template.is_some());
        let [configuration, credentials, environment] = [CONFIGURATION, CREDENTIALS, ENVIRONMENT]
            .map(|key| {
                if key != CONFIGURATION && !optional_fields.contains(&key) {
                    body.reject_unsupported(key, UNSUPPORTED);
                    return None;
                }
                let object = body.raw_object(key)?;
                body.add_errors(configuration::validate(object, key));
                Some(object)
            });
        // Invalid credentials are there, too: the configuration is not required in their place.
        let has_credentials = credentials.is_some()
            || optional_fields.contains(&CREDENTIALS) && body.is_rejected(CREDENTIALS);
        body.require(CONFIGURATION, configuration.is_some() || has_credentials);
        let name = if optional_fields.contains(&NAME) {
            body.string(NAME)
        } else {
            body.reject_unsupported(NAME, UNSUPPORTED);
            None
        };
        if let Some(name) = &name
            && !(1..=MAX_NAME_CHARS).contains(&name.chars().count())
        {
            let detail = format!("must be 1 to {MAX_NAME_CHARS} characters");
            let error = FieldError::new(json_pointer([NAME]), detail);
            body.add_errors(FieldErrors::from_iter([error]));
        }
        let workspace_id = body.uuid("workspace_id");
        let token = body.string("token").map(OpaqueToken::new);
        let user = body.external_user_id(caller, claim);
        let source_config_template_id = body.build(|| template)?;
        Ok(Self {
            source_config_template_id,
            connection_configuration: configuration,
            credentials,
            environment,
            name,
            workspace_id,
            token,
            user: user?,
        })
    }
}

impl SourceRequest<'_> {
    /// Returns what a repeated request must have in common with the first one. Not `token`, which expires.
    #[must_use]
    pub fn fingerprint(&self) -> Vec<Vec<u8>> {
        // What is absent differs from what is empty.
        let optional = |part: Option<&[u8]>| match part {
            None => vec![],
            Some(part) => [b"=", part].concat(),
        };
        let raw =
            |object: Option<&RawValue>| optional(object.map(|object| object.get().as_bytes()));
        vec![
            self.source_config_template_id.into_bytes().to_vec(),
            raw(self.connection_configuration),
            raw(self.credentials),
            raw(self.environment),
            optional(self.name.as_deref().map(str::as_bytes)),
            optional(
                self.workspace_id
                    .as_ref()
                    .map(|id| id.as_bytes().as_slice()),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::airbyte::{Agents, Api};
    use shared::field_error::MAX_FIELD_ERRORS;
    use shared::problem::Problem;
    use shared::request::body::BodyError;
    use std::collections::HashMap;

    fn parse_for<'a>(api: &Api, text: &'a str) -> Result<SourceRequest<'a>, RequestError> {
        let claims = HashMap::from([("sub".to_owned(), "alice".to_owned())]);
        let optional = api.optional_source_fields();
        SourceRequest::parse(text, &Caller::Jwt(&claims), "sub", optional)
    }

    fn parse(text: &str) -> Result<SourceRequest<'_>, RequestError> {
        parse_for(&Api::Embedded, text)
    }

    fn errors(text: &str) -> FieldErrors {
        errors_for(&Api::Embedded, text)
    }

    fn errors_for(api: &Api, text: &str) -> FieldErrors {
        match parse_for(api, text).err() {
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
            request.connection_configuration.unwrap().get(),
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
                r#"{"connection_configuration": {"a": {"b": 1, "b": 2}}, "workspace_id": 7, "names": "x"}"#,
                vec![
                    "/source_config_template_id is required",
                    "/connection_configuration/a/b appears more than once",
                    "/workspace_id must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
                    "/names unknown field",
                ],
            ),
        ] {
            assert_eq!(shown(&errors(text)), expected, "{text}");
        }
    }

    fn shown(errors: &FieldErrors) -> Vec<String> {
        errors
            .as_slice()
            .iter()
            .map(|error| format!("{} {}", error.pointer, error.detail))
            .collect()
    }

    const TEMPLATE: &str = r#""source_config_template_id": "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01""#;

    #[test]
    fn rejects_optional_fields_unknown_to_api() {
        let text = format!(
            r#"{{{TEMPLATE}, "connection_configuration": {{}}, "name": 1, "credentials": 2, "environment": {{"a": 1, "a": 2}}}}"#
        );
        assert_eq!(
            shown(&errors_for(&Api::Embedded, &text)),
            [
                "/credentials is not known to this Airbyte API",
                "/environment is not known to this Airbyte API",
                "/name is not known to this Airbyte API",
            ]
        );
        let null = format!(r#"{{{TEMPLATE}, "connection_configuration": {{}}, "name": null}}"#);
        assert!(parse(&null).is_ok());
    }

    #[test]
    fn keeps_optional_fields_verbatim() {
        let api = Api::Agents(Agents::default());
        let text = format!(
            r#"{{{TEMPLATE}, "name": "Mine", "credentials": {{ "k":1.0 }}, "environment": {{ }}}}"#
        );

        let Ok(request) = parse_for(&api, &text) else {
            panic!("rejected")
        };

        assert!(request.connection_configuration.is_none());
        assert_eq!(request.credentials.unwrap().get(), r#"{ "k":1.0 }"#);
        assert_eq!(request.environment.unwrap().get(), "{ }");
        assert_eq!(request.name.as_deref(), Some("Mine"));
    }

    #[test]
    fn validates_optional_fields() {
        let api = Api::Agents(Agents::default());
        let long = "n".repeat(256);
        for (fields, expected) in [
            (
                r#""credentials": {"a": 1, "a": 2}, "environment": {"b": 1e999}, "name": """#.to_owned(),
                vec![
                    "/credentials/a appears more than once",
                    "/environment/b is out of range for a 64-bit float",
                    "/name must be 1 to 255 characters",
                ],
            ),
            (
                format!(r#""environment": {{}}, "name": "{long}""#),
                vec![
                    "/connection_configuration is required",
                    "/name must be 1 to 255 characters",
                ],
            ),
            (
                r#""credentials": "x""#.to_owned(),
                vec!["/credentials must be an object"],
            ),
            (
                r#""connection_configuration": {}, "credentials": [], "environment": "e", "name": {}"#.to_owned(),
                vec![
                    "/credentials must be an object",
                    "/environment must be an object",
                    "/name must be a string",
                ],
            ),
        ] {
            let text = format!("{{{TEMPLATE}, {fields}}}");
            assert_eq!(shown(&errors_for(&api, &text)), expected, "{text}");
        }
    }

    #[test]
    fn fingerprint_covers_all_but_token() {
        let api = Api::Agents(Agents::default());
        let body = |fields: &str| {
            format!(r#"{{{TEMPLATE}, "connection_configuration": {{"a": 1}}{fields}}}"#)
        };
        let fingerprint = |text: &str| match parse_for(&api, text) {
            Ok(request) => request.fingerprint(),
            Err(error) => panic!("{error}"),
        };
        let id = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01";
        let plain = body("");

        let equal = [
            body(r#", "token": "t""#),
            body(r#", "name": null"#),
            format!(r#"{{ "connection_configuration": {{"a": 1}}, {TEMPLATE}}}"#),
        ];
        for text in &equal {
            assert_eq!(fingerprint(text), fingerprint(&plain), "{text}");
        }
        let different = [
            body(r#", "name": "n""#),
            body(r#", "credentials": {}"#),
            body(r#", "environment": {}"#),
            body(&format!(r#", "workspace_id": "{id}""#)),
            plain.replace("1}", "2}"),
            plain.replace("7e01", "7e02"),
        ];
        for (index, text) in different.iter().enumerate() {
            assert_ne!(fingerprint(text), fingerprint(&plain), "{text}");
            for other in &different[..index] {
                assert_ne!(fingerprint(text), fingerprint(other), "{text} and {other}");
            }
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
