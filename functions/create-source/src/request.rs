//! The body of `POST /sources`.

use serde_json::value::RawValue;
use shared::body::Object;
use shared::caller::{Caller, ExternalUserId, NAMED_USER};
use shared::problem::Problem;
use shared::token::OpaqueToken;
use uuid::Uuid;

use crate::configuration;

/// A body without faults.
#[derive(Debug)]
pub struct SourceRequest<'a> {
    /// `source_config_template_id`.
    pub source_config_template_id: Uuid,
    /// `connection_configuration`, character by character as it was sent.
    pub connection_configuration: &'a RawValue,
    /// `workspace_id`: where the caller believes the source will be.
    pub workspace_id: Option<Uuid>,
    /// `token`: an opaque token from `POST /token`.
    pub token: Option<OpaqueToken>,
    /// For whom the call is: the caller, or whom a backend names as `externalUserId`.
    pub user: ExternalUserId,
}

impl<'a> SourceRequest<'a> {
    /// Reads a caller's body; the problem tells every fault in it. `claim` is the one that holds a user's id.
    pub fn parse(text: &'a str, caller: &Caller<'_>, claim: &str) -> Result<Self, Problem> {
        const TEMPLATE: &str = "source_config_template_id";
        const CONFIGURATION: &str = "connection_configuration";

        let mut body = Object::parse(text)?;
        let template = body.uuid(TEMPLATE);
        body.require(TEMPLATE, template.is_some());
        let configuration = body.raw_object(CONFIGURATION);
        body.require(CONFIGURATION, configuration.is_some());
        if let Some(configuration) = configuration {
            body.add_faults(configuration::faults(configuration, CONFIGURATION));
        }
        let workspace_id = body.uuid("workspace_id");
        let token = body.string("token").map(OpaqueToken::new);
        let named_user = body.string(NAMED_USER);
        let user = body.finish_with_user(caller.external_user_id(claim, named_user.as_deref()))?;
        match (template, configuration) {
            (Some(source_config_template_id), Some(connection_configuration)) => Ok(Self {
                source_config_template_id,
                connection_configuration,
                workspace_id,
                token,
                user,
            }),
            // Their absence is a fault, and `finish` has told it.
            _ => Err(Problem::internal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(text: &str) -> Result<SourceRequest<'_>, Problem> {
        let Value::Object(claims) = json!({"sub": "alice"}) else {
            unreachable!()
        };
        SourceRequest::parse(text, &Caller::Jwt(&claims), "sub")
    }

    #[test]
    fn a_whole_body_is_read_and_its_configuration_not_touched() {
        let text = r#"{
            "source_config_template_id": "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
            "connection_configuration": { "port":5432.0, "big" : 12345678901234567890123 },
            "workspace_id": "FBA81218-3467-4588-a8d5-a8396cde6c03",
            "token": "opaque"
        }"#;
        let request = parse(text).unwrap();
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
    fn every_fault_of_a_body_is_told() {
        let text = r#"{"connection_configuration": {"a": {"b": 1, "b": 2}}, "workspace_id": 7, "name": "x"}"#;
        let problem = parse(text).unwrap_err();
        let pointers: Vec<_> = problem
            .faults()
            .iter()
            .map(|fault| fault.pointer.as_str())
            .collect();
        assert_eq!(
            pointers,
            [
                "/source_config_template_id",
                "/connection_configuration/a/b",
                "/workspace_id",
                "/name"
            ]
        );
    }

    #[test]
    fn an_empty_body_lacks_both_required_members() {
        for text in ["", "{}"] {
            let problem = parse(text).unwrap_err();
            let faults: Vec<_> = problem
                .faults()
                .iter()
                .map(|fault| format!("{} {}", fault.pointer, fault.detail))
                .collect();
            assert_eq!(
                faults,
                [
                    "/source_config_template_id is required",
                    "/connection_configuration is required"
                ]
            );
        }
    }

    #[test]
    fn the_longest_answer_is_one_that_lambda_takes() {
        // Each character of these names takes six in JSON, and seven in the JSON around it.
        let name = format!("\"{}\":", "\\u0001".repeat(100));
        let deepest = format!("{{{name}1{}}}", format!(",{name}1").repeat(100));
        let levels = configuration::DEEPEST - 1;
        let nested = format!(
            "{}{deepest}{}",
            format!("{{{name}").repeat(levels),
            "}".repeat(levels)
        );
        let text = format!("{{\"connection_configuration\": {nested}}}");

        let problem = parse(&text).unwrap_err();
        assert_eq!(problem.faults().len(), Problem::MOST_FAULTS);
        let answer = serde_json::to_string(&problem.to_json("r")).unwrap();
        assert!(
            (1024 * 1024..6 * 1024 * 1024).contains(&answer.len()),
            "{}",
            answer.len()
        );
    }
}
