//! The local stack: the local API Gateway, the development issuer, and everything else that `make dev` starts.
//!
//! - [`gateway`] serves the template's HTTP API as API Gateway does,
//! - [`issuer`] replaces the OpenID Connect provider of a deployment,
//! - [`demo`] serves the demo page,
//! - [`stack`] starts everything, and [`supervisor`] stops the processes that it starts.
//!
//! All servers listen on loopback only and stop when they are dropped. The crate [`template`] reads the template.

mod client;
pub mod demo;
pub mod gateway;
pub mod issuer;
mod server;
pub mod stack;
pub mod supervisor;
