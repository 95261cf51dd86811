//! An error response of Airbyte that may echo what was sent. The first line is a connection configuration, the others are
//! the response.
#![no_main]

use std::collections::HashSet;

use fuzz::{Literals, parts, truncated};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use shared::airbyte::rejection::ErrorBody;
use shared::airbyte::{Agents, Api, NewSource};
use shared::field_error::MAX_FIELD_ERRORS;
use shared::request::caller::ExternalUserId;
use uuid::Uuid;

/// The maximum length of a string that is shown, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// The length of the fragments of values that are never shown, in letters and digits.
const FRAGMENT_LEN: usize = 6;

/// The maximum length of an array index.
const MAX_INDEX_DIGITS: usize = 3;

/// The fields of `POST /sources`, which are shown even if a value is the same.
const OWN_KEYS: [&str; 7] = [
    "connection_configuration",
    "credentials",
    "environment",
    "externalUserId",
    "name",
    "source_config_template_id",
    "workspace_id",
];

/// All details that are not Airbyte's.
const DETAILS: [&str; 20] = [
    "is required",
    "is invalid",
    "unknown field",
    "must be a string",
    "is too short",
    "is too long",
    "does not match the required pattern",
    "has too few items",
    "has too many items",
    "must be an integer",
    "must be a number",
    "must be true or false",
    "must be an object",
    "must be an array",
    "is not one of the allowed values",
    "is too small",
    "is too large",
    "must be a UUID",
    "must be a URL",
    "must be a date",
];

fuzz_target!(|text: &str| {
    let Some((sent, response)) = text.split_once('\n') else {
        return;
    };
    let Ok(sent) = serde_json::from_str::<&RawValue>(sent) else {
        return;
    };
    check(&Api::Embedded, sent, response);
    check(&Api::Agents(Agents::default()), sent, response);
});

fn check(api: &Api, sent: &RawValue, response: &str) {
    let user = ExternalUserId::parse("user").expect("a valid ID");
    let source = NewSource {
        user: &user,
        workspace_id: Uuid::nil(),
        template_id: Uuid::nil(),
        configuration: Some(sent),
        credentials: None,
        environment: None,
        name: None,
    };
    let body = ErrorBody::parse(response.as_bytes());
    let rejection = api.rejection(&body, &source, &"token".into());
    assert!(rejection.errors.as_slice().len() <= MAX_FIELD_ERRORS);

    let Literals {
        keys,
        strings,
        numbers,
        ..
    } = Literals::of(sent.get());
    let keys: HashSet<String> = keys.iter().map(|key| truncated(key)).collect();
    let values = strings.iter().chain(&numbers);
    let sent: HashSet<Vec<char>> = values.flat_map(|value| fragments(value)).collect();
    let check_string = |text: &str| {
        if let Some(fragment) = fragments(text).into_iter().find(|it| sent.contains(it)) {
            panic!("{text:?} contains {:?}", String::from_iter(fragment));
        }
    };
    let check_message = |text: &str| {
        assert!(text.chars().count() <= MAX_MESSAGE_CHARS);
        assert!(!text.chars().any(char::is_control));
        check_string(text);
    };
    rejection
        .message
        .iter()
        .for_each(|message| check_message(message));
    for error in rejection.errors.as_slice() {
        if !DETAILS.contains(&&*error.detail) {
            check_message(&error.detail);
        }
        for part in parts(&error.pointer) {
            let is_index = part.len() <= MAX_INDEX_DIGITS;
            if !is_index && !keys.contains(&part) && !OWN_KEYS.contains(&&*part) {
                check_string(&part);
            }
        }
    }
}

/// Returns the runs of letters and digits, whatever their case and what is between them.
fn fragments(text: &str) -> Vec<Vec<char>> {
    let letters: Vec<char> = text
        .to_lowercase()
        .chars()
        .filter(|char| char.is_alphanumeric())
        .collect();
    letters
        .windows(FRAGMENT_LEN)
        .map(<[char]>::to_vec)
        .collect()
}
