//! Airbyte: the client for its API, its tokens, and its error responses.
//!
//! | file | contents |
//! | --- | --- |
//! | `client` | the calls |
//! | `api` | the generations of the API behind one type |
//! | `embedded`, `agents` | one generation each: paths, bodies and field names |
//! | `source` | a source to create |
//! | `error` | failed calls |
//! | `retry` | the retry policy |
//! | [`rejection`] | the body of an error response |
//! | `redaction` | removal of what was sent from the strings of an error response |
//! | [`token`] | the opaque token, and the scoped token inside it |
//!
//! [`crate::problem`] and the functions map a failed call to the caller's response.

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
