//! What goes over the wire to and from Airbyte, in the generation of the API that its "Authentication & Token
//! Management" page documents. Another generation (`/embedded/widget-token`, snake case) would change this file alone.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::problem::{Fault, pointer};

/// Where an application's id and secret are exchanged.
pub const APPLICATION_TOKEN_PATH: &str = "/api/v1/account/applications/token";
/// Where user-scoped tokens come from.
pub const WIDGET_TOKEN_PATH: &str = "/api/v1/embedded/widget_token";
/// Where sources are created. The slash at its end belongs to it.
pub const SOURCES_PATH: &str = "/api/v1/integrations/sources/";

/// Body of the exchange; JSON only, a form is answered 401.
#[derive(Serialize)]
pub struct ApplicationTokenRequest<'a> {
    /// The application's id.
    pub client_id: &'a str,
    /// The application's secret.
    pub client_secret: &'a str,
}

/// Answer to the exchange.
#[derive(Deserialize)]
pub struct ApplicationTokenAnswer {
    /// A JWT.
    pub access_token: String,
    /// Seconds; 900 has been seen beside a JWT that ended after 180.
    pub expires_in: Option<f64>,
}

/// Body of the call for a user-scoped token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WidgetTokenRequest<'a> {
    /// The user, as the organization knows them.
    pub external_user_id: &'a str,
    /// The Airbyte organization.
    #[serde(serialize_with = "hyphenated")]
    pub organization_id: Uuid,
    /// The origin of the page that embeds the widget.
    pub allowed_origin: &'a str,
}

/// Answer to the call for a user-scoped token.
#[derive(Deserialize)]
pub struct WidgetTokenAnswer {
    /// The opaque token.
    pub token: String,
}

/// Body of a create.
#[derive(Serialize)]
pub struct CreateSourceRequest<'a> {
    /// The workspace to create it in.
    #[serde(serialize_with = "hyphenated")]
    pub workspace_id: Uuid,
    /// The template that the source is made from.
    #[serde(serialize_with = "hyphenated")]
    pub source_config_template_id: Uuid,
    /// The caller's text, character by character: numbers would not survive being read and written.
    pub connection_configuration: &'a RawValue,
}

fn hyphenated<S: serde::Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

/// What a refusal's body says, as far as it has one of the three shapes that are known:
/// FastAPI's `{"detail": "…" | [{"loc", "msg", "type"}]}`, Micronaut's `{"message", "_embedded": {"errors": [{"message"}]}}`
/// and problem details. Texts and places are Airbyte's and may quote what was sent: see [`Rejection::without`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// What is wrong on the whole.
    pub message: Option<String>,
    /// What is wrong with single members of the body.
    pub faults: Vec<Fault>,
}

impl Rejection {
    /// Reads a refusal's body; one that is not understood says nothing.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(one_line);
        let fastapi = body
            .get("detail")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(fastapi_fault);
        let micronaut = body
            .get("_embedded")
            .and_then(|embedded| embedded.get("errors")?.as_array())
            .into_iter()
            .flatten()
            .filter_map(|error| {
                Some(Fault::new(
                    String::new(),
                    one_line(error.get("message")?.as_str()?),
                ))
            });
        Self {
            message: text("detail")
                .or_else(|| text("message"))
                .or_else(|| text("title")),
            faults: fastapi.chain(micronaut).take(50).collect(),
        }
    }

    /// The same without anything that repeats a value of what was sent: a validator that says `'hunter2' is too short`
    /// must not bring the password into an error or a log. Of a place that does, only what leads up to it stays.
    #[must_use]
    pub fn without(mut self, sent: &RawValue) -> Self {
        let sent = Sent::of(sent);
        // Cut to length only now: half of a value would not be recognised.
        let short = |text: &str| text.chars().take(Self::LONGEST).collect::<String>();
        self.message = self
            .message
            .filter(|message| !sent.repeated_in(message))
            .as_deref()
            .map(short);
        for fault in &mut self.faults {
            fault.detail = match &fault.detail {
                detail if sent.repeated_in(detail) => Cow::Borrowed("is not valid"),
                detail => Cow::Owned(short(detail)),
            };
            let parts = fault.pointer.split('/').skip(1);
            let safe =
                parts.take_while(|part| sent.names.contains(*part) || !sent.repeated_in(part));
            fault.pointer = safe.fold(String::new(), |pointer, part| pointer + "/" + part);
        }
        self
    }

    const LONGEST: usize = 300;
}

/// `{"loc": ["body", "connection_configuration", "host"], "msg": "Field required", "type": "missing"}`.
fn fastapi_fault(error: &Value) -> Option<Fault> {
    let message = one_line(error.get("msg")?.as_str()?);
    let place = error
        .get("loc")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let place: Vec<Cow<'_, str>> = place
        .iter()
        .skip(usize::from(
            place.first().and_then(Value::as_str) == Some("body"),
        ))
        .map(|part| {
            part.as_str()
                .map_or_else(|| Cow::Owned(part.to_string()), Cow::Borrowed)
        })
        .collect();
    Some(Fault::new(
        pointer(place.iter().map(AsRef::as_ref)),
        message,
    ))
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// What a connection configuration holds.
#[derive(Default)]
struct Sent {
    /// Its members' names, as JSON pointers write them: saying one again gives nothing away.
    names: HashSet<String>,
    /// Its strings, line by line, and its numbers.
    values: Vec<String>,
}

impl Sent {
    fn of(configuration: &RawValue) -> Self {
        let mut sent = Self::default();
        if let Ok(configuration) = serde_json::from_str(configuration.get()) {
            sent.add(&configuration);
        }
        sent
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                self.values.extend(lines.map(without_escapes));
            }
            Value::Number(number) => self.values.push(number.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    self.names.insert(pointer([name.as_str()]).split_off(1));
                    self.add(value);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn repeated_in(&self, text: &str) -> bool {
        let text = without_escapes(text);
        self.values.iter().any(|value| contains_word(&text, value))
    }
}

/// Validators quote with and without escapes: comparing is done without any.
fn without_escapes(text: &str) -> String {
    text.replace('\\', "")
}

/// Whether `value` stands in `text`: anywhere if it is long, as a word of its own if it is short.
fn contains_word(text: &str, value: &str) -> bool {
    text.match_indices(value).any(|(at, _)| {
        let alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        value.len() >= 4
            || (alone(text[..at].chars().next_back())
                && alone(text[at + value.len()..].chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: &Value) -> Rejection {
        Rejection::parse(body.to_string().as_bytes())
    }

    fn raw(value: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    #[test]
    fn fastapis_field_errors_become_pointers() {
        let rejection = parse(&json!({"detail": [
            {"loc": ["body", "connection_configuration", "host"], "msg": "Field required", "type": "missing"},
            {"loc": ["body", "connection_configuration", "tables", 0, "a/b"], "msg": "Bad\nname", "type": "x"},
            {"loc": ["source_config_template_id"], "msg": "Unknown"},
            {"msg": "Whole body"},
            {"loc": ["body"]},
            "strange",
        ]}));
        let faults: Vec<_> = rejection
            .faults
            .iter()
            .map(|f| (f.pointer.as_str(), f.detail.as_ref()))
            .collect();
        assert_eq!(
            faults,
            [
                ("/connection_configuration/host", "Field required"),
                ("/connection_configuration/tables/0/a~1b", "Bad name"),
                ("/source_config_template_id", "Unknown"),
                ("", "Whole body"),
            ]
        );
    }

    #[test]
    fn each_known_shape_has_its_message() {
        assert_eq!(
            parse(&json!({"detail": "No such template"}))
                .message
                .as_deref(),
            Some("No such template")
        );
        assert_eq!(
            parse(&json!({"title": "Conflict", "detail": "Exists"}))
                .message
                .as_deref(),
            Some("Exists")
        );
        let micronaut = parse(
            &json!({"message": "Bad", "_embedded": {"errors": [{"message": "host: blank"}]}}),
        );
        assert_eq!(micronaut.message.as_deref(), Some("Bad"));
        assert_eq!(micronaut.faults, [Fault::new(String::new(), "host: blank")]);
    }

    #[test]
    fn what_is_not_understood_says_nothing() {
        for body in [
            &b"<html>"[..],
            b"",
            b"[]",
            b"\"text\"",
            b"{\"detail\": 7}",
            b"\xff",
            b"{\"detail\": [",
        ] {
            assert_eq!(Rejection::parse(body), Rejection::default());
        }
    }

    #[test]
    fn a_text_that_repeats_a_sent_value_is_withheld() {
        let sent = raw(
            &json!({"password": "hunter2", "port": 99, "deep": [{"key": "line one\nline two"}], "on": true}),
        );
        let rejection = parse(&json!({"detail": [
            {"loc": ["body", "a"], "msg": "'hunter2' is too short"},
            {"loc": ["body", "b"], "msg": "xxhunter2xx"},
            {"loc": ["body", "c"], "msg": "99 is greater than 65"},
            {"loc": ["body", "d"], "msg": "see line two there"},
            {"loc": ["body", "e"], "msg": "must be at least 199, true"},
        ]}))
        .without(&sent);
        let details: Vec<_> = rejection
            .faults
            .iter()
            .map(|fault| fault.detail.as_ref())
            .collect();
        assert_eq!(
            details,
            [
                "is not valid",
                "is not valid",
                "is not valid",
                "is not valid",
                "must be at least 199, true"
            ]
        );
        assert_eq!(
            parse(&json!({"detail": "no 'hunter2' here"}))
                .without(&sent)
                .message,
            None
        );
        let sent = raw(&json!({"password": "it's \\ back"}));
        assert_eq!(
            parse(&json!({"detail": "'it\\'s \\\\ back' is short"}))
                .without(&sent)
                .message,
            None
        );
        // Names say nothing, values do: FastAPI puts a union's tag into the place.
        let sent = raw(&json!({"username": "username", "secrets": [{"key": "hunter2"}]}));
        let faults = parse(&json!({"detail": [
            {"loc": ["body", "c", "username"], "msg": "bad"},
            {"loc": ["body", "c", "hunter2", "key"], "msg": "bad"},
            {"loc": ["body", "hunter2"], "msg": "bad"},
        ]}))
        .without(&sent)
        .faults;
        let places: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(places, ["/c/username", "/c", ""]);
        let sent = raw(&json!({"password": "it's \\ back"}));
        // 299 characters, then the value: cutting first would leave its first letter.
        let long = format!("{} it's \\ back", "x".repeat(298));
        assert_eq!(parse(&json!({"detail": long})).without(&sent).message, None);
    }

    #[test]
    fn a_create_carries_the_configuration_as_it_came() {
        let text = r#"{ "big":123456789012345678901234567890, "f": 1.0 }"#;
        let request = CreateSourceRequest {
            workspace_id: Uuid::from_u128(1),
            source_config_template_id: Uuid::from_u128(2),
            connection_configuration: serde_json::from_str(text).unwrap(),
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            format!(
                r#"{{"workspace_id":"00000000-0000-0000-0000-000000000001","source_config_template_id":"00000000-0000-0000-0000-000000000002","connection_configuration":{text}}}"#
            )
        );
    }
}
