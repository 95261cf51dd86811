//! What a connection configuration must be before it is passed on.
//!
//! It is Airbyte's to judge, and goes on as the text that came. But readers of JSON disagree about some texts: which of
//! two equal names counts, what a lone surrogate is, how deep is too deep (RFC 8259, sections 4, 6, 8.2 and 9). Such a
//! text might be checked as one thing and used as another, so it is refused.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::problem::{Fault, Problem, pointer};

/// The deepest nesting. Connector specifications have less than ten levels.
pub const DEEPEST: usize = 64;

/// All faults of a configuration, each with a pointer that begins with `name`.
///
/// Takes time and memory in proportion to the text's length.
#[must_use]
pub fn faults(configuration: &RawValue, name: &str) -> Vec<Fault> {
    let mut walk = Walk {
        rest: configuration.get(),
        name,
        inside: Vec::new(),
        faults: Vec::new(),
    };
    while walk.step() {}
    walk.faults
}

/// One pass over a text that is known to be JSON: a [`RawValue`] is, and serde has seen to it. serde itself stops at the
/// first string or number that it cannot hold, and would leave the others untold.
struct Walk<'a> {
    rest: &'a str,
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
        name_is_next: bool,
    },
}

impl<'a> Walk<'a> {
    /// Goes on by one token; `false` at the end.
    fn step(&mut self) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = self.rest.bytes().next() else {
            return false;
        };
        match first {
            b'{' => self.enter(Container::Object {
                names: HashSet::new(),
                member: Cow::Borrowed(""),
                name_is_next: true,
            }),
            b'[' => self.enter(Container::Array { index: 0 }),
            b'}' | b']' => {
                self.inside.pop();
                self.take(1);
                true
            }
            b',' => {
                match self.inside.last_mut() {
                    Some(Container::Array { index }) => *index += 1,
                    Some(Container::Object { name_is_next, .. }) => *name_is_next = true,
                    None => {}
                }
                self.take(1);
                true
            }
            b':' => {
                self.take(1);
                true
            }
            b'"' => self.string(),
            _ => self.number_or_word(),
        }
    }

    fn enter(&mut self, container: Container<'a>) -> bool {
        if self.inside.len() == DEEPEST {
            self.fault("is nested too deeply");
            return false;
        }
        self.inside.push(container);
        self.take(1);
        true
    }

    fn string(&mut self) -> bool {
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let text = self.take(end.map_or(self.rest.len(), |end| end + 2));
        let Ok(Text(text)) = serde_json::from_str(text) else {
            self.fault("holds half of a surrogate pair, which is no text");
            return true;
        };
        if let Some(Container::Object {
            names,
            member,
            name_is_next,
        }) = self.inside.last_mut()
            && *name_is_next
        {
            *name_is_next = false;
            member.clone_from(&text);
            if !names.insert(text) {
                self.fault("appears more than once");
            }
        }
        true
    }

    fn number_or_word(&mut self) -> bool {
        let end = self.rest.find([',', '}', ']', ' ', '\t', '\r', '\n']);
        let token = self.take(end.unwrap_or(self.rest.len()));
        if !matches!(token, "true" | "false" | "null")
            && serde_json::from_str::<f64>(token).is_err()
        {
            self.fault("is a number that no double holds");
        }
        true
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
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

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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
                format!("/c/c/d {surrogate}"),
                "/c/a appears more than once".to_owned(),
                format!("/c/a {surrogate}"),
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
}
