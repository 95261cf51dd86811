//! What both functions need: who calls, from which origin, with which organization credential, and how to talk to
//! Airbyte about it.
//!
//! A request goes through the modules in this order:
//!
//! 1. [`respond`] takes the Lambda event, hands it to the function's handler and turns whatever comes back, a panic
//!    included, into an HTTP answer and one log line ([`telemetry`]).
//! 2. [`event`] is the API Gateway event, [`caller`] and [`origin`] decide who asks and for which page, and [`body`]
//!    reads the JSON body, collecting every fault in it.
//! 3. [`mint`] gets a user-scoped token: [`organization`] holds the credential, [`airbyte`] makes the calls, [`token`]
//!    decodes what came.
//! 4. [`problem`] says how each error looks from outside.

pub mod airbyte;
pub mod body;
pub mod caller;
pub mod config;
pub mod event;
pub mod http_client;
pub mod invocation;
pub mod json;
pub mod mint;
pub mod organization;
pub mod origin;
pub mod problem;
pub mod respond;
pub mod secrets_manager;
pub mod start;
pub mod telemetry;
pub mod token;
