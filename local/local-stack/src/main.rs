//! `local-stack`: the program behind `make dev`. See the library for what it does.

#![expect(clippy::print_stderr, reason = "a program for a terminal")]

use std::fmt::Display;
use std::process::ExitCode;

use local_stack::stack::{self, StackError};
use local_stack::supervisor;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == supervisor::ARGUMENT => {
            match supervisor::run(arguments.collect()).await {
                Ok(code) => code,
                Err(error) => failed(&StackError::from(error.to_string())),
            }
        }
        Some(other) => failed(&StackError::new(
            format!("unexpected argument {}", other.display()),
            "run it without arguments",
        )),
        None => match stack::run().await {
            // A stack that was asked to stop has not failed.
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        },
    }
}

fn failed(error: &dyn Display) -> ExitCode {
    eprintln!("\n{error}");
    ExitCode::FAILURE
}
