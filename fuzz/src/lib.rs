//! A second JSON reader, independent of the functions' own, for the targets to compare with.

/// The literals of a JSON document.
#[derive(Debug, Default)]
pub struct Literals {
    /// Keys, except those that are not valid Unicode (an unpaired surrogate).
    pub keys: Vec<String>,
    /// Strings other than keys, with the same exception.
    pub strings: Vec<String>,
    /// Numbers, verbatim.
    pub numbers: Vec<String>,
    /// The maximum nesting: 1 for an object or array without another in it.
    pub depth: usize,
}

impl Literals {
    /// Collects the literals of valid JSON.
    pub fn of(json: &str) -> Self {
        let mut literals = Self::default();
        let mut open = 0_usize;
        let mut at = 0;
        while let Some(&byte) = json.as_bytes().get(at) {
            let end = match byte {
                b'"' => end_of_string(json, at),
                b'-' | b'0'..=b'9' => {
                    at + json[at..]
                        .find(|c| !is_of_number(c))
                        .unwrap_or(json.len() - at)
                }
                _ => at + 1,
            };
            match byte {
                b'"' => {
                    let is_key = json[end..].trim_start().starts_with(':');
                    let texts = if is_key {
                        &mut literals.keys
                    } else {
                        &mut literals.strings
                    };
                    texts.extend(serde_json::from_str::<String>(&json[at..end]));
                }
                b'-' | b'0'..=b'9' => literals.numbers.push(json[at..end].to_owned()),
                b'{' | b'[' => open += 1,
                b'}' | b']' => open -= 1,
                _ => {}
            }
            literals.depth = literals.depth.max(open);
            at = end;
        }
        literals
    }
}

fn end_of_string(json: &str, begin: usize) -> usize {
    let mut at = begin + 1;
    loop {
        match json.as_bytes()[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn is_of_number(c: char) -> bool {
    matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')
}

/// Returns the parts of a JSON pointer (RFC 6901), unescaped.
pub fn parts(pointer: &str) -> Vec<String> {
    let mut parts = pointer.split('/');
    assert_eq!(
        parts.next(),
        Some(""),
        "a pointer begins with a slash or is empty"
    );
    parts
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// Truncates a key as `shared::field_error::json_pointer` does.
pub fn truncated(key: &str) -> String {
    key.chars().take(100).collect()
}
