//! Load on `POST /token`, sent by wrk.

use std::io::{self, ErrorKind, Write};
use std::process::Command;
use std::time::Duration;

use super::Phase;
use super::stack::Stack;
use crate::Result;

const USERS: usize = 50;
const CONNECTIONS: u32 = 16;
const SECONDS: u32 = 10;

/// Relative to the repository's root, in which `make load` runs.
const SCRIPT: &str = "bench/tokens.lua";

/// Fails if wrk is not installed.
pub(super) fn check_for_wrk() -> Result<()> {
    // The exit code is ignored, because `wrk --version` fails.
    Command::new("wrk")
        .arg("--version")
        .output()
        .map_err(|error| cannot_run(&error))?;
    Ok(())
}

fn cannot_run(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "wrk is not installed\nhelp: on Debian, run apt-get install wrk".to_owned()
        }
        _ => format!("failed to run wrk: {error}"),
    }
}

/// Runs wrk, and fails if any request failed.
pub(super) fn run(stack: &Stack) -> Result<Phase> {
    let mut tokens = tempfile::NamedTempFile::new()?;
    for user in 0..USERS {
        writeln!(tokens, "{}", stack.sign_in(&format!("load-{user}"))?)?;
    }
    tokens.flush()?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "35s", "--script", SCRIPT])
        .args(["--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{SECONDS}s")])
        .arg(format!("{}/token", stack.api()))
        .arg("--")
        .arg(tokens.path())
        .output()
        .map_err(|error| cannot_run(&error))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let invalid_output = || {
        format!(
            "wrk printed no figures:\n{stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let figures = stdout
        .lines()
        .find_map(|line| line.strip_prefix("figures "))
        .ok_or_else(invalid_output)?;
    let figures: Vec<u64> = figures
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [
        requests,
        micros,
        p50,
        p99,
        max,
        error_statuses,
        socket_errors,
    ] = figures[..]
    else {
        return Err(invalid_output().into());
    };
    if requests == 0 || error_statuses + socket_errors > 0 {
        return Err(format!(
            "of {requests} requests to POST /token, {error_statuses} got an error status and {socket_errors} no response"
        )
        .into());
    }
    Ok(Phase {
        name: "POST /token",
        requests: u32::try_from(requests)?,
        duration: Duration::from_micros(micros),
        latency: [p50, p99, max].map(Duration::from_micros),
    })
}
