//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

use lambda_http::Request;

/// The name of the header.
const HEADER: &str = "idempotency-key";

/// The maximum length of a key, in characters.
pub const MAX_LENGTH: usize = 255;

/// A key: 1 to [`MAX_LENGTH`] visible ASCII characters. No `Debug`, because a caller may have put anything into it.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// A request whose `Idempotency-Key` cannot be used. The message completes "the header …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyKeyError {
    /// The key is empty, too long or contains other characters.
    #[error(
        "must be 1 to 255 visible ASCII characters without quotation marks, optionally in double quotes"
    )]
    Malformed,
    /// There are several keys.
    #[error("must occur once; a key with a comma must be in double quotes")]
    Repeated,
    /// There is no state table.
    #[error("is not supported, because this deployment has no state table; omit it")]
    Unsupported,
}

impl IdempotencyKey {
    /// Returns the request's key, with or without the quotes of a structured string (RFC 8941, section 3.3.3); `None` if it
    /// has none.
    pub fn from_request(request: &Request) -> Result<Option<Self>, IdempotencyKeyError> {
        let mut values = request.headers().get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(IdempotencyKeyError::Repeated);
        }
        let text = value.to_str().map_err(|_| IdempotencyKeyError::Malformed)?;
        Self::parse(text).map(Some)
    }

    fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        let quoted = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        let key = quoted.unwrap_or(text);
        // API Gateway joins several headers of one name by a comma.
        if quoted.is_none() && text.contains(',') || key.contains("\",") {
            return Err(IdempotencyKeyError::Repeated);
        }
        // A backslash would begin an escape between quotes.
        let is_allowed =
            |c: char| c.is_ascii_graphic() && c != '"' && !(c == '\\' && quoted.is_some());
        if key.is_empty() || key.len() > MAX_LENGTH || !key.chars().all(is_allowed) {
            return Err(IdempotencyKeyError::Malformed);
        }
        Ok(Self(key.to_owned()))
    }

    /// The key, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, IdempotencyKeyError> {
        IdempotencyKey::parse(text).map(|key| key.0)
    }

    #[test]
    fn reads_one_header() {
        let read = |values: &[&[u8]]| {
            let mut request = Request::default();
            for value in values {
                let value = http::HeaderValue::from_bytes(value).unwrap();
                request.headers_mut().append(HEADER, value);
            }
            IdempotencyKey::from_request(&request).map(|key| key.map(|key| key.0))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"a"]), Ok(Some("a".to_owned())));
        assert_eq!(read(&[b"a", b"a"]), Err(IdempotencyKeyError::Repeated));
        assert_eq!(read(&[b"\xe9"]), Err(IdempotencyKeyError::Malformed));
    }

    #[test]
    fn accepts_keys_with_and_without_quotes() {
        let longest = "k".repeat(MAX_LENGTH);
        for (text, key) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", None),
            (
                "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
                Some("8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ),
            ("!#$%&'()*+-./09:;<=>?@AZ[\\]^_`az{|}~", None),
            ("\"a,b\"", Some("a,b")),
            (longest.as_str(), None),
            (format!("\"{longest}\"").as_str(), Some(longest.as_str())),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(key.unwrap_or(text)), "{text}");
        }
    }

    #[test]
    fn rejects_malformed_keys() {
        use IdempotencyKeyError::{Malformed, Repeated};
        let too_long = "k".repeat(MAX_LENGTH + 1);
        let too_long_quoted = format!("\"{too_long}\"");
        for (text, error) in [
            ("", Malformed),
            ("\"\"", Malformed),
            ("\"", Malformed),
            (too_long.as_str(), Malformed),
            (too_long_quoted.as_str(), Malformed),
            ("a b", Malformed),
            ("a\tb", Malformed),
            (" a", Malformed),
            ("é", Malformed),
            ("a\"b", Malformed),
            ("\"a\"b\"", Malformed),
            ("\"a", Malformed),
            ("a\"", Malformed),
            ("\"a\\\"b\"", Malformed),
            ("\"a\\\\b\"", Malformed),
            ("a,b", Repeated),
            ("a, b", Repeated),
            ("\"a\",\"b\"", Repeated),
            ("\"a\", \"b\"", Repeated),
            ("a,\"b\"", Repeated),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
