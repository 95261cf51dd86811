//! `deploy-check`: checks before a deployment that everything it needs is configured, and prints how to fix what is not.
//!
//! The rules are those of the template and of the functions; the parameters are those that `sam deploy` uses. Nothing is
//! changed, and no secret is printed.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod aws;
mod issuer;
mod plan;
mod report;
mod settings;

use std::process::ExitCode;

use lexopt::prelude::*;

use plan::DeploymentPlan;
use report::Report;
use settings::{Settings, Source};

const USAGE: &str = "\
Checks that everything that a deployment needs is configured.

Usage: deploy-check [OPTIONS] [PARAMETER=VALUE ...]

The template's parameters are those that `sam deploy` finds in samconfig.toml; an environment variable of a parameter's
name comes before that, and an argument before both.

Options:
  --config-env NAME   The part of the configuration file to use [default: default]
  --config-file FILE  The SAM CLI's configuration file [default: samconfig.toml]
  --help              Print this
";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let source = match arguments() {
        Ok(Some(source)) => source,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let report = match source.read() {
        Ok(settings) => check(&settings).await,
        Err(problem) => Err(problem),
    };
    match report {
        Ok(report) => {
            print!("{report}");
            if report.passed() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Parses the command line; `None` stands for help.
fn arguments() -> Result<Option<Source>, lexopt::Error> {
    let mut source = Source::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config-env") => source.config_env = parser.value()?.string()?,
            Long("config-file") => source.config_file = parser.value()?.into(),
            Long("help") | Short('h') => return Ok(None),
            Value(value) => {
                let text = value.string()?;
                if !text.contains('=') {
                    return Err(format!("{text} is not PARAMETER=VALUE").into());
                }
                source.parameters.push(text);
            }
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(source))
}

/// Runs every check, whatever the results of the others.
async fn check(settings: &Settings) -> Result<Report, String> {
    let mut report = Report::default();
    report.add("AWS credentials", settings.identity());
    report.add("region", settings.region());
    let plan = DeploymentPlan::new(&settings.parameters, settings.region_name())
        .map_err(|error| error.to_string())?;
    for (name, result) in plan.results() {
        report.add(name, result);
    }
    report.add("architecture", settings.architecture());
    for (name, result) in aws::check(settings, &plan).await {
        report.add(name, result);
    }
    report.add("issuer", issuer::check(&plan).await);
    Ok(report)
}
