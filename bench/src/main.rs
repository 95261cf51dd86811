//! Measures the functions as they are deployed: release builds, each a process behind a Lambda Runtime API, with Secrets
//! Manager and Airbyte on loopback.
//!
//! - `bench` starts and invokes them beside a function that does nothing, and prints a table. What is not in it: TLS and
//!   the network (the upstreams answer at once, in plain HTTP), and Lambda's own part of a cold start. `BENCH_ROUNDS` and
//!   `BENCH_WARM` set how many cold starts there are of each, and how many invocations in a warm run.
//! - `bench leak` invokes each 20,000 times for 5,000 users and fails if memory or open files grow.
//! - `bench load` floods the whole local stack, makes the Airbyte simulator fail for a part of the time, and fails if any
//!   source is lost, doubled, or in another user's workspace.
//!
//! The programs are looked for beside this one. `make bench`, `make leak` and `make load` build them first.

mod compare;
mod function;
mod http;
mod leak;
mod load;
mod machine;
mod process;
mod runtime_api;
mod subject;
mod table;
mod upstreams;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use compare::Extent;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where that fails as well, the exit code is left to tell.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let program = std::env::current_exe()?;
    let programs = program.parent().ok_or("this program is in no folder")?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare::run(
            programs,
            &Extent {
                rounds: number("BENCH_ROUNDS", 15)?,
                warm: number("BENCH_WARM", 2_000)?,
            },
        ),
        ["leak"] => leak::run(programs),
        ["load"] => load::run(programs),
        _ => Err("usage: bench [leak|load]".into()),
    }
}

/// An environment variable that is a number from 1 on.
fn number(variable: &str, default: u32) -> Result<u32> {
    match std::env::var(variable) {
        Err(_) => Ok(default),
        Ok(value) => match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{variable}={value} is not a number from 1 on").into()),
        },
    }
}

/// Of durations in order; zero if there are none.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}

fn print(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}
