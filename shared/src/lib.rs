//! What both functions share: the caller, the organization's credential, and the client for Airbyte.
//!
//! The modules form levels. A file imports from its own level or a lower one, and no imports form a circle;
//! `tests/levels.rs` holds both.
//!
//! | level | modules | contents |
//! | --- | --- | --- |
//! | 0 | [`field_error`], [`outcome`], [`json`], [`invocation`], [`http_client`] | what every module may use |
//! | 1 | [`aws`], [`request`] | AWS SDK plumbing; the caller, the origin and the body of a request |
//! | 2 | [`config`], [`airbyte`] | the environment's variables; the client for Airbyte, its tokens and its errors |
//! | 3 | [`credential`], [`state`] | the organization's credential; the state table: workspace lease, idempotency record |
//! | 4 | [`mint`] | a user-scoped token, from all of these |
//! | 5 | [`problem`], [`telemetry`] | errors as HTTP responses; log line and metrics |
//! | 6 | [`lambda`] | events in, responses out, panics |
//! | 7 | [`app`] | what `main` composes |

pub mod airbyte;
pub mod app;
pub mod aws;
pub mod config;
pub mod credential;
pub mod field_error;
pub mod http_client;
pub mod invocation;
pub mod json;
pub mod lambda;
pub mod mint;
pub mod outcome;
pub mod problem;
pub mod request;
pub mod state;
pub mod telemetry;
