//! What a connection configuration must be before it is passed on.
//!
//! It is Airbyte's to judge, and goes on as the text that came. But readers of JSON disagree about some texts: which of
//! two equal names counts, what a lone surrogate is, how deep is too deep (RFC 8259, sections 4, 6, 8.2 and 9). Such a
//! text might be checked as one thing and used as another, so it is refused.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use shared::problem::{Fault, Problem, pointer};

/// The deepest nesting. Connector specifications have less than ten levels.
pub const DEEPEST: usize = 64;

/// All faults of a configuration that is valid JSON, each with a pointer that begins with `name`.
///
/// Takes time and memory in proportion to the text's length.
#[must_use]
pub fn faults(configuration: &RawValue, name: &str) -> Vec<Fault> {
    let walk = Walk {
        place: RefCell::new(vec![name.to_owned()]),
        faults: RefCell::default(),
        too_deep: Cell::new(false),
    };
    let mut json = serde_json::Deserializer::from_str(configuration.get());
    if Element(&walk).deserialize(&mut json).is_err() {
        // The text is JSON, or it would not have come this far: what is left is what JSON allows and readers do not.
        walk.fault(if walk.too_deep.get() {
            "is nested too deeply"
        } else {
            "holds a lone surrogate, or a number that no double holds"
        });
    }
    walk.faults.into_inner()
}

/// Where the walk is, and what it found. An error of the deserializer ends it; `place` is then where that was.
struct Walk {
    place: RefCell<Vec<String>>,
    faults: RefCell<Vec<Fault>>,
    too_deep: Cell<bool>,
}

impl Walk {
    fn fault(&self, detail: &'static str) {
        let mut faults = self.faults.borrow_mut();
        // One more than are told, so that it is told that there are more.
        if faults.len() <= Problem::MOST_FAULTS {
            let place = self.place.borrow();
            faults.push(Fault::new(
                pointer(place.iter().map(String::as_str)),
                detail,
            ));
        }
    }
}

/// Any JSON value at the walk's place.
struct Element<'w>(&'w Walk);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Element<'_> {
    fn descend<E: Error>(&self) -> Result<(), E> {
        if self.0.place.borrow().len() > DEEPEST {
            self.0.too_deep.set(true);
            return Err(E::custom("too deep"));
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.descend()?;
        for index in 0_usize.. {
            self.0.place.borrow_mut().push(index.to_string());
            let item = items.next_element_seed(Element(self.0))?;
            self.0.place.borrow_mut().pop();
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.descend()?;
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            self.0.place.borrow_mut().push(name.clone());
            if !names.insert(name) {
                self.0.fault("appears more than once");
            }
            members.next_value_seed(Element(self.0))?;
            self.0.place.borrow_mut().pop();
        }
        Ok(())
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
    fn lone_surrogates_and_numbers_beyond_doubles_are_told() {
        let ambiguous = "holds a lone surrogate, or a number that no double holds";
        for (configuration, place) in [
            (r#"{"a": "\ud800"}"#, "/c/a"),
            (r#"{"a": ["x", "\udc00\ud800"]}"#, "/c/a/1"),
            (r#"{"a": {"\ud800": 1}}"#, "/c/a"),
            (r#"{"a": {"b": 1e999}}"#, "/c/a/b"),
        ] {
            assert_eq!(
                told(configuration),
                [format!("{place} {ambiguous}")],
                "of {configuration}"
            );
        }
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
