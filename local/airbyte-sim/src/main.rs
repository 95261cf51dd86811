//! `airbyte-sim`: a stand-in for Airbyte Embedded, run by hand or by the local stack.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

use std::net::IpAddr;
use std::process::ExitCode;

use airbyte_sim::{Airbyte, Options};
use lexopt::prelude::*;

const USAGE: &str = "\
A stand-in for Airbyte Embedded, for development and tests.

Usage: airbyte-sim [OPTIONS]

Options:
  --port PORT       The port to listen on; 0 for any free port [default: 3002]
  --host ADDRESS    The loopback address to listen on [default: 127.0.0.1]
  --cloud-url URL   The base of the widget's address [default: the stand-in's own]
  --quiet           Print no line per request
  --help            Print this
";

#[tokio::main]
async fn main() -> ExitCode {
    let options = match arguments() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("airbyte-sim: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let address = options.address;
    let airbyte = match Airbyte::start(options).await {
        Ok(airbyte) => airbyte,
        Err(error) => {
            eprintln!("airbyte-sim: cannot listen on {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("listening on {}", airbyte.url());
    match tokio::signal::ctrl_c().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airbyte-sim: cannot wait for Ctrl-C: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for; `None` if it asks for help.
fn arguments() -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        print_requests: true,
        ..Options::default()
    };
    options.address.set_port(3002);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") => options.address.set_port(parser.value()?.parse()?),
            Long("host") => options.address.set_ip(parser.value()?.parse::<IpAddr>()?),
            Long("cloud-url") => options.cloud_url = Some(parser.value()?.string()?),
            Long("quiet") => options.print_requests = false,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(options))
}
