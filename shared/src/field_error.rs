//! Field errors: the invalid fields of a JSON body, each with a JSON pointer.

use std::borrow::Cow;

use serde::Serialize;

/// The maximum number of field errors in a response, because a hostile body must not produce a huge response.
pub const MAX_FIELD_ERRORS: usize = 50;

/// The maximum length of one key in a JSON pointer, in characters. It bounds the part of the response that repeats the
/// caller's input.
const MAX_KEY_CHARS: usize = 100;

/// One invalid field of a request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field: a JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// A phrase that completes "`<field>` …".
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// Creates a field error at a [JSON pointer](json_pointer).
    pub fn new(pointer: String, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            pointer,
            detail: detail.into(),
        }
    }
}

/// Field errors in the order in which they were found, at most [`MAX_FIELD_ERRORS`] of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors {
    errors: Vec<FieldError>,
    is_truncated: bool,
}

impl FieldErrors {
    /// Adds an error, unless there are [`MAX_FIELD_ERRORS`] already.
    pub fn push(&mut self, error: FieldError) {
        if self.errors.len() < MAX_FIELD_ERRORS {
            self.errors.push(error);
        } else {
            self.is_truncated = true;
        }
    }

    /// Adds an error, unless one is reported for the same field already.
    pub fn push_unless_reported(&mut self, error: FieldError) {
        if !self.is_reported(&error.pointer) {
            self.push(error);
        }
    }

    /// Whether there is an error with this pointer.
    #[must_use]
    pub fn is_reported(&self, pointer: &str) -> bool {
        self.errors.iter().any(|error| error.pointer == pointer)
    }

    /// Whether there is no error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Whether there were more than [`MAX_FIELD_ERRORS`]. If so, further errors are dropped.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// The errors.
    #[must_use]
    pub fn as_slice(&self) -> &[FieldError] {
        &self.errors
    }

    /// Adds the errors of `other`.
    pub fn append(&mut self, other: Self) {
        self.extend(other.errors);
        self.is_truncated |= other.is_truncated;
    }

    /// Replaces each error by the result of `edit`.
    #[must_use]
    pub fn map(self, edit: impl FnMut(FieldError) -> FieldError) -> Self {
        Self {
            errors: self.errors.into_iter().map(edit).collect(),
            ..self
        }
    }
}

impl Extend<FieldError> for FieldErrors {
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, errors: I) {
        for error in errors {
            self.push(error);
            if self.is_truncated {
                break;
            }
        }
    }
}

impl FromIterator<FieldError> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = FieldError>>(errors: I) -> Self {
        let mut collected = Self::default();
        collected.extend(errors);
        collected
    }
}

/// Builds a JSON pointer (RFC 6901) from keys and indices. A key longer than 100 characters is cut.
pub fn json_pointer<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut pointer = String::new();
    for part in parts {
        pointer.push('/');
        for c in part.chars().take(MAX_KEY_CHARS) {
            match c {
                '~' => pointer.push_str("~0"),
                '/' => pointer.push_str("~1"),
                c => pointer.push(c),
            }
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(pointer: &str) -> FieldError {
        FieldError::new(pointer.to_owned(), "is required")
    }

    #[test]
    fn escapes_and_cuts_keys_in_pointers() {
        assert_eq!(json_pointer(["a/b", "c~d", "0"]), "/a~1b/c~0d/0");
        assert_eq!(
            json_pointer([&*"ä".repeat(101), "x"]),
            format!("/{}/x", "ä".repeat(100))
        );
        assert_eq!(json_pointer([]), "");
    }

    #[test]
    fn keeps_first_errors_up_to_limit() {
        let pointers = (0..60).map(|n| format!("/{n}"));
        let errors: FieldErrors = pointers.map(|pointer| error(&pointer)).collect();

        assert_eq!(errors.as_slice().len(), MAX_FIELD_ERRORS);
        assert_eq!(errors.as_slice()[49].pointer, "/49");
        assert!(errors.is_truncated());
    }

    #[test]
    fn is_not_truncated_at_limit() {
        let errors: FieldErrors = (0..MAX_FIELD_ERRORS).map(|_| error("/a")).collect();

        assert_eq!(errors.as_slice().len(), MAX_FIELD_ERRORS);
        assert!(!errors.is_truncated());
    }

    #[test]
    fn reports_field_once() {
        let mut errors = FieldErrors::default();
        errors.push(error("/a"));
        errors.push_unless_reported(FieldError::new("/a".to_owned(), "unknown field"));
        errors.push_unless_reported(error("/b"));

        assert_eq!(errors.as_slice(), [error("/a"), error("/b")]);
    }
}
