//! What goes over the wire to and from Airbyte, in the generation of the API that its "Authentication & Token
//! Management" page documents. Another generation (`/embedded/widget-token`, snake case) would change this file alone.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Number, Value};
use uuid::Uuid;

use crate::field_error::{FieldError, FieldErrors, json_pointer};
use crate::json::{self, Lexeme};

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
    /// Invalid fields of the body.
    pub errors: FieldErrors,
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
                Some(FieldError::new(
                    String::new(),
                    one_line(error.get("message")?.as_str()?),
                ))
            });
        Self {
            message: text("detail")
                .or_else(|| text("message"))
                .or_else(|| text("title")),
            errors: fastapi.chain(micronaut).collect(),
        }
    }

    /// The same without anything that repeats what was sent, a value of the configuration or the token: a validator that
    /// says `'hunter2' is too short` must not bring the password into an error or a log. Of a place that does, only what
    /// leads up to it stays.
    ///
    /// Takes time and memory in proportion to what was sent, and to the number of texts.
    #[must_use]
    pub fn without(mut self, configuration: &RawValue, token: &SecretString) -> Self {
        if self == Self::default() {
            return self;
        }
        let mut sent = Sent::of(configuration);
        sent.add(token.expose_secret());
        self.message = self
            .message
            .filter(|message| !sent.repeated_in(message))
            .as_deref()
            .map(beginning);
        self.errors = self.errors.map(|error| {
            let detail = match error.detail {
                detail if sent.repeated_in(&detail) => Cow::Borrowed("is invalid"),
                detail => Cow::Owned(beginning(&detail)),
            };
            let parts = error.pointer.split('/').skip(1);
            let safe = parts.take_while(|part| {
                let text = part.replace("~1", "/").replace("~0", "~");
                sent.names.contains(&text) || !sent.repeated_in(&text)
            });
            FieldError::new(
                safe.fold(String::new(), |pointer, part| pointer + "/" + part),
                detail,
            )
        });
        self
    }
}

/// The most characters that are told of a text.
const LONGEST: usize = 300;

fn beginning(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// `{"loc": ["body", "connection_configuration", "host"], "msg": "Field required", "type": "missing"}`.
fn fastapi_fault(error: &Value) -> Option<FieldError> {
    /// A configuration has 64 levels at most, and is a member itself.
    const DEEPEST_PLACE: usize = 65;
    /// Bytes. Pointers cut longer names, and of a value that is cut the rest would not be recognised.
    const LONGEST_PART: usize = 100;
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
        .take_while(|part| part.len() <= LONGEST_PART)
        .take(DEEPEST_PLACE)
        .collect();
    Some(FieldError::new(
        json_pointer(place.iter().map(AsRef::as_ref)),
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
    /// Its members' names: saying one again gives nothing away.
    names: HashSet<String>,
    /// Hashes of its strings and numbers: of a short one as a whole, of a longer one of every [`RUN`] characters in a
    /// row. Hashes, since a hostile configuration has a million of them.
    pieces: HashSet<u64>,
    hasher: RandomState,
}

/// Of a value longer than this, no so many characters in a row are told: validators abridge long values in the middle.
const RUN: usize = 16;

/// A value of fewer bytes counts as repeated only where it is a word of its own: an `id` is in every `invalid`.
const SHORTEST_INSIDE: usize = 4;

impl Sent {
    fn of(configuration: &RawValue) -> Self {
        let mut sent = Self::default();
        for lexeme in json::lexemes(configuration) {
            match lexeme {
                Lexeme::Key(quoted) => sent
                    .names
                    .extend(json::unescape(quoted).map(Cow::into_owned)),
                Lexeme::String(quoted) => {
                    if let Some(text) = json::unescape(quoted) {
                        sent.add(&text);
                    }
                }
                Lexeme::Number(number) => {
                    sent.add(number);
                    // As programs print it.
                    if let Ok(number) = serde_json::from_str::<Number>(number) {
                        sent.add(&number.to_string());
                    }
                }
                _ => {}
            }
        }
        sent
    }

    fn add(&mut self, value: &str) {
        self.add_line(value);
        if value.contains(char::is_control) {
            value
                .split(char::is_control)
                .for_each(|line| self.add_line(line));
        }
        if !value.is_ascii() {
            self.add_line(&ascii(value));
        }
    }

    fn add_line(&mut self, line: &str) {
        let line = plain(line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let begins = line.char_indices().map(|(at, _)| at);
        let ends = begins.clone().skip(RUN).chain([line.len()]);
        for (begin, end) in begins.zip(ends) {
            self.pieces.insert(self.hasher.hash_one(&line[begin..end]));
        }
    }

    /// Looks a little further than what is told of a text: a value that is cut there must be recognised too.
    fn repeated_in(&self, text: &str) -> bool {
        let text: String = plain(text).chars().take(LONGEST + RUN).collect();
        let bounds: Vec<usize> = text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect();
        let mut pieces = bounds.iter().enumerate().flat_map(|(index, &begin)| {
            let ends = bounds[index + 1..].iter().take(RUN);
            ends.map(move |&end| begin..end)
        });
        pieces.any(|piece| {
            self.pieces
                .contains(&self.hasher.hash_one(&text[piece.clone()]))
                && (piece.len() >= SHORTEST_INSIDE
                    || is_word(&text[..piece.start], &text[piece.end..]))
        })
    }
}

/// Whether what stands between the two is a word of its own.
fn is_word(before: &str, after: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    ends(before.chars().next_back()) && ends(after.chars().next())
}

/// Validators quote with and without escapes: comparing is done without any.
fn plain(text: &str) -> String {
    one_line(text).replace('\\', "")
}

/// With `\u00e4` for `ä`, as many a JSON writer has it.
fn ascii(text: &str) -> String {
    let mut ascii = String::new();
    for c in text.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(body: &Value) -> Rejection {
        Rejection::parse(body.to_string().as_bytes())
    }

    fn raw(value: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    fn token() -> SecretString {
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl".into()
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
            .errors
            .as_slice()
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
        assert_eq!(
            micronaut.errors.as_slice(),
            [FieldError::new(String::new(), "host: blank")]
        );
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
        .without(&sent, &token());
        let details: Vec<_> = rejection
            .errors
            .as_slice()
            .iter()
            .map(|fault| fault.detail.as_ref())
            .collect();
        assert_eq!(
            details,
            [
                "is invalid",
                "is invalid",
                "is invalid",
                "is invalid",
                "must be at least 199, true"
            ]
        );
        assert_eq!(
            parse(&json!({"detail": "no 'hunter2' here"}))
                .without(&sent, &token())
                .message,
            None
        );
        let sent = raw(&json!({"password": "it's \\ back"}));
        assert_eq!(
            parse(&json!({"detail": "'it\\'s \\\\ back' is short"}))
                .without(&sent, &token())
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
        .without(&sent, &token())
        .errors;
        let places: Vec<_> = faults
            .as_slice()
            .iter()
            .map(|fault| fault.pointer.as_str())
            .collect();
        assert_eq!(places, ["/c/username", "/c", ""]);
        let sent = raw(&json!({"password": "it's \\ back"}));
        // 299 characters, then the value: cutting first would leave its first letter.
        let long = format!("{} it's \\ back", "x".repeat(298));
        assert_eq!(
            parse(&json!({"detail": long}))
                .without(&sent, &token())
                .message,
            None
        );
    }

    #[test]
    fn a_value_is_recognised_however_it_is_quoted() {
        for (sent, said) in [
            // JSON and Python inside of a text.
            (r#"{"p": "pässwörd"}"#, r"{'p': 'p\u00e4ssw\u00f6rd'}"),
            (
                r#"{"p": "\ud83d\ude00 and more"}"#,
                r#""\ud83d\ude00 and more""#,
            ),
            (r#"{"p": "tab\tand bell\u0007"}"#, "tab\tand bell\u{7}"),
            (r#"{"p": "ab\tcd"}"#, "xab cdx"),
            // Numbers as they were written, and as a program would.
            (
                r#"{"n": 12345678901234567890123}"#,
                "12345678901234567890123 is too large",
            ),
            (r#"{"n": 1E5}"#, "100000.0 is too large"),
            (r#"{"n": 54321}"#, "54321 is too large"),
            // A name that is there twice.
            (r#"{"p": "hunter2", "p": "hunter3"}"#, "not hunter2"),
            (r#"{"p": "hunter2", "p": "hunter3"}"#, "not hunter3"),
            // pydantic v2 shows the ends of what is long.
            (
                r#"{"p": "sk_live_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"}"#,
                "input_value='sk_live_0123456789abcdefg...MNOPQRSTUVWXYZ'",
            ),
        ] {
            let rejection =
                parse(&json!({"detail": said, "_embedded": {"errors": [{"message": said}]}}))
                    .without(serde_json::from_str(sent).unwrap(), &token());
            assert_eq!(
                rejection,
                Rejection {
                    message: None,
                    errors: FieldErrors::from_iter([FieldError::new(String::new(), "is invalid")])
                },
                "{said} of {sent}"
            );
        }
    }

    #[test]
    fn the_token_is_withheld_whole_or_in_part() {
        let token = token();
        let (whole, part) = (token.expose_secret(), &token.expose_secret()[9..30]);
        for said in [
            format!("bad token Bearer {whole}"),
            format!("'{part}…' has expired"),
        ] {
            let rejection = parse(
                &json!({"detail": [{"loc": ["header", said], "msg": said}], "message": said}),
            )
            .without(&raw(&json!({})), &token);
            assert_eq!(
                rejection,
                Rejection {
                    message: None,
                    errors: FieldErrors::from_iter([FieldError::new(
                        "/header".to_owned(),
                        "is invalid"
                    )])
                }
            );
        }
    }

    #[test]
    fn a_short_value_is_recognised_as_a_word_only() {
        let sent = raw(&json!({"a": "id", "b": 7}));
        for (said, is_told) in [
            ("is invalid", true),
            ("at most 77", true),
            ("no id here", false),
            ("at most 7", false),
            ("(id)", false),
        ] {
            let message = parse(&json!({"detail": said}))
                .without(&sent, &token())
                .message;
            assert_eq!(message.is_some(), is_told, "{said}");
        }
    }

    #[test]
    fn a_place_leads_to_no_value() {
        let long = "v".repeat(101);
        let sent = raw(&json!({"a/b": "c/d/e", "long": long, "n": 54321}));
        let places = |place: &Value| {
            parse(&json!({"detail": [{"loc": place, "msg": "bad"}]}))
                .without(&sent, &token())
                .errors
                .as_slice()[0]
                .pointer
                .clone()
        };
        assert_eq!(places(&json!(["body", "a/b", "x"])), "/a~1b/x");
        assert_eq!(places(&json!(["x", "c/d/e", "y"])), "/x");
        assert_eq!(places(&json!(["x", long, "y"])), "/x");
        assert_eq!(places(&json!(["x", 54321, "y"])), "/x");
        assert_eq!(places(&json!(vec!["x"; 1000])), "/x".repeat(65));
    }

    proptest! {
        #[test]
        fn no_value_is_left_in_a_text(value in ".{4,40}", before in ".{0,320}", after in ".{0,20}", quoted in any::<bool>()) {
            let seen = value.trim();
            prop_assume!(seen.chars().filter(|&c| c != '\\').count() >= 4);
            let said = if quoted {
                format!("{before}{}{after}", json!(value))
            } else {
                format!("{before}{value}{after}")
            };
            let rejection = parse(&json!({
                "title": said,
                "detail": [{"loc": [said], "msg": said}],
                "_embedded": {"errors": [{"message": said}]},
            }))
            .without(&raw(&json!([{ "name": value }])), &token());
            let shown = format!("{rejection:?}");
            prop_assert!(!rejection.message.iter().any(|message| message.contains(seen)), "{}", shown);
            for fault in rejection.errors.as_slice() {
                prop_assert!(!fault.detail.contains(seen) && !fault.pointer.contains(seen), "{}", shown);
            }
        }

        #[test]
        fn no_body_makes_the_reader_panic(body in any::<Vec<u8>>()) {
            prop_assert_eq!(Rejection::parse(&body), Rejection::default());
        }
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
