//! Whether the parameters are right, by the template's rules and by those of the functions that get them.

use std::collections::BTreeMap;
use std::path::Path;

use local_stack::template::{Authorization, JwtAuthorizer, Template};
use shared::config::Config;

use crate::report::Finding;
use crate::settings::TEMPLATE;

/// Right values for the parameters that have no usable default. They stand in where a check is about another parameter,
/// and where the right value is not known.
const EXAMPLES: [(&str, &str); 5] = [
    ("AllowedOrigins", "https://app.example.com"),
    (
        "AirbyteOrganizationId",
        "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
    ),
    (
        "OrganizationTokenSecretArn",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:example-AbCdEf",
    ),
    ("JwtIssuer", "https://issuer.example.com/"),
    ("JwtAudience", "example"),
];

/// What Lambda adds to a function's environment.
const LAMBDA: [(&str, &str); 3] = [
    ("AWS_REGION", "eu-central-1"),
    ("AWS_ACCESS_KEY_ID", "example"),
    ("AWS_SECRET_ACCESS_KEY", "example"),
];

/// A deployment as it would be, as far as its parameters are right.
pub(crate) struct Planned {
    given: BTreeMap<String, String>,
    /// What is wrong, by parameter.
    faults: BTreeMap<String, String>,
    /// Made of the parameters that are right, and of examples for the others.
    template: Result<Template, String>,
    /// What the template's rules say of the same parameters.
    broken_rules: Result<Vec<String>, String>,
}

/// Tries every parameter by itself, so that all that is wrong is found at once.
pub(crate) fn check(given: &BTreeMap<String, String>) -> Planned {
    let examples: BTreeMap<String, String> = EXAMPLES
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let mut faults = BTreeMap::new();
    for (name, value) in given {
        let mut trial = examples.clone();
        trial.insert(name.clone(), value.clone());
        if let Err(fault) = planned(&trial) {
            faults.insert(name.clone(), fault);
        }
    }
    for (name, _) in EXAMPLES {
        let mut trial = examples.clone();
        trial.remove(name);
        if !given.contains_key(name)
            && let Err(fault) = planned(&trial)
        {
            faults.insert(name.to_owned(), fault);
        }
    }
    let mut usable: BTreeMap<_, _> = given
        .iter()
        .filter(|(name, _)| !faults.contains_key(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for name in faults.keys() {
        if let Some(example) = examples.get(name) {
            usable.insert(name.clone(), example.clone());
        }
    }
    Planned {
        given: given.clone(),
        faults,
        template: planned(&usable),
        broken_rules: Template::broken_rules(Path::new(TEMPLATE), &usable)
            .map_err(|error| error.to_string()),
    }
}

/// The template under these parameters, whose functions would start.
fn planned(parameters: &BTreeMap<String, String>) -> Result<Template, String> {
    let template =
        Template::load(Path::new(TEMPLATE), parameters).map_err(|error| error.to_string())?;
    for function in template.functions.values() {
        let lambda = |name: &str| {
            LAMBDA
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Config::from_lookup(|name| {
            function
                .environment
                .get(name)
                .cloned()
                .or_else(|| lambda(name))
        })
        .map_err(|error| error.to_string())?;
    }
    Ok(template)
}

impl Planned {
    /// A finding for each parameter that is wrong and for each that must be given, and one for all others.
    pub(crate) fn findings(&self) -> Vec<(String, Finding)> {
        let mut findings = Vec::new();
        for name in ["AllowedOrigins", "AirbyteOrganizationId"] {
            if let Some(value) = self.right(name) {
                findings.push((name.to_owned(), Finding::Right(value.to_owned())));
            }
        }
        for (name, fault) in &self.faults {
            let finding = Finding::wrong(fault, "mend parameter_overrides in samconfig.toml");
            findings.push((name.clone(), finding));
        }
        let wrong = |problem: &String| {
            let finding = Finding::wrong(problem, "mend parameter_overrides in samconfig.toml");
            ("parameters".to_owned(), finding)
        };
        match (&self.template, &self.broken_rules) {
            (Err(problem), _) | (Ok(_), Err(problem)) => findings.push(wrong(problem)),
            (Ok(_), Ok(broken)) if !broken.is_empty() => findings.extend(broken.iter().map(wrong)),
            (Ok(_), Ok(_)) if self.faults.is_empty() => {
                let text = format!(
                    "{} given, all accepted by {TEMPLATE} and the functions",
                    self.given.len()
                );
                findings.push(("parameters".to_owned(), Finding::Right(text)));
            }
            (Ok(_), Ok(_)) => {}
        }
        findings
    }

    /// A parameter's value, if it was given and is right.
    pub(crate) fn right(&self, name: &str) -> Option<&str> {
        self.given
            .get(name)
            .filter(|_| !self.faults.contains_key(name))
            .map(String::as_str)
    }

    fn is_wrong(&self, name: &str) -> bool {
        self.faults.contains_key(name)
    }

    /// Why there is no [right](Self::right) value of a parameter.
    pub(crate) fn missing(&self, name: &str) -> Finding {
        Finding::Unknown(if self.is_wrong(name) && self.given.contains_key(name) {
            format!("not looked at: {name} is wrong")
        } else {
            format!("not looked at: {name} is not given")
        })
    }

    /// Who the API lets in: the JWT authorizer, or `None` for IAM signatures.
    pub(crate) fn authorizer(&self) -> Option<&JwtAuthorizer> {
        let routes = &self.template.as_ref().ok()?.api.routes;
        routes.iter().find_map(|route| match &route.authorization {
            Authorization::Jwt(authorizer) => Some(authorizer),
            Authorization::Iam | Authorization::None => None,
        })
    }

    /// The environment of a function, as far as the template gives it.
    pub(crate) fn environment(&self) -> Option<&BTreeMap<String, String>> {
        let functions = &self.template.as_ref().ok()?.functions;
        functions
            .values()
            .next()
            .map(|function| &function.environment)
    }
}
