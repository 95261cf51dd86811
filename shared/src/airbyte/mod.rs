//! Airbyte: the client for its API, its tokens, and its error responses.
//!
//! | file | contents |
//! | --- | --- |
//! | `client` | the calls |
//! | `embedded` | paths and bodies of the API |
//! | `error` | failed calls |
//! | `retry` | which failed calls are retried, and when |
//! | [`rejection`] | the body of an error response |
//! | [`redaction`] | removal of what was sent from the strings of an error response |
//! | [`token`] | the opaque token and the scoped token inside it |
//!
//! What a failed call means for a caller is decided in [`crate::problem`] and in the functions.

mod client;
mod embedded;
mod error;
pub mod redaction;
pub mod rejection;
mod retry;
pub mod token;

pub use client::{Airbyte, ApplicationToken};
pub use embedded::{ApplicationTokenRequest, CreateSourceRequest, WidgetTokenRequest};
pub use error::{AirbyteError, ErrorResponse};
