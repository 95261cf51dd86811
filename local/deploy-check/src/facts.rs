//! What is known about the deployment: the settings of `sam deploy`, and the lookups in AWS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::SecretString;
use serde::Deserialize;
use template::environment::Environment;
use template::{FILE, python};

use crate::report::CheckResult;

/// The project's directory, which `make deploy-check` runs in.
pub(crate) const PROJECT: &str = ".";

const SCRIPT: &str = "local/deploy-check/facts.py";

/// The source of the facts.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config_file: PathBuf,
    pub(crate) config_env: String,
    /// `PARAMETER=VALUE`
    pub(crate) parameters: Vec<String>,
    /// Whether the value of the secret is read.
    pub(crate) with_secret: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            config_file: "samconfig.toml".into(),
            config_env: "default".to_owned(),
            parameters: Vec::new(),
            with_secret: true,
        }
    }
}

/// What is known about the deployment.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    pub(crate) stack_name: Option<String>,
    pub(crate) region: Option<String>,
    identity: Lookup<Identity>,
    /// Configured values of the template's parameters.
    pub(crate) configured: BTreeMap<String, String>,
    /// The template's parameters and their defaults.
    declared: BTreeMap<String, Option<String>>,
    /// The stack as it is now; `None` if it was not looked up.
    pub(crate) stack: Option<Lookup<Stack>>,
    pub(crate) lookups: Lookups,
}

/// Lookups in AWS; `None` stands for those that were not made.
#[derive(Debug, Deserialize)]
pub(crate) struct Lookups {
    pub(crate) secret: Option<Lookup<Secret>>,
    pub(crate) secret_value: Option<Lookup<SecretString>>,
    /// The ARN of the key that encrypts the secret.
    pub(crate) secret_key: Option<Lookup<String>>,
    pub(crate) certificate: Option<Lookup<Certificate>>,
    pub(crate) topic: Option<Lookup<Topic>>,
    pub(crate) concurrency: Option<Lookup<Concurrency>>,
}

/// The result of a call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lookup<T> {
    /// `None` stands for something that does not exist.
    Value(Option<T>),
    Error(ServiceError),
}

/// An error of AWS, or of the connection to it, which has no code.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ServiceError {
    pub(crate) code: String,
    pub(crate) message: String,
}

#[derive(Debug, Deserialize)]
struct Identity {
    account: String,
    arn: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Stack {
    pub(crate) status: String,
    pub(crate) parameters: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    /// The key that encrypts it, as set in Secrets Manager.
    pub(crate) key: Option<String>,
    pub(crate) is_deleted: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) status: String,
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Topic {
    /// The number of confirmed subscriptions.
    pub(crate) subscriptions: u32,
    /// The key that encrypts it, as set in SNS.
    pub(crate) key: Option<String>,
}

/// Concurrent executions of the account.
#[derive(Debug, Deserialize)]
pub(crate) struct Concurrency {
    pub(crate) limit: u32,
    pub(crate) unreserved: u32,
}

impl Source {
    /// Runs the SAM CLI's code and the lookups. The output contains the secret's value, and is read here only.
    pub(crate) fn read(&self) -> Result<Facts, String> {
        // With the developer's AWS settings and network, which `sam deploy` uses too.
        let environment = Environment::base()
            .with_network()
            .with(|name| name.starts_with("AWS_") || name.starts_with("SAM_CLI_"));
        let mut command =
            python::command_with(Path::new(PROJECT), python::TEST, SCRIPT, environment);
        if !self.with_secret {
            command.arg("--without-secret");
        }
        let output = command
            .arg(&self.config_file)
            .arg(&self.config_env)
            .arg(FILE)
            .args(&self.parameters)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| {
                format!(
                    "failed to run {}: {error}\nhelp: run `make deploy-check`, which sets it up",
                    command.get_program().display()
                )
            })?;
        if !output.status.success() {
            return Err("failed to read the settings of `sam deploy`; see above".to_owned());
        }
        // The error of serde would contain values.
        serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{SCRIPT} printed an invalid response"))
    }
}

impl Facts {
    /// The parameters that `sam deploy` uses: those that are configured, and those of the stack. A parameter that is not
    /// configured keeps the value that it has in the stack, whatever its default is.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        let kept = self.declared.keys().filter_map(|name| {
            let value = self.kept(name)?;
            Some((name.clone(), value.to_owned()))
        });
        kept.chain(self.configured.clone()).collect()
    }

    /// Returns the value of a parameter in the stack.
    pub(crate) fn kept(&self, name: &str) -> Option<&str> {
        match &self.stack {
            Some(Lookup::Value(Some(stack))) => stack.parameters.get(name).map(String::as_str),
            _ => None,
        }
    }

    /// Returns the template's default of a parameter.
    pub(crate) fn default_of(&self, name: &str) -> Option<&str> {
        self.declared.get(name)?.as_deref()
    }

    /// The source of the parameters, for the report.
    pub(crate) fn sources(&self) -> String {
        let kept: Vec<_> = self
            .declared
            .keys()
            .filter(|name| !self.configured.contains_key(*name))
            .filter_map(|name| Some((name, self.kept(name)?)))
            .filter(|(name, value)| self.default_of(name) != Some(value))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut text = format!("{} configured", self.configured.len());
        if !kept.is_empty() {
            text.push_str(", kept from the stack: ");
            text.push_str(&kept.join(", "));
        }
        text
    }

    /// Checks the credentials.
    pub(crate) fn check_identity(&self) -> CheckResult {
        let problem = match &self.identity {
            Lookup::Value(Some(Identity { account, arn })) => {
                return CheckResult::Pass(format!("account {account}, {arn}"));
            }
            Lookup::Value(None) => {
                "none found, neither in the environment nor in a profile".to_owned()
            }
            Lookup::Error(error) if error.code.is_empty() => error.message.clone(),
            Lookup::Error(error) => format!("AWS rejects them: {}", error.message),
        };
        CheckResult::fail(
            problem,
            "sign in (`aws sso login` or `aws configure`), or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for \
             temporary credentials, AWS_SESSION_TOKEN",
        )
    }

    /// Checks the region.
    pub(crate) fn check_region(&self) -> CheckResult {
        match &self.region {
            Some(region) => CheckResult::Pass(region.clone()),
            None => CheckResult::fail(
                "is not set",
                "add `region = \"…\"` to samconfig.toml, or set AWS_DEFAULT_REGION (the SAM CLI does not read AWS_REGION)",
            ),
        }
    }

    /// Checks that the stack is in a state in which it can be deployed.
    pub(crate) fn check_stack(&self) -> CheckResult {
        let Some(name) = &self.stack_name else {
            return CheckResult::fail("has no name", "add `stack_name = \"…\"` to samconfig.toml");
        };
        let status = match &self.stack {
            None => return self.skipped(),
            Some(Lookup::Value(None)) => {
                return CheckResult::Pass(format!("{name} does not exist yet"));
            }
            Some(Lookup::Value(Some(stack))) => &stack.status,
            Some(Lookup::Error(error)) => {
                return error.result("cloudformation:DescribeStacks", "");
            }
        };
        let problem = format!("{name} is in {status}");
        match status.as_str() {
            // What is left of a failed creation or deletion cannot be updated.
            "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED" => {
                CheckResult::fail(
                    problem,
                    format!(
                        "delete it with `sam delete --stack-name {name}`, fix the cause, and deploy again"
                    ),
                )
            }
            "UPDATE_ROLLBACK_FAILED" => CheckResult::fail(
                problem,
                format!(
                    "fix the cause, and run `aws cloudformation continue-update-rollback --stack-name {name}`"
                ),
            ),
            // Left by a change set that was not executed; `sam deploy` creates the stack.
            "REVIEW_IN_PROGRESS" => CheckResult::Pass(format!("{name} does not exist yet")),
            status if status.ends_with("_IN_PROGRESS") => {
                CheckResult::fail(problem, "wait until the operation has finished")
            }
            _ => CheckResult::Pass(problem),
        }
    }

    /// The result of a check that needs a lookup which was not made.
    pub(crate) fn skipped(&self) -> CheckResult {
        CheckResult::Skipped(
            match (&self.identity, &self.region) {
                (Lookup::Value(Some(_)), None) => "no region configured",
                (Lookup::Value(Some(_)), Some(_)) => "not looked up",
                _ => "no valid AWS credentials",
            }
            .to_owned(),
        )
    }
}

impl ServiceError {
    /// The result of a check whose lookup failed: skipped where the deployer may not make it.
    pub(crate) fn result(&self, permission: &str, fix: &str) -> CheckResult {
        if self.is_denied() {
            CheckResult::Skipped(format!("not permitted to check: {permission} is denied"))
        } else if self.code.is_empty() {
            CheckResult::fail(
                self.message.clone(),
                "check the region, and this machine's network and proxy settings",
            )
        } else {
            let fix = if fix.is_empty() {
                format!("look up {} in the AWS documentation", self.code)
            } else {
                fix.to_owned()
            };
            CheckResult::fail(format!("{}: {}", self.code, self.message), fix)
        }
    }

    fn is_denied(&self) -> bool {
        matches!(
            self.code.as_str(),
            "AccessDenied"
                | "AccessDeniedException"
                | "AuthorizationError"
                | "AuthorizationErrorException"
                | "UnauthorizedOperation"
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn facts(stack: &Value) -> Facts {
        serde_json::from_value(json!({
            "stack_name": "embedded",
            "region": "eu-central-1",
            "identity": {"value": {"account": "123456789012", "arn": "arn:aws:iam::123456789012:user/deployer"}},
            "configured": {"LogLevel": "debug"},
            "declared": {"LogLevel": "info", "MemorySize": "256", "DomainName": "", "JwtIssuer": null},
            "stack": stack,
            "lookups": {},
        }))
        .unwrap()
    }

    fn in_status(status: &str) -> CheckResult {
        facts(&json!({"value": {"status": status, "parameters": {}}})).check_stack()
    }

    #[test]
    fn accepts_stacks_that_can_be_deployed() {
        for status in [
            "CREATE_COMPLETE",
            "UPDATE_COMPLETE",
            "UPDATE_ROLLBACK_COMPLETE",
            "IMPORT_COMPLETE",
        ] {
            let expected = CheckResult::Pass(format!("embedded is in {status}"));
            assert_eq!(in_status(status), expected);
        }
        let missing = CheckResult::Pass("embedded does not exist yet".to_owned());
        assert_eq!(in_status("REVIEW_IN_PROGRESS"), missing);
        assert_eq!(facts(&json!({"value": null})).check_stack(), missing);
    }

    #[test]
    fn rejects_stacks_that_cannot_be_deployed() {
        let delete =
            "delete it with `sam delete --stack-name embedded`, fix the cause, and deploy again";
        for (status, fix) in [
            ("ROLLBACK_COMPLETE", delete),
            ("ROLLBACK_FAILED", delete),
            ("CREATE_FAILED", delete),
            ("DELETE_FAILED", delete),
            (
                "UPDATE_ROLLBACK_FAILED",
                "fix the cause, and run `aws cloudformation continue-update-rollback --stack-name embedded`",
            ),
            (
                "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
                "wait until the operation has finished",
            ),
        ] {
            let expected = CheckResult::fail(format!("embedded is in {status}"), fix);
            assert_eq!(in_status(status), expected);
        }
    }

    #[test]
    fn skips_stack_that_deployer_may_not_see() {
        let denied = json!({"error": {"code": "AccessDenied", "message": "not authorized"}});

        let result = facts(&denied).check_stack();

        assert_eq!(
            result,
            CheckResult::Skipped(
                "not permitted to check: cloudformation:DescribeStacks is denied".to_owned()
            )
        );
    }

    #[test]
    fn lays_configured_parameters_over_those_of_stack() {
        let parameters = json!({
            "LogLevel": "warn", "MemorySize": "256", "DomainName": "api.example.com", "Gone": "1",
        });
        let stack = json!({"value": {"status": "UPDATE_COMPLETE", "parameters": parameters}});

        let facts = facts(&stack);

        let expected = [
            ("DomainName", "api.example.com"),
            ("LogLevel", "debug"),
            ("MemorySize", "256"),
        ];
        assert_eq!(
            facts.parameters(),
            expected
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        );
        // MemorySize has its default anyway.
        assert_eq!(
            facts.sources(),
            "1 configured, kept from the stack: DomainName=api.example.com"
        );
    }
}
