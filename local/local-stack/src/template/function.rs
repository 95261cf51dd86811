//! The template's functions: which binary each runs, with which environment, for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::Fault;
use super::intrinsics::Resolver;
use super::value::Value;
use super::yaml::Node;

/// What Lambda gives a function whose template names no `Timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);

/// A Lambda function of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Environment variables, resolved.
    pub environment: BTreeMap<String, String>,
    /// How long one invocation may take.
    pub timeout: Duration,
}

/// A function, and the names under which the template and the workspace know it.
pub(super) struct Declared {
    /// What `Fn::GetAtt: [LOGICAL_ID, Arn]` yields.
    pub(super) arn: String,
    /// The workspace's binary, by whose name the function is known from here on.
    pub(super) binary: String,
    pub(super) function: Function,
}

/// Every `AWS::Serverless::Function` that exists, with what `Globals` add to it.
pub(super) fn all(template: &Node, resolver: &Resolver<'_>) -> Result<Vec<Declared>, Fault> {
    let globals = template
        .get("Globals")
        .and_then(|globals| globals.get("Function"));
    resolver
        .resources()?
        .into_iter()
        .filter(|(_, resource)| {
            resource.get("Type").and_then(Node::as_text) == Some("AWS::Serverless::Function")
        })
        .map(|(name, resource)| declared(name, resource, globals, resolver))
        .collect()
}

fn declared(
    name: &str,
    resource: &Node,
    globals: Option<&Node>,
    resolver: &Resolver<'_>,
) -> Result<Declared, Fault> {
    let place = format!("Resources.{name}");
    let binary = resource
        .get("Metadata")
        .and_then(|metadata| metadata.get("BuildProperties")?.get("Binary")?.as_text());
    let binary = binary.ok_or_else(|| {
        Fault::new(
            resource.line,
            &place,
            "Metadata.BuildProperties.Binary is missing: which binary is this function?",
        )
    })?;

    let mut environment = BTreeMap::new();
    let mut timeout = DEFAULT_TIMEOUT;
    // A function's own settings win over those of Globals.
    let own = resource
        .get("Properties")
        .map(|properties| (properties, format!("{place}.Properties")));
    let globals = globals.map(|globals| (globals, "Globals.Function".to_owned()));
    for (properties, place) in [globals, own].into_iter().flatten() {
        let section = |key: &str| match properties.get(key) {
            Some(node) => resolver.resolve(node, &format!("{place}.{key}")),
            None => Ok(None),
        };
        if let Some(section) = section("Environment")?
            && let Some(variables) = section.get("Variables")?
        {
            for (variable, value) in variables.entries()? {
                environment.insert(variable, value.text()?.to_owned());
            }
        }
        if let Some(seconds) = section("Timeout")? {
            timeout = seconds_of(&seconds)?;
        }
    }
    let function = Function {
        environment,
        timeout,
    };
    Ok(Declared {
        arn: Resolver::function_arn(name),
        binary: binary.to_owned(),
        function,
    })
}

fn seconds_of(value: &Value) -> Result<Duration, Fault> {
    value.parse("a number of seconds").map(Duration::from_secs)
}
