//! The code that both functions use.
//!
//! The modules form levels. A file imports from its own level or a lower one, and imports form no cycles;
//! `tests/levels.rs` enforces both rules.
//!
//! | level | modules | contents |
//! | --- | --- | --- |
//! | 0 | [`field_error`], [`outcome`], [`json`], [`invocation`], [`http_client`] | field errors, outcomes, JSON, deadlines, HTTP |
//! | 1 | [`aws`], [`request`] | setup of AWS SDK clients; the caller, the origin and the body of a request |
//! | 2 | [`config`], [`airbyte`] | environment variables; the client for Airbyte, its tokens and its errors |
//! | 3 | [`credential`], [`state`] | the organization's credential; the state table: workspace lease, idempotency record |
//! | 4 | [`mint`] | the calls with the organization's credential |
//! | 5 | [`problem`], [`telemetry`] | errors as HTTP responses; log line and metrics |
//! | 6 | [`lambda`] | the Lambda runtime: events, responses, panics |
//! | 7 | [`app`] | initialization of a function |

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
