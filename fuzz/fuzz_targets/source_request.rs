//! The body of `POST /sources`, and a connection configuration by itself.
#![no_main]

use create_source::configuration::{self, MAX_DEPTH};
use create_source::request::SourceRequest;
use fuzz::{Literals, parts, truncated};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::airbyte::{Agents, Api, NewSource};
use shared::field_error::{FieldError, MAX_FIELD_ERRORS};
use shared::problem::Problem;
use shared::request::caller::Caller;
use std::collections::HashMap;

/// All details of field errors. There is no other, so none contains a value.
const DETAILS: [&str; 11] = [
    "appears more than once",
    "contains an unpaired UTF-16 surrogate",
    "is out of range for a 64-bit float",
    "is nested too deeply",
    "unknown field",
    "is required",
    "must be a string",
    "must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
    "must be an object",
    "must be 1 to 255 characters",
    "is not known to this Airbyte API",
];

/// Lambda accepts no response over 6 MiB, and the body is JSON inside of JSON there.
const MAX_PROBLEM_BYTES: usize = 3 * 1024 * 1024;

fuzz_target!(|text: &str| {
    body(text, &Api::Embedded);
    body(text, &Api::Agents(Agents::default()));
    if let Ok(json) = serde_json::from_str::<&RawValue>(text) {
        configuration(json);
    }
});

fn body(text: &str, api: &Api) {
    let claims = HashMap::from([("sub".to_owned(), "alice".to_owned())]);
    let optional_fields = api.optional_source_fields();
    match SourceRequest::parse(text, &Caller::Jwt(&claims), "sub", optional_fields) {
        Ok(request) => {
            assert!(serde_json::from_str::<Value>(text).is_ok_and(|body| body.is_object()));
            let source = NewSource {
                user: &request.user,
                workspace_id: request.workspace_id.unwrap_or_default(),
                template_id: request.source_config_template_id,
                configuration: request.connection_configuration,
                credentials: request.credentials,
                environment: request.environment,
                name: request.name.as_deref(),
            };
            let sent = api
                .create_body(&source)
                .expect("what is parsed can be written");
            let sent = String::from_utf8(sent).expect("JSON is UTF-8");
            assert!(serde_json::from_str::<Value>(&sent).is_ok());
            let objects = [source.configuration, source.credentials, source.environment];
            for object in objects.into_iter().flatten().map(RawValue::get) {
                assert!(object.starts_with('{'));
                assert!(
                    text.as_bytes().as_ptr_range().contains(&object.as_ptr()),
                    "objects are passed on verbatim"
                );
                assert!(sent.contains(object));
            }
        }
        Err(error) => {
            let problem = Problem::from(error);
            assert!(problem.errors().len() <= MAX_FIELD_ERRORS);
            let response = problem.to_response("request");
            let json = response.body();
            assert!(json.len() < MAX_PROBLEM_BYTES);
            assert!(serde_json::from_str::<Value>(json).is_ok());
            if serde_json::from_str::<&RawValue>(text).is_ok() {
                assert_contains_keys_only(problem.errors(), text);
            } else {
                assert!(problem.errors().is_empty() || text.trim().is_empty());
            }
        }
    }
}

fn configuration(json: &RawValue) {
    let errors = configuration::validate(json, "");
    assert!(errors.as_slice().len() <= MAX_FIELD_ERRORS);
    assert_contains_keys_only(errors.as_slice(), json.get());

    // Valid is what another parser reads as the same value, with all of its fields.
    let literals = Literals::of(json.get());
    let is_unambiguous = literals.depth <= MAX_DEPTH
        && serde_json::from_str(json.get())
            .is_ok_and(|value| fields(&value) == literals.keys.len());
    assert_eq!(errors.is_empty(), is_unambiguous, "{errors:?}");
}

fn assert_contains_keys_only(errors: &[FieldError], text: &str) {
    /// Replaces a key that is not valid Unicode.
    const REPLACEMENT: &str = "\u{fffd}";
    const OWN_KEYS: [&str; 9] = [
        "",
        "connection_configuration",
        "credentials",
        "environment",
        "externalUserId",
        "name",
        "source_config_template_id",
        "token",
        "workspace_id",
    ];
    let keys: Vec<String> = Literals::of(text)
        .keys
        .iter()
        .map(|key| truncated(key))
        .collect();
    for error in errors {
        assert!(DETAILS.contains(&&*error.detail), "{error:?}");
        for part in parts(&error.pointer) {
            assert!(
                keys.contains(&part)
                    || part == REPLACEMENT
                    || OWN_KEYS.contains(&&*part)
                    || part.parse::<u32>().is_ok(),
                "{part:?} is not a key"
            );
        }
    }
}

fn fields(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(fields).sum(),
        Value::Object(object) => object.len() + object.values().map(fields).sum::<usize>(),
        _ => 0,
    }
}
