//! The evaluator's program, its request and its response.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::resources::Resources;
use crate::{Template, python};

const SCRIPT: &str = "local/template/evaluate.py";

/// The resource types that a [`Template`] is read from.
const TYPES: [&str; 2] = ["AWS::ApiGatewayV2::", "AWS::Lambda::"];

/// An error of reading a template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Python cannot be started.
    #[error("failed to run {}: {source}", program.display())]
    Python {
        /// The project's Python.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The evaluator failed, which is a bug or a broken virtual environment. The text is what it printed.
    #[error("{SCRIPT} failed: {0}")]
    Evaluator(String),
    /// The template or a parameter is invalid.
    #[error("{}", Lines(file, diagnostics))]
    Invalid {
        /// The template.
        file: PathBuf,
        /// Every problem found; at least one.
        diagnostics: Vec<Diagnostic>,
    },
}

/// One line for each diagnostic.
struct Lines<'a>(&'a Path, &'a [Diagnostic]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file, diagnostics) = self;
        for (index, diagnostic) in diagnostics.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {diagnostic}", file.display())?;
        }
        Ok(())
    }
}

/// What to evaluate.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// The template's path.
    #[serde(rename = "template")]
    pub file: PathBuf,
    /// The value of `AWS::Region`.
    pub region: String,
    /// Values of parameters; the others have their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Values to continue with where a parameter is missing or invalid.
    pub substitutes: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    request: &'a Request,
    types: [&'static str; 2],
}

impl Request {
    /// A request without parameters.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            region: "us-east-1".to_owned(),
            parameters: BTreeMap::new(),
            substitutes: BTreeMap::new(),
        }
    }
}

/// A started evaluator, which takes one request.
///
/// Python needs most of its time to import the SAM translator, so start it before the parameters are known.
#[derive(Debug)]
pub struct Evaluator {
    child: Child,
    program: PathBuf,
}

impl Evaluator {
    /// Starts the evaluator of the project in `project`. It ends when this process does.
    ///
    /// # Errors
    /// If Python cannot be started.
    pub fn start(project: &Path) -> Result<Self, TemplateError> {
        let mut command = python::command(project, python::DEV, SCRIPT);
        let program = PathBuf::from(command.get_program());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match command.spawn() {
            Ok(child) => Ok(Self { child, program }),
            Err(source) => Err(TemplateError::Python { program, source }),
        }
    }

    /// Evaluates a template. Blocks until the evaluator has ended.
    ///
    /// # Errors
    /// If the evaluator fails. Problems of the template are part of the [`Evaluation`].
    pub fn evaluate(mut self, request: Request) -> Result<Evaluation, TemplateError> {
        let program = self.program;
        let python = |source| TemplateError::Python { program, source };
        let message = Message {
            request: &request,
            types: TYPES,
        };
        let written = serde_json::to_vec(&message)
            .map_err(io::Error::other)
            .and_then(|message| match self.child.stdin.take() {
                Some(mut input) => input.write_all(&message),
                None => Ok(()),
            });
        let output = self.child.wait_with_output().map_err(python)?;
        let printed = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !output.status.success() {
            return Err(TemplateError::Evaluator(printed()));
        }
        written.map_err(|error| TemplateError::Evaluator(error.to_string()))?;
        let response = serde_json::from_slice(&output.stdout)
            .map_err(|error| TemplateError::Evaluator(format!("invalid response: {error}")))?;
        Ok(Evaluation {
            file: request.file,
            response,
        })
    }
}

/// The result of an evaluation.
#[derive(Debug)]
pub struct Evaluation {
    file: PathBuf,
    response: Response,
}

#[derive(Debug, Deserialize)]
struct Response {
    diagnostics: Vec<Diagnostic>,
    broken_rules: Vec<String>,
    resources: Option<Resources>,
    variables: BTreeMap<String, Vec<String>>,
}

impl Evaluation {
    /// Problems of the template and of the parameters.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.response.diagnostics
    }

    /// Descriptions of the template's rules that the parameters break. CloudFormation rejects such parameters.
    #[must_use]
    pub fn broken_rules(&self) -> &[String] {
        &self.response.broken_rules
    }

    /// The parameters that an environment variable of the functions depends on.
    #[must_use]
    pub fn parameters_of(&self, variable: &str) -> &[String] {
        self.response
            .variables
            .get(variable)
            .map_or(&[], Vec::as_slice)
    }

    /// The template, if it and the parameters are valid.
    ///
    /// # Errors
    /// All diagnostics, or the first resource that the local gateway cannot serve.
    pub fn template(&self) -> Result<Template, TemplateError> {
        if self.response.diagnostics.is_empty() {
            self.template_with_substitutes()
        } else {
            Err(self.invalid(self.response.diagnostics.clone()))
        }
    }

    /// The template with the request's substitutes for invalid parameters.
    ///
    /// # Errors
    /// All diagnostics if it could not be evaluated, or the first resource that the local gateway cannot serve.
    pub fn template_with_substitutes(&self) -> Result<Template, TemplateError> {
        match &self.response.resources {
            Some(resources) => {
                Template::read(resources).map_err(|diagnostic| self.invalid(vec![diagnostic]))
            }
            None => Err(self.invalid(self.response.diagnostics.clone())),
        }
    }

    fn invalid(&self, diagnostics: Vec<Diagnostic>) -> TemplateError {
        TemplateError::Invalid {
            file: self.file.clone(),
            diagnostics,
        }
    }
}
