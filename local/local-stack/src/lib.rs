//! What a developer's machine needs around the functions: API Gateway's part, an issuer, and what starts it all.
//!
//! - [`template`] reads the SAM template,
//! - [`gateway`] serves the HTTP API that it describes, as API Gateway would,
//! - [`issuer`] stands where an OpenID Connect provider stands in a deployment,
//! - [`demo`] serves the demo page,
//! - [`stack`] starts everything that `make dev` shows, and [`guard`] sees to it that nothing is left of it.
//!
//! All servers listen on loopback only and stop when they are dropped.

mod client;
pub mod demo;
pub mod gateway;
pub mod guard;
pub mod issuer;
mod server;
pub mod stack;
pub mod template;
