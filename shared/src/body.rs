//! The JSON body of a request: read strictly, with every fault in it told at once.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::caller::{ExternalUserId, UserRefused};
use crate::event::HttpEvent;
use crate::problem::{Fault, Kind, Problem, pointer};

/// What is wrong with a string that has an escape such as `\ud800` alone (RFC 8259, section 8.2).
pub const HALF_A_PAIR: &str = "holds half of a surrogate pair, which is no text";

/// The body as text, base64 taken off, at most `limit` bytes of it.
///
/// An absent body is an empty one.
pub fn text(event: &HttpEvent, limit: usize) -> Result<Cow<'_, str>, Problem> {
    let too_large = || {
        Problem::new(
            Kind::PayloadTooLarge,
            format!(
                "The body is larger than {}. Send a smaller one.",
                size(limit)
            ),
        )
    };
    let unreadable = |why| Problem::new(Kind::InvalidRequest, why);
    let Some(body) = event.body.as_deref() else {
        return Ok(Cow::Borrowed(""));
    };
    if !event.is_base64_encoded {
        return if body.len() > limit {
            Err(too_large())
        } else {
            Ok(Cow::Borrowed(body))
        };
    }
    // Four characters stand for three bytes: what is clearly too much is not decoded first.
    if body.len() / 4 * 3 > limit + 3 {
        return Err(too_large());
    }
    let bytes = STANDARD.decode(body).map_err(|_| {
        unreadable("The body came as base64 that cannot be decoded. Send JSON as UTF-8.")
    })?;
    if bytes.len() > limit {
        return Err(too_large());
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| unreadable("The body is not UTF-8. Send JSON as UTF-8."))
}

/// A limit as the documentation writes it.
fn size(bytes: usize) -> String {
    const MIB: usize = 1024 * 1024;
    if bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{} KiB", bytes / 1024)
    }
}

/// The members of a JSON object, taken out one by one. What is wrong with them is collected, and [`Object::finish`]
/// tells all of it.
#[derive(Debug)]
pub struct Object<'a> {
    members: Vec<(String, &'a RawValue)>,
    /// The names that were asked for.
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Object<'a> {
    /// Reads a body that must be a JSON object; a blank one is an object without members.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        // JSON's white space (RFC 8259, section 2) is less than Unicode's.
        if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
            return Ok(Self {
                members: Vec::new(),
                known: Vec::new(),
                faults: Vec::new(),
            });
        }
        let members: Members<'a> = serde_json::from_str(text).map_err(|error| {
            // Of the error only where it is: what it says may quote the body.
            let detail = if error.is_data() {
                "The body is not a JSON object. Send one: {…}.".to_owned()
            } else {
                format!(
                    "The body is not JSON: look at line {}, column {}.",
                    error.line(),
                    error.column()
                )
            };
            Problem::new(Kind::InvalidRequest, detail)
        })?;
        let mut seen = HashSet::with_capacity(members.0.len());
        let faults = members
            .0
            .iter()
            .filter(|(name, _)| !seen.insert(name.as_str()))
            .map(|(name, _)| Fault::new(pointer([name.as_str()]), "appears more than once"))
            .take(Problem::MOST_FAULTS + 1)
            .collect();
        Ok(Self {
            members: members.0,
            known: Vec::new(),
            faults,
        })
    }

    /// An optional string; `null` counts as absent.
    pub fn string(&mut self, name: &'static str) -> Option<String> {
        let value = self.take(name)?;
        let text = serde_json::from_str(value.get()).ok();
        if text.is_none() {
            let detail = if value.get().starts_with('"') {
                HALF_A_PAIR
            } else {
                "must be a string"
            };
            self.fault(name, detail);
        }
        text
    }

    /// An optional UUID in the usual form with hyphens; `null` counts as absent.
    pub fn uuid(&mut self, name: &'static str) -> Option<Uuid> {
        let value = self.take(name)?;
        let text: Option<String> = serde_json::from_str(value.get()).ok();
        let id = text
            .filter(|text| text.len() == 36)
            .and_then(|text| Uuid::try_parse(&text).ok());
        if id.is_none() {
            self.fault(
                name,
                "must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
            );
        }
        id
    }

    /// An optional object, exactly as it was sent; `null` counts as absent.
    pub fn raw_object(&mut self, name: &'static str) -> Option<&'a RawValue> {
        let value = self.take(name)?;
        if value.get().starts_with('{') {
            return Some(value);
        }
        self.fault(name, "must be an object");
        None
    }

    /// Notes that a member which must be there is not, unless something else is already wrong with it.
    pub fn require(&mut self, name: &'static str, present: bool) {
        if !present {
            self.add_unless_faulty(Fault::new(pointer([name]), "is required"));
        }
    }

    /// Notes further faults.
    pub fn add_faults(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// All faults, members that nobody asked for among them, or none.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.members) {
            let unknown = Fault::new(
                pointer([name.as_str()]),
                "is not a member that this request has",
            );
            // What is left of a known name is there twice, which has been told.
            if !self.known.contains(&name.as_str()) && !self.faults.contains(&unknown) {
                self.faults.push(unknown);
            }
            if self.faults.len() > Problem::MOST_FAULTS {
                break;
            }
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Problem::faulty_body(self.faults))
    }

    /// Like [`finish`](Self::finish), for a body that may name the user: what is wrong with that name is one of its
    /// faults, and told together with the others.
    pub fn finish_with_user(
        mut self,
        user: Result<ExternalUserId, UserRefused>,
    ) -> Result<ExternalUserId, Problem> {
        if let Some(fault) = user.as_ref().err().and_then(|refused| refused.fault()) {
            self.add_unless_faulty(fault);
        }
        self.finish()?;
        Ok(user?)
    }

    fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.known.push(name);
        let at = self.members.iter().position(|(member, _)| member == name)?;
        let (_, value) = self.members.remove(at);
        (value.get() != "null").then_some(value)
    }

    fn fault(&mut self, name: &str, detail: &'static str) {
        self.faults.push(Fault::new(pointer([name]), detail));
    }

    /// What is already known to be wrong with a member is why nothing else can be said of it.
    fn add_unless_faulty(&mut self, fault: Fault) {
        if !self.faults.iter().any(|told| told.pointer == fault.pointer) {
            self.faults.push(fault);
        }
    }
}

/// An object's members in order, the values untouched.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::NAMED_USER;
    use proptest::prelude::*;

    fn event(body: &str, is_base64_encoded: bool) -> HttpEvent {
        HttpEvent {
            body: Some(body.to_owned()),
            is_base64_encoded,
            ..HttpEvent::default()
        }
    }

    fn faults(problem: &Problem) -> Vec<(&str, &str)> {
        problem
            .faults()
            .iter()
            .map(|fault| (fault.pointer.as_str(), fault.detail.as_ref()))
            .collect()
    }

    #[test]
    fn base64_is_taken_off_only_where_the_event_says_so() {
        assert_eq!(text(&event("e30=", true), 10).unwrap(), "{}");
        assert_eq!(text(&event("e30=", false), 10).unwrap(), "e30=");
        assert_eq!(text(&HttpEvent::default(), 10).unwrap(), "");
    }

    #[test]
    fn the_limit_holds_for_the_decoded_body() {
        let body = "a".repeat(1024);
        assert!(text(&event(&body, false), 1024).is_ok());
        assert!(text(&event(&STANDARD.encode(&body), true), 1024).is_ok());
        let body = "a".repeat(1025);
        for event in [event(&body, false), event(&STANDARD.encode(&body), true)] {
            let problem = text(&event, 1024).unwrap_err();
            assert_eq!(problem.kind(), Kind::PayloadTooLarge);
            assert_eq!(
                problem.detail(),
                "The body is larger than 1 KiB. Send a smaller one."
            );
        }
    }

    #[test]
    fn a_limit_is_named_in_the_units_of_the_documentation() {
        assert_eq!(size(64 * 1024), "64 KiB");
        assert_eq!(size(1024 * 1024), "1 MiB");
    }

    #[test]
    fn bad_base64_and_bad_utf8_are_the_callers_mistake() {
        for event in [event("%%%", true), event(&STANDARD.encode([0xff]), true)] {
            assert_eq!(text(&event, 1024).unwrap_err().kind(), Kind::InvalidRequest);
        }
    }

    #[test]
    fn what_is_not_json_is_placed_but_not_quoted() {
        let problem = Object::parse("{\"token\": hunter2}").unwrap_err();
        assert_eq!(
            problem.detail(),
            "The body is not JSON: look at line 1, column 11."
        );
        let problem = Object::parse("[\"hunter2\"]").unwrap_err();
        assert_eq!(
            problem.detail(),
            "The body is not a JSON object. Send one: {…}."
        );
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut body = Object::parse(
            r#"{"a": 1, "id": "x", "object": [], "extra": true, "a/b~c": 1, "twice": "x", "twice": "y", "extra": 1}"#,
        )
        .unwrap();
        assert_eq!(body.string("a"), None);
        assert_eq!(body.uuid("id"), None);
        assert!(body.raw_object("object").is_none());
        body.string("twice");
        assert_eq!(body.string("absent"), None);
        body.require("absent", false);
        body.require("id", false);
        assert_eq!(
            faults(&body.finish().unwrap_err()),
            [
                ("/twice", "appears more than once"),
                ("/extra", "appears more than once"),
                ("/a", "must be a string"),
                (
                    "/id",
                    "must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01"
                ),
                ("/object", "must be an object"),
                ("/absent", "is required"),
                ("/extra", "is not a member that this request has"),
                ("/a~1b~0c", "is not a member that this request has"),
            ]
        );
    }

    #[test]
    fn a_user_who_is_named_badly_is_one_of_the_bodys_faults() {
        let told = |text: &str, refused| {
            let mut body = Object::parse(text).unwrap();
            body.string(NAMED_USER);
            let problem = body.finish_with_user(Err(refused)).unwrap_err();
            let faults: Vec<_> = faults(&problem)
                .iter()
                .map(|(pointer, detail)| format!("{pointer} {detail}"))
                .collect();
            (problem.kind().name(), faults.join(", "))
        };
        let required = "/externalUserId is required of callers with an IAM signature";
        let unknown = "/x is not a member that this request has";
        assert_eq!(
            told(r#"{"x": 1}"#, UserRefused::Missing),
            ("invalid-request", format!("{required}, {unknown}"))
        );
        // What is there and of another type is not missing.
        assert_eq!(
            told(r#"{"externalUserId": 1}"#, UserRefused::Missing),
            (
                "invalid-request",
                "/externalUserId must be a string".to_owned()
            )
        );
        // Who the caller is matters once the body can be read.
        for refused in [UserRefused::Claim, UserRefused::SomebodyElse] {
            assert_eq!(
                told(r#"{"x": 1}"#, refused),
                ("invalid-request", unknown.to_owned())
            );
            assert_eq!(told("{}", refused), ("forbidden", String::new()));
        }
    }

    #[test]
    fn null_counts_as_absent_and_a_blank_body_as_an_empty_object() {
        let mut body = Object::parse(r#"{"a": null}"#).unwrap();
        assert_eq!(body.string("a"), None);
        assert!(body.finish().is_ok());
        assert!(Object::parse(" \n").unwrap().finish().is_ok());
        assert!(Object::parse("\u{a0}").is_err(), "no white space of JSON's");
    }

    #[test]
    fn a_string_that_is_no_text_is_told_as_that() {
        let mut body = Object::parse(r#"{"a": "\ud800", "b": 1}"#).unwrap();
        assert_eq!((body.string("a"), body.string("b")), (None, None));
        assert_eq!(
            faults(&body.finish().unwrap_err()),
            [("/a", HALF_A_PAIR), ("/b", "must be a string")]
        );
    }

    #[test]
    fn a_raw_object_is_exactly_what_was_sent() {
        let sent = r#"{ "n" : 12345678901234567890123, "f":1.0 , "e":1E5}"#;
        let text = format!(r#"{{"o": {sent} }}"#);
        let mut body = Object::parse(&text).unwrap();
        assert_eq!(body.raw_object("o").unwrap().get(), sent);
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let deep = format!(r#"{{"x": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(Object::parse(&deep).unwrap().finish().is_err());
    }

    #[test]
    fn a_hostile_body_gets_a_bounded_answer() {
        let unknown: Vec<_> = (0..100_000).map(|n| format!("\"{n}\":1")).collect();
        for members in [unknown, vec!["\"a\":1".to_owned(); 100_000]] {
            let text = format!("{{{}}}", members.join(","));
            let problem = Object::parse(&text).unwrap().finish().unwrap_err();
            assert_eq!(problem.faults().len(), Problem::MOST_FAULTS);
            assert!(
                problem
                    .detail()
                    .ends_with(" Only the first of them are listed.")
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            if let Ok(mut body) = Object::parse(&text) {
                body.string("a");
                let _ = body.finish();
            }
        }

        #[test]
        fn members_come_out_as_they_went_in(members in prop::collection::btree_map(any::<String>(), any::<String>(), 0..8), wanted in any::<String>()) {
            let name = "wanted";
            let mut members = members;
            members.remove(name);
            let others: Vec<_> = members.keys().map(|name| pointer([name.as_str()])).collect();
            members.insert(name.to_owned(), wanted.clone());
            let text = serde_json::to_string(&members).unwrap();
            let mut body = Object::parse(&text).unwrap();
            prop_assert_eq!(body.string(name), Some(wanted));
            prop_assert_eq!(body.string(name), None);
            let told: Vec<_> = body.finish().err().map_or_else(Vec::new, |problem| {
                problem.faults().iter().map(|fault| fault.pointer.clone()).collect()
            });
            prop_assert_eq!(told, others);
        }

        #[test]
        fn base64_of_a_text_is_the_text(sent in any::<String>()) {
            let event = event(&STANDARD.encode(&sent), true);
            prop_assert_eq!(text(&event, 4096).unwrap(), sent);
        }

        #[test]
        fn no_bytes_make_the_body_panic(bytes in any::<Vec<u8>>(), body in any::<String>()) {
            let encoded = event(&STANDARD.encode(&bytes), true);
            let is_fine = bytes.len() <= 64 && std::str::from_utf8(&bytes).is_ok();
            prop_assert_eq!(text(&encoded, 64).is_ok(), is_fine);
            let _ = text(&event(&body, true), 64);
        }
    }
}
