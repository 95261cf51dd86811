//! Airbyte: the client for its API, its tokens, and its error responses.
//!
//! | file | contents |
//! | --- | --- |
//! | `client` | the calls |
//! | `api` | the generation of the API; nothing else depends on which it is |
//! | `embedded`, `agents` | paths, bodies and names of one generation each |
//! | `source` | a source to create |
//! | `error` | failed calls |
//! | `retry` | which failed calls are retried, and when |
//! | [`rejection`] | the body of an error response |
//! | `redaction` | removal of what was sent from the strings of an error response |
//! | [`token`] | the opaque token, and the scoped token inside it |
//!
//! What a failed call means for a caller is decided in [`crate::problem`] and in the functions.

mod agents;
mod api;
mod client;
mod embedded;
mod error;
mod redaction;
pub mod rejection;
mod retry;
mod source;
pub mod token;

pub use agents::{Agents, SourcesBearer, TagsMode, TemplateTags};
pub use api::Api;
pub use client::{Airbyte, ApplicationToken, endpoint};
pub use error::{AirbyteError, ErrorResponse};
pub use source::NewSource;
