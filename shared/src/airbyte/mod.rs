//! Airbyte: the client for its API, its tokens, and its error responses.

pub mod client;
pub mod token;
pub mod wire;

pub use client::{Airbyte, AirbyteError, ErrorResponse};
