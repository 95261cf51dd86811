//! JSON text (RFC 8259) token by token, as it is written.
//!
//! For what a parsed value has lost: equal names, the digits of a number, halves of surrogate pairs, and whether it was
//! an [`object()`].

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    ObjectBegin,
    /// `[`
    ArrayBegin,
    /// `}` or `]`
    End,
    /// `,`
    Comma,
    /// A member's name with its quotation marks and escapes; the colon follows it.
    Name(&'a str),
    /// A string with its quotation marks and escapes.
    String(&'a str),
    /// A number.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Word,
}

/// The tokens of a text in order, in time proportional to its length.
pub fn tokens(json: &RawValue) -> impl Iterator<Item = Token<'_>> {
    Tokens { rest: json.get() }
}

/// The text of a [`Token::Name`] or [`Token::String`]; `None` if it holds half of a surrogate pair, and so is no text.
#[must_use]
pub fn text(quoted: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(quoted)
        .ok()
        .map(|text| text.0)
}

/// An object's members. serde would take them from an array, too, in their order.
#[must_use]
pub fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    json.trim_ascii_start()
        .starts_with(b"{")
        .then(|| serde_json::from_slice(json).ok())
        .flatten()
}

/// Goes through a text that is known to be JSON: a [`RawValue`] is, and serde has seen to it.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let token = match self.rest.bytes().next()? {
            b'{' => self.one(Token::ObjectBegin),
            b'[' => self.one(Token::ArrayBegin),
            b'}' | b']' => self.one(Token::End),
            b',' => self.one(Token::Comma),
            b'"' => self.string(),
            b't' | b'f' | b'n' => {
                self.take_until(|byte| !byte.is_ascii_lowercase());
                Token::Word
            }
            _ => Token::Number(self.take_until(|byte| {
                !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
            })),
        };
        Some(token)
    }
}

impl<'a> Tokens<'a> {
    fn string(&mut self) -> Token<'a> {
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let text = self.take(end.map_or(self.rest.len(), |end| end + 2));
        self.skip_blanks();
        if self.rest.starts_with(':') {
            self.take(1);
            return Token::Name(text);
        }
        Token::String(text)
    }

    fn one(&mut self, token: Token<'a>) -> Token<'a> {
        self.take(1);
        token
    }

    fn skip_blanks(&mut self) {
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

    fn told(json: &str) -> Vec<Token<'_>> {
        tokens(serde_json::from_str(json).unwrap()).collect()
    }

    #[test]
    fn a_text_is_told_as_it_is_written() {
        use Token::{ArrayBegin, Comma, End, Name, Number, ObjectBegin, String, Word};
        assert_eq!(
            told(
                " { \"a\\\"\" :\t[1.50e+3,-0 ] , \"b\\\\\":\"\\\\\\\"\", \"\":{}, \"c\":[true,null] } "
            ),
            [
                ObjectBegin,
                Name("\"a\\\"\""),
                ArrayBegin,
                Number("1.50e+3"),
                Comma,
                Number("-0"),
                End,
                Comma,
                Name("\"b\\\\\""),
                String("\"\\\\\\\"\""),
                Comma,
                Name("\"\""),
                ObjectBegin,
                End,
                Comma,
                Name("\"c\""),
                ArrayBegin,
                Word,
                Comma,
                Word,
                End,
                End,
            ]
        );
        assert_eq!(told("\"a:\""), [String("\"a:\"")]);
    }

    #[test]
    fn escapes_are_text_and_halves_of_pairs_are_none() {
        assert_eq!(
            text(r#""\ud83d\ude00\n\u00e4""#).as_deref(),
            Some("\u{1f600}\nä")
        );
        for half in [r#""\ud83d""#, r#""\ude00\ud83d""#, r#""a\ud83dz""#] {
            assert_eq!(text(half), None, "{half}");
        }
    }
}
