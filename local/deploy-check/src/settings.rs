//! What `sam deploy` would work with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use secrecy::SecretString;
use serde::Deserialize;

use crate::report::Finding;

/// Below the project's folder, in which `make deploy-check` runs.
const PYTHON: &str = ".venv/test/bin/python";
const SCRIPT: &str = "local/deploy-check/sam_settings.py";
pub(crate) const TEMPLATE: &str = "template.yaml";

/// Where the settings come from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config_file: PathBuf,
    pub(crate) config_env: String,
    /// `PARAMETER=VALUE`
    pub(crate) parameters: Vec<String>,
}

/// What was found there.
#[derive(Debug, Deserialize)]
pub(crate) struct Settings {
    /// Values of the template's parameters; the others keep their defaults.
    pub(crate) parameters: BTreeMap<String, String>,
    architectures: Architectures,
    region: Option<String>,
    credentials: FoundCredentials,
}

/// The functions' processor: as `sam build` would build for, and as `sam deploy` would ask for.
#[derive(Debug, Deserialize)]
struct Architectures {
    built: String,
    deployed: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FoundCredentials {
    Good(Credentials),
    Bad { problem: String },
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
    /// Asks the SAM CLI's code. Its output has credentials in it: it is read here and nowhere else.
    pub(crate) fn read(&self) -> Result<Settings, String> {
        let output = Command::new(PYTHON)
            .arg(SCRIPT)
            .arg(&self.config_file)
            .arg(&self.config_env)
            .arg(TEMPLATE)
            .args(&self.parameters)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{PYTHON} cannot be started ({error}): run `make deploy-check`, which sets it up"))?;
        if !output.status.success() {
            return Err("the settings of `sam deploy` cannot be read: see above".to_owned());
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{SCRIPT} printed something that is not understood"))
    }
}

impl Settings {
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        match &self.credentials {
            FoundCredentials::Good(credentials) => Some(credentials),
            FoundCredentials::Bad { .. } => None,
        }
    }

    /// Whose the credentials are.
    pub(crate) fn identity(&self) -> Finding {
        match &self.credentials {
            FoundCredentials::Good(Credentials { account, arn, .. }) => {
                Finding::Right(format!("account {account}, {arn}"))
            }
            FoundCredentials::Bad { problem } => Finding::wrong(
                problem,
                "sign in (`aws sso login` or `aws configure`), or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for \
                 temporary ones, AWS_SESSION_TOKEN",
            ),
        }
    }

    /// Where the stack would be.
    pub(crate) fn region(&self) -> Finding {
        match &self.region {
            Some(region) => Finding::Right(region.clone()),
            None => Finding::wrong(
                "it is not set",
                "put region = \"…\" into samconfig.toml, or set AWS_DEFAULT_REGION (the SAM CLI does not read AWS_REGION)",
            ),
        }
    }

    /// Whether what is built is what is deployed.
    ///
    /// `sam deploy --guided` writes its answers where `sam deploy` alone reads them. Lambda takes a program for the wrong
    /// processor without a word, and no instance of it ever starts.
    pub(crate) fn architecture(&self) -> Finding {
        let Architectures { built, deployed } = &self.architectures;
        if built == deployed {
            Finding::Right(deployed.clone())
        } else {
            Finding::wrong(
                format!(
                    "`sam build` would build for {built}, and `sam deploy` would ask for {deployed}"
                ),
                "move parameter_overrides in samconfig.toml to [default.global.parameters], which both read",
            )
        }
    }

    pub(crate) fn region_name(&self) -> Option<&str> {
        self.region.as_deref()
    }
}
