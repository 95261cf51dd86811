//! Reader of the SAM template: the HTTP API that the local gateway serves, and the functions behind it.
//!
//! CloudFormation's part is not repeated here. `evaluate.py` expands the template with AWS's own SAM translator, checks
//! the parameters and the rules, and evaluates conditions and intrinsic functions; the tests of the template use the same
//! code. This crate runs that program ([`Evaluator`]) and turns its JSON into a [`Template`]. Anything that the local
//! gateway cannot serve is a [`Diagnostic`] that names the resource and the property.

mod api;
mod diagnostic;
pub mod environment;
mod evaluator;
mod function;
pub mod python;
mod resources;
mod route_key;

use std::collections::BTreeMap;
use std::path::Path;

pub use api::{Api, Authorization, Cors, JwtAuthorizer, Route, Throttling};
pub use diagnostic::Diagnostic;
pub use evaluator::{Evaluation, Evaluator, Request, TemplateError};
pub use function::Function;
pub use route_key::{Fit, InvalidRouteKey, RouteKey};

use resources::Resources;

/// The template, relative to the project's directory.
pub const FILE: &str = "template.yaml";

/// The account number of AWS's documentation, which the evaluation uses.
pub const ACCOUNT: &str = "123456789012";

/// The HTTP API that the local gateway serves, and its functions.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The HTTP API.
    pub api: Api,
    /// The functions by the name of their binary.
    pub functions: BTreeMap<String, Function>,
}

impl Template {
    /// Evaluates the template of the project in `project` under these parameters; the others have their defaults.
    ///
    /// Blocks for about a second, because it starts Python.
    ///
    /// # Errors
    /// If the evaluator cannot be run, or the template or a parameter is invalid.
    pub fn load(
        project: &Path,
        region: &str,
        parameters: BTreeMap<String, String>,
    ) -> Result<Self, TemplateError> {
        let request = Request {
            region: region.to_owned(),
            parameters,
            ..Request::of(&project.join(FILE))
        };
        Evaluator::start(project)?.evaluate(request)?.template()
    }

    fn read(resources: &Resources) -> Result<Self, Diagnostic> {
        let functions = function::read_all(resources)?;
        let api = api::read(resources, &functions)?;
        let functions = functions
            .into_values()
            .map(|declared| (declared.binary, declared.function))
            .collect();
        Ok(Self { api, functions })
    }
}

#[cfg(test)]
mod tests;
