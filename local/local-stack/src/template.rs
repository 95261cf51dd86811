//! The SAM template, as far as it says what the local gateway serves.
//!
//! Everything comes from the template: routes, CORS, authorizer, limits, and the functions' environment. What it
//! says by CloudFormation's functions and conditions is resolved as CloudFormation would, under given parameter
//! values. Whatever the local gateway cannot follow is a fault, said with its line: it never guesses.

mod api;
mod fault;
mod function;
mod intrinsics;
mod parameters;
mod route_key;
mod rules;
mod value;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

pub use api::{Api, Authorization, Cors, JwtAuthorizer, Route, Throttling};
pub use fault::TemplateError;
pub use function::Function;
pub use intrinsics::{ACCOUNT, REGION};
pub use route_key::RouteKey;

use fault::Fault;
use intrinsics::Resolver;

/// What the local gateway serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The HTTP API.
    pub api: Api,
    /// The functions by the name of their binary.
    pub functions: BTreeMap<String, Function>,
}

impl Template {
    /// Reads the template at `path` under the given parameter values, which come before its defaults.
    pub fn load(path: &Path, parameters: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let text = read_file(path)?;
        Self::read(&text, parameters).map_err(|fault| TemplateError::new(path, fault))
    }

    /// The rules of the template at `path` that the parameters break, by their descriptions: CloudFormation would refuse
    /// them. The local gateway serves them all the same, for they are about what only AWS has.
    pub fn broken_rules(
        path: &Path,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, TemplateError> {
        let text = read_file(path)?;
        rules::broken(&text, parameters).map_err(|fault| TemplateError::new(path, fault))
    }

    fn read(text: &str, parameters: &BTreeMap<String, String>) -> Result<Self, Fault> {
        let template = yaml::parse(text)?;
        let resolver = Resolver::new(&template, parameters::resolve(&template, parameters)?);
        let functions = function::all(&template, &resolver)?;
        let api = api::read(&resolver, &functions)?;
        let functions = functions
            .into_iter()
            .map(|declared| (declared.binary, declared.function))
            .collect();
        Ok(Self { api, functions })
    }
}

fn read_file(path: &Path) -> Result<String, TemplateError> {
    std::fs::read_to_string(path)
        .map_err(|error| TemplateError::new(path, Fault::of_the_file(error.to_string())))
}

#[cfg(test)]
mod tests;
