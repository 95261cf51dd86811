//! Comparison of the strings of an error response with the values that were sent.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};

use serde_json::Number;
use serde_json::value::RawValue;

use crate::json::{self, Lexeme};

/// The maximum length of a string that is passed on, in characters.
pub(super) const MAX_MESSAGE_CHARS: usize = 300;

/// What a connection configuration holds.
#[derive(Default)]
pub(super) struct SentValues {
    /// Its members' names: saying one again gives nothing away.
    pub(super) names: HashSet<String>,
    /// Hashes of its strings and numbers: of a short one as a whole, of a longer one of every [`FRAGMENT_LEN`] characters in a
    /// row. Hashes, since a hostile configuration has a million of them.
    pieces: HashSet<u64>,
    hasher: RandomState,
}

/// Of a value longer than this, no so many characters in a row are told: validators abridge long values in the middle.
const FRAGMENT_LEN: usize = 16;

/// A value of fewer bytes counts as repeated only where it is a word of its own: an `id` is in every `invalid`.
const MIN_SUBSTRING_LEN: usize = 4;

impl SentValues {
    pub(super) fn of(configuration: &RawValue) -> Self {
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

    pub(super) fn add(&mut self, value: &str) {
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
        let ends = begins.clone().skip(FRAGMENT_LEN).chain([line.len()]);
        for (begin, end) in begins.zip(ends) {
            self.pieces.insert(self.hasher.hash_one(&line[begin..end]));
        }
    }

    /// Looks a little further than what is told of a text: a value that is cut there must be recognised too.
    pub(super) fn contains_any_of(&self, text: &str) -> bool {
        let text: String = plain(text)
            .chars()
            .take(MAX_MESSAGE_CHARS + FRAGMENT_LEN)
            .collect();
        let bounds: Vec<usize> = text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect();
        let mut pieces = bounds.iter().enumerate().flat_map(|(index, &begin)| {
            let ends = bounds[index + 1..].iter().take(FRAGMENT_LEN);
            ends.map(move |&end| begin..end)
        });
        pieces.any(|piece| {
            self.pieces
                .contains(&self.hasher.hash_one(&text[piece.clone()]))
                && (piece.len() >= MIN_SUBSTRING_LEN
                    || is_word(&text[..piece.start], &text[piece.end..]))
        })
    }
}

/// Whether what stands between the two is a word of its own.
fn is_word(before: &str, after: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    ends(before.chars().next_back()) && ends(after.chars().next())
}

/// Replaces control characters by spaces.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
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
