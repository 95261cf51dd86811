//! Reading a JSON object from a request, and finding all that is wrong with it.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};
use jsonschema::JsonType;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::validation::FieldError;

/// Whether the request says that its body is JSON.
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

/// The fields of a request's JSON object, read one by one; the faults are gathered on the way.
pub(crate) struct Fields {
    /// Each field's text.
    texts: HashMap<String, Box<RawValue>>,
    /// The whole object, which is reported with a field that it lacks.
    object: Value,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The object in `body`; the fault, if it is none.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, FieldError> {
        if !is_json(headers) {
            // FastAPI hands such a body on as a string, which is then not an object.
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

    /// The text of the string field `name`.
    pub(crate) fn string(&mut self, name: &str) -> Option<String> {
        let value = self.value(name)?;
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

    /// The UUID in the string field `name`.
    pub(crate) fn uuid(&mut self, name: &str) -> Option<Uuid> {
        let text = self.string(name)?;
        let uuid = Uuid::try_parse(&text).ok();
        if uuid.is_none() {
            self.errors.push(FieldError {
                kind: "uuid_parsing",
                loc: location(name),
                msg: "Input should be a valid UUID".to_owned(),
                input: text.into(),
            });
        }
        uuid
    }

    /// The object field `name`, and its text exactly as it came.
    pub(crate) fn object(&mut self, name: &str) -> Option<(Map<String, Value>, String)> {
        let value = self.value(name)?;
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

    /// Whatever is wrong with the fields that were read.
    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    fn value(&mut self, name: &str) -> Option<Value> {
        let value = self.object.get(name).cloned();
        if value.is_none() {
            self.errors
                .push(FieldError::missing(location(name), self.object.clone()));
        }
        value
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

    fn read(body: &str) -> Result<Fields, FieldError> {
        Fields::read(&headers("application/json"), body.as_bytes())
    }

    #[test]
    fn json_is_recognised_by_its_content_type() {
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
    fn what_is_no_object_is_refused() {
        let kind = |body| read(body).err().unwrap().kind;

        assert_eq!(kind("{"), "json_invalid");
        assert_eq!(kind(""), "json_invalid");
        assert_eq!(kind("[]"), "dict_type");
        assert_eq!(
            Fields::read(&HeaderMap::new(), b"{}").err().unwrap().kind,
            "dict_type"
        );
    }

    #[test]
    fn an_objects_text_is_kept_as_it_came() {
        let text = r#"{ "big" : 123456789012345678901234567890, "e": 1.0e2, "e": "\u00e4" }"#;
        let mut fields = read(&format!(r#"{{"configuration": {text} }}"#)).unwrap();

        assert_eq!(fields.object("configuration").unwrap().1, text);
        assert_eq!(fields.into_errors(), []);
    }

    #[test]
    fn every_fault_is_gathered() {
        let mut fields = read(r#"{"a": 1, "b": "x", "c": []}"#).unwrap();

        assert_eq!(
            (fields.string("a"), fields.uuid("b"), fields.uuid("d")),
            (None, None, None)
        );
        assert!(fields.object("c").is_none());
        let kinds: Vec<_> = fields
            .into_errors()
            .into_iter()
            .map(|error| error.kind)
            .collect();
        assert_eq!(
            kinds,
            ["string_type", "uuid_parsing", "missing", "dict_type"]
        );
    }
}
