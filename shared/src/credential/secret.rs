//! The formats of the secret's value.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::secrets_manager::SecretError;

const UNKNOWN_FORMAT: SecretError = SecretError::Malformed(
    "expected an organization token, {\"organization_token\": \"…\"}, or {\"client_id\": \"…\", \"client_secret\": \"…\"}",
);

const QUOTED: SecretError =
    SecretError::Malformed("it is enclosed in quotes; store it without them");

const INVALID_STRING: SecretError = SecretError::Malformed(
    "organization_token, client_id and client_secret must be strings without whitespace",
);

const INVALID_TOKEN: SecretError = SecretError::Malformed(
    "an organization token has no whitespace, quotes or braces, only visible ASCII characters",
);

const AMBIGUOUS: SecretError = SecretError::Malformed(
    "it has an organization_token and a client_id or client_secret; keep one of the two",
);

/// The credential in the secret.
#[derive(Debug)]
pub enum Credential {
    /// An organization token.
    Token(SecretString),
    /// An Airbyte application.
    Application {
        /// The application's ID.
        client_id: SecretString,
        /// The application's secret.
        client_secret: SecretString,
    },
}

impl Credential {
    /// Parses the secret's value. An error contains nothing of it.
    ///
    /// # Errors
    ///
    /// Fails with [`SecretError::Malformed`].
    pub fn parse(value: &SecretString) -> Result<Self, SecretError> {
        // Editors on Windows put a byte order mark in front of a file.
        let value = value.expose_secret().trim_start_matches('\u{feff}').trim();
        if is_quoted(value) {
            return Err(QUOTED);
        }
        if !value.starts_with(['{', '[']) {
            return match organization_token(value) {
                Some(token) => Ok(Self::Token(token)),
                None if value.is_empty() => Err(UNKNOWN_FORMAT),
                None => Err(INVALID_TOKEN),
            };
        }
        match serde_json::from_str(value) {
            Ok(Value::Object(fields)) => Self::from_fields(&fields),
            _ => Err(UNKNOWN_FORMAT),
        }
    }

    fn from_fields(fields: &Map<String, Value>) -> Result<Self, SecretError> {
        let field = |name: &str| fields.get(name);
        match (
            field("organization_token"),
            field("client_id"),
            field("client_secret"),
        ) {
            (Some(token), None, None) => {
                let token = token.as_str().ok_or(INVALID_STRING)?;
                organization_token(token)
                    .map(Self::Token)
                    .ok_or(INVALID_TOKEN)
            }
            (None, Some(id), Some(secret)) => Ok(Self::Application {
                client_id: visible_ascii(id).ok_or(INVALID_STRING)?.into(),
                client_secret: visible_ascii(secret).ok_or(INVALID_STRING)?.into(),
            }),
            (Some(_), _, _) => Err(AMBIGUOUS),
            _ => Err(UNKNOWN_FORMAT),
        }
    }

    /// The kind of the credential, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "an organization token",
            Self::Application { .. } => "an Airbyte application",
        }
    }

    /// Whether both hold the same values.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let is_equal =
            |one: &SecretString, other: &SecretString| one.expose_secret() == other.expose_secret();
        match (self, other) {
            (Self::Token(one), Self::Token(other)) => is_equal(one, other),
            (
                Self::Application {
                    client_id: one_id,
                    client_secret: one_secret,
                },
                Self::Application {
                    client_id: other_id,
                    client_secret: other_secret,
                },
            ) => is_equal(one_id, other_id) && is_equal(one_secret, other_secret),
            _ => false,
        }
    }
}

fn is_quoted(value: &str) -> bool {
    ['"', '\'', '`']
        .iter()
        .any(|quote| value.len() > 1 && value.starts_with(*quote) && value.ends_with(*quote))
}

/// Returns a token that can be sent in a header. Quotes and braces are rejected, because they are left over from the syntax of a
/// shell or of JSON.
fn organization_token(text: &str) -> Option<SecretString> {
    let text = text.trim();
    let is_valid = |b: u8| b.is_ascii_graphic() && !b"\"'`{}".contains(&b);
    (!text.is_empty() && text.bytes().all(is_valid)).then(|| text.into())
}

fn visible_ascii(value: &Value) -> Option<&str> {
    let text = value.as_str()?.trim();
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> String {
        match Credential::parse(&value.into()) {
            Ok(Credential::Token(token)) => format!("token {}", token.expose_secret()),
            Ok(Credential::Application {
                client_id,
                client_secret,
            }) => {
                let [id, secret] = [client_id, client_secret].map(|s| s.expose_secret().to_owned());
                format!("application {id} {secret}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn accepts_three_formats() {
        for (value, expected) in [
            ("abc.def-1", "token abc.def-1"),
            ("  abc\n", "token abc"),
            ("abc==", "token abc=="),
            (r#"{"organization_token": "abc"}"#, "token abc"),
            (r#"{"organization_token": "abc", "note": 1}"#, "token abc"),
            (
                r#"{"client_id": "id", "client_secret": "s"}"#,
                "application id s",
            ),
        ] {
            assert_eq!(parse(value), expected, "{value:?}");
        }
    }

    #[test]
    fn strips_byte_order_mark() {
        assert_eq!(parse("\u{feff}abc\r\n"), "token abc");
        let application = "\u{feff}{\"client_id\": \"id\", \"client_secret\": \"s\"}";
        assert_eq!(parse(application), "application id s");
    }

    #[test]
    fn rejects_other_values_without_showing_them() {
        let unknown_format = UNKNOWN_FORMAT.to_string();
        let invalid_token = INVALID_TOKEN.to_string();
        let invalid_string = INVALID_STRING.to_string();
        let quoted = QUOTED.to_string();
        for (value, expected) in [
            ("", &unknown_format),
            (" ", &unknown_format),
            ("\u{feff}", &unknown_format),
            ("canary with spaces", &invalid_token),
            ("canary\u{e9}", &invalid_token),
            ("canary\u{feff}", &invalid_token),
            ("canary}", &invalid_token),
            ("ca'nary", &invalid_token),
            ("'", &invalid_token),
            ("'canary'", &quoted),
            ("\"canary\"", &quoted),
            ("`canary`", &quoted),
            (r#"'{"organization_token": "canary"}'"#, &quoted),
            ("{canary", &unknown_format),
            ("{}", &unknown_format),
            ("[\"canary\"]", &unknown_format),
            (r#"{"organization_token": ""}"#, &invalid_token),
            (r#"{"organization_token": 7}"#, &invalid_string),
            (r#"{"organization_token": "canary canary"}"#, &invalid_token),
            (r#"{"organization_token": "'canary'"}"#, &invalid_token),
            (
                r#"{"organization_token": "canary", "client_id": "canary"}"#,
                &AMBIGUOUS.to_string(),
            ),
            (r#"{"client_id": "canary"}"#, &unknown_format),
            (
                r#"{"client_id": "canary", "client_secret": null}"#,
                &invalid_string,
            ),
            (r#"{"token": "canary"}"#, &unknown_format),
        ] {
            let message = parse(value);
            assert_eq!(&message, expected, "{value:?}");
            assert!(!message.contains("canary"), "{message}");
        }
    }
}
