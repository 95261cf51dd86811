//! An error response of Airbyte that may echo what was sent. The first line is a connection configuration, the others are
//! the response.
#![no_main]

use fuzz::{Literals, parts, truncated};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use shared::airbyte::rejection::Rejection;

const MAX_MESSAGE_CHARS: usize = 300;

fuzz_target!(|text: &str| {
    let Some((sent, response)) = text.split_once('\n') else {
        return;
    };
    let Ok(sent) = serde_json::from_str::<&RawValue>(sent) else {
        return;
    };
    let rejection = Rejection::parse(response.as_bytes()).redact(sent, &"token".into());
    assert!(rejection.errors.as_slice().len() <= 50);

    let Literals {
        keys,
        strings,
        numbers,
        ..
    } = Literals::of(sent.get());
    let keys: Vec<String> = keys.iter().map(|key| truncated(key)).collect();
    let values: Vec<String> = strings
        .into_iter()
        .chain(numbers)
        .map(|value| value.trim().to_owned())
        // Shorter values are withheld only as whole words, because "id" is in every "invalid". Nothing remains of values
        // that consist of backslashes and control characters.
        .filter(|value| {
            value
                .chars()
                .filter(|&c| c != '\\' && !c.is_control())
                .map(char::len_utf8)
                .sum::<usize>()
                >= 4
        })
        .collect();
    let contains_no_value = |text: &str| {
        if let Some(value) = values.iter().find(|value| text.contains(&**value)) {
            panic!("{text:?} contains {value:?}");
        }
    };
    let check = |text: &str| {
        assert!(text.chars().count() <= MAX_MESSAGE_CHARS);
        assert!(!text.chars().any(char::is_control));
        contains_no_value(text);
    };
    rejection.message.iter().for_each(|message| check(message));
    for error in rejection.errors.as_slice() {
        if error.detail != "is invalid" {
            check(&error.detail);
        }
        parts(&error.pointer)
            .iter()
            .filter(|part| !keys.contains(part))
            .for_each(|part| contains_no_value(part));
    }
});
