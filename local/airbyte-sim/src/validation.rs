//! Field errors, in the wording of FastAPI (Pydantic 2).

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{JsonType, ValidationError, Validator};
use serde::Serialize;
use serde_json::Value;

/// An invalid field; serialized, an entry of FastAPI's `detail`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FieldError {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Its location: `["body", "connection_configuration", "host"]`.
    pub(crate) loc: Vec<Value>,
    pub(crate) msg: String,
    /// The invalid value, or the object that lacks the field, as in Pydantic.
    pub(crate) input: Value,
}

impl FieldError {
    /// Creates the error for a missing field.
    pub(crate) fn missing(loc: Vec<Value>, object: Value) -> Self {
        Self {
            kind: "missing",
            loc,
            msg: "Field required".to_owned(),
            input: object,
        }
    }

    /// Creates the error for a string that is not a UUID.
    pub(crate) fn invalid_uuid(loc: Vec<Value>, input: String) -> Self {
        Self {
            kind: "uuid_parsing",
            loc,
            msg: "Input should be a valid UUID".to_owned(),
            input: input.into(),
        }
    }

    /// Creates the error for a value that is not an `expected`.
    pub(crate) fn wrong_type(expected: JsonType, loc: Vec<Value>, input: Value) -> Self {
        let (kind, name) = match expected {
            JsonType::Array => ("list_type", "list"),
            JsonType::Boolean => ("bool_type", "boolean"),
            JsonType::Integer => ("int_type", "integer"),
            JsonType::Null => ("none_required", "null"),
            JsonType::Number => ("float_type", "number"),
            JsonType::Object => ("dict_type", "dictionary"),
            JsonType::String => ("string_type", "string"),
        };
        Self {
            kind,
            loc,
            msg: format!("Input should be a valid {name}"),
            input,
        }
    }

    /// Returns its location with dots: `body.connection_configuration.host`.
    pub(crate) fn dotted_location(&self) -> String {
        let segments: Vec<_> = self
            .loc
            .iter()
            .map(|segment| {
                segment
                    .as_str()
                    .map_or_else(|| segment.to_string(), str::to_owned)
            })
            .collect();
        segments.join(".")
    }
}

/// Returns every violation of the validator's schema by `value`, which is at `path` in the request.
pub(crate) fn field_errors(validator: &Validator, value: &Value, path: &[&str]) -> Vec<FieldError> {
    validator
        .iter_errors(value)
        .map(|error| field_error(&error, path))
        .collect()
}

fn field_error(error: &ValidationError<'_>, path: &[&str]) -> FieldError {
    let mut loc: Vec<Value> = path.iter().map(|segment| Value::from(*segment)).collect();
    loc.extend(
        error
            .instance_path()
            .segments()
            .map(|segment| match segment {
                LocationSegment::Property(name) => Value::from(name),
                LocationSegment::Index(index) => Value::from(index),
            }),
    );
    let input = error.instance().as_ref().clone();
    let (kind, msg) = match error.kind() {
        ValidationErrorKind::Required { property } => {
            loc.push(property.clone());
            return FieldError::missing(loc, input);
        }
        ValidationErrorKind::Type {
            kind: TypeKind::Single(expected),
        } => {
            return FieldError::wrong_type(*expected, loc, input);
        }
        ValidationErrorKind::Enum { options } => {
            ("enum", format!("Input should be one of {options}"))
        }
        ValidationErrorKind::Minimum { limit } => (
            "greater_than_equal",
            format!("Input should be greater than or equal to {limit}"),
        ),
        ValidationErrorKind::Maximum { limit } => (
            "less_than_equal",
            format!("Input should be less than or equal to {limit}"),
        ),
        ValidationErrorKind::MinLength { limit } => {
            let characters = if *limit == 1 {
                "character"
            } else {
                "characters"
            };
            (
                "string_too_short",
                format!("String should have at least {limit} {characters}"),
            )
        }
        _ => (
            "value_error",
            "Value error, this does not match the connector's specification".to_owned(),
        ),
    };
    FieldError {
        kind,
        loc,
        msg,
        input,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_errors_as_fastapi_does() {
        let schema = json!({
            "type": "object",
            "required": ["host", "port"],
            "properties": {
                "host": {"type": "string"},
                "database": {"type": "string", "minLength": 1},
                "port": {"type": "integer"},
                "count": {"type": "integer", "minimum": 1},
                "limit": {"type": "integer", "maximum": 9},
                "mode": {"enum": ["on", "off"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "code": {"pattern": "^[a-z]$"}
            }
        });
        let value = json!({
            "database": "", "port": "x", "count": 0, "limit": 10, "mode": "dim", "tags": ["a", 1], "code": "A"
        });

        let mut errors = field_errors(
            &jsonschema::validator_for(&schema).unwrap(),
            &value,
            &["body"],
        );

        errors.sort_by_key(|error| {
            error
                .loc
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        });
        assert_eq!(
            serde_json::to_value(errors).unwrap(),
            json!([
                {"type": "value_error", "loc": ["body", "code"],
                 "msg": "Value error, this does not match the connector's specification", "input": "A"},
                {"type": "greater_than_equal", "loc": ["body", "count"],
                 "msg": "Input should be greater than or equal to 1", "input": 0},
                {"type": "string_too_short", "loc": ["body", "database"],
                 "msg": "String should have at least 1 character", "input": ""},
                {"type": "missing", "loc": ["body", "host"], "msg": "Field required", "input": value},
                {"type": "less_than_equal", "loc": ["body", "limit"],
                 "msg": "Input should be less than or equal to 9", "input": 10},
                {"type": "enum", "loc": ["body", "mode"],
                 "msg": "Input should be one of [\"on\",\"off\"]", "input": "dim"},
                {"type": "int_type", "loc": ["body", "port"], "msg": "Input should be a valid integer", "input": "x"},
                {"type": "string_type", "loc": ["body", "tags", 1],
                 "msg": "Input should be a valid string", "input": 1},
            ])
        );
    }

    #[test]
    fn joins_locations_with_dots() {
        let error = FieldError::missing(vec!["body".into(), "tags".into(), 1.into()], Value::Null);

        assert_eq!(error.dotted_location(), "body.tags.1");
    }
}
