//! What is wrong with a template, and where.

use std::fmt;
use std::path::Path;

/// Something that keeps a template from being used: what, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TemplateError {
    file: String,
    fault: Fault,
}

impl TemplateError {
    pub(super) fn new(file: &Path, fault: Fault) -> Self {
        Self {
            file: file.display().to_string(),
            fault,
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.fault.line {
            write!(f, ":{line}")?;
        }
        if !self.fault.place.is_empty() {
            write!(f, ": {}", self.fault.place)?;
        }
        write!(f, ": {}", self.fault.problem)
    }
}

/// A [`TemplateError`] before the file's name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Counted from 1; `None` if the fault is of no one line.
    pub(super) line: Option<usize>,
    /// Keys from the root, joined by dots: `Resources.Stage.Properties`. Empty for the file as a whole.
    pub(super) place: String,
    pub(super) problem: String,
}

impl Fault {
    pub(super) fn new(line: usize, place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            place: place.into(),
            problem: problem.into(),
        }
    }

    pub(super) fn of_the_file(problem: impl Into<String>) -> Self {
        Self {
            line: None,
            place: String::new(),
            problem: problem.into(),
        }
    }
}
