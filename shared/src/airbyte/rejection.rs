//! The body of an error response.

use std::borrow::Cow;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use serde_json::value::RawValue;

use super::redaction::{MAX_MESSAGE_CHARS, SentValues, one_line};
use crate::field_error::{FieldError, FieldErrors, json_pointer};

/// What a refusal's body says, as far as it has one of the three shapes that are known:
/// FastAPI's `{"detail": "…" | [{"loc", "msg", "type"}]}`, Micronaut's `{"message", "_embedded": {"errors": [{"message"}]}}`
/// and problem details. Texts and places are Airbyte's and may quote what was sent: see [`Rejection::redact`].
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
    pub fn redact(mut self, configuration: &RawValue, token: &SecretString) -> Self {
        if self == Self::default() {
            return self;
        }
        let mut sent = SentValues::of(configuration);
        sent.add(token.expose_secret());
        self.message = self
            .message
            .filter(|message| !sent.contains_any_of(message))
            .as_deref()
            .map(beginning);
        self.errors = self.errors.map(|error| {
            let detail = match error.detail {
                detail if sent.contains_any_of(&detail) => Cow::Borrowed("is invalid"),
                detail => Cow::Owned(beginning(&detail)),
            };
            let parts = error.pointer.split('/').skip(1);
            let safe = parts.take_while(|part| {
                let text = part.replace("~1", "/").replace("~0", "~");
                sent.names.contains(&text) || !sent.contains_any_of(&text)
            });
            FieldError::new(
                safe.fold(String::new(), |pointer, part| pointer + "/" + part),
                detail,
            )
        });
        self
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(MAX_MESSAGE_CHARS).collect()
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
        .redact(&sent, &token());
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
                .redact(&sent, &token())
                .message,
            None
        );
        let sent = raw(&json!({"password": "it's \\ back"}));
        assert_eq!(
            parse(&json!({"detail": "'it\\'s \\\\ back' is short"}))
                .redact(&sent, &token())
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
        .redact(&sent, &token())
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
                .redact(&sent, &token())
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
                    .redact(serde_json::from_str(sent).unwrap(), &token());
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
            .redact(&raw(&json!({})), &token);
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
                .redact(&sent, &token())
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
                .redact(&sent, &token())
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
            .redact(&raw(&json!([{ "name": value }])), &token());
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
}
