//! What the targets compare against: JSON texts taken apart in another way than the functions do it.

/// What stands in a JSON text.
#[derive(Debug, Default)]
pub struct Literals {
    /// Members' names, those left out that are no text (half of a surrogate pair).
    pub names: Vec<String>,
    /// Strings that are no names, with the same exception.
    pub strings: Vec<String>,
    /// Numbers, as they are written.
    pub numbers: Vec<String>,
    /// The deepest nesting: 1 for an object or array without another in it.
    pub depth: usize,
}

impl Literals {
    /// Takes a text apart that is known to be JSON.
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
                    let is_name = json[end..].trim_start().starts_with(':');
                    let texts = if is_name {
                        &mut literals.names
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

/// The parts of a JSON pointer (RFC 6901), unescaped.
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

/// As much of a name as a pointer has: see `shared::field_error::json_pointer`.
pub fn cut(name: &str) -> String {
    name.chars().take(100).collect()
}
