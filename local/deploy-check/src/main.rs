//! `deploy-check`: says, before anything is deployed, whether what the stack needs is there and right, and what to do
//! about what is not.
//!
//! The rules are those of the template and of the functions themselves; the parameters are those that `sam deploy` would
//! use. Nothing is changed anywhere, and no secret is printed.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod aws;
mod issuer;
mod parameters;
mod report;
mod settings;

use std::process::ExitCode;

use lexopt::prelude::*;

use report::Report;
use settings::{Settings, Source};

const USAGE: &str = "\
Says whether what the stack needs is there and right, before it is deployed.

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
            eprint!("deploy-check: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match source.read() {
        Ok(settings) => {
            let report = check(&settings).await;
            print!("{report}");
            if report.all_right() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(problem) => {
            eprintln!("deploy-check: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for; `None` if it asks for help.
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

/// Every check, whatever the others found.
async fn check(settings: &Settings) -> Report {
    let mut report = Report::default();
    report.add("AWS credentials", settings.identity());
    report.add("region", settings.region());
    let planned = parameters::check(&settings.parameters);
    for (name, finding) in planned.findings() {
        report.add(name, finding);
    }
    report.add("architecture", settings.architecture());
    for (name, finding) in aws::check(settings, &planned).await {
        report.add(name, finding);
    }
    report.add("issuer", issuer::check(&planned).await);
    report
}
