//! Redaction: strings of Airbyte's error responses that contain a value that was sent are withheld from the caller.
//!
//! A string is withheld if it shares six letters or digits in a row with a value that was sent, or contains a shorter value
//! as a word. Case and everything but letters and digits are ignored, and both sides are compared in every form that
//! percent-encoding, HTML entities, and the escapes of JSON and Python decode to. If more than 64 KiB were sent, all
//! strings are withheld.
//!
//! Not recognized are fragments of fewer than six letters or digits, values without a letter or digit, and other encodings
//! such as base64.

use std::borrow::Cow;
use std::collections::HashSet;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Number;
use serde_json::value::RawValue;

use super::source::NewSource;
use crate::json::{self, Lexeme};

/// The length of the fragments that are compared, in letters and digits.
const FRAGMENT_LEN: usize = 6;

/// The maximum total length of the values, in bytes. Comparing more would take longer than creating the source.
const MAX_SENT_BYTES: usize = 64 * 1024;

/// The maximum number of fragments, because a hostile configuration may decode to many forms.
const MAX_FRAGMENTS: usize = 256 * 1024;

/// The maximum number of forms that a string decodes to.
const MAX_DECODINGS: usize = 32;

/// The maximum length of a string that is shown, in characters.
pub(super) const MAX_MESSAGE_CHARS: usize = 300;

/// The number of characters of a string that are compared. It exceeds [`MAX_MESSAGE_CHARS`], because an escape sequence may
/// begin among the characters that are shown and end after them.
const MAX_COMPARED_CHARS: usize = MAX_MESSAGE_CHARS + 64;

/// An index of the values that were sent for one source, with which strings are compared.
///
/// Building it takes time and memory proportional to the length of the values.
pub(super) struct SentValues {
    keys: HashSet<String>,
    fragments: HashSet<Fragment>,
    /// Whether all values are in `fragments`. If not, every string is withheld.
    is_complete: bool,
}

/// Up to [`FRAGMENT_LEN`] letters and digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Fragment(u128);

/// A letter or digit, in lower case.
#[derive(Clone, Copy)]
struct Letter {
    char: char,
    starts_word: bool,
}

impl SentValues {
    /// Collects the values of a source, and the token that was sent with it.
    pub(super) fn of(source: &NewSource<'_>, bearer: &SecretString) -> Self {
        let objects = [source.configuration, source.credentials, source.environment];
        let objects = objects.into_iter().flatten();
        let bytes: usize = objects.clone().map(|object| object.get().len()).sum();
        let mut sent = Self {
            keys: HashSet::new(),
            fragments: HashSet::new(),
            is_complete: bytes <= MAX_SENT_BYTES,
        };
        if sent.is_complete {
            objects.for_each(|object| sent.add_json(object));
            source.name.into_iter().for_each(|name| sent.add(name));
            sent.add(source.user.as_str());
            sent.add(bearer.expose_secret());
        }
        sent
    }

    fn add_json(&mut self, object: &RawValue) {
        for lexeme in json::lexemes(object) {
            match lexeme {
                Lexeme::Key(quoted) => self
                    .keys
                    .extend(json::unescape(quoted).map(Cow::into_owned)),
                Lexeme::String(quoted) => {
                    if let Some(value) = json::unescape(quoted) {
                        self.add(&value);
                    }
                }
                Lexeme::Number(number) => {
                    self.add(number);
                    // Airbyte may print the number in another notation.
                    if let Ok(number) = serde_json::from_str::<Number>(number) {
                        self.add(&number.to_string());
                    }
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, value: &str) {
        let Some(decodings) = decodings(value).filter(|_| self.is_complete) else {
            self.is_complete = false;
            return;
        };
        for decoded in &decodings {
            for (index, letters) in forms(decoded).enumerate() {
                // Only the full form of a short value, because its ASCII characters alone occur in many strings.
                let is_short = letters.len() < FRAGMENT_LEN;
                if is_short && index == 0 && !letters.is_empty() {
                    self.fragments.insert(Fragment::of(&letters));
                }
                let fragments = letters.windows(FRAGMENT_LEN).map(Fragment::of);
                self.fragments.extend(fragments);
            }
            if self.fragments.len() > MAX_FRAGMENTS {
                self.is_complete = false;
                return;
            }
        }
    }

    /// Whether an object that was sent has this key. Repeating a key discloses nothing.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Whether a string contains a value that was sent, or a fragment of one.
    pub(super) fn contains_any_of(&self, text: &str) -> bool {
        let Some(decodings) = decodings(text).filter(|_| self.is_complete) else {
            return true;
        };
        let mut forms = decodings.iter().flat_map(|form| forms(form));
        forms.any(|letters| (0..letters.len()).any(|start| self.has_fragment_at(&letters[start..])))
    }

    /// Whether a fragment of a value starts here, or a whole short value that is a word.
    fn has_fragment_at(&self, letters: &[Letter]) -> bool {
        let starts_word = letters[0].starts_word;
        let mut fragment = Fragment::default();
        for (at, letter) in letters.iter().take(FRAGMENT_LEN).enumerate() {
            fragment = fragment.with(letter.char);
            let is_word = || starts_word && letters.get(at + 1).is_none_or(|next| next.starts_word);
            if (at + 1 == FRAGMENT_LEN || is_word()) && self.fragments.contains(&fragment) {
                return true;
            }
        }
        false
    }

    /// Returns the first [`MAX_MESSAGE_CHARS`] characters of a string; `None` if the string contains a value that was sent, or
    /// is empty without the input that pydantic quotes.
    pub(super) fn redact(&self, text: &str) -> Option<String> {
        let text = without_input(text);
        let compared: String = text.chars().take(MAX_COMPARED_CHARS).collect();
        let is_shown = !text.is_empty() && !self.contains_any_of(&compared);
        is_shown.then(|| compared.chars().take(MAX_MESSAGE_CHARS).collect())
    }
}

impl Fragment {
    fn of(letters: &[Letter]) -> Self {
        letters.iter().fold(Self::default(), |fragment, letter| {
            fragment.with(letter.char)
        })
    }

    /// Appends a character, which has 21 bits.
    fn with(self, char: char) -> Self {
        Self(self.0 << 21 | u128::from(u32::from(char)))
    }
}

/// Cuts off the input that pydantic quotes: `Field required [type=missing, input_value={'password': …`.
fn without_input(text: &str) -> &str {
    const INPUT: &[u8] = b"input_value";
    let windows = text.as_bytes().windows(INPUT.len());
    let input = windows
        .into_iter()
        .position(|window| window.eq_ignore_ascii_case(INPUT));
    let Some(input) = input else {
        return text.trim();
    };
    let text = &text[..input];
    text.rsplit_once("[type=")
        .map_or(text, |(message, _)| message)
        .trim()
}

/// Returns the letters and digits of a string, and if it is not ASCII, also those of its ASCII characters alone. Airbyte's
/// string may have the other characters in an encoding that is not decoded, such as a named HTML entity.
fn forms(text: &str) -> impl Iterator<Item = Vec<Letter>> {
    let ascii = (!text.is_ascii()).then(|| letters(text.chars().filter(char::is_ascii)));
    [letters(text.chars())].into_iter().chain(ascii)
}

fn letters(text: impl Iterator<Item = char>) -> Vec<Letter> {
    let mut letters = Vec::new();
    let mut starts_word = true;
    for char in text {
        if !char.is_alphanumeric() {
            starts_word = true;
            continue;
        }
        // By way of upper case, so that `ß` equals `SS`.
        let upper = char.to_lowercase().flat_map(char::to_uppercase);
        for char in upper.flat_map(char::to_lowercase) {
            if char.is_alphanumeric() {
                letters.push(Letter { char, starts_word });
                starts_word = false;
            }
        }
    }
    letters
}

/// A decoded character.
enum Decoded {
    Char(char),
    /// A byte of UTF-8 or of Latin-1.
    Byte(u8),
    /// A character given by its name. Names are not resolved.
    Unknown,
}

/// Parses the escape sequence at the beginning of a string. Returns its length in bytes and the decoded character.
type ParseSequence = fn(&str) -> Option<(usize, Decoded)>;

/// The encodings, each with the character that all of its escape sequences start with.
///
/// An escaped quote is not decoded, because only letters and digits are compared.
const ENCODINGS: [(char, ParseSequence); 4] = [
    ('%', percent),
    ('&', entity),
    ('\\', escape),
    ('\\', control_escape),
];

/// Returns a string and all strings that it decodes to, by any of the encodings in any order; `None` if there are too
/// many.
fn decodings(text: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut found = vec![without_format_characters(text)];
    let mut next = 0;
    while next < found.len() {
        for (introducer, parse) in ENCODINGS {
            for decoded in decode(&found[next], introducer, parse)
                .into_iter()
                .flatten()
            {
                let decoded = Cow::Owned(without_format_characters(&decoded).into_owned());
                if !found.contains(&decoded) {
                    found.push(decoded);
                }
            }
        }
        if found.len() > MAX_DECODINGS {
            return None;
        }
        next += 1;
    }
    Some(found)
}

/// Removes characters that may be invisible, because they could interrupt an escape sequence. Whitespace becomes a space.
fn without_format_characters(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let keep = |char: char| match char {
        _ if char.is_ascii() || char.is_alphanumeric() => Some(char),
        _ if char.is_whitespace() => Some(' '),
        _ => None,
    };
    Cow::Owned(text.chars().filter_map(keep).collect())
}

/// Decodes the escape sequences of one encoding twice: with bytes read as UTF-8, and as Latin-1. `None` if nothing
/// changes.
fn decode(text: &str, introducer: char, parse: ParseSequence) -> Option<[String; 2]> {
    let mut utf8 = Vec::new();
    let mut latin1 = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(introducer) {
        let (length, decoded) = parse(&rest[at..]).unwrap_or((1, Decoded::Char(introducer)));
        utf8.extend_from_slice(&rest.as_bytes()[..at]);
        latin1.push_str(&rest[..at]);
        let char = match decoded {
            Decoded::Char(char) => char,
            Decoded::Byte(byte) => char::from(byte),
            Decoded::Unknown => ' ',
        };
        latin1.push(char);
        match decoded {
            Decoded::Byte(byte) => utf8.push(byte),
            _ => utf8.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &rest[at + length..];
    }
    utf8.extend_from_slice(rest.as_bytes());
    latin1.push_str(rest);
    (latin1 != text).then(|| [String::from_utf8_lossy(&utf8).into_owned(), latin1])
}

/// `%41`.
fn percent(text: &str) -> Option<(usize, Decoded)> {
    let byte = hex(text.get(1..3)?)?;
    Some((3, Decoded::Byte(u8::try_from(byte).ok()?)))
}

/// `&quot;`, `&#65;`, `&#x41;`.
fn entity(text: &str) -> Option<(usize, Decoded)> {
    /// The longest name of an HTML entity has 31 characters.
    const MAX_LEN: usize = 33;
    let end = text.bytes().take(MAX_LEN).position(|byte| byte == b';')?;
    let name = text[1..end].to_ascii_lowercase();
    let code_point =
        |code_point| char::from_u32(code_point).map_or(Decoded::Unknown, Decoded::Char);
    let decoded = if let Some(digits) = name.strip_prefix("#x") {
        code_point(hex(digits)?)
    } else if let Some(digits) = name.strip_prefix('#') {
        code_point(digits.parse().ok()?)
    } else if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        match name.as_str() {
            "amp" => Decoded::Char('&'),
            _ => Decoded::Unknown,
        }
    } else {
        return None;
    };
    Some((end + 1, decoded))
}

/// `\u0041`, `\u{41}`, `\U00000041`, `\x41`, `\N{LATIN SMALL LETTER A}`, also if converted to upper case.
fn escape(text: &str) -> Option<(usize, Decoded)> {
    let kind = text[1..].chars().next()?;
    let digits = |range: std::ops::Range<usize>| text.get(range).and_then(hex);
    match kind {
        '\\' => Some((2, Decoded::Char('\\'))),
        'N' | 'n' if text[2..].starts_with('{') => {
            let end = text.find('}')?;
            Some((end + 1, Decoded::Unknown))
        }
        'U' | 'u' if text[2..].starts_with('{') => {
            let end = text.find('}').filter(|end| *end <= "\\u{10ffff".len())?;
            let char = char::from_u32(hex(&text[3..end])?)?;
            Some((end + 1, Decoded::Char(char)))
        }
        'x' | 'X' => {
            let byte = u8::try_from(digits(2..4)?).ok()?;
            Some((4, Decoded::Byte(byte)))
        }
        'u' | 'U' => {
            if let Some(char) = digits(2..10)
                .filter(|_| kind == 'U')
                .and_then(char::from_u32)
            {
                return Some((10, Decoded::Char(char)));
            }
            let unit = digits(2..6)?;
            if let Some(char) = char::from_u32(unit) {
                return Some((6, Decoded::Char(char)));
            }
            let low = text
                .get(6..8)
                .is_some_and(|next| next.eq_ignore_ascii_case("\\u"))
                .then(|| digits(8..12));
            let pair = [Some(unit), low.flatten()]
                .map(|unit| u16::try_from(unit.unwrap_or_default()).unwrap_or_default());
            match char::decode_utf16(pair).next() {
                Some(Ok(char)) => Some((12, Decoded::Char(char))),
                _ => Some((6, Decoded::Unknown)),
            }
        }
        _ => None,
    }
}

/// `\n` and the like, which are not letters, and `\\`.
fn control_escape(text: &str) -> Option<(usize, Decoded)> {
    match text[1..].chars().next()?.to_ascii_lowercase() {
        '\\' => Some((2, Decoded::Char('\\'))),
        'b' | 'f' | 'n' | 'r' | 't' => Some((2, Decoded::Char(' '))),
        _ => None,
    }
}

fn hex(digits: &str) -> Option<u32> {
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::caller::ExternalUserId;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use serde_json::{Value, json};
    use uuid::Uuid;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";

    fn sent_json(configuration: &str) -> SentValues {
        let user = ExternalUserId::parse("mallory-4711").unwrap();
        let source = NewSource {
            user: &user,
            workspace_id: Uuid::from_u128(1),
            template_id: Uuid::from_u128(2),
            configuration: Some(serde_json::from_str(configuration).unwrap()),
            credentials: Some(serde_json::from_str(r#"{"api_key": "canary-key"}"#).unwrap()),
            environment: Some(serde_json::from_str(r#"{"tenant": "canary-tenant"}"#).unwrap()),
            name: Some("canary-name"),
        };
        SentValues::of(&source, &TOKEN.into())
    }

    fn sent(configuration: &Value) -> SentValues {
        sent_json(&configuration.to_string())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn withholds_value_in_any_spelling() {
        let cases = [
            (
                "verbatim",
                r#"{"p": "hunter2secret"}"#,
                "'hunter2secret' is too short",
            ),
            (
                "inside a word",
                r#"{"p": "hunter2secret"}"#,
                "xxhunter2secretxx",
            ),
            ("upper case", r#"{"p": "hunter2secret"}"#, "HUNTER2SECRET"),
            ("upper case of a sharp s", r#"{"p": "straße1"}"#, "STRASSE1"),
            ("six letters of it", r#"{"p": "hunter2secret"}"#, "…ter2se…"),
            (
                "abridged by pydantic",
                r#"{"p": "sk_live_0123456789abcdef"}"#,
                "'sk_live_012...9abcdef'",
            ),
            (
                "other whitespace",
                r#"{"p": "my secret pass"}"#,
                "my\u{a0}sec\nret  pass",
            ),
            ("no whitespace", r#"{"p": "a b c d e f"}"#, "abcdef"),
            (
                "format characters",
                r#"{"p": "hunter2"}"#,
                "h\u{200b}u\u{ad}n\u{2060}t\u{feff}er2",
            ),
            (
                "other punctuation",
                r#"{"p": "ab-cd-ef-gh"}"#,
                "ab.cd.ef.gh",
            ),
            (
                "percent-encoded",
                r#"{"p": "p@ss wörd!"}"#,
                "p%40ss%20w%C3%B6rd%21",
            ),
            (
                "percent-encoded, lower case",
                r#"{"p": "p@ss wörd!"}"#,
                "p%40ss+w%c3%b6rd%21",
            ),
            (
                "percent-encoded Latin-1",
                r#"{"p": "äöüäöü"}"#,
                "%E4%F6%FC%E4%F6%FC",
            ),
            (
                "percent-encoded twice",
                r#"{"p": "pässwörd"}"#,
                "p%25C3%25A4ssw%25C3%25B6rd",
            ),
            (
                "all percent-encoded",
                r#"{"p": "secret"}"#,
                "%73%65%63%72%65%74",
            ),
            (
                "HTML",
                r#"{"p": "a<b&c\"d'e>f"}"#,
                "a&lt;b&amp;c&quot;d&#39;e&gt;f",
            ),
            (
                "HTML numbers",
                r#"{"p": "secret"}"#,
                "&#115;&#x65;&#X63;&#0114;&#101;&#116;",
            ),
            ("HTML names", r#"{"p": "pässwörd"}"#, "p&auml;ssw&ouml;rd"),
            (
                "JSON in a string",
                r#"{"p": "pässwörd"}"#,
                r"{'p': 'p\u00e4ssw\u00f6rd'}",
            ),
            (
                "JSON, upper case",
                r#"{"p": "pässwörd"}"#,
                r"p\u00E4ssw\u00F6rd",
            ),
            (
                "JSON, all escaped",
                r#"{"p": "secret"}"#,
                r"\u0073\u0065\u0063\u0072\u0065\u0074",
            ),
            (
                "JSON in JSON",
                r#"{"p": "secret"}"#,
                r"\\u0073\\u0065\\u0063\\u0072\\u0065\\u0074",
            ),
            (
                "JSON of a surrogate pair",
                r#"{"p": "𝓈𝑒𝒸𝓇𝑒𝓉"}"#,
                r"\ud835\udcc8\uD835\uDC52\ud835\udcb8\ud835\udcc7\ud835\udc52\ud835\udcc9",
            ),
            (
                "Python's repr",
                r#"{"p": "it's \\ back"}"#,
                r"'it\'s \\ back' is short",
            ),
            (
                "Python's ascii",
                r#"{"p": "äöüäöü"}"#,
                r"'\xe4\xf6\xfc\xe4\xf6\xfc'",
            ),
            (
                "Python's bytes",
                r#"{"p": "äöüäöü"}"#,
                r"b'\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc'",
            ),
            (
                "Python's long escapes",
                r#"{"p": "𝓈𝑒𝒸𝓇𝑒𝓉"}"#,
                r"\U0001d4c8\U0001d452\U0001d4b8\U0001d4c7\U0001d452\U0001d4c9",
            ),
            (
                "Python's names",
                r#"{"p": "pässwörd"}"#,
                r"p\N{LATIN SMALL LETTER A WITH DIAERESIS}ssw\N{LATIN SMALL LETTER O WITH DIAERESIS}rd",
            ),
            (
                "JavaScript's escapes",
                r#"{"p": "secret"}"#,
                r"\u{73}\u{65}\u{63}\u{72}\u{65}\u{74}",
            ),
            ("mojibake", r#"{"p": "pässwörd"}"#, "pÃ¤sswÃ¶rd"),
            (
                "escapes in the configuration",
                r#"{"p": "\u0073\u0065\u0063ret"}"#,
                "secret",
            ),
            (
                "control characters",
                r#"{"p": "tab\tand bell\u0007"}"#,
                "tab and bell",
            ),
            (
                "backslashes, upper case",
                r#"{"p": "C:\\new\\table"}"#,
                r"C:\NEW\TABLE",
            ),
            (
                "percent sign in the value",
                r#"{"p": "%abcdefg"}"#,
                r"%abcde\u0066",
            ),
            ("number", r#"{"n": 54321}"#, "54321 is too large"),
            ("number, grouped", r#"{"n": 54321}"#, "54,321 is too large"),
            (
                "number as written",
                r#"{"n": 12345678901234567890123}"#,
                "12345678901234567890123 is too large",
            ),
            (
                "number as printed",
                r#"{"n": 1E5}"#,
                "100000.0 is too large",
            ),
            (
                "first of a duplicate key",
                r#"{"p": "hunter2", "p": "hunter3"}"#,
                "not hunter2",
            ),
            (
                "second of a duplicate key",
                r#"{"p": "hunter2", "p": "hunter3"}"#,
                "not hunter3",
            ),
            (
                "password in a URL",
                r#"{"u": "postgres://u:hunter2secret@db/x"}"#,
                "no hunter2secret",
            ),
            (
                "encoded password in a URL",
                r#"{"u": "postgres://u:hu%6Eter%32@db/x"}"#,
                "no hunter2",
            ),
            (
                "password in JSON",
                r#"{"s": "{\"key\": \"l\\u00e4ngeres\"}"}"#,
                "no längeres",
            ),
            (
                "password in HTML",
                r#"{"s": "<a b='l&auml;ngeres'>"}"#,
                "no ngeres",
            ),
            ("credentials", "{}", "canary key"),
            ("environment", "{}", "canary tenant"),
            ("name", "{}", "Canary name"),
            ("user", "{}", "no workspace mallory-4711"),
            ("token", "{}", "bad token Bearer eyJhbGciOiJIUzI1NiJ9"),
            (
                "part of the token",
                "{}",
                "'yJzdWIiOiJhbGljZSJ…' has expired",
            ),
        ];
        for (name, configuration, text) in cases {
            assert_eq!(sent_json(configuration).redact(text), None, "{name}");
        }
    }

    #[test]
    fn withholds_short_value_as_word_only() {
        let sent = sent(&json!({"a": "id", "b": 7, "c": "a-b", "d": "", "e": "!?", "f": "ä"}));
        for (text, is_shown) in [
            ("is invalid", true),
            ("at most 77", true),
            ("abc", true),
            ("no letters: !?", true),
            ("no id here", false),
            ("at most 7", false),
            ("(id)", false),
            ("'a-b'", false),
            ("a b", false),
            ("not ä", false),
        ] {
            assert_eq!(sent.redact(text).is_some(), is_shown, "{text}");
        }
    }

    /// A configuration as users enter it.
    fn postgres() -> SentValues {
        sent(&json!({
            "host": "db-7.internal.acme.dev", "port": 5432, "database": "orders", "username": "airbyte_ro",
            "password": "Tr0ub4dor&3", "schemas": ["sales"], "ssl_mode": {"mode": "verify-ca", "ca_certificate": "-----BEGIN"},
            "replication_method": {"method": "CDC", "replication_slot": "slot_a", "initial_waiting_seconds": 1200},
            "start_date": "2024-01-01T00:00:00Z", "tunnel_method": {"tunnel_method": "NO_TUNNEL"},
        }))
    }

    #[test]
    fn keeps_useful_strings() {
        let sent = postgres();
        for text in [
            // pydantic
            "Field required",
            "Extra inputs are not permitted",
            "Input should be a valid string",
            "Input should be a valid integer, unable to parse string as an integer",
            "Input should be a valid dictionary",
            "Input should be greater than or equal to 1",
            "Input should be 'prefer', 'require' or 'disable'",
            "String should have at least 8 characters",
            "String should match pattern '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'",
            "Input should be a valid UUID, invalid length: expected length 32 for simple format, found 3",
            "Value error, Time must be distinct from value and group columns",
            // JSON Schema validators
            "'host' is a required property",
            "None is not of type 'string'",
            "Additional properties are not allowed ('hosts' was unexpected)",
            "$.host: is missing but it is required",
            "$.port: string found, integer expected",
            "$.port: must have a maximum value of 65536",
            "$.start_date: does not match the regex pattern ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
            "$.ssl_mode: must be valid to one and only one schema, but 0 are valid",
            "must have required property 'host'",
            "must be object",
            // Bean Validation
            "must not be null",
            "must not be blank",
            "size must be between 1 and 255",
            // connectors
            "The schema public is not readable",
            "Invalid credentials: incorrect username or password.",
            "State code: 08001; Message: The connection attempt failed.",
            "Unable to connect with the provided credentials. Error: 401 Client Error: Unauthorized",
            "Could not connect to the database: Connection refused",
            "The requested permission is not granted for this account",
            "Source template not found",
            "Workspace has reached the maximum number of sources",
        ] {
            assert_eq!(sent.redact(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn cuts_off_input_that_pydantic_quotes() {
        let sent = postgres();
        for (text, shown) in [
            (
                "1 validation error for Config  host   Field required [type=missing, input_value={'password': 'Tr0...st': 'x'}, input_type=dict]",
                Some("1 validation error for Config  host   Field required"),
            ),
            (
                "String should be longer [type=string_too_short, input_value='Tr0', input_type=str]",
                Some("String should be longer"),
            ),
            ("bad INPUT_VALUE=Tr0", Some("bad")),
            ("input_value=Tr0", None),
            (" ", None),
        ] {
            assert_eq!(sent.redact(text).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn shows_beginning_of_long_string() {
        let sent = postgres();
        let long = "x".repeat(1_000);
        assert_eq!(sent.redact(&long), Some("x".repeat(MAX_MESSAGE_CHARS)));
        // A value that only begins within the limit, and one that is far behind it.
        let across = format!("{} Tr0ub4dor", "x".repeat(MAX_MESSAGE_CHARS - 4));
        assert_eq!(sent.redact(&across), None);
        let behind = format!("{} Tr0ub4dor", "x".repeat(500));
        assert!(sent.redact(&behind).is_some());
    }

    #[test]
    fn withholds_everything_if_too_much_was_sent() {
        let text = "Field required";
        let with_length = |length| sent(&json!({ "p": "1".repeat(length), "key": 1 }));
        assert!(with_length(MAX_SENT_BYTES - 200).redact(text).is_some());
        let too_long = with_length(MAX_SENT_BYTES);
        assert_eq!(too_long.redact(text), None);
        assert!(!too_long.has_key("key"));
        // Each of these encodings doubles the number of forms.
        let nested =
            "%2525252541&amp;amp;amp;amp;amp;#65;\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\u0041".repeat(3);
        assert_eq!(sent(&json!({ "p": nested })).redact(text), None);
        assert_eq!(postgres().redact(&nested), None);
    }

    /// Encodes one character, as a service does when it quotes its input.
    type Encode = fn(char) -> String;

    const ENCODERS: [(&str, Encode); 14] = [
        ("verbatim", |char| char.to_string()),
        ("percent", |char| percent_bytes(char).to_uppercase()),
        ("percent, lower case", percent_bytes),
        ("percent, if reserved", |char| {
            let is_unreserved = char.is_ascii_alphanumeric();
            if is_unreserved {
                char.to_string()
            } else {
                percent_bytes(char)
            }
        }),
        ("HTML", |char| match char {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            '\'' => "&#39;".into(),
            _ => char.to_string(),
        }),
        ("HTML, decimal", |char| format!("&#{};", u32::from(char))),
        ("HTML, hexadecimal", |char| {
            format!("&#x{:x};", u32::from(char))
        }),
        ("JSON", json_string),
        ("JSON, ASCII", |char| {
            if char.is_ascii() {
                json_string(char)
            } else {
                utf16_escapes(char)
            }
        }),
        ("JSON, all", utf16_escapes),
        ("JSON, all, upper case", |char| {
            utf16_escapes(char).to_uppercase().replace('U', "u")
        }),
        ("Python's ascii", |char| match u32::from(char) {
            code @ 0x80..=0xff => format!("\\x{code:02x}"),
            code @ 0x100..=0xffff => format!("\\u{code:04x}"),
            code @ 0x1_0000.. => format!("\\U{code:08x}"),
            code if char.is_control() && !"\n\r\t".contains(char) => format!("\\x{code:02x}"),
            _ => char.escape_default().to_string(),
        }),
        ("upper case", |char| char.to_uppercase().to_string()),
        ("format characters", |char| format!("{char}\u{200b}")),
    ];

    fn percent_bytes(char: char) -> String {
        let mut buffer = [0; 4];
        let bytes = char.encode_utf8(&mut buffer).bytes();
        bytes.fold(String::new(), |text, byte| format!("{text}%{byte:02x}"))
    }

    fn json_string(char: char) -> String {
        let quoted = json!(char).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    }

    fn utf16_escapes(char: char) -> String {
        let mut buffer = [0; 2];
        let units = char.encode_utf16(&mut buffer).iter();
        units.fold(String::new(), |text, unit| format!("{text}\\u{unit:04x}"))
    }

    /// The letters and digits of a string, whatever their case.
    fn count_letters(chars: &[char]) -> usize {
        letters(chars.iter().copied()).len()
    }

    /// Whether six letters or digits in a row of a value are complete in a part of its encoding.
    fn shows_fragment(
        encoded: &[String],
        value: &[char],
        before: &str,
        start: usize,
        end: usize,
    ) -> bool {
        let mut at = 0;
        let mut starts_at_char = false;
        let complete: Vec<_> = value
            .iter()
            .zip(encoded)
            .filter(|(_, encoded)| {
                let begin = at;
                at += encoded.chars().count();
                starts_at_char |= start == begin;
                start <= begin && at <= end
            })
            .map(|(char, _)| *char)
            .collect();
        // With what is left of a cut escape sequence, the next letters may look like another one.
        let is_cut = !starts_at_char || before.ends_with('\\');
        let hidden = if is_cut { "U00000041".len() } else { 0 };
        count_letters(&complete) >= FRAGMENT_LEN + hidden
    }

    fn value() -> impl Strategy<Value = String> {
        let char = prop_oneof![
            6 => select("abcdefXYZ0123456789".chars().collect::<Vec<_>>()),
            2 => select(" -_.:/@%&\\\"'+;#<>{}\n".chars().collect::<Vec<_>>()),
            1 => select("äöüßéñπЖ中日𝓈".chars().collect::<Vec<_>>()),
            1 => any::<char>(),
        ];
        prop::collection::vec(char, 1..30).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn shows_no_fragment_of_encoded_value(
            value in value(),
            encoders in prop::collection::vec(select(ENCODERS.to_vec()), 1..4),
            step in any::<Index>(),
            others in prop::collection::vec(any::<Index>(), 7),
            before in select(vec!["", "bad: ", "x=", "\\", "100% "]),
            after in select(vec!["", " is bad", "'", ";", "\\"]),
            is_inner in any::<bool>(),
        ) {
            let chars: Vec<char> = value.chars().collect();
            let encode = |text: String, (_, encoder): &(&str, Encode)| text.chars().map(encoder).collect();
            let encoded: Vec<String> = chars
                .iter()
                .map(|char| encoders.iter().fold(char.to_string(), encode))
                .collect();
            let all: Vec<char> = encoded.concat().chars().collect();
            let configuration = if is_inner {
                json!({ "url": format!("https://user:{value}@host.example/path") })
            } else {
                json!([{ "password": value }])
            };
            let configuration = if is_inner { configuration } else { json!({ "list": configuration }) };
            let sent = sent(&configuration);
            // At every place of a short string, at many of a long one.
            let places = (step.index(all.len() / 50 + 1)..=all.len()).step_by(all.len() / 50 + 1);
            for (at, other) in places.zip(others.iter().cycle()) {
                let other = other.index(all.len() + 1);
                let (start, end) = (at.min(other), at.max(other));
                let part = String::from_iter(&all[start..end]);
                if !shows_fragment(&encoded, &chars, before, start, end) {
                    continue;
                }
                let text = format!("{before}{part}{after}");
                if let Some(shown) = sent.redact(&text) {
                    // A long string is cut.
                    let end = end.min(start + shown.chars().count() - before.len());
                    prop_assert!(!shows_fragment(&encoded, &chars, before, start, end), "{}", shown);
                }
            }
        }

        #[test]
        fn redacts_any_string_without_panic(value in any::<String>(), text in any::<String>()) {
            let sent = sent(&json!({ "p": value }));
            let shown = sent.redact(&text);
            prop_assert!(shown.is_none_or(|shown| text.contains(&shown)));
        }

        #[test]
        fn decodes_any_string_without_panic(text in "[%&\\\\#;xuUN{}0-9a-fA-F\u{e4}]{0,40}") {
            let _ = decodings(&text);
        }
    }
}
