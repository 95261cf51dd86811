//! Validation of a connection configuration before it is passed on.
//!
//! Airbyte validates the contents, and receives the caller's JSON verbatim. But JSON parsers disagree about some inputs:
//! which of two duplicate keys counts, what an unpaired surrogate is, how deep is too deep (RFC 8259, sections 4, 6, 8.2
//! and 9). Such an input could be validated as one value and interpreted as another (a parser differential), so it is
//! rejected.

use std::borrow::Cow;
use std::collections::HashSet;
use std::iter;

use serde_json::value::RawValue;
use shared::field_error::{FieldError, FieldErrors, json_pointer};
use shared::json::{self, Lexeme};
use shared::request::body::UNPAIRED_SURROGATE;

/// The maximum depth of nesting. Connector specifications have less than ten levels.
pub const MAX_DEPTH: usize = 64;

/// Replaces a key that is not valid Unicode in JSON pointers.
const REPLACEMENT: &str = "\u{fffd}";

/// Returns all field errors of a configuration, with pointers that start with `key`. Validation stops at the first value that is
/// nested too deeply.
///
/// Takes time and memory in proportion to the length. It does not use serde, which stops at the first string or number that it
/// cannot represent.
#[must_use]
pub fn validate(configuration: &RawValue, key: &str) -> FieldErrors {
    let mut validator = Validator {
        key,
        path: Vec::new(),
        errors: FieldErrors::default(),
    };
    for lexeme in json::lexemes(configuration) {
        if !validator.step(lexeme) || validator.errors.is_truncated() {
            break;
        }
    }
    validator.errors
}

/// The state of one pass over the lexemes.
struct Validator<'a> {
    key: &'a str,
    /// The containers around the current lexeme.
    path: Vec<Container<'a>>,
    errors: FieldErrors,
}

enum Container<'a> {
    Array {
        index: usize,
    },
    Object {
        keys: HashSet<Cow<'a, str>>,
        current: Cow<'a, str>,
    },
}

impl<'a> Validator<'a> {
    /// Validates the next lexeme; `false` to stop.
    fn step(&mut self, lexeme: Lexeme<'a>) -> bool {
        match lexeme {
            Lexeme::ObjectBegin => {
                return self.enter(Container::Object {
                    keys: HashSet::new(),
                    current: Cow::Borrowed(""),
                });
            }
            Lexeme::ArrayBegin => return self.enter(Container::Array { index: 0 }),
            Lexeme::End => {
                self.path.pop();
            }
            Lexeme::Comma => {
                if let Some(Container::Array { index }) = self.path.last_mut() {
                    *index += 1;
                }
            }
            Lexeme::Key(quoted) => self.key(quoted),
            Lexeme::String(quoted) => {
                if json::unescape(quoted).is_none() {
                    self.reject(UNPAIRED_SURROGATE);
                }
            }
            Lexeme::Number(number) => {
                if serde_json::from_str::<f64>(number).is_err() {
                    self.reject("is out of range for a 64-bit float");
                }
            }
            Lexeme::Literal => {}
        }
        true
    }

    fn enter(&mut self, container: Container<'a>) -> bool {
        if self.path.len() == MAX_DEPTH {
            self.reject("is nested too deeply");
            return false;
        }
        self.path.push(container);
        true
    }

    fn key(&mut self, quoted: &'a str) {
        let Some(Container::Object { keys, current }) = self.path.last_mut() else {
            return;
        };
        let key = json::unescape(quoted);
        *current = key.clone().unwrap_or(Cow::Borrowed(REPLACEMENT));
        match key {
            None => self.reject(UNPAIRED_SURROGATE),
            Some(key) => {
                if !keys.insert(key) {
                    self.reject("appears more than once");
                }
            }
        }
    }

    fn reject(&mut self, detail: &'static str) {
        let parts: Vec<_> = self
            .path
            .iter()
            .map(|container| match container {
                Container::Array { index } => Cow::Owned(index.to_string()),
                Container::Object { current, .. } => Cow::Borrowed(&**current),
            })
            .collect();
        let parts = iter::once(self.key).chain(parts.iter().map(AsRef::as_ref));
        self.errors
            .push(FieldError::new(json_pointer(parts), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use shared::field_error::MAX_FIELD_ERRORS;

    fn errors(configuration: &str) -> Vec<String> {
        let configuration = serde_json::from_str(configuration).unwrap();
        validate(configuration, "c")
            .as_slice()
            .iter()
            .map(|error| format!("{} {}", error.pointer, error.detail))
            .collect()
    }

    #[test]
    fn accepts_unambiguous_json() {
        for configuration in [
            "{}",
            r#"{"host": "db", "port": 5432, "ssl": {"mode": null}, "tables": [{"a": 1.5e3}, []], "x": true}"#,
            r#"{"big": 123456789012345678901234567890, "small": -1e-400, "text": "\ud83d\ude00 \u0000"}"#,
            r#"{"a": {"b": 1}, "b": {"a": 1}}"#,
        ] {
            assert_eq!(errors(configuration), [""; 0], "of {configuration}");
        }
    }

    #[test]
    fn rejects_each_duplicate_key() {
        assert_eq!(
            errors(r#"{"a": 1, "a": 2, "b": [{"x/y": 1, "x\u002fy": 2}]}"#),
            [
                "/c/a appears more than once",
                "/c/b/0/x~1y appears more than once"
            ]
        );
    }

    #[test]
    fn rejects_each_unpaired_surrogate_and_number_out_of_range() {
        let surrogate = "contains an unpaired UTF-16 surrogate";
        let number = "is out of range for a 64-bit float";
        assert_eq!(
            errors(
                r#"{"a": "\ud800", "b": ["x", "\udc00\ud800", 1e999], "c": {"d": -1E999 , "\ud800": 1, "e": "\\"},
                    "a": "\"\ud800\""}"#
            ),
            [
                format!("/c/a {surrogate}"),
                format!("/c/b/1 {surrogate}"),
                format!("/c/b/2 {number}"),
                format!("/c/c/d {number}"),
                format!("/c/c/\u{fffd} {surrogate}"),
                "/c/a appears more than once".to_owned(),
                format!("/c/a {surrogate}"),
            ]
        );
    }

    #[test]
    fn distinguishes_value_from_invalid_key() {
        assert_eq!(
            errors(
                r#"{"\ud800": "hunter2", "\ud801": "hunter2", "a": {"\ud800": ["hunter2", 1e999]}}"#
            ),
            [
                "/c/\u{fffd} contains an unpaired UTF-16 surrogate",
                "/c/\u{fffd} contains an unpaired UTF-16 surrogate",
                "/c/a/\u{fffd} contains an unpaired UTF-16 surrogate",
                "/c/a/\u{fffd}/1 is out of range for a 64-bit float",
            ]
        );
    }

    #[test]
    fn rejects_deep_nesting() {
        let nested =
            |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert_eq!(errors(&nested(MAX_DEPTH)), [""; 0]);
        let errors_of_deep = errors(&nested(MAX_DEPTH + 1));
        assert!(
            errors_of_deep.len() == 1 && errors_of_deep[0].ends_with("/a is nested too deeply"),
            "{errors_of_deep:?}"
        );
        let arrays = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(errors(&arrays).len(), 1);
    }

    #[test]
    fn limits_errors() {
        let configuration = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(100_000));
        assert_eq!(errors(&configuration).len(), MAX_FIELD_ERRORS);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("JSON has no others", |f| f.is_finite())
                .prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |element| {
            prop_oneof![
                prop::collection::vec(element.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), element, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn accepts_serialized_values(value in json()) {
            prop_assert_eq!(errors(&value.to_string()), Vec::<String>::new());
        }
    }

    /// JSON with few keys, so that some are duplicates, and with what parsers disagree about.
    fn strange() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["a", "b", "\\u0061", "\\ud800"]);
        let leaf = prop::sample::select(vec![
            "null",
            "1",
            "1e999",
            "\"a\"",
            "\"\\udc00\"",
            "\"\\\"\"",
        ]);
        leaf.prop_map(str::to_owned)
            .prop_recursive(4, 24, 4, move |element| {
                prop_oneof![
                    prop::collection::vec(element.clone(), 0..4)
                        .prop_map(|items| format!("[{}]", items.join(" ,"))),
                    prop::collection::vec((name.clone(), element), 0..4).prop_map(|members| {
                        let members: Vec<_> = members
                            .iter()
                            .map(|(name, value)| format!("\"{name}\" :{value}"))
                            .collect();
                        format!("{{{}}}", members.join(", "))
                    }),
                ]
            })
    }

    fn members(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(members).sum(),
            Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_parses_completely(text in strange()) {
            let found = serde_json::from_str(&text).map(|value| members(&value));
            let agreed = found.is_ok_and(|found| found == text.matches("\" :").count());
            prop_assert_eq!(errors(&text).is_empty(), agreed, "{}", text);
        }
    }
}
