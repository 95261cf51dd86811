//! The body of an error response.
//!
//! Airbyte's services return errors in several shapes, and every field of them may be absent or `null`:
//!
//! | service | shape |
//! | --- | --- |
//! | FastAPI | `{"detail": "…"}`, or `{"detail": [{"loc": ["body", "x"], "msg": "…", "type": "…"}]}` |
//! | Agent API | `{"message": "…", "errors": [{"field": "…", "message": "…", "error_code": "…"}]}` |
//! | Micronaut | `{"message": "…", "_embedded": {"errors": [{"message": "…"}]}}` |
//! | Micronaut | `{"message": "…", "validationErrors": [{"propertyPath": "a.b", "message": "…"}]}` |
//! | problem details (RFC 9457) | `{"title": "…", "detail": "…", "data": {"message": "…", "value": "…", "resourceId": "…"}}` |
//!
//! A message may list the violations of a JSON schema: `… Errors: $.port: integer found, string expected`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::redaction::SentValues;
use crate::field_error::{FieldError, FieldErrors, MAX_FIELD_ERRORS, json_pointer};

/// The maximum number of parts of a path: the name of a field, and 64 levels of nesting inside it.
const MAX_PATH_PARTS: usize = 65;

/// The maximum length of one part of a path, in bytes. [`json_pointer`] truncates longer keys, and a truncated value could
/// not be found among the values that were sent.
const MAX_PART_BYTES: usize = 100;

/// The maximum length of an array index. A longer number may be a value.
const MAX_INDEX_DIGITS: usize = 3;

/// The first part of a path in a message about a JSON schema: the object that is validated.
const SCHEMA_ROOT: &str = "$";

/// A parsed body of an error response.
///
/// Airbyte's strings may repeat values that were sent. So they can only be read redacted, and `Debug` omits them.
#[derive(Default)]
pub struct ErrorBody {
    /// Candidates for the message, the most specific first.
    messages: Vec<String>,
    errors: Vec<ReportedError>,
}

/// An invalid field, as Airbyte reports it.
struct ReportedError {
    path: Vec<String>,
    /// Whether the path may start with the names of a method and its parameter, as in Micronaut's responses.
    may_have_prefix: bool,
    message: Option<String>,
    /// Our description of the error's type, used if the message is withheld.
    summary: Option<&'static str>,
}

/// The part of an error response that may be shown to the caller.
#[derive(Default, PartialEq, Eq)]
pub struct Rejection {
    /// The message.
    pub message: Option<String>,
    /// Invalid fields of the body.
    pub errors: FieldErrors,
}

/// The names of a create's fields.
pub(super) struct FieldNames {
    /// Each field with its name in `POST /sources`.
    pub(super) known: &'static [(&'static str, &'static str)],
    /// The field of `POST /sources` that is validated against a JSON schema.
    pub(super) validated: &'static str,
}

impl fmt::Debug for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorBody(…)")
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rejection(…)")
    }
}

impl ErrorBody {
    /// Parses a body. A body of an unknown shape results in an empty value.
    ///
    /// Takes time and memory proportional to the length.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let mut parsed = Self::default();
        if let Ok(body) = serde_json::from_slice::<&RawValue>(body) {
            parsed.add(body, true);
        }
        parsed
    }

    /// Whether the body has none of the known shapes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.errors.is_empty()
    }

    /// Whether a message or the path of an error contains one of the words, which are lower-case.
    pub(super) fn mentions(&self, words: &[&str]) -> bool {
        let paths = self.errors.iter().flat_map(|error| &error.path);
        let messages = self
            .errors
            .iter()
            .filter_map(|error| error.message.as_ref());
        self.messages
            .iter()
            .chain(paths)
            .chain(messages)
            .any(|text| {
                let text = text.to_lowercase();
                words.iter().any(|word| text.contains(word))
            })
    }

    fn add(&mut self, body: &RawValue, is_outermost: bool) {
        let Some(body) = object::<Body<'_>>(body) else {
            return;
        };
        let detail = body.detail.and_then(string);
        if let Some(data) = body.data.and_then(object::<Data<'_>>) {
            self.messages.extend(data.message.and_then(string));
            let subject = data.value.or(data.resource_id).and_then(string);
            if let (Some(detail), Some(subject)) = (&detail, subject) {
                let detail = detail.trim_end_matches('.');
                self.messages.push(format!("{detail}: {subject}"));
            }
        }
        self.messages.extend(detail);
        // FastAPI's `detail` may be an object of another shape.
        if let Some(detail) = body.detail.filter(|_| is_outermost) {
            self.add(detail, false);
        }
        for text in [body.message, body.title, body.error] {
            self.messages.extend(text.and_then(string));
        }

        let embedded = body.embedded.and_then(object::<Embedded<'_>>);
        let embedded = embedded.and_then(|embedded| embedded.errors);
        let errors = [body.detail, body.errors, embedded].into_iter().flatten();
        let errors = errors
            .flat_map(list)
            .filter_map(|item| ReportedError::parse(item, false));
        let violations = body.validation_errors.into_iter().flat_map(list);
        let violations = violations.filter_map(|item| ReportedError::parse(item, true));
        // One more than is shown, so that the caller can be informed that the list is truncated.
        self.errors
            .extend(errors.chain(violations).take(MAX_FIELD_ERRORS + 1));
        if self.errors.is_empty()
            && let Some(message) = self.messages.first()
        {
            self.errors = schema_errors(message);
        }
    }

    /// Returns the part that may be shown. Strings that contain a value that was sent are withheld. Fields have their names in
    /// `POST /sources`. A path ends before the first part that contains a value that was sent.
    pub(super) fn redact(&self, names: &FieldNames, sent: &SentValues) -> Rejection {
        Rejection {
            message: self
                .messages
                .iter()
                .find_map(|message| sent.redact(message)),
            errors: self
                .errors
                .iter()
                .map(|error| {
                    let pointer = names.pointer(error, sent);
                    let message = error.message.as_deref();
                    let message = message.and_then(|message| sent.redact(message));
                    let summary = error.summary.unwrap_or("is invalid");
                    let detail = message.map_or(Cow::Borrowed(summary), Cow::Owned);
                    FieldError::new(pointer, detail)
                })
                .collect(),
        }
    }
}

impl FieldNames {
    /// Returns the JSON pointer in the body of `POST /sources`.
    fn pointer(&self, error: &ReportedError, sent: &SentValues) -> String {
        /// The method, its parameter, the field.
        const MAX_PREFIXED: usize = 3;
        let path = &error.path;
        let candidates = if error.may_have_prefix {
            MAX_PREFIXED
        } else {
            1
        };
        let known = (0..path.len().min(candidates))
            .find_map(|at| Some((self.our_name(&path[at])?, &path[at + 1..])));
        let (root, rest) = match known {
            Some((root, rest)) => (Some(root), rest),
            None => (None, &path[..]),
        };
        let rest = rest
            .iter()
            .map(String::as_str)
            .take_while(|part| is_index(part) || sent.has_key(part) || !sent.contains_any_of(part));
        json_pointer(root.into_iter().chain(rest))
    }

    fn our_name(&self, part: &str) -> Option<&'static str> {
        if part == SCHEMA_ROOT {
            return Some(self.validated);
        }
        let part = snake_case(part);
        let field = self.known.iter().find(|(theirs, _)| *theirs == part);
        field.map(|(_, ours)| *ours)
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
    #[serde(borrow, rename = "_embedded")]
    embedded: Option<&'a RawValue>,
    #[serde(borrow, rename = "validationErrors")]
    validation_errors: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow, rename = "resourceId")]
    resource_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Embedded<'a> {
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    loc: Option<&'a RawValue>,
    #[serde(borrow)]
    field: Option<&'a RawValue>,
    #[serde(borrow, rename = "propertyPath")]
    property_path: Option<&'a RawValue>,
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
}

impl ReportedError {
    /// Parses an item of a list of errors; `None` for one with neither a path nor a message.
    fn parse(item: &RawValue, may_have_prefix: bool) -> Option<Self> {
        let Some(item) = object::<Item<'_>>(item) else {
            return string(item).map(|message| Self::new(Vec::new(), message));
        };
        let path = item.loc.or(item.field).or(item.property_path);
        let path = path.map(parse_path).unwrap_or_default();
        let message = item.msg.or(item.message).and_then(string);
        let code = item.r#type.or(item.error_code).and_then(string);
        (!path.is_empty() || message.is_some()).then(|| Self {
            may_have_prefix,
            summary: code.as_deref().and_then(summary),
            ..Self::new(path, message)
        })
    }

    fn new(mut path: Vec<String>, message: impl Into<Option<String>>) -> Self {
        let mut message = message.into();
        // For a missing property, validators report the path of the object.
        let missing = message.as_deref().and_then(missing_property);
        if let Some(property) = missing.filter(|_| !path.is_empty()) {
            path.push(property.to_owned());
            message = Some("is required".to_owned());
        }
        Self {
            path: shown_parts(path),
            may_have_prefix: false,
            message,
            summary: None,
        }
    }
}

/// Returns our description of a pydantic error type.
fn summary(error_type: &str) -> Option<&'static str> {
    Some(match error_type {
        "missing" | "required" => "is required",
        "extra_forbidden" => "unknown field",
        "string_type" => "must be a string",
        "string_too_short" => "is too short",
        "string_too_long" => "is too long",
        "string_pattern_mismatch" => "does not match the required pattern",
        "too_short" => "has too few items",
        "too_long" => "has too many items",
        "int_type" | "int_parsing" | "int_from_float" => "must be an integer",
        "float_type" | "float_parsing" => "must be a number",
        "bool_type" | "bool_parsing" => "must be true or false",
        "dict_type" | "model_type" | "model_attributes_type" => "must be an object",
        "list_type" => "must be an array",
        "literal_error" | "enum" | "const" => "is not one of the allowed values",
        "greater_than" | "greater_than_equal" => "is too small",
        "less_than" | "less_than_equal" => "is too large",
        "uuid_type" | "uuid_parsing" => "must be a UUID",
        "url_type" | "url_parsing" | "url_scheme" => "must be a URL",
        "date_parsing"
        | "datetime_parsing"
        | "date_from_datetime_parsing"
        | "datetime_from_date_parsing" => "must be a date",
        _ => return None,
    })
}

/// Returns the violations of a JSON schema that a message lists.
fn schema_errors(message: &str) -> Vec<ReportedError> {
    let starts = ["$.", "$:", "$["];
    let Some(start) = starts.iter().filter_map(|start| message.find(start)).min() else {
        return Vec::new();
    };
    let violations = message[start + SCHEMA_ROOT.len()..].split(", $");
    violations
        .filter_map(|violation| {
            let (path, message) = violation.split_once(": ")?;
            let path = [SCHEMA_ROOT.to_owned()].into_iter().chain(split_path(path));
            let message = message.trim().to_owned();
            Some(ReportedError::new(path.collect(), message))
        })
        .take(MAX_FIELD_ERRORS + 1)
        .collect()
}

/// Returns the property that a JSON schema validator reports as missing.
fn missing_property(message: &str) -> Option<&str> {
    let networknt = message
        .strip_prefix("required property '")
        .and_then(|rest| rest.strip_suffix("' not found"));
    let python = message
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix("' is a required property"));
    networknt.or(python)
}

/// Parses a path: a list of keys and indexes, or a string in any notation of [`split_path`]. A leading `body` is removed.
fn parse_path(path: &RawValue) -> Vec<String> {
    let mut parts: Vec<String> = if path.get().starts_with('[') {
        let key_or_index = |part: &RawValue| string(part).or_else(|| number(part));
        let parts = list(path).into_iter().take(MAX_PATH_PARTS + 1);
        parts.map_while(key_or_index).collect()
    } else {
        let path = string(path).unwrap_or_default();
        split_path(&path).take(MAX_PATH_PARTS + 1).collect()
    };
    if parts.first().is_some_and(|part| part == "body") {
        parts.remove(0);
    }
    parts
}

/// Splits `a.b[0].c`, `a/b/0/c` and the like.
fn split_path(path: &str) -> impl Iterator<Item = String> {
    path.trim_start_matches('#')
        .split(['.', '/', '[', ']'])
        .map(|part| part.trim_matches(['\'', '"', ' ']))
        .filter(|part| !part.is_empty())
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
}

fn shown_parts(path: Vec<String>) -> Vec<String> {
    path.into_iter()
        .take_while(|part| part.len() <= MAX_PART_BYTES)
        .take(MAX_PATH_PARTS)
        .collect()
}

fn is_index(part: &str) -> bool {
    part.len() <= MAX_INDEX_DIGITS && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Converts `connectionConfiguration` to `connection_configuration`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Parses an object. serde alone would also fill a struct from a list.
fn object<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Option<T> {
    json.get()
        .starts_with('{')
        .then(|| serde_json::from_str(json.get()).ok())
        .flatten()
}

fn list(json: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(json.get()).unwrap_or_default()
}

/// Parses a string that is not blank, with spaces instead of control characters.
fn string(json: &RawValue) -> Option<String> {
    let text: String = serde_json::from_str(json.get()).ok()?;
    let text = text.replace(char::is_control, " ");
    (!text.trim().is_empty()).then_some(text)
}

fn number(json: &RawValue) -> Option<String> {
    let is_number = json.get().starts_with(|c: char| c.is_ascii_digit());
    is_number.then(|| json.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::agents::Agents;
    use super::super::api::Api;
    use super::super::source::NewSource;
    use super::*;
    use crate::request::caller::ExternalUserId;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    /// Returns the message and the errors that are shown for a body, of a source with this configuration.
    fn shown(api: &Api, body: &Value, configuration: &Value) -> (Option<String>, Vec<String>) {
        let configuration = serde_json::value::to_raw_value(configuration).unwrap();
        let user = ExternalUserId::parse("alice@example.com").unwrap();
        let source = NewSource {
            user: &user,
            workspace_id: Uuid::from_u128(1),
            template_id: Uuid::from_u128(2),
            configuration: Some(&configuration),
            credentials: None,
            environment: None,
            name: None,
        };
        let body = ErrorBody::parse(body.to_string().as_bytes());
        let rejection = api.rejection(&body, &source, &"token".into());
        let errors = rejection.errors.as_slice().iter();
        let errors = errors.map(|error| format!("{} {}", error.pointer, error.detail));
        (rejection.message, errors.collect())
    }

    fn agents() -> Api {
        Api::Agents(Agents::default())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn reads_every_shape_of_errors() {
        let cases = [
            (
                "FastAPI, string",
                json!({"detail": "No such template"}),
                Some("No such template"),
                vec![],
            ),
            (
                "FastAPI, list",
                json!({"detail": [
                    {"loc": ["body", "connection_configuration", "host"], "msg": "Field required", "type": "missing"},
                    {"loc": ["body", "connection_configuration", "tables", 0, "a/b"], "msg": "Bad\nname", "type": "x"},
                    {"loc": ["source_config_template_id"], "msg": "Unknown", "input": {"any": "thing"}, "ctx": null},
                    {"msg": "Whole body"},
                    {"loc": ["body"]},
                    {"loc": null, "msg": null},
                    17,
                    "Plain",
                ]}),
                None,
                vec![
                    "/connection_configuration/host Field required",
                    "/connection_configuration/tables/0/a~1b Bad name",
                    "/source_config_template_id Unknown",
                    " Whole body",
                    " Plain",
                ],
            ),
            (
                "FastAPI, object",
                json!({"detail": {"message": "Not allowed", "errors": [{"field": "name", "message": "taken"}]}}),
                Some("Not allowed"),
                vec!["/name taken"],
            ),
            (
                "Micronaut, embedded",
                json!({"message": "Bad Request", "_links": {}, "_embedded": {"errors": [{"message": "host: blank", "_links": {}}]}}),
                Some("Bad Request"),
                vec![" host: blank"],
            ),
            (
                "Micronaut, violations",
                json!({"message": "Invalid", "validationErrors": [
                    {"propertyPath": "connectionConfiguration.host", "message": "must not be null"},
                    {"propertyPath": "createSource.body.connectionConfiguration.port", "message": "must not be null"},
                    {"propertyPath": null, "message": "must not be empty"},
                ]}),
                Some("Invalid"),
                vec![
                    "/connection_configuration/host must not be null",
                    "/connection_configuration/port must not be null",
                    " must not be empty",
                ],
            ),
            (
                "problem details",
                json!({"type": "about:blank", "title": "Conflict", "status": 409, "detail": "It exists", "data": null}),
                Some("It exists"),
                vec![],
            ),
            (
                "problem details, title",
                json!({"title": "value-not-found", "detail": null}),
                Some("value-not-found"),
                vec![],
            ),
            (
                "problem details, reason",
                json!({
                    "status": 422, "title": "unprocessable-entity", "detail": "The body of the request was not understood",
                    "documentationUrl": null,
                    "data": {"message": "json schema validation failed when comparing the data to the json schema. \nErrors: \
                                         $.port: integer found, string expected, $: required property 'protocol' not found, \
                                         $.tunnel['key'][0]: is missing but it is required "},
                }),
                Some(
                    "json schema validation failed when comparing the data to the json schema.  Errors: \
                     $.port: integer found, string expected, $: required property 'protocol' not found, \
                     $.tunnel['key'][0]: is missing but it is required",
                ),
                vec![
                    "/connection_configuration/port integer found, string expected",
                    "/connection_configuration/protocol is required",
                    "/connection_configuration/tunnel/key/0 is missing but it is required",
                ],
            ),
            (
                "problem details, value",
                json!({"title": "value-not-found", "detail": "The submitted value could not be found.", "data": {"value": "mixmax"}}),
                Some("The submitted value could not be found: mixmax"),
                vec![],
            ),
            (
                "problem details, resource",
                json!({"detail": "Could not find a resource", "data": {"message": null, "resourceId": "0875518a"}}),
                Some("Could not find a resource: 0875518a"),
                vec![],
            ),
            (
                "Agent API, nulls",
                json!({"message": null, "errors": null, "detail": null, "data": null, "_embedded": null, "validationErrors": null}),
                None,
                vec![],
            ),
        ];
        for (name, body, message, errors) in cases {
            let expected = (
                message.map(str::to_owned),
                errors.into_iter().map(str::to_owned).collect(),
            );
            assert_eq!(shown(&Api::Embedded, &body, &json!({})), expected, "{name}");
        }
    }

    #[test]
    fn maps_paths_to_fields_of_this_api() {
        let cases = [
            (
                json!("replication_config.host"),
                "/connection_configuration/host",
            ),
            (
                json!("replication_config/host"),
                "/connection_configuration/host",
            ),
            (
                json!("/replication_config/a~1b"),
                "/connection_configuration/a~1b",
            ),
            (
                json!("#/replication_config/host"),
                "/connection_configuration/host",
            ),
            (
                json!("body.replication_config.host"),
                "/connection_configuration/host",
            ),
            (
                json!("replication_config.tables[0].name"),
                "/connection_configuration/tables/0/name",
            ),
            (
                json!("replicationConfig['host']"),
                "/connection_configuration/host",
            ),
            (
                json!(["body", "replication_config", "host"]),
                "/connection_configuration/host",
            ),
            (
                json!(["replication_config", "tables", 12, "a.b"]),
                "/connection_configuration/tables/12/a.b",
            ),
            (
                json!(["replication_config", null, "host"]),
                "/connection_configuration",
            ),
            (json!("$.host"), "/connection_configuration/host"),
            (json!("source_template_id"), "/source_config_template_id"),
            (json!("workspace_name"), "/externalUserId"),
            (json!("credentials.api_key"), "/credentials/api_key"),
            (json!("environment"), "/environment"),
            (json!("name"), "/name"),
            (json!("body"), ""),
            (json!("header.host"), "/header/host"),
            (json!(null), ""),
            (json!({}), ""),
        ];
        for (field, pointer) in cases {
            let body = json!({"message": null, "errors": [{"field": field, "message": "no", "error_code": null, "details": null}]});
            let (message, errors) = shown(&agents(), &body, &json!({}));
            assert_eq!(
                (message, errors),
                (None, vec![format!("{pointer} no")]),
                "{field}"
            );
        }
    }

    #[test]
    fn names_field_by_error_type_without_message() {
        let errors = json!({"errors": [
            {"field": "replication_config.host", "message": null, "error_code": "missing"},
            {"field": "replication_config.host", "error_code": null},
            {"field": null, "message": null, "error_code": "missing"},
        ]});
        let expected = [
            "/connection_configuration/host is required",
            "/connection_configuration/host is invalid",
        ];
        assert_eq!(shown(&agents(), &errors, &json!({})).1, expected);
    }

    #[test]
    fn attributes_schema_errors_to_object_that_was_sent() {
        let credentials = serde_json::value::to_raw_value(&json!({})).unwrap();
        let user = ExternalUserId::parse("alice").unwrap();
        let source = NewSource {
            user: &user,
            workspace_id: Uuid::from_u128(1),
            template_id: Uuid::from_u128(2),
            configuration: None,
            credentials: Some(&credentials),
            environment: None,
            name: None,
        };
        let body =
            ErrorBody::parse(br#"{"message": "Errors: $.key: is missing but it is required"}"#);
        let rejection = agents().rejection(&body, &source, &"token".into());
        assert_eq!(rejection.errors.as_slice()[0].pointer, "/credentials/key");
    }

    #[test]
    fn shows_nothing_of_unrecognized_body() {
        for body in [
            &b"<html>"[..],
            b"",
            b"[]",
            b"{}",
            b"[\"text\"]",
            b"\"text\"",
            b"{\"detail\": 7}",
            b"{\"detail\": \" \"}",
            b"{\"message\": \"\\ud800\"}",
            b"\xff",
            b"{\"detail\": [",
        ] {
            assert!(ErrorBody::parse(body).is_empty());
        }
    }

    #[test]
    fn withholds_strings_with_sent_values() {
        let configuration = json!({"password": "hunter2secret", "host": "db", "mode": "verified"});
        let body = json!({
            "title": "Bad Request",
            "detail": [
                {"loc": ["body", "connection_configuration", "password"], "msg": "'hunter2secret' is too short", "type": "string_too_short"},
                {"loc": ["body", "connection_configuration", "password"], "msg": "'hunter2secret' is bad", "type": "value_error"},
                {"loc": ["body", "connection_configuration", "verified", "key"], "msg": "Field required", "type": "missing"},
                {"loc": ["body", "connection_configuration", "mode", "x"], "msg": "No 'verified' here, sorry", "type": "literal_error"},
            ],
        });
        let expected = [
            "/connection_configuration/password is too short",
            "/connection_configuration/password is invalid",
            "/connection_configuration Field required",
            "/connection_configuration/mode/x is not one of the allowed values",
        ];
        let (message, errors) = shown(&Api::Embedded, &body, &configuration);
        assert_eq!(message.as_deref(), Some("Bad Request"));
        assert_eq!(errors, expected);

        let body =
            json!({"detail": "The value could not be found.", "data": {"value": "hunter2secret"}});
        let (message, _) = shown(&Api::Embedded, &body, &configuration);
        assert_eq!(message.as_deref(), Some("The value could not be found."));
    }

    #[test]
    fn cuts_path_before_sent_value() {
        let long = "v".repeat(101);
        let configuration =
            json!({"a/b": "c/d/e", "long": long, "n": 54321, "username": "username", "one": 1});
        let pointer = |path: &Value| {
            let body = json!({"detail": [{"loc": path, "msg": "bad"}]});
            let (_, errors) = shown(&Api::Embedded, &body, &configuration);
            errors[0].strip_suffix(" bad").unwrap().to_owned()
        };
        assert_eq!(pointer(&json!(["body", "a/b", "x"])), "/a~1b/x");
        assert_eq!(pointer(&json!(["x", "c/d/e", "y"])), "/x");
        assert_eq!(pointer(&json!(["x", long, "y"])), "/x");
        assert_eq!(pointer(&json!(["x", 54321, "y"])), "/x");
        assert_eq!(pointer(&json!(["x", 1, "y"])), "/x/1/y");
        assert_eq!(pointer(&json!(["x", "username"])), "/x/username");
        assert_eq!(pointer(&json!(vec!["x"; 1000])), "/x".repeat(65));
    }

    #[test]
    fn detects_rejected_client() {
        for (body, expected) in [
            (
                json!({"message": "Bad Request", "_embedded": {"errors": [{"message": "Invalid client id or token"}]}}),
                true,
            ),
            (json!({"error": "invalid_client"}), true),
            (
                json!({"detail": [{"loc": ["body", "client_id"], "msg": "Input should be a valid UUID"}]}),
                true,
            ),
            (json!({"message": "Bad Request"}), false),
            (json!({"client": "unknown"}), false),
        ] {
            let body = ErrorBody::parse(body.to_string().as_bytes());
            assert_eq!(body.mentions(&["client"]), expected);
        }
    }

    proptest! {
        #[test]
        fn parses_any_bytes_without_panic(body in any::<Vec<u8>>()) {
            prop_assert!(ErrorBody::parse(&body).is_empty());
        }
    }
}
