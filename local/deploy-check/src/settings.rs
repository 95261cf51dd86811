//! The settings of `sam deploy`.

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

const SCRIPT: &str = "local/deploy-check/sam_settings.py";

/// The source of the settings.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config_file: PathBuf,
    pub(crate) config_env: String,
    /// `PARAMETER=VALUE`
    pub(crate) parameters: Vec<String>,
}

/// The settings.
#[derive(Debug, Deserialize)]
pub(crate) struct Settings {
    /// Values of the template's parameters; the others have their defaults.
    pub(crate) parameters: BTreeMap<String, String>,
    architectures: Architectures,
    region: Option<String>,
    credentials: FoundCredentials,
}

/// The functions' architecture, to `sam build` and to `sam deploy`.
#[derive(Debug, Deserialize)]
struct Architectures {
    built: String,
    deployed: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FoundCredentials {
    Valid(Credentials),
    Invalid { problem: String },
}

/// Credentials that AWS accepts.
#[derive(Debug, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: SecretString,
    pub(crate) session_token: Option<SecretString>,
    account: String,
    arn: String,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            config_file: "samconfig.toml".into(),
            config_env: "default".to_owned(),
            parameters: Vec::new(),
        }
    }
}

impl Source {
    /// Runs the SAM CLI's code. Its output contains credentials, and is read here only.
    pub(crate) fn read(&self) -> Result<Settings, String> {
        // With the developer's AWS settings and network, which `sam deploy` uses too.
        let environment = Environment::base()
            .with_network()
            .with(|name| name.starts_with("AWS_") || name.starts_with("SAM_CLI_"));
        let mut command =
            python::command_with(Path::new(PROJECT), python::TEST, SCRIPT, environment);
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
        serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{SCRIPT} printed an invalid response"))
    }
}

impl Settings {
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        match &self.credentials {
            FoundCredentials::Valid(credentials) => Some(credentials),
            FoundCredentials::Invalid { .. } => None,
        }
    }

    /// Checks the credentials.
    pub(crate) fn identity(&self) -> CheckResult {
        match &self.credentials {
            FoundCredentials::Valid(Credentials { account, arn, .. }) => {
                CheckResult::Pass(format!("account {account}, {arn}"))
            }
            FoundCredentials::Invalid { problem } => CheckResult::fail(
                problem,
                "sign in (`aws sso login` or `aws configure`), or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for \
                 temporary ones, AWS_SESSION_TOKEN",
            ),
        }
    }

    /// Checks the region.
    pub(crate) fn region(&self) -> CheckResult {
        match &self.region {
            Some(region) => CheckResult::Pass(region.clone()),
            None => CheckResult::fail(
                "is not set",
                "add `region = \"…\"` to samconfig.toml, or set AWS_DEFAULT_REGION (the SAM CLI does not read AWS_REGION)",
            ),
        }
    }

    /// Checks that the functions are built for the architecture that they are deployed to.
    ///
    /// `sam deploy --guided` writes its settings where only `sam deploy` reads them. Lambda accepts a program for another
    /// architecture without an error, but it never starts.
    pub(crate) fn architecture(&self) -> CheckResult {
        let Architectures { built, deployed } = &self.architectures;
        if built == deployed {
            CheckResult::Pass(deployed.clone())
        } else {
            CheckResult::fail(
                format!("`sam build` builds for {built}, and `sam deploy` deploys to {deployed}"),
                "move `parameter_overrides` in samconfig.toml to [default.global.parameters], which both read",
            )
        }
    }

    pub(crate) fn region_name(&self) -> Option<&str> {
        self.region.as_deref()
    }
}
