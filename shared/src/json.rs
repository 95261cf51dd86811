//! JSON (RFC 8259) as a sequence of lexemes, verbatim.
//!
//! The lexemes preserve what a parsed value does not: duplicate keys, the digits of numbers, and unpaired surrogates.
//! [`parse_object`] parses an object, but not an array, into a struct.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// A lexeme of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lexeme<'a> {
    /// `{`
    ObjectBegin,
    /// `[`
    ArrayBegin,
    /// `}` or `]`
    End,
    /// `,`
    Comma,
    /// The key of a field with its quotation marks and escapes; a colon follows it.
    Key(&'a str),
    /// A string with its quotation marks and escapes.
    String(&'a str),
    /// A number.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Literal,
}

/// Returns the lexemes in order, in time proportional to the length.
pub fn lexemes(json: &RawValue) -> impl Iterator<Item = Lexeme<'_>> {
    Lexemes { rest: json.get() }
}

/// Returns the string that a [`Lexeme::Key`] or [`Lexeme::String`] stands for; `None` if it contains an unpaired
/// surrogate, and so is not valid Unicode.
#[must_use]
pub fn unescape(quoted: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(quoted)
        .ok()
        .map(|text| text.0)
}

/// Parses an object; `None` for anything else. serde alone would also fill a struct from an array, in the order of its
/// fields.
#[must_use]
pub fn parse_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    json.trim_ascii_start()
        .starts_with(b"{")
        .then(|| serde_json::from_slice(json).ok())
        .flatten()
}

/// An iterator over the lexemes of valid JSON. [`RawValue`] guarantees that it is valid.
struct Lexemes<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Lexemes<'a> {
    type Item = Lexeme<'a>;

    fn next(&mut self) -> Option<Lexeme<'a>> {
        self.skip_whitespace();
        let token = match self.rest.bytes().next()? {
            b'{' => self.one(Lexeme::ObjectBegin),
            b'[' => self.one(Lexeme::ArrayBegin),
            b'}' | b']' => self.one(Lexeme::End),
            b',' => self.one(Lexeme::Comma),
            b'"' => self.string(),
            b't' | b'f' | b'n' => {
                self.take_until(|byte| !byte.is_ascii_lowercase());
                Lexeme::Literal
            }
            _ => Lexeme::Number(self.take_until(|byte| {
                !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
            })),
        };
        Some(token)
    }
}

impl<'a> Lexemes<'a> {
    fn string(&mut self) -> Lexeme<'a> {
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let text = self.take(end.map_or(self.rest.len(), |end| end + 2));
        self.skip_whitespace();
        if self.rest.starts_with(':') {
            self.take(1);
            return Lexeme::Key(text);
        }
        Lexeme::String(text)
    }

    fn one(&mut self, token: Lexeme<'a>) -> Lexeme<'a> {
        self.take(1);
        token
    }

    fn skip_whitespace(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take_until(&mut self, ends: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(ends);
        self.take(end.unwrap_or(self.rest.len()))
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(json: &str) -> Vec<Lexeme<'_>> {
        lexemes(serde_json::from_str(json).unwrap()).collect()
    }

    #[test]
    fn splits_json_into_verbatim_lexemes() {
        use Lexeme::{ArrayBegin, Comma, End, Key, Literal, Number, ObjectBegin, String};
        assert_eq!(
            lex(
                " { \"a\\\"\" :\t[1.50e+3,-0 ] , \"b\\\\\":\"\\\\\\\"\", \"\":{}, \"c\":[true,null] } "
            ),
            [
                ObjectBegin,
                Key("\"a\\\"\""),
                ArrayBegin,
                Number("1.50e+3"),
                Comma,
                Number("-0"),
                End,
                Comma,
                Key("\"b\\\\\""),
                String("\"\\\\\\\"\""),
                Comma,
                Key("\"\""),
                ObjectBegin,
                End,
                Comma,
                Key("\"c\""),
                ArrayBegin,
                Literal,
                Comma,
                Literal,
                End,
                End,
            ]
        );
        assert_eq!(lex("\"a:\""), [String("\"a:\"")]);
    }

    #[test]
    fn unescapes_all_but_unpaired_surrogates() {
        assert_eq!(
            unescape(r#""\ud83d\ude00\n\u00e4""#).as_deref(),
            Some("\u{1f600}\nä")
        );
        for half in [r#""\ud83d""#, r#""\ude00\ud83d""#, r#""a\ud83dz""#] {
            assert_eq!(unescape(half), None, "{half}");
        }
    }
}
