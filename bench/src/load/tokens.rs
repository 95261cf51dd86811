//! A flood of `POST /token`, by wrk.

use std::io::{self, ErrorKind, Write};
use std::process::Command;
use std::time::Duration;

use super::Run;
use super::stack::Stack;
use crate::Result;

const USERS: usize = 50;
const CONNECTIONS: u32 = 16;
const SECONDS: u32 = 10;

/// Below the project's folder, in which `make load` runs.
const SCRIPT: &str = "bench/tokens.lua";

/// Fails if there is no wrk.
pub(super) fn check_for_wrk() -> Result<()> {
    // Its exit code says nothing: it tells its version and fails.
    Command::new("wrk")
        .arg("--version")
        .output()
        .map_err(|error| cannot_run(&error))?;
    Ok(())
}

fn cannot_run(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "wrk is missing; on Debian: apt-get install wrk".to_owned(),
        _ => format!("wrk: {error}"),
    }
}

/// Runs wrk, and fails if any request was not answered with success.
pub(super) fn run(stack: &Stack) -> Result<Run> {
    let mut tokens = tempfile::NamedTempFile::new()?;
    for user in 0..USERS {
        writeln!(tokens, "{}", stack.sign_in(&format!("flood-{user}"))?)?;
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
    let said = String::from_utf8_lossy(&output.stdout);
    let unreadable = || {
        format!(
            "wrk said:\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let figures = said
        .lines()
        .find_map(|line| line.strip_prefix("figures "))
        .ok_or_else(unreadable)?;
    let figures: Vec<u64> = figures
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [requests, micros, p50, p99, max, refused, unanswered] = figures[..] else {
        return Err(unreadable().into());
    };
    if requests == 0 || refused + unanswered > 0 {
        return Err(format!(
            "of {requests} requests for tokens, {refused} were refused and {unanswered} not answered"
        )
        .into());
    }
    Ok(Run {
        name: "POST /token",
        requests: u32::try_from(requests)?,
        took: Duration::from_micros(micros),
        latency: [p50, p99, max].map(Duration::from_micros),
    })
}
