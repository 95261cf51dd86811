//! The template's functions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::diagnostic::Diagnostic;
use crate::resources::{self, Resources, reference};

const FUNCTION: &str = "AWS::Lambda::Function";
const ALIAS: &str = "AWS::Lambda::Alias";

/// The timeout of a function without a `Timeout`.
const DEFAULT_TIMEOUT_SECONDS: u64 = 3;

/// A Lambda function of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Environment variables. A reference to a resource is the resource's logical ID.
    pub environment: BTreeMap<String, String>,
    /// Timeout of one invocation.
    pub timeout: Duration,
}

/// A function with the name of its binary in the workspace.
pub(crate) struct Declared {
    pub(crate) binary: String,
    pub(crate) function: Function,
}

/// Functions by logical ID.
pub(crate) type Functions = BTreeMap<String, Declared>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    build_properties: BuildProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BuildProperties {
    binary: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    #[serde(default)]
    environment: Environment,
    #[serde(default, deserialize_with = "resources::parsed")]
    timeout: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    #[serde(default, deserialize_with = "resources::strings")]
    variables: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alias {
    function_name: String,
}

pub(crate) fn read_all(resources: &Resources) -> Result<Functions, Diagnostic> {
    let read = |id: &str| {
        let Metadata { build_properties } = resources.metadata(id)?;
        let properties: Properties = resources.properties(id)?;
        let mut environment = properties.environment.variables;
        for value in environment.values_mut() {
            if let Some((id, None)) = reference(value) {
                *value = id.to_owned();
            }
        }
        let function = Function {
            environment,
            timeout: Duration::from_secs(properties.timeout.unwrap_or(DEFAULT_TIMEOUT_SECONDS)),
        };
        let declared = Declared {
            binary: build_properties.binary,
            function,
        };
        Ok((id.to_owned(), declared))
    };
    resources.of_type(FUNCTION).map(read).collect()
}

/// The function that an integration's URI leads to: its ARN or that of an alias, alone or in API Gateway's long form
/// (`arn:…:lambda:path/2015-03-31/functions/ARN/invocations`).
pub(crate) fn invoked<'f>(
    uri: &str,
    resources: &Resources,
    functions: &'f Functions,
) -> Option<&'f Declared> {
    let arn = match uri.split_once("/functions/") {
        Some((_, rest)) => rest.strip_suffix("/invocations")?,
        None => uri,
    };
    match reference(arn)? {
        (id, Some("Arn")) => functions.get(id),
        (id, None) if resources.has(ALIAS, id) => {
            let alias: Alias = resources.properties(id).ok()?;
            let (function, _) = reference(&alias.function_name)?;
            functions.get(function)
        }
        _ => None,
    }
}
