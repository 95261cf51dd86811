//! `airbyte-sim`: the simulator as a program, run by hand or by tests.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

use std::error::Error;
use std::net::IpAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use airbyte_sim::{Airbyte, Generation, Options};
use lexopt::prelude::*;

const USAGE: &str = "\
A simulator of Airbyte Embedded, for development and tests.

Usage: airbyte-sim [OPTIONS]

Options:
  --port PORT                   The port to listen on; 0 for any free port [default: 3002]
  --host ADDRESS                The loopback address to listen on [default: 127.0.0.1]
  --cloud-url URL               The base of the widget's address [default: the simulator's URL]
  --generations LIST            The generations of the API to serve [default: embedded,agents]
                                [env: AIRBYTE_SIM_GENERATIONS]
  --sources-bearer KIND         The token that creates a source in the agents generation:
                                any, scoped or organization [default: any]
                                [env: AIRBYTE_SIM_SOURCES_BEARER]
  --workspace-creation-ms TIME  The time between looking for a user's workspace and creating it;
                                concurrent first requests of a user create duplicates [default: 50]
                                [env: AIRBYTE_SIM_WORKSPACE_CREATION_MS]
  --quiet                       Do not print a line per request
  --help                        Print this
";

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let address = options.address;
    let airbyte = match Airbyte::start(options).await {
        Ok(airbyte) => airbyte,
        Err(error) => {
            eprintln!("error: cannot listen on {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("listening on {}", airbyte.url());
    match tokio::signal::ctrl_c().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot wait for Ctrl-C: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the options of the environment and the command line; `None` for `--help`.
fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut options = Options::from_env()?;
    options.print_requests = true;
    options.address.set_port(3002);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => options.address.set_port(parser.value()?.parse()?),
            Long("host") => options.address.set_ip(parser.value()?.parse::<IpAddr>()?),
            Long("cloud-url") => options.cloud_url = Some(parser.value()?.string()?),
            Long("generations") => {
                options.generations = parser.value()?.parse_with(|names| {
                    names
                        .split(',')
                        .map(Generation::from_str)
                        .collect::<Result<_, _>>()
                })?;
            }
            Long("sources-bearer") => options.sources_bearer = parser.value()?.parse()?,
            Long("workspace-creation-ms") => {
                options.workspace_creation_time = Duration::from_millis(parser.value()?.parse()?);
            }
            Long("quiet") => options.print_requests = false,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(options))
}
