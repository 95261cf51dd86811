//! The gateway over HTTP, in front of functions that the tests stand in for.

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
