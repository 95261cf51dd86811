//! Airbyte's opaque token, and the unverified scoped token inside it.
//!
//! A mint returns the base64 of a JSON object `{token, widgetUrl}`, whose `token` is a JWT scoped to one user's workspace
//! (Airbyte's "Authentication & Token Management" page). The JWT is signed with HS256, and only Airbyte has the key. So
//! nothing here is *verified*, and nothing may be authorized by it: the contents only route a request, and Airbyte checks
//! the signature when the token is used.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use crate::json::parse_object;

/// The maximum length of an opaque token, in bytes. Real ones have about a thousand.
pub const MAX_LENGTH: usize = 64 * 1024;

/// The string that Airbyte returns and that its Embedded Widget takes, byte for byte.
///
/// It is a credential: it has no `Display`, and its `Debug` does not show it.
#[derive(Clone)]
pub struct OpaqueToken(SecretString);

impl OpaqueToken {
    /// Creates a token from the string, unchanged.
    #[must_use]
    pub fn new(token: impl Into<Box<str>>) -> Self {
        Self(SecretString::new(token.into()))
    }

    /// The string itself, for the code that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Decodes the contents. See the [module's page](self) for what this does not verify.
    pub fn decode_unverified(&self) -> Result<UnverifiedToken, DecodeError> {
        decode_unverified(self.expose())
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken(…)")
    }
}

/// The contents of an opaque token, none of them verified: only Airbyte can check the signature.
#[derive(Clone)]
pub struct UnverifiedToken {
    /// The JWT for calls to Airbyte's API on behalf of this one user.
    pub scoped_token: SecretString,
    /// The page that the Embedded Widget shows in its frame.
    pub widget_url: String,
    /// The user's own workspace, from the claim `io.airbyte.auth.workspace_scope`, or else from the query of the widget's
    /// URL. If both are present, they are equal.
    pub workspace_id: Uuid,
    /// When the scoped token expires, from the claim `exp` (RFC 7519, section 4.1.4), in whole seconds.
    pub expires_at: OffsetDateTime,
}

impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedToken(…)")
    }
}

impl UnverifiedToken {
    /// Whether the token is expired at `now`, the second of expiry included (RFC 7519: "on or after").
    #[must_use]
    pub fn is_expired_at(&self, now: OffsetDateTime) -> bool {
        self.expires_at <= now
    }
}

/// An invalid opaque token. The messages contain no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum DecodeError {
    #[error("token is empty")]
    Empty,
    #[error("token is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("token is not valid base64")]
    NotBase64,
    #[error("decoded token is not valid UTF-8")]
    NotUtf8,
    #[error("decoded token is not a JSON object")]
    NotJson,
    #[error("decoded token has no `token`")]
    NoScopedToken,
    #[error("decoded `token` is not a string")]
    ScopedTokenNotAString,
    #[error("decoded token has no `widgetUrl`")]
    NoWidgetUrl,
    #[error("decoded `widgetUrl` is not an absolute http(s) URL")]
    InvalidWidgetUrl,
    #[error("decoded `token` is not a JWT of three base64url parts")]
    NotAJwt,
    #[error("payload of the JWT is not base64url")]
    PayloadNotBase64,
    #[error("payload of the JWT is not a JSON object")]
    PayloadNotJson,
    #[error("neither the JWT nor `widgetUrl` has a workspace")]
    NoWorkspace,
    #[error("workspace is not a UUID")]
    InvalidWorkspace,
    #[error("JWT and `widgetUrl` have different workspaces")]
    WorkspaceMismatch,
    #[error("JWT has no expiry (`exp`)")]
    NoExpiry,
    #[error("expiry of the JWT (`exp`) is not a valid time")]
    InvalidExpiry,
}

impl DecodeError {
    /// Returns the cause for the log. docs/operations.md lists all causes.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::NoExpiry | Self::InvalidExpiry => "token_without_expiry",
            Self::NoWorkspace | Self::InvalidWorkspace | Self::WorkspaceMismatch => {
                "token_without_workspace"
            }
            _ => "invalid_token",
        }
    }
}

/// Decodes an opaque token in either base64 alphabet, padded or not.
///
/// # Examples
///
/// ```
/// use shared::airbyte::token::{DecodeError, decode_unverified};
///
/// assert_eq!(decode_unverified("%").unwrap_err(), DecodeError::NotBase64);
/// ```
pub fn decode_unverified(opaque: &str) -> Result<UnverifiedToken, DecodeError> {
    if opaque.is_empty() {
        return Err(DecodeError::Empty);
    }
    if opaque.len() > MAX_LENGTH {
        return Err(DecodeError::TooLong);
    }
    let inner = decode_base64(opaque).ok_or(DecodeError::NotBase64)?;
    let inner = std::str::from_utf8(&inner).map_err(|_| DecodeError::NotUtf8)?;
    let inner: Inner = parse_object(inner.as_bytes()).ok_or(DecodeError::NotJson)?;

    let jwt = inner.token.ok_or(DecodeError::NoScopedToken)?;
    let jwt = string(jwt).ok_or(DecodeError::ScopedTokenNotAString)?;
    let widget_url = inner.widget_url.ok_or(DecodeError::NoWidgetUrl)?;
    let widget_url = string(widget_url).ok_or(DecodeError::InvalidWidgetUrl)?;
    let parsed_widget_url = web_url(&widget_url).ok_or(DecodeError::InvalidWidgetUrl)?;
    let claims = unverified_payload(&jwt)?;
    let claims: Claims = parse_object(&claims).ok_or(DecodeError::PayloadNotJson)?;
    let expiry = claims.exp.ok_or(DecodeError::NoExpiry)?;
    Ok(UnverifiedToken {
        workspace_id: workspace_id(claims.workspace_scope.as_ref(), &parsed_widget_url)?,
        expires_at: numeric_date(&expiry).ok_or(DecodeError::InvalidExpiry)?,
        scoped_token: SecretString::from(jwt),
        widget_url,
    })
}

/// Returns the claim `exp` of a JWT, whose signature is not verified; `None` if it is not a JWT or has no valid `exp`.
#[must_use]
pub fn unverified_expiry(jwt: &str) -> Option<OffsetDateTime> {
    let payload = unverified_payload(jwt).ok()?;
    let claims: Claims = parse_object(&payload)?;
    numeric_date(&claims.exp?)
}

#[derive(Deserialize)]
struct Inner {
    token: Option<Value>,
    #[serde(rename = "widgetUrl")]
    widget_url: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<Value>,
    #[serde(rename = "io.airbyte.auth.workspace_scope")]
    workspace_scope: Option<Value>,
}

/// Decodes the payload of a JWT in compact form (RFC 7515, section 3.1).
fn unverified_payload(jwt: &str) -> Result<Vec<u8>, DecodeError> {
    let mut parts = jwt.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(DecodeError::NotAJwt);
    };
    // Strict, because the JWT becomes an `Authorization` header.
    let base64url = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'='))
    };
    if !(base64url(header) && base64url(payload) && base64url(signature)) {
        return Err(DecodeError::NotAJwt);
    }
    decode_base64(payload).ok_or(DecodeError::PayloadNotBase64)
}

/// Returns the workspace of the claim, or else of the widget's URL.
fn workspace_id(scope: Option<&Value>, widget_url: &Url) -> Result<Uuid, DecodeError> {
    const NAME: &str = "workspaceId";
    let claim = scope.and_then(|scope| scope.get(NAME));
    let claim = claim.filter(|id| !id.is_null()).map(|id| {
        id.as_str()
            .and_then(|id| Uuid::try_parse(id).ok())
            .ok_or(DecodeError::InvalidWorkspace)
    });
    let mut query = widget_url
        .query_pairs()
        .filter(|(name, value)| name == NAME && !value.is_empty())
        .map(|(_, value)| Uuid::try_parse(&value).map_err(|_| DecodeError::InvalidWorkspace));
    let id = match claim.or_else(|| query.next()) {
        Some(id) => id?,
        None => return Err(DecodeError::NoWorkspace),
    };
    if query.any(|other| other != Ok(id)) {
        return Err(DecodeError::WorkspaceMismatch);
    }
    Ok(id)
}

/// Parses a NumericDate (RFC 7519): seconds since 1970, possibly with a fraction, which is cut off. `None` for a year that
/// RFC 3339 cannot represent, because responses use that format.
fn numeric_date(json: &Value) -> Option<OffsetDateTime> {
    let seconds = match json.as_i64() {
        Some(seconds) => seconds,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, and an out-of-range time is rejected next"
        )]
        None => json.as_f64()?.floor() as i64,
    };
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .filter(|time| (0..=9999).contains(&time.year()))
}

fn string(json: Value) -> Option<String> {
    match json {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Parses a URL that may be loaded into the widget's frame, which excludes `javascript:` and the like.
fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "https" | "http") && url.has_host()).then_some(url)
}

/// Decodes either alphabet of RFC 4648 (sections 4 and 5), padded or not. The alphabets may not be mixed.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let engine = if text.bytes().any(|b| matches!(b, b'-' | b'_')) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose as engines;
    use proptest::prelude::*;
    use serde_json::json;
    use time::format_description::well_known::Rfc3339;

    /// The sample response of Airbyte's "Authentication & Token Management" page.
    const SAMPLE: &str = include_str!("../../tests/data/vendor-sample.txt");

    fn jwt(claims: &Value) -> String {
        let part = |value: &Value| engines::URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(&json!({"alg": "HS256"})), part(claims))
    }

    fn claims() -> Value {
        json!({
            "io.airbyte.auth.workspace_scope": {"workspaceId": "fba81218-3467-4588-a8d5-a8396cde6c03"},
            "exp": 1_753_318_050,
        })
    }

    fn opaque(inner: &Value) -> String {
        engines::STANDARD.encode(inner.to_string())
    }

    fn opaque_with(claims: &Value) -> String {
        opaque(
            &json!({"token": jwt(claims), "widgetUrl": "https://cloud.airbyte.com/embedded-widget"}),
        )
    }

    #[test]
    fn decodes_vendor_sample() {
        let token = decode_unverified(SAMPLE.trim()).unwrap();
        assert_eq!(
            token.workspace_id.to_string(),
            "fba81218-3467-4588-a8d5-a8396cde6c03"
        );
        assert_eq!(
            token.expires_at.format(&Rfc3339).unwrap(),
            "2025-07-24T00:47:30Z"
        );
        assert_eq!(
            token.widget_url,
            "https://cloud.airbyte.com/embedded-widget?workspaceId=fba81218-3467-4588-a8d5-a8396cde6c03\
             &allowedOrigin=https%3A%2F%2Fapi.airbyte.ai"
        );
        assert!(
            token
                .scoped_token
                .expose_secret()
                .starts_with("eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJhaXJieXRl")
        );
        assert!(
            token
                .scoped_token
                .expose_secret()
                .ends_with(".-gLIbD69VxUJrj16BynI2a12cL6pS_eVSSdlLTgHm7E")
        );
    }

    #[test]
    fn decodes_both_alphabets_with_or_without_padding() {
        // "?" and ">" in the URL result in `/`, `+`, `_` and `-`.
        let inner = json!({"token": jwt(&claims()), "widgetUrl": "https://a.example/?>?>?>~~~ÿÿ"})
            .to_string();
        let texts = [
            engines::STANDARD.encode(&inner),
            engines::STANDARD_NO_PAD.encode(&inner),
            engines::URL_SAFE.encode(&inner),
            engines::URL_SAFE_NO_PAD.encode(&inner),
        ];
        assert_ne!(
            texts[0], texts[2],
            "the sample must distinguish the alphabets"
        );
        for text in texts {
            assert_eq!(
                decode_unverified(&text)
                    .unwrap()
                    .expires_at
                    .unix_timestamp(),
                1_753_318_050
            );
        }
    }

    #[test]
    fn cuts_off_fraction_of_expiry() {
        let mut claims = claims();
        claims["exp"] = json!(1_753_318_050.9);
        assert_eq!(
            decode_unverified(&opaque_with(&claims))
                .unwrap()
                .expires_at
                .unix_timestamp(),
            1_753_318_050
        );
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn returns_specific_error_for_each_defect() {
        const SCOPE: &str = "io.airbyte.auth.workspace_scope";
        let url = "https://cloud.airbyte.com/embedded-widget";
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            opaque_with(&claims)
        };
        let without = |name: &str| {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            opaque_with(&claims)
        };
        let cases = [
            (String::new(), "token is empty"),
            (
                "A".repeat(MAX_LENGTH + 1),
                "token is longer than 65536 bytes",
            ),
            ("not base64!".into(), "token is not valid base64"),
            ("a+b_".into(), "token is not valid base64"),
            (
                engines::STANDARD.encode([0xff, 0xfe]),
                "decoded token is not valid UTF-8",
            ),
            (
                engines::STANDARD.encode("plain"),
                "decoded token is not a JSON object",
            ),
            (
                engines::STANDARD.encode("[1]"),
                "decoded token is not a JSON object",
            ),
            (
                opaque(&json!([jwt(&claims()), url])),
                "decoded token is not a JSON object",
            ),
            (
                opaque(&json!({"widgetUrl": url})),
                "decoded token has no `token`",
            ),
            (
                opaque(&json!({"token": 7, "widgetUrl": url})),
                "decoded `token` is not a string",
            ),
            (
                opaque(&json!({"token": jwt(&claims())})),
                "decoded token has no `widgetUrl`",
            ),
            (
                opaque(&json!({"token": jwt(&claims()), "widgetUrl": "javascript:alert(1)"})),
                "decoded `widgetUrl` is not an absolute http(s) URL",
            ),
            (
                opaque(&json!({"token": "one.two", "widgetUrl": url})),
                "decoded `token` is not a JWT of three base64url parts",
            ),
            (
                opaque(&json!({"token": format!("{}\r\nx: y", jwt(&claims())), "widgetUrl": url})),
                "decoded `token` is not a JWT of three base64url parts",
            ),
            (
                opaque(&json!({"token": "a.b.c", "widgetUrl": url})),
                "payload of the JWT is not base64url",
            ),
            (
                opaque(&json!({"token": "a.Zm9v.c", "widgetUrl": url})),
                "payload of the JWT is not a JSON object",
            ),
            (
                opaque_with(&json!([1_753_318_050, claims()[SCOPE]])),
                "payload of the JWT is not a JSON object",
            ),
            (
                without(SCOPE),
                "neither the JWT nor `widgetUrl` has a workspace",
            ),
            (
                with(SCOPE, json!("text")),
                "neither the JWT nor `widgetUrl` has a workspace",
            ),
            (
                with(SCOPE, json!(["fba81218-3467-4588-a8d5-a8396cde6c03"])),
                "neither the JWT nor `widgetUrl` has a workspace",
            ),
            (
                with(SCOPE, json!({})),
                "neither the JWT nor `widgetUrl` has a workspace",
            ),
            (
                with(SCOPE, json!({"workspaceId": "w"})),
                "workspace is not a UUID",
            ),
            (
                with(SCOPE, json!({"workspaceId": 1})),
                "workspace is not a UUID",
            ),
            (without("exp"), "JWT has no expiry (`exp`)"),
            (
                with("exp", json!("soon")),
                "expiry of the JWT (`exp`) is not a valid time",
            ),
            (
                with("exp", json!(1e300)),
                "expiry of the JWT (`exp`) is not a valid time",
            ),
            // The last second before the year 0, and the first one of the year 10000.
            (
                with("exp", json!(-62_167_219_201_i64)),
                "expiry of the JWT (`exp`) is not a valid time",
            ),
            (
                with("exp", json!(253_402_300_800_i64)),
                "expiry of the JWT (`exp`) is not a valid time",
            ),
        ];
        for (token, message) in cases {
            assert_eq!(
                decode_unverified(&token).unwrap_err().to_string(),
                message,
                "of {token}"
            );
        }
    }

    #[test]
    fn takes_workspace_from_claim_or_else_from_widget_url() {
        const ID: &str = "fba81218-3467-4588-a8d5-a8396cde6c03";
        const OTHER: &str = "00000000-0000-0000-0000-000000000001";
        let valid = Ok(ID.to_owned());
        let mismatch = Err(DecodeError::WorkspaceMismatch);
        for (name, claim, query, expected) in [
            ("claim only", json!(ID), "", valid.clone()),
            ("query only", json!(null), ID, valid.clone()),
            ("equal", json!(ID), ID, valid.clone()),
            ("equal, upper case", json!(ID), &ID.to_uppercase(), valid),
            ("different", json!(ID), OTHER, mismatch.clone()),
            ("query is not a UUID", json!(ID), "w", mismatch.clone()),
            (
                "different in query",
                json!(null),
                &format!("{ID}&workspaceId={OTHER}"),
                mismatch,
            ),
            ("neither", json!(null), "", Err(DecodeError::NoWorkspace)),
            (
                "claim is not a UUID",
                json!("w"),
                ID,
                Err(DecodeError::InvalidWorkspace),
            ),
            (
                "query alone is not a UUID",
                json!(null),
                "w",
                Err(DecodeError::InvalidWorkspace),
            ),
        ] {
            let mut claims = claims();
            claims["io.airbyte.auth.workspace_scope"]["workspaceId"] = claim;
            let url = format!("https://app.airbyte.ai/any/widget?a=b&workspaceId={query}");
            let token =
                decode_unverified(&opaque(&json!({"token": jwt(&claims), "widgetUrl": url})));
            let workspace = token.map(|token| token.workspace_id.to_string());
            assert_eq!(workspace, expected, "{name}");
        }
    }

    #[test]
    fn is_expired_in_second_of_expiry() {
        let token = decode_unverified(&opaque_with(&claims())).unwrap();
        assert!(!token.is_expired_at(token.expires_at - time::Duration::SECOND));
        assert!(token.is_expired_at(token.expires_at));
    }

    #[test]
    fn debug_output_contains_no_token() {
        let token = OpaqueToken::new(SAMPLE.trim());
        let shown = format!("{token:?} {:?}", token.decode_unverified().unwrap());
        assert!(!shown.contains("eyJ"), "{shown}");
    }

    proptest! {
        #[test]
        fn decodes_any_string_without_panic(text in any::<String>()) {
            let _ = decode_unverified(&text);
        }

        #[test]
        fn decodes_any_bytes_without_panic(bytes in any::<Vec<u8>>()) {
            let _ = decode_unverified(&engines::STANDARD.encode(bytes));
        }

        #[test]
        fn decodes_what_was_encoded(workspace in any::<u128>(), exp in 0_i64..253_402_300_799, path in "[a-z/?=&%>~]{0,40}") {
            let workspace = Uuid::from_u128(workspace);
            let claims = json!({"io.airbyte.auth.workspace_scope": {"workspaceId": workspace.to_string()}, "exp": exp});
            let url = format!("https://cloud.airbyte.com/{path}");
            let inner = json!({"token": jwt(&claims), "widgetUrl": url});
            let token = decode_unverified(&opaque(&inner)).unwrap();
            prop_assert_eq!(token.workspace_id, workspace);
            prop_assert_eq!(token.expires_at.unix_timestamp(), exp);
            prop_assert_eq!(&token.widget_url, &url);
            prop_assert_eq!(token.scoped_token.expose_secret(), &jwt(&claims));
        }

        #[test]
        fn errors_contain_no_part_of_token(at in any::<prop::sample::Index>(), byte in any::<char>()) {
            let mut text: Vec<char> = SAMPLE.trim().chars().collect();
            let at = at.index(text.len());
            text[at] = byte;
            let text: String = text.into_iter().collect();
            if let Err(error) = decode_unverified(&text) {
                let message = error.to_string();
                prop_assert!(!message.contains("eyJ") && message.len() < 100, "{}", message);
            }
        }
    }
}
