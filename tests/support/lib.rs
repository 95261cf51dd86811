//! The harness of the end-to-end tests: everything around the two functions that AWS and Airbyte are in production.
//!
//! A [`Function`] is the real binary as a process, with nothing of the caller's environment, polling a Lambda Runtime
//! API that the harness serves. It reads its secret through the real AWS SDK from moto, by way of a [`SecretsManager`]
//! that logs requests and injects failures, and it calls the Airbyte simulator (`airbyte_sim::Airbyte`).
//! [`World`] ties these together for one test. Every port is picked by the system and everything ends with its owner,
//! so that tests run side by side in any order.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness reports by panicking in the test that uses it"
)]

mod answer;
mod binary;
mod browser;
mod cargo_lambda;
mod chromedriver;
mod environment;
mod event;
mod function;
mod gate;
mod http;
mod invoke_api;
mod moto;
mod runtime_api;
mod secret;
mod secrets_manager;
mod site;
pub mod tls;
pub mod token;
mod wait;
mod world;

pub use answer::{Answer, FieldError, Problem};
pub use binary::Binary;
pub use browser::Browser;
pub use cargo_lambda::CargoLambda;
pub use environment::Environment;
pub use event::{Event, FAKER, POSTGRES, faker_source};
pub use function::{Exit, Failure, Function};
pub use gate::Gate;
pub use secret::Secret;
pub use secrets_manager::{Call, SecretsManager};
pub use site::Site;
pub use wait::eventually;
pub use world::World;
