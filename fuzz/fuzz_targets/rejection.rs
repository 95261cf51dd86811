//! A refusal of Airbyte's that may repeat what was sent: a connection configuration on the first line, Airbyte's answer
//! in the others.
#![no_main]

use fuzz::{Literals, cut, parts};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use shared::airbyte::rejection::Rejection;

/// The longest text, in characters.
const LONGEST: usize = 300;

fuzz_target!(|text: &str| {
    let Some((sent, answer)) = text.split_once('\n') else {
        return;
    };
    let Ok(sent) = serde_json::from_str::<&RawValue>(sent) else {
        return;
    };
    let rejection = Rejection::parse(answer.as_bytes()).redact(sent, &"token".into());
    assert!(rejection.errors.as_slice().len() <= 50);

    let Literals {
        names,
        strings,
        numbers,
        ..
    } = Literals::of(sent.get());
    let names: Vec<String> = names.iter().map(|name| cut(name)).collect();
    let values: Vec<String> = strings
        .into_iter()
        .chain(numbers)
        .map(|value| value.trim().to_owned())
        // Shorter ones are withheld only as words of their own: an "id" is in every "invalid". And what would be left
        // of the others once they are quoted and unquoted is nothing.
        .filter(|value| {
            value
                .chars()
                .filter(|&c| c != '\\' && !c.is_control())
                .map(char::len_utf8)
                .sum::<usize>()
                >= 4
        })
        .collect();
    let no_value_is_in = |text: &str| {
        if let Some(value) = values.iter().find(|value| text.contains(&**value)) {
            panic!("{text:?} repeats {value:?}");
        }
    };
    let check = |text: &str| {
        assert!(text.chars().count() <= LONGEST);
        assert!(!text.chars().any(char::is_control));
        no_value_is_in(text);
    };
    rejection.message.iter().for_each(|message| check(message));
    for error in rejection.errors.as_slice() {
        if error.detail != "is invalid" {
            check(&error.detail);
        }
        parts(&error.pointer)
            .iter()
            .filter(|part| !names.contains(part))
            .for_each(|part| no_value_is_in(part));
    }
});
