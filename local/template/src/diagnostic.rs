//! Problems of a template.

use serde::Deserialize;

/// A problem of the template or of a parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{}{}{message}", path, if path.is_empty() { "" } else { ": " })]
pub struct Diagnostic {
    /// Keys from the root, joined by dots, such as `Resources.Stage.Properties`. Empty for the whole file.
    pub path: String,
    /// The problem, as a phrase about the path.
    pub message: String,
}

impl Diagnostic {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }

    /// The parameter that the problem is about, if it is about one.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        self.path.strip_prefix("Parameters.")
    }
}
