//! What a connection configuration must be before it is passed on.
//!
//! It is Airbyte's to judge, and goes on as the text that came. But readers of JSON disagree about some texts: which of
//! two equal names counts, what a lone surrogate is, how deep is too deep (RFC 8259, sections 4, 6, 8.2 and 9). Such a
//! text might be checked as one thing and used as another, so it is refused.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;
use shared::body::HALF_A_PAIR;
use shared::json::{self, Token};
use shared::problem::{Fault, Problem, pointer};

/// The deepest nesting. Connector specifications have less than ten levels.
pub const DEEPEST: usize = 64;

/// Stands in a pointer for a name that is no text.
const NO_TEXT: &str = "\u{fffd}";

/// All faults of a configuration, each with a pointer that begins with `name`. What is nested too deeply is not looked
/// into.
///
/// Takes time and memory in proportion to the text's length. serde itself would stop at the first string or number that
/// it cannot hold, and leave the others untold.
#[must_use]
pub fn faults(configuration: &RawValue, name: &str) -> Vec<Fault> {
    let mut walk = Walk {
        name,
        inside: Vec::new(),
        faults: Vec::new(),
    };
    for token in json::tokens(configuration) {
        if !walk.step(token) {
            break;
        }
    }
    walk.faults
}

/// One pass over the tokens.
struct Walk<'a> {
    name: &'a str,
    /// The containers around the place where the walk is.
    inside: Vec<Container<'a>>,
    faults: Vec<Fault>,
}

enum Container<'a> {
    Array {
        index: usize,
    },
    Object {
        names: HashSet<Cow<'a, str>>,
        member: Cow<'a, str>,
    },
}

impl<'a> Walk<'a> {
    /// Looks at the next token; `false` if none after it is to be looked at.
    fn step(&mut self, token: Token<'a>) -> bool {
        match token {
            Token::ObjectBegin => {
                return self.enter(Container::Object {
                    names: HashSet::new(),
                    member: Cow::Borrowed(""),
                });
            }
            Token::ArrayBegin => return self.enter(Container::Array { index: 0 }),
            Token::End => {
                self.inside.pop();
            }
            Token::Comma => {
                if let Some(Container::Array { index }) = self.inside.last_mut() {
                    *index += 1;
                }
            }
            Token::Name(quoted) => self.name(quoted),
            Token::String(quoted) => {
                if json::text(quoted).is_none() {
                    self.fault(HALF_A_PAIR);
                }
            }
            Token::Number(number) => {
                if serde_json::from_str::<f64>(number).is_err() {
                    self.fault("is a number that no double holds");
                }
            }
            Token::Word => {}
        }
        true
    }

    fn enter(&mut self, container: Container<'a>) -> bool {
        if self.inside.len() == DEEPEST {
            self.fault("is nested too deeply");
            return false;
        }
        self.inside.push(container);
        true
    }

    fn name(&mut self, quoted: &'a str) {
        let Some(Container::Object { names, member }) = self.inside.last_mut() else {
            return;
        };
        let name = json::text(quoted);
        *member = name.clone().unwrap_or(Cow::Borrowed(NO_TEXT));
        match name {
            None => self.fault(HALF_A_PAIR),
            Some(name) => {
                if !names.insert(name) {
                    self.fault("appears more than once");
                }
            }
        }
    }

    fn fault(&mut self, detail: &'static str) {
        // One more than are told, so that it is told that there are more.
        if self.faults.len() > Problem::MOST_FAULTS {
            return;
        }
        let indices: Vec<_> = self
            .inside
            .iter()
            .map(|container| match container {
                Container::Array { index } => Cow::Owned(index.to_string()),
                Container::Object { member, .. } => Cow::Borrowed(&**member),
            })
            .collect();
        let place = std::iter::once(self.name).chain(indices.iter().map(AsRef::as_ref));
        self.faults.push(Fault::new(pointer(place), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn told(configuration: &str) -> Vec<String> {
        let configuration = serde_json::from_str(configuration).unwrap();
        faults(configuration, "c")
            .iter()
            .map(|fault| format!("{} {}", fault.pointer, fault.detail))
            .collect()
    }

    #[test]
    fn what_all_readers_agree_on_is_passed_on() {
        for configuration in [
            "{}",
            r#"{"host": "db", "port": 5432, "ssl": {"mode": null}, "tables": [{"a": 1.5e3}, []], "x": true}"#,
            r#"{"big": 123456789012345678901234567890, "small": -1e-400, "text": "\ud83d\ude00 \u0000"}"#,
            r#"{"a": {"b": 1}, "b": {"a": 1}}"#,
        ] {
            assert_eq!(told(configuration), [""; 0], "of {configuration}");
        }
    }

    #[test]
    fn equal_names_are_told_each_at_its_place() {
        assert_eq!(
            told(r#"{"a": 1, "a": 2, "b": [{"x/y": 1, "x\u002fy": 2}]}"#),
            [
                "/c/a appears more than once",
                "/c/b/0/x~1y appears more than once"
            ]
        );
    }

    #[test]
    fn lone_surrogates_and_numbers_beyond_doubles_are_told_all_of_them() {
        let surrogate = "holds half of a surrogate pair, which is no text";
        let number = "is a number that no double holds";
        assert_eq!(
            told(
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
    fn a_value_behind_a_name_that_is_no_text_is_not_taken_for_a_name() {
        assert_eq!(
            told(
                r#"{"\ud800": "hunter2", "\ud801": "hunter2", "a": {"\ud800": ["hunter2", 1e999]}}"#
            ),
            [
                "/c/\u{fffd} holds half of a surrogate pair, which is no text",
                "/c/\u{fffd} holds half of a surrogate pair, which is no text",
                "/c/a/\u{fffd} holds half of a surrogate pair, which is no text",
                "/c/a/\u{fffd}/1 is a number that no double holds",
            ]
        );
    }

    #[test]
    fn nesting_has_an_end() {
        let nested =
            |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert_eq!(told(&nested(DEEPEST)), [""; 0]);
        let faults = told(&nested(DEEPEST + 1));
        assert!(
            faults.len() == 1 && faults[0].ends_with("/a is nested too deeply"),
            "{faults:?}"
        );
        let arrays = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(told(&arrays).len(), 1);
    }

    #[test]
    fn many_faults_take_little_room() {
        let configuration = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(100_000));
        assert_eq!(told(&configuration).len(), Problem::MOST_FAULTS + 1);
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
        fn whatever_a_client_serializes_has_no_fault(value in json()) {
            prop_assert_eq!(told(&value.to_string()), Vec::<String>::new());
        }
    }

    /// Texts with few names, so that some are equal, and with what readers disagree about.
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
        fn a_text_has_no_fault_if_another_reader_finds_every_member_of_it(text in strange()) {
            let found = serde_json::from_str(&text).map(|value| members(&value));
            let agreed = found.is_ok_and(|found| found == text.matches("\" :").count());
            prop_assert_eq!(told(&text).is_empty(), agreed, "{}", text);
        }
    }
}
