//! Errors of the stack, as a developer reads them.

use std::fmt;

use template::TemplateError;

use super::settings::variables_of;

/// One or more errors that keep the stack from starting or running, each with advice where there is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackError(Vec<Problem>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    error: String,
    help: Option<String>,
}

impl StackError {
    /// An error with advice.
    pub fn new(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self(vec![Problem {
            error: error.into(),
            help: Some(help.into()),
        }])
    }

    /// All of these errors; `None` if there are none.
    pub(super) fn all(errors: impl IntoIterator<Item = Self>) -> Option<Self> {
        let problems: Vec<_> = errors.into_iter().flat_map(|error| error.0).collect();
        (!problems.is_empty()).then_some(Self(problems))
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { error, help }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}error: {error}")?;
            if let Some(help) = help {
                write!(f, "\nhelp: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for StackError {}

impl From<String> for StackError {
    fn from(error: String) -> Self {
        Self(vec![Problem { error, help: None }])
    }
}

impl From<TemplateError> for StackError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Invalid { file, diagnostics } => Self(
                diagnostics
                    .iter()
                    .map(|diagnostic| Problem {
                        error: format!("{}: {diagnostic}", file.display()),
                        help: diagnostic
                            .parameter()
                            .map(|name| format!("set it with {}", variables_of(name))),
                    })
                    .collect(),
            ),
            TemplateError::Python { .. } | TemplateError::Evaluator(_) => {
                Self::new(error.to_string(), REBUILD_TOOLS)
            }
        }
    }
}

/// Advice for a virtual environment that is missing or broken.
pub(super) const REBUILD_TOOLS: &str =
    "remove .venv/dev and run `make dev`, which sets the tools up again";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_error_and_help_lines() {
        let errors = [
            StackError::new("port 3000 is in use", "set GATEWAY_PORT"),
            StackError::from("stopped".to_owned()),
        ];

        let all = StackError::all(errors).unwrap();

        assert_eq!(
            all.to_string(),
            "error: port 3000 is in use\nhelp: set GATEWAY_PORT\nerror: stopped"
        );
    }
}
