//! End-to-end tests of the two functions: real processes behind a Lambda Runtime API, with the real AWS SDK against moto,
//! and the Airbyte simulator. One file per behavior.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod agents;
mod browser;
mod callers;
mod cargo_lambda;
mod create_source;
mod credential;
mod description;
mod errors;
mod faults;
mod hostile;
mod idempotency;
mod logs;
#[cfg(target_os = "linux")] // reads /proc
mod memory;
mod mint_token;
mod origins;
mod panics;
mod rejections;
mod retries;
mod scoped_tokens;
mod secrecy;
mod startup;
mod supply_chain;
mod table_faults;
mod validation;
mod workspace_lease;
