//! Programs of the project that run on Python, in one of its virtual environments.

use std::path::Path;
use std::process::Command;

use crate::environment::Environment;

/// The virtual environment of `make dev`, relative to the project's directory.
pub const DEV: &str = ".venv/dev";

/// The virtual environment of `make test` and `make deploy`.
pub const TEST: &str = ".venv/test";

/// Returns the environment of a program that uses no AWS account.
///
/// The developer's AWS settings are replaced, because botocore fails on an invalid profile or configuration file even where
/// no account is needed. Packages come from the virtual environment only.
#[must_use]
pub fn environment() -> Environment {
    isolated(Environment::base())
        .set("AWS_CONFIG_FILE", "/dev/null")
        .set("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .set("AWS_EC2_METADATA_DISABLED", "true")
}

/// Returns a command that runs a script of the project, which uses no AWS account.
#[must_use]
pub fn command(project: &Path, virtual_environment: &str, script: &str) -> Command {
    command_with(project, virtual_environment, script, environment())
}

/// Returns a command that runs a script of the project in another environment.
#[must_use]
pub fn command_with(
    project: &Path,
    virtual_environment: &str,
    script: &str,
    environment: Environment,
) -> Command {
    let mut command = Command::new(project.join(virtual_environment).join("bin/python"));
    command.arg(project.join(script));
    isolated(environment).apply(&mut command);
    command
}

/// Packages of the virtual environment only, and UTF-8 whatever the locale.
fn isolated(environment: Environment) -> Environment {
    environment
        .set("PYTHONNOUSERSITE", "1")
        .set("PYTHONUTF8", "1")
}
