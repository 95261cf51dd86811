//! The parameters of the deployment, checked by the template and by the functions that receive them.

use std::collections::BTreeMap;
use std::path::Path;

use shared::config::Config;
use shared::request::origin::Origin;
use template::{
    Authorization, Evaluation, Evaluator, FILE, JwtAuthorizer, Request, Template, TemplateError,
};

use crate::facts::{Facts, PROJECT};
use crate::report::CheckResult;

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

const ORIGINS: &str = "AllowedOrigins";
const ARCHITECTURE: &str = "Architecture";

/// The deployment that `sam deploy` would make.
pub(crate) struct DeploymentPlan<'f> {
    facts: &'f Facts,
    parameters: BTreeMap<String, String>,
    /// Errors by parameter.
    invalid: BTreeMap<String, Vec<String>>,
    /// Errors of the template, or of several parameters together.
    errors: Vec<String>,
    /// Evaluated with substitutes for the invalid parameters.
    template: Option<Template>,
}

impl<'f> DeploymentPlan<'f> {
    /// Evaluates the template with the parameters of the deployment.
    ///
    /// # Errors
    /// If the evaluator cannot be run.
    pub(crate) fn new(facts: &'f Facts) -> Result<Self, TemplateError> {
        let mut plan = Self {
            facts,
            parameters: facts.parameters(),
            invalid: BTreeMap::new(),
            errors: Vec::new(),
            template: None,
        };
        let mut request = Request {
            parameters: plan.parameters.clone(),
            substitutes: SUBSTITUTES
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Request::of(Path::new(FILE))
        };
        if let Some(region) = &facts.region {
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
        plan.check_origins();
        plan.check_regions();
        Ok(plan)
    }

    /// Checks that all resources are in the region of the stack, because AWS rejects others in the middle of a deployment.
    fn check_regions(&mut self) {
        let Some(region) = &self.facts.region else {
            return;
        };
        let elsewhere: Vec<_> = self
            .parameters
            .iter()
            .filter_map(|(name, value)| {
                // arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE; a global resource has no region.
                let found = value.strip_prefix("arn:")?.split(':').nth(2)?;
                let differs = !found.is_empty() && found != region;
                differs.then(|| (name.clone(), found.to_owned()))
            })
            .collect();
        for (name, found) in elsewhere {
            self.add_invalid(
                &name,
                format!("is in {found}, and the stack is in {region}"),
            );
        }
    }

    /// Checks that the origins are in the form that browsers send.
    ///
    /// The functions normalize them, but API Gateway compares them byte for byte.
    fn check_origins(&mut self) {
        let Some(origins) = self.valid(ORIGINS) else {
            return;
        };
        let errors: Vec<_> = origins
            .split(',')
            .map(str::trim)
            .filter_map(|text| {
                let origin = Origin::parse(text).ok()?;
                let differs = origin.as_str() != text;
                differs.then(|| format!("browsers send {text} as {origin}"))
            })
            .collect();
        for error in errors {
            self.add_invalid(ORIGINS, error);
        }
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
        for name in [ORIGINS, "AirbyteOrganizationId"] {
            if let Some(value) = self.valid(name) {
                results.push((name.to_owned(), CheckResult::Pass(value.to_owned())));
            }
        }
        for (name, errors) in &self.invalid {
            let result = CheckResult::fail(errors.join("; "), self.fix(name));
            results.push((name.clone(), result));
        }
        let sources = self.facts.sources();
        for error in &self.errors {
            let fix = format!("fix `parameter_overrides` in samconfig.toml ({sources})");
            results.push(("parameters".to_owned(), CheckResult::fail(error, fix)));
        }
        if self.errors.is_empty() && self.invalid.is_empty() {
            results.push(("parameters".to_owned(), CheckResult::Pass(sources)));
        }
        let local: Vec<_> = self
            .valid(ORIGINS)
            .unwrap_or_default()
            .split(',')
            .filter(|origin| origin.trim().starts_with("http://"))
            .collect();
        if !local.is_empty() {
            let text = format!(
                "{} is on a developer's machine; remove it for production",
                local.join(", ")
            );
            results.push(("local origins".to_owned(), CheckResult::Skipped(text)));
        }
        results
    }

    /// What to do about an invalid parameter.
    fn fix(&self, name: &str) -> String {
        match self.facts.configured.get(name) {
            // The SAM CLI cuts an unquoted value at a space.
            Some(value) if value.ends_with(',') => format!(
                "remove the space after the comma in samconfig.toml, or put quotes around the value: `{name}=\"…\"`"
            ),
            Some(_) => "fix `parameter_overrides` in samconfig.toml".to_owned(),
            None if self.facts.kept(name).is_some() => format!(
                "the value is kept from the stack: set {name} in samconfig.toml, or `{name}=\"\"` to unset it"
            ),
            None => format!("set {name} under `parameter_overrides` in samconfig.toml"),
        }
    }

    /// Returns the value of a parameter, by default that of the template; `None` if it is missing or invalid.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        if self.parameters.contains_key(name) {
            self.valid(name)
        } else {
            self.facts.default_of(name)
        }
    }

    /// Returns the number of functions.
    pub(crate) fn functions(&self) -> u32 {
        let count = self
            .template
            .as_ref()
            .map(|template| template.functions.len());
        count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default()
    }

    /// Returns the overrides to pass to `sam build` and `sam deploy`: the configured parameters, and the architecture in
    /// any case.
    ///
    /// Without it, `sam build` takes the template's default, and `sam deploy` that of the stack. Lambda accepts a program
    /// for another architecture without an error, but it never starts.
    pub(crate) fn overrides(&self) -> BTreeMap<&str, &str> {
        let configured = self.facts.configured.iter();
        configured
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(self.value(ARCHITECTURE).map(|value| (ARCHITECTURE, value)))
            .collect()
    }

    /// Checks the architecture.
    pub(crate) fn check_architecture(&self) -> CheckResult {
        match self.value(ARCHITECTURE) {
            Some(value) => CheckResult::Pass(value.to_owned()),
            None => self.skipped(ARCHITECTURE),
        }
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
}
