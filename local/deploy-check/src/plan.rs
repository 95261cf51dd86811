//! The parameters of the deployment, checked by the template and by the functions that receive them.

use std::collections::BTreeMap;
use std::path::Path;

use shared::config::Config;
use template::{
    Authorization, Evaluation, Evaluator, FILE, JwtAuthorizer, Request, Template, TemplateError,
};

use crate::report::CheckResult;
use crate::settings::PROJECT;

/// Valid values of the parameters without a usable default. They replace missing and invalid ones in checks of other
/// parameters.
const SUBSTITUTES: [(&str, &str); 5] = [
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

/// The variables that Lambda adds to a function's environment.
const LAMBDA: [(&str, &str); 3] = [
    ("AWS_REGION", "eu-central-1"),
    ("AWS_ACCESS_KEY_ID", "example"),
    ("AWS_SECRET_ACCESS_KEY", "example"),
];

const FIX: &str = "fix `parameter_overrides` in samconfig.toml";

/// The deployment that `sam deploy` would make.
pub(crate) struct DeploymentPlan {
    parameters: BTreeMap<String, String>,
    /// Errors by parameter.
    invalid: BTreeMap<String, Vec<String>>,
    /// Errors of the template, or of several parameters together.
    errors: Vec<String>,
    /// Evaluated with substitutes for the invalid parameters.
    template: Option<Template>,
}

impl DeploymentPlan {
    /// Evaluates the template with these parameters.
    ///
    /// # Errors
    /// If the evaluator cannot be run.
    pub(crate) fn new(
        parameters: &BTreeMap<String, String>,
        region: Option<&str>,
    ) -> Result<Self, TemplateError> {
        let mut plan = Self {
            parameters: parameters.clone(),
            invalid: BTreeMap::new(),
            errors: Vec::new(),
            template: None,
        };
        let mut request = Request {
            parameters: parameters.clone(),
            substitutes: SUBSTITUTES
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Request::of(Path::new(FILE))
        };
        if let Some(region) = region {
            region.clone_into(&mut request.region);
        }
        let evaluation = Evaluator::start(Path::new(PROJECT))?.evaluate(request)?;
        for diagnostic in evaluation.diagnostics() {
            match diagnostic.parameter() {
                Some(name) => plan.add_invalid(name, diagnostic.message.clone()),
                None => plan.errors.push(format!("{FILE}: {diagnostic}")),
            }
        }
        plan.errors.extend_from_slice(evaluation.broken_rules());
        match evaluation.template_with_substitutes() {
            Ok(template) => {
                plan.check_environment(&evaluation, &template);
                plan.template = Some(template);
            }
            // Reported as diagnostics already.
            Err(_) if !evaluation.diagnostics().is_empty() => {}
            Err(error) => plan.errors.push(error.to_string()),
        }
        Ok(plan)
    }

    /// Checks whether the functions would start with the environment that the template gives them.
    fn check_environment(&mut self, evaluation: &Evaluation, template: &Template) {
        for function in template.functions.values() {
            let lookup = |name: &str| {
                let of_lambda = LAMBDA.iter().find(|(known, _)| *known == name);
                function
                    .environment
                    .get(name)
                    .cloned()
                    .or_else(|| of_lambda.map(|(_, value)| (*value).to_owned()))
            };
            let Err(error) = Config::from_lookup(lookup) else {
                continue;
            };
            for error in error.errors() {
                // Each begins with the name of its variable.
                let variable = error.split(' ').next().unwrap_or_default();
                match evaluation.parameters_of(variable) {
                    [] => self.errors.push(error.clone()),
                    parameters => {
                        for name in parameters {
                            self.add_invalid(name, error.clone());
                        }
                    }
                }
            }
        }
        self.errors.dedup();
    }

    fn add_invalid(&mut self, name: &str, error: String) {
        let errors = self.invalid.entry(name.to_owned()).or_default();
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    /// A result for each invalid parameter, for the most important valid ones, and one for all others.
    pub(crate) fn results(&self) -> Vec<(String, CheckResult)> {
        let mut results = Vec::new();
        for name in ["AllowedOrigins", "AirbyteOrganizationId"] {
            if let Some(value) = self.valid(name) {
                results.push((name.to_owned(), CheckResult::Pass(value.to_owned())));
            }
        }
        for (name, errors) in &self.invalid {
            let result = CheckResult::fail(errors.join("; "), FIX);
            results.push((name.clone(), result));
        }
        for error in &self.errors {
            results.push(("parameters".to_owned(), CheckResult::fail(error, FIX)));
        }
        if self.errors.is_empty() && self.invalid.is_empty() {
            let text = format!(
                "{} set, all accepted by {FILE} and the functions",
                self.parameters.len()
            );
            results.push(("parameters".to_owned(), CheckResult::Pass(text)));
        }
        results
    }

    /// Returns the value of a parameter that is set and valid.
    pub(crate) fn valid(&self, name: &str) -> Option<&str> {
        self.parameters
            .get(name)
            .filter(|_| !self.invalid.contains_key(name))
            .map(String::as_str)
    }

    /// The result of a check that needs a parameter without a [valid](Self::valid) value.
    pub(crate) fn skipped(&self, name: &str) -> CheckResult {
        CheckResult::Skipped(if self.parameters.contains_key(name) {
            format!("{name} is invalid")
        } else {
            format!("{name} is not set")
        })
    }

    /// Returns the JWT authorizer of the API; `None` if callers sign with IAM.
    pub(crate) fn authorizer(&self) -> Option<&JwtAuthorizer> {
        let routes = &self.template.as_ref()?.api.routes;
        routes.iter().find_map(|route| match &route.authorization {
            Authorization::Jwt(authorizer) => Some(authorizer),
            Authorization::Iam | Authorization::None => None,
        })
    }

    /// Returns the environment of a function, as far as the template sets it.
    pub(crate) fn environment(&self) -> Option<&BTreeMap<String, String>> {
        let functions = &self.template.as_ref()?.functions;
        functions
            .values()
            .next()
            .map(|function| &function.environment)
    }
}
