//! The body of `POST /sources`, and a connection configuration by itself.
#![no_main]

use create_source::configuration::{self, DEEPEST};
use create_source::request::SourceRequest;
use fuzz::{Literals, cut, parts};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::airbyte::wire::CreateSourceRequest;
use shared::caller::Caller;
use shared::problem::{Fault, Problem};

/// All that a fault may say. Nothing else is said, so no value is.
const DETAILS: [&str; 9] = [
    "appears more than once",
    "holds half of a surrogate pair, which is no text",
    "is a number that no double holds",
    "is nested too deeply",
    "is not a member that this request has",
    "is required",
    "must be a string",
    "must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
    "must be an object",
];

/// Lambda takes no answer over 6 MiB, and the body is JSON inside of JSON there.
const LARGEST_PROBLEM: usize = 3 * 1024 * 1024;

fuzz_target!(|text: &str| {
    body(text);
    if let Ok(json) = serde_json::from_str::<&RawValue>(text) {
        configuration(json);
    }
});

fn body(text: &str) {
    let claims = Map::from_iter([("sub".to_owned(), Value::from("alice"))]);
    match SourceRequest::parse(text, &Caller::Jwt(&claims), "sub") {
        Ok(request) => {
            let sent = request.connection_configuration.get();
            assert!(
                text.as_bytes().as_ptr_range().contains(&sent.as_ptr()),
                "the caller's own text goes on"
            );
            assert!(sent.starts_with('{'));
            assert!(serde_json::from_str::<Value>(text).is_ok_and(|body| body.is_object()));
            let wire = CreateSourceRequest {
                workspace_id: request.workspace_id.unwrap_or_default(),
                source_config_template_id: request.source_config_template_id,
                connection_configuration: request.connection_configuration,
            };
            let wire = serde_json::to_string(&wire).expect("what is parsed can be written");
            assert!(wire.ends_with(&format!("\"connection_configuration\":{sent}}}")));
            assert!(serde_json::from_str::<Value>(&wire).is_ok());
        }
        Err(problem) => {
            assert!(problem.faults().len() <= Problem::MOST_FAULTS);
            let json = problem.to_json("request");
            assert!(json.len() < LARGEST_PROBLEM);
            assert!(serde_json::from_str::<Value>(&json).is_ok());
            if serde_json::from_str::<&RawValue>(text).is_ok() {
                only_names_are_repeated(problem.faults(), text);
            } else {
                assert!(problem.faults().is_empty() || text.trim().is_empty());
            }
        }
    }
}

fn configuration(json: &RawValue) {
    let faults = configuration::faults(json, "");
    assert!(faults.len() <= Problem::MOST_FAULTS + 1);
    only_names_are_repeated(&faults, json.get());

    // Without a fault: what another reader takes for the same, with all of its members.
    let literals = Literals::of(json.get());
    let is_clear = literals.depth <= DEEPEST
        && serde_json::from_str(json.get())
            .is_ok_and(|value| members(&value) == literals.names.len());
    assert_eq!(faults.is_empty(), is_clear, "{faults:?}");
}

fn only_names_are_repeated(faults: &[Fault], text: &str) {
    /// Stands for a name that is no text.
    const NO_TEXT: &str = "\u{fffd}";
    const OURS: [&str; 6] = [
        "",
        "connection_configuration",
        "externalUserId",
        "source_config_template_id",
        "token",
        "workspace_id",
    ];
    let names: Vec<String> = Literals::of(text)
        .names
        .iter()
        .map(|name| cut(name))
        .collect();
    for fault in faults {
        assert!(DETAILS.contains(&&*fault.detail), "{fault:?}");
        for part in parts(&fault.pointer) {
            assert!(
                names.contains(&part)
                    || part == NO_TEXT
                    || OURS.contains(&&*part)
                    || part.parse::<u32>().is_ok(),
                "{part:?} is no name"
            );
        }
    }
}

fn members(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(members).sum(),
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        _ => 0,
    }
}
