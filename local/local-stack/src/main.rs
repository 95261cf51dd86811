//! `local-stack`: what `make dev` runs. See the library for what it does.

#![expect(clippy::print_stderr, reason = "a program for a terminal")]

use std::process::ExitCode;

use local_stack::guard;
use local_stack::stack::{self, Settings};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == guard::ARGUMENT => match guard::run(arguments.collect()).await {
            Ok(code) => code,
            Err(error) => failed(&error.to_string()),
        },
        Some(other) => failed(&format!(
            "{} is not known here; run it without arguments",
            other.display()
        )),
        None => match run().await {
            // A stack that was asked to end has not failed.
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => failed(&problem),
        },
    }
}

async fn run() -> Result<(), String> {
    let settings = Settings::from_env().map_err(|error| error.to_string())?;
    stack::run(&settings).await
}

fn failed(problem: &str) -> ExitCode {
    eprintln!("\n{problem}");
    ExitCode::FAILURE
}
