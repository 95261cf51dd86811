//! The harness of the end-to-end tests. It replaces what surrounds the functions in production: AWS and Airbyte.
//!
//! A [`Function`] is a process of the real binary, without the caller's environment, that polls a Lambda Runtime API of
//! the harness. It reads its secret with the real AWS SDK from moto, through a [`SecretsManager`] that logs requests and
//! injects failures, and calls the Airbyte simulator (`airbyte_sim::Airbyte`). A [`TestEnv`] holds these for one test.
//! Every port is chosen by the system, and everything stops when its owner is dropped, so that tests can run in parallel
//! and in any order.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the harness fails the test that uses it by panicking"
)]

mod binary;
mod browser;
mod cargo_lambda;
mod case;
mod chromedriver;
mod config;
mod event;
mod function;
mod gate;
mod generation;
mod http;
mod invoke_api;
mod listener;
mod moto;
mod npm;
mod response;
mod runtime_api;
mod secret;
mod secrets_manager;
mod site;
mod state_table;
mod test_env;
pub mod tls;
pub mod token;
mod wait;

pub use binary::Binary;
pub use browser::Browser;
pub use cargo_lambda::CargoLambda;
pub use case::{Case, case};
pub use config::Config;
pub use event::{Event, FAKER, POSTGRES, faker_source};
pub use function::{Exit, Failure, Function};
pub use gate::Gate;
pub use generation::{Generation, Names};
pub use npm::build_react_example;
pub use response::{FieldError, Problem, Response};
pub use secret::Secret;
pub use secrets_manager::{AwsRequest, SecretsManager};
pub use site::Site;
pub use state_table::StateTable;
pub use test_env::{TestEnv, requests};
pub use wait::eventually;
