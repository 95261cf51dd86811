//! The gateway over HTTP, with fake functions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod authorizer;
mod cors;
mod functions;
mod limits;
mod support;
