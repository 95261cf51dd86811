//! `deploy-check`: checks before a deployment that everything it needs is configured, and prints how to fix what is not.
//!
//! The rules are those of the template and of the functions. The parameters are those that `sam deploy` uses, the ones that
//! it keeps from the stack included. Nothing is changed, and no secret is printed. The credential is sent to Airbyte only.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod airbyte;
mod facts;
mod http;
mod issuer;
mod plan;
mod report;
mod resources;
mod secret;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::prelude::*;

use facts::{Facts, Source};
use plan::DeploymentPlan;
use report::Report;

const USAGE: &str = "\
Checks that everything that a deployment needs is configured.

Usage: deploy-check [OPTIONS] [PARAMETER=VALUE ...]

The template's parameters are those that `sam deploy` uses: an argument, else the value in samconfig.toml, else the value in
the stack, else the template's default.

Options:
  --config-env NAME   The part of the configuration file to use [default: default]
  --config-file FILE  The SAM CLI's configuration file [default: samconfig.toml]
  --overrides FILE    Write the parameter overrides for `sam build` and `sam deploy` to FILE, if no check fails
  --without-secret    Do not read the value of the secret, and send no credential to Airbyte
  --help              Print this
";

/// The command line.
#[derive(Default)]
struct Arguments {
    source: Source,
    overrides: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Parses the command line; `None` stands for help.
fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    let mut arguments = Arguments::default();
    let source = &mut arguments.source;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config-env") => source.config_env = parser.value()?.string()?,
            Long("config-file") => source.config_file = parser.value()?.into(),
            Long("overrides") => arguments.overrides = Some(parser.value()?.into()),
            Long("without-secret") => source.with_secret = false,
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
    Ok(Some(arguments))
}

/// Runs the checks, prints the report, and returns whether no check failed.
async fn run(arguments: &Arguments) -> Result<bool, String> {
    let facts = arguments.source.read()?;
    let plan = DeploymentPlan::new(&facts).map_err(|error| error.to_string())?;
    let report = check(&facts, &plan).await;
    print!("{report}");
    if let Some(file) = &arguments.overrides
        && report.passed()
    {
        write_overrides(file, &plan)?;
    }
    Ok(report.passed())
}

/// Runs every check, whatever the results of the others.
async fn check(facts: &Facts, plan: &DeploymentPlan<'_>) -> Report {
    let mut report = Report::default();
    report.add("AWS credentials", facts.check_identity());
    report.add("region", facts.check_region());
    report.add("stack", facts.check_stack());
    for (name, result) in plan.results() {
        report.add(name, result);
    }
    report.add("architecture", plan.check_architecture());
    for (name, result) in secret::check(facts, plan) {
        report.add(name, result);
    }
    for (name, result) in airbyte::check(facts, plan).await {
        report.add(name, result);
    }
    report.add("issuer", issuer::check(plan).await);
    if let Some(result) = resources::check_certificate(facts, plan) {
        report.add("certificate", result);
    }
    report.add("alarms", resources::check_alarms(facts, plan));
    report.add("concurrency", resources::check_concurrency(facts, plan));
    report
}

/// Writes the overrides as JSON, which is also YAML: the SAM CLI reads `file://overrides.yaml`.
fn write_overrides(file: &Path, plan: &DeploymentPlan<'_>) -> Result<(), String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("failed to write {}: {error}", file.display());
    let json = serde_json::to_string_pretty(&plan.overrides()).map_err(|error| failed(&error))?;
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).map_err(|error| failed(&error))?;
    }
    std::fs::write(file, json).map_err(|error| failed(&error))
}
