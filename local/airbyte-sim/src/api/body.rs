//! JSON request bodies: reading their fields, and gathering all field errors.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};
use jsonschema::JsonType;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::validation::FieldError;

/// Whether the request's content type is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(content_type)) = headers
        .get(header::CONTENT_TYPE)
        .map(header::HeaderValue::to_str)
    else {
        return false;
    };
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// An object field: its value, and its text byte for byte as it was received.
pub(crate) type Object = (Map<String, Value>, String);

/// The fields of a request's JSON object. Reading a field records its error.
pub(crate) struct Fields {
    /// Each field's text.
    texts: HashMap<String, Box<RawValue>>,
    /// The whole object, which is reported with a field that it lacks.
    object: Value,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Parses the object in `body`.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, FieldError> {
        if !is_json(headers) {
            // FastAPI reads such a body as a string, which is not an object.
            let input = Value::from(String::from_utf8_lossy(body));
            return Err(FieldError::wrong_type(
                JsonType::Object,
                vec!["body".into()],
                input,
            ));
        }
        let object: Value = serde_json::from_slice(body).map_err(|error| FieldError {
            kind: "json_invalid",
            loc: vec!["body".into(), error.column().into()],
            msg: "JSON decode error".to_owned(),
            input: Value::Object(Map::new()),
        })?;
        let Ok(texts) = serde_json::from_slice(body) else {
            return Err(FieldError::wrong_type(
                JsonType::Object,
                vec!["body".into()],
                object,
            ));
        };
        Ok(Self {
            texts,
            object,
            errors: Vec::new(),
        })
    }

    /// Reads the required string `name`.
    pub(crate) fn string(&mut self, name: &str) -> Option<String> {
        let value = self.required(name)?;
        self.read_string(name, value)
    }

    /// Reads the string `name`, which may be absent or null.
    pub(crate) fn optional_string(&mut self, name: &str) -> Option<String> {
        let value = self.optional(name)?;
        self.read_string(name, value)
    }

    /// Reads the required UUID `name`.
    pub(crate) fn uuid(&mut self, name: &str) -> Option<Uuid> {
        let text = self.string(name)?;
        self.read_uuid(name, text)
    }

    /// Reads the UUID `name`, which may be absent or null.
    pub(crate) fn optional_uuid(&mut self, name: &str) -> Option<Uuid> {
        let text = self.optional_string(name)?;
        self.read_uuid(name, text)
    }

    /// Reads the required object `name`.
    pub(crate) fn object(&mut self, name: &str) -> Option<Object> {
        let value = self.required(name)?;
        self.read_object(name, value)
    }

    /// Reads the object `name`, which may be absent or null.
    pub(crate) fn optional_object(&mut self, name: &str) -> Option<Object> {
        let value = self.optional(name)?;
        self.read_object(name, value)
    }

    /// Reads the list of strings `name`, which may be absent.
    pub(crate) fn strings(&mut self, name: &str) -> Vec<String> {
        match self.object.get(name).cloned() {
            None => Vec::new(),
            Some(Value::Array(values)) => values
                .into_iter()
                .enumerate()
                .filter_map(|(index, value)| match value {
                    Value::String(text) => Some(text),
                    value => {
                        let mut location = location(name);
                        location.push(index.into());
                        self.errors
                            .push(FieldError::wrong_type(JsonType::String, location, value));
                        None
                    }
                })
                .collect(),
            Some(value) => {
                self.errors.push(FieldError::wrong_type(
                    JsonType::Array,
                    location(name),
                    value,
                ));
                Vec::new()
            }
        }
    }

    /// Reads `name`, which may be absent; any value but the `allowed` ones is an error.
    pub(crate) fn choice(&mut self, name: &str, allowed: &[&str]) -> Option<String> {
        let value = self.object.get(name).cloned()?;
        if let Value::String(text) = &value
            && allowed.contains(&text.as_str())
        {
            return Some(text.clone());
        }
        self.errors.push(FieldError {
            kind: "enum",
            loc: location(name),
            msg: format!("Input should be one of {allowed:?}"),
            input: value,
        });
        None
    }

    /// Records that the body as a whole is invalid.
    pub(crate) fn reject(&mut self, message: &str) {
        self.errors.push(FieldError {
            kind: "value_error",
            loc: vec!["body".into()],
            msg: format!("Value error, {message}"),
            input: self.object.clone(),
        });
    }

    /// Records that the field `name` is required.
    pub(crate) fn missing(&mut self, name: &str) {
        self.errors
            .push(FieldError::missing(location(name), self.object.clone()));
    }

    /// Returns the errors of the fields that were read.
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    fn required(&mut self, name: &str) -> Option<Value> {
        let value = self.object.get(name).cloned();
        if value.is_none() {
            self.missing(name);
        }
        value
    }

    fn optional(&self, name: &str) -> Option<Value> {
        self.object
            .get(name)
            .filter(|value| !value.is_null())
            .cloned()
    }

    fn read_string(&mut self, name: &str, value: Value) -> Option<String> {
        if let Value::String(text) = value {
            return Some(text);
        }
        self.errors.push(FieldError::wrong_type(
            JsonType::String,
            location(name),
            value,
        ));
        None
    }

    fn read_uuid(&mut self, name: &str, text: String) -> Option<Uuid> {
        let uuid = Uuid::try_parse(&text).ok();
        if uuid.is_none() {
            self.errors
                .push(FieldError::invalid_uuid(location(name), text));
        }
        uuid
    }

    fn read_object(&mut self, name: &str, value: Value) -> Option<Object> {
        let Value::Object(object) = value else {
            self.errors.push(FieldError::wrong_type(
                JsonType::Object,
                location(name),
                value,
            ));
            return None;
        };
        Some((object, self.texts.get(name)?.get().to_owned()))
    }
}

fn location(name: &str) -> Vec<Value> {
    vec!["body".into(), name.into()]
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    fn parse(body: &str) -> Result<Fields, FieldError> {
        Fields::parse(&headers("application/json"), body.as_bytes())
    }

    fn kinds(fields: &Fields) -> Vec<&'static str> {
        fields.errors().iter().map(|error| error.kind).collect()
    }

    #[test]
    fn detects_json_by_content_type() {
        for content_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/scim+json",
        ] {
            assert!(is_json(&headers(content_type)), "{content_type}");
        }
        for content_type in [
            "application/x-www-form-urlencoded",
            "text/plain",
            "text/json+json",
            "json",
        ] {
            assert!(!is_json(&headers(content_type)), "{content_type}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn rejects_bodies_that_are_not_objects() {
        let kind = |body| parse(body).err().unwrap().kind;

        assert_eq!(kind("{"), "json_invalid");
        assert_eq!(kind(""), "json_invalid");
        assert_eq!(kind("[]"), "dict_type");
        assert_eq!(
            Fields::parse(&HeaderMap::new(), b"{}").err().unwrap().kind,
            "dict_type"
        );
    }

    #[test]
    fn keeps_text_of_objects() {
        let text = r#"{ "big" : 123456789012345678901234567890, "e": 1.0e2, "e": "\u00e4" }"#;
        let mut fields = parse(&format!(r#"{{"configuration": {text} }}"#)).unwrap();

        assert_eq!(fields.object("configuration").unwrap().1, text);
        assert_eq!(fields.errors(), []);
    }

    #[test]
    fn gathers_all_errors() {
        let mut fields = parse(r#"{"a": 1, "b": "x", "c": [], "e": [1], "f": "some"}"#).unwrap();

        assert_eq!(
            (fields.string("a"), fields.uuid("b"), fields.uuid("d")),
            (None, None, None)
        );
        assert!(fields.object("c").is_none());
        assert_eq!(fields.strings("e"), Vec::<String>::new());
        assert_eq!(fields.strings("a"), Vec::<String>::new());
        assert_eq!(fields.choice("f", &["all", "any"]), None);
        fields.reject("a or b is required");
        assert_eq!(
            kinds(&fields),
            [
                "string_type",
                "uuid_parsing",
                "missing",
                "dict_type",
                "string_type",
                "list_type",
                "enum",
                "value_error"
            ]
        );
    }

    #[test]
    fn optional_fields_may_be_absent_or_null() {
        let mut fields = parse(r#"{"a": null}"#).unwrap();

        for name in ["a", "b"] {
            assert_eq!(fields.optional_string(name), None);
            assert_eq!(fields.optional_uuid(name), None);
            assert!(fields.optional_object(name).is_none());
        }
        assert_eq!(fields.strings("b"), Vec::<String>::new());
        assert_eq!(fields.choice("b", &["all"]), None);
        assert_eq!(fields.errors(), []);
    }
}
