//! The JSON body of a request: parsed strictly, with all field errors returned at once.

use std::collections::HashSet;
use std::fmt;

use lambda_http::{Body, Request};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::caller::{Caller, EXTERNAL_USER_ID, ExternalUserId, UserIdError};
use crate::field_error::{FieldError, FieldErrors, json_pointer};

/// The detail for a string with a lone surrogate escape such as `\ud800` (RFC 8259, section 8.2).
pub const UNPAIRED_SURROGATE: &str = "contains an unpaired UTF-16 surrogate";

/// An invalid body. No message contains a part of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is larger than the route's limit.
    #[error("body is larger than {limit}")]
    TooLarge {
        /// The limit.
        limit: ByteSize,
    },
    /// The body is not UTF-8.
    #[error("body is not valid UTF-8")]
    NotUtf8,
    /// The body is not JSON.
    #[error("body is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// The line of the error, from 1.
        line: usize,
        /// The column of the error, from 1.
        column: usize,
    },
    /// The body is JSON, but not an object.
    #[error("body is not a JSON object")]
    NotAnObject,
    /// The body is an object with invalid fields.
    #[error("body has invalid fields")]
    Invalid(FieldErrors),
}

/// A number of bytes that is displayed in the units of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: usize = 1024 * 1024;
        if self.0.is_multiple_of(MIB) {
            write!(f, "{} MiB", self.0 / MIB)
        } else {
            write!(f, "{} KiB", self.0 / 1024)
        }
    }
}

/// Returns the body as a string of at most `limit` bytes. An absent body is an empty string.
pub fn text(request: &Request, limit: usize) -> Result<&str, BodyError> {
    let bytes: &[u8] = request.body();
    if bytes.len() > limit {
        return Err(BodyError::TooLarge {
            limit: ByteSize(limit),
        });
    }
    match request.body() {
        Body::Text(text) => Ok(text),
        _ => std::str::from_utf8(bytes).map_err(|_| BodyError::NotUtf8),
    }
}

/// The fields of a JSON object, taken one by one. Field errors are collected until [`build`](Self::build).
///
/// No `Debug`, because fields may contain secrets.
pub struct JsonObject<'a> {
    fields: Vec<(String, &'a RawValue)>,
    /// The keys that were taken, and so are not unknown fields.
    known: Vec<&'static str>,
    errors: FieldErrors,
}

impl<'a> JsonObject<'a> {
    /// Parses a body, which must be a JSON object. An empty body counts as an object without fields.
    pub fn parse(text: &'a str) -> Result<Self, BodyError> {
        // JSON's whitespace (RFC 8259, section 2) is narrower than Unicode's.
        if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
            return Ok(Self {
                fields: Vec::new(),
                known: Vec::new(),
                errors: FieldErrors::default(),
            });
        }
        // Only the location of the error, because its message may quote the body.
        let Fields(fields) = serde_json::from_str(text).map_err(|error| {
            if error.is_data() {
                BodyError::NotAnObject
            } else {
                BodyError::NotJson {
                    line: error.line(),
                    column: error.column(),
                }
            }
        })?;
        let mut seen = HashSet::with_capacity(fields.len());
        let errors = fields
            .iter()
            .filter(|(key, _)| !seen.insert(key.as_str()))
            .map(|(key, _)| FieldError::new(json_pointer([key.as_str()]), "appears more than once"))
            .collect();
        Ok(Self {
            fields,
            known: Vec::new(),
            errors,
        })
    }

    /// Takes an optional string. `null` counts as absent.
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        let text = serde_json::from_str(value.get()).ok();
        if text.is_none() {
            let detail = if value.get().starts_with('"') {
                UNPAIRED_SURROGATE
            } else {
                "must be a string"
            };
            self.reject(key, detail);
        }
        text
    }

    /// Takes an optional UUID in the hyphenated form. `null` counts as absent.
    pub fn uuid(&mut self, key: &'static str) -> Option<Uuid> {
        let value = self.take(key)?;
        let text: Option<String> = serde_json::from_str(value.get()).ok();
        let id = text
            .filter(|text| text.len() == 36)
            .and_then(|text| Uuid::try_parse(&text).ok());
        if id.is_none() {
            self.reject(
                key,
                "must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
            );
        }
        id
    }

    /// Takes an optional object, verbatim. `null` counts as absent.
    pub fn raw_object(&mut self, key: &'static str) -> Option<&'a RawValue> {
        let value = self.take(key)?;
        if value.get().starts_with('{') {
            return Some(value);
        }
        self.reject(key, "must be an object");
        None
    }

    /// Rejects a field that this deployment does not support.
    pub fn reject_unsupported(&mut self, key: &'static str, detail: &'static str) {
        if self.take(key).is_some() {
            self.reject(key, detail);
        }
    }

    /// Takes the `externalUserId` and returns the user that `caller` acts for. `claim` is the JWT claim with the user's
    /// ID. An invalid `externalUserId` is also one of the field errors.
    pub fn external_user_id(
        &mut self,
        caller: &Caller<'_>,
        claim: &str,
    ) -> Result<ExternalUserId, UserIdError> {
        let named = self.string(EXTERNAL_USER_ID);
        let user = caller.external_user_id(claim, named.as_deref());
        if let Some(error) = user.as_ref().err().and_then(|error| error.field_error()) {
            self.errors.push_unless_reported(error);
        }
        user
    }

    /// Adds an error for an absent field, unless the field has an error already.
    pub fn require(&mut self, key: &'static str, is_present: bool) {
        if !is_present {
            let error = FieldError::new(json_pointer([key]), "is required");
            self.errors.push_unless_reported(error);
        }
    }

    /// Whether the field itself has an error.
    #[must_use]
    pub fn is_rejected(&self, key: &'static str) -> bool {
        self.errors.is_reported(&json_pointer([key]))
    }

    /// Adds field errors.
    pub fn add_errors(&mut self, errors: FieldErrors) {
        self.errors.append(errors);
    }

    /// Returns the value that `build` creates, or all field errors, unknown fields included. `build` must return `None` only if a
    /// [required](Self::require) field is absent.
    pub fn build<T>(mut self, build: impl FnOnce() -> Option<T>) -> Result<T, BodyError> {
        for (key, _) in std::mem::take(&mut self.fields) {
            // A known key that was not taken is a duplicate, which is reported already.
            if !self.known.contains(&key.as_str()) {
                let error = FieldError::new(json_pointer([key.as_str()]), "unknown field");
                if !self.errors.as_slice().contains(&error) {
                    self.errors.push(error);
                }
            }
            if self.errors.is_truncated() {
                break;
            }
        }
        match build() {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(BodyError::Invalid(self.errors)),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a RawValue> {
        self.known.push(key);
        let at = self.fields.iter().position(|(field, _)| field == key)?;
        let (_, value) = self.fields.remove(at);
        (value.get() != "null").then_some(value)
    }

    fn reject(&mut self, key: &str, detail: &'static str) {
        self.errors
            .push(FieldError::new(json_pointer([key]), detail));
    }
}

/// An object's fields in order, with unparsed values.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field_error::MAX_FIELD_ERRORS;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn errors(body: JsonObject<'_>) -> Vec<String> {
        match body.build(|| Some(())) {
            Ok(()) => Vec::new(),
            Err(BodyError::Invalid(errors)) => errors
                .as_slice()
                .iter()
                .map(|error| format!("{} {}", error.pointer, error.detail))
                .collect(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn enforces_limit_on_every_kind_of_body() {
        let body = "a".repeat(1024);
        for body in [Body::Text(body.clone()), Body::Binary(body.into_bytes())] {
            let request = Request::new(body);
            assert_eq!(text(&request, 1024).unwrap().len(), 1024);
            let error = text(&request, 1023).unwrap_err();
            assert!(matches!(error, BodyError::TooLarge { .. }), "{error}");
        }
        assert_eq!(text(&Request::new(Body::Empty), 0), Ok(""));
    }

    #[test]
    fn displays_limits_in_documented_units() {
        assert_eq!(ByteSize(64 * 1024).to_string(), "64 KiB");
        assert_eq!(ByteSize(1024 * 1024).to_string(), "1 MiB");
    }

    #[test]
    fn rejects_invalid_utf8() {
        let request = Request::new(Body::Binary(vec![0xff]));
        assert_eq!(text(&request, 10), Err(BodyError::NotUtf8));
    }

    #[test]
    fn locates_invalid_json_without_quoting_it() {
        let error = |text| JsonObject::parse(text).err();
        assert_eq!(
            error("{\"token\": hunter2}"),
            Some(BodyError::NotJson {
                line: 1,
                column: 11
            })
        );
        assert_eq!(error("[\"hunter2\"]"), Some(BodyError::NotAnObject));
    }

    #[test]
    fn returns_all_field_errors() {
        let mut body = JsonObject::parse(
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
            errors(body),
            [
                "/twice appears more than once",
                "/extra appears more than once",
                "/a must be a string",
                "/id must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
                "/object must be an object",
                "/absent is required",
                "/extra unknown field",
                "/a~1b~0c unknown field",
            ]
        );
    }

    #[test]
    fn returns_invalid_user_id_with_other_errors() {
        let claims = HashMap::from([("sub".to_owned(), "alice".to_owned())]);
        let unusable = HashMap::new();
        let too_long = format!(r#"{{"externalUserId": "{}"}}"#, "a".repeat(257));
        let required = "/externalUserId is required for callers with an IAM signature";
        for (name, caller, body, user, expected) in [
            (
                "backend without user",
                Caller::Backend,
                r#"{"x": 1}"#,
                Err(UserIdError::Missing),
                vec![required, "/x unknown field"],
            ),
            (
                "backend with user of another type",
                Caller::Backend,
                r#"{"externalUserId": 1}"#,
                Err(UserIdError::Missing),
                vec!["/externalUserId must be a string"],
            ),
            (
                "backend with malformed user",
                Caller::Backend,
                too_long.as_str(),
                Err(UserIdError::Malformed),
                vec![
                    "/externalUserId must be 1 to 256 characters, without control characters, without leading or trailing whitespace or invisible characters",
                ],
            ),
            (
                "JWT that identifies no user",
                Caller::Jwt(&unusable),
                "{}",
                Err(UserIdError::InvalidClaim),
                vec![],
            ),
            (
                "JWT of another user",
                Caller::Jwt(&claims),
                r#"{"externalUserId": "bob"}"#,
                Err(UserIdError::Mismatch),
                vec![],
            ),
        ] {
            let mut body = JsonObject::parse(body).unwrap();
            let resolved = body.external_user_id(&caller, "sub");
            assert_eq!(resolved.map(drop), user, "{name}");
            assert_eq!(errors(body), expected, "{name}");
        }
    }

    #[test]
    fn treats_null_as_absent_and_empty_body_as_empty_object() {
        let mut body = JsonObject::parse(r#"{"a": null}"#).unwrap();
        assert_eq!(body.string("a"), None);
        assert_eq!(errors(body), [""; 0]);
        assert_eq!(errors(JsonObject::parse(" \n").unwrap()), [""; 0]);
        assert!(
            JsonObject::parse("\u{a0}").is_err(),
            "not JSON's whitespace"
        );
    }

    #[test]
    fn rejects_unpaired_surrogate() {
        let mut body = JsonObject::parse(r#"{"a": "\ud800", "b": 1}"#).unwrap();
        assert_eq!((body.string("a"), body.string("b")), (None, None));
        assert_eq!(
            errors(body),
            [
                "/a contains an unpaired UTF-16 surrogate",
                "/b must be a string"
            ]
        );
    }

    #[test]
    fn keeps_raw_object_verbatim() {
        let sent = r#"{ "n" : 12345678901234567890123, "f":1.0 , "e":1E5}"#;
        let text = format!(r#"{{"o": {sent} }}"#);
        let mut body = JsonObject::parse(&text).unwrap();
        assert_eq!(body.raw_object("o").unwrap().get(), sent);
    }

    #[test]
    fn parses_deep_nesting_without_recursion() {
        let deep = format!(r#"{{"x": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(
            errors(JsonObject::parse(&deep).unwrap()),
            ["/x unknown field"]
        );
    }

    #[test]
    fn limits_errors_of_hostile_body() {
        let unknown: Vec<_> = (0..100_000).map(|n| format!("\"{n}\":1")).collect();
        for fields in [unknown, vec!["\"a\":1".to_owned(); 100_000]] {
            let text = format!("{{{}}}", fields.join(","));
            let error = JsonObject::parse(&text)
                .unwrap()
                .build(|| Some(()))
                .unwrap_err();
            let BodyError::Invalid(errors) = error else {
                panic!("{error}");
            };
            assert_eq!(errors.as_slice().len(), MAX_FIELD_ERRORS);
            assert!(errors.is_truncated());
        }
    }

    proptest! {
        #[test]
        fn parses_any_string_without_panic(text in any::<String>()) {
            if let Ok(mut body) = JsonObject::parse(&text) {
                body.string("a");
                let _ = body.build(|| Some(()));
            }
        }

        #[test]
        fn returns_strings_unchanged(fields in prop::collection::btree_map(any::<String>(), any::<String>(), 0..8), wanted in any::<String>()) {
            let key = "wanted";
            let mut fields = fields;
            fields.remove(key);
            let unknown: Vec<_> = fields.keys().map(|key| format!("{} unknown field", json_pointer([key.as_str()]))).collect();
            fields.insert(key.to_owned(), wanted.clone());
            let text = serde_json::to_string(&fields).unwrap();

            let mut body = JsonObject::parse(&text).unwrap();

            prop_assert_eq!(body.string(key), Some(wanted));
            prop_assert_eq!(body.string(key), None);
            prop_assert_eq!(errors(body), unknown);
        }

        #[test]
        fn reads_any_bytes_without_panic(bytes in any::<Vec<u8>>()) {
            let is_valid = bytes.len() <= 64 && std::str::from_utf8(&bytes).is_ok();
            prop_assert_eq!(text(&Request::new(Body::Binary(bytes)), 64).is_ok(), is_valid);
        }
    }
}
