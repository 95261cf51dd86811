//! Benchmarks of the functions as they are deployed: release builds, each a process behind a Lambda Runtime API, with
//! fakes of Secrets Manager and Airbyte on loopback.
//!
//! - `bench` starts and invokes them next to a function that does nothing, prints a table, and writes a chart of it to
//!   `bench.svg` in the target directory. Not measured: TLS and the network (the fakes respond immediately, over plain
//!   HTTP), and Lambda's own part of a cold start. `BENCH_ROUNDS` is the number of cold starts of each program,
//!   `BENCH_WARM` the number of invocations in a warm run. With `BENCH_STATE_TABLE=1`, the functions have a state table;
//!   `BENCH_AGENTS=1` adds columns for `AIRBYTE_API=agents`.
//! - `bench leak` invokes each function 20,000 times for 5,000 users, and fails if memory or open files grow.
//! - `bench load` floods the whole local stack, makes the Airbyte simulator fail for a part of the time, and fails if any
//!   source is lost, duplicated, or in another user's workspace.
//! - `bench load denied-user` calls the functions for a user whom Airbyte denies a token, and fails if any other user notices.
//!   `BENCH_AGENTS=1` selects `AIRBYTE_API=agents`.
//!
//! The programs are expected in this program's directory. `make bench`, `make leak` and `make load` build them first.

mod chart;
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

use compare::SampleSizes;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, the exit code still reports the failure.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let program = std::env::current_exe()?;
    let programs = program
        .parent()
        .ok_or("the path of this program has no parent directory")?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare::run(
            programs,
            &SampleSizes {
                cold_starts: positive_number("BENCH_ROUNDS", 15)?,
                warm_invocations: positive_number("BENCH_WARM", 2_000)?,
            },
        ),
        ["leak"] => leak::run(programs),
        ["load"] => load::run(programs),
        ["load", "denied-user"] => load::denied_user::run(programs),
        _ => Err("usage: bench [leak|load [denied-user]]".into()),
    }
}

/// Returns the value of an environment variable that must be a positive integer, or the default if it is not set.
fn positive_number(variable: &str, default: u32) -> Result<u32> {
    match std::env::var(variable) {
        Err(_) => Ok(default),
        Ok(value) => match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{variable} must be a positive integer, not `{value}`").into()),
        },
    }
}

/// Returns a percentile of sorted durations; zero if there are none.
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
