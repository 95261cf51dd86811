//! The state table, in DynamoDB: the state that all instances of both functions share, so that no workspace and no source is
//! created twice.
//!
//! | file | contents |
//! | --- | --- |
//! | [`table`] | the client for DynamoDB, and the format of the items |
//! | [`lease`] | the workspace lease: one first mint per user at a time |
//! | [`idempotency`] | the record of an `Idempotency-Key`: one source per key |
//!
//! An item's key is a hash of its purpose, the organization, the user and, if any, the idempotency key. An item contains
//! hashes, states, times, and the IDs of a created source and its workspace: no user ID, no configuration, no token.

pub mod idempotency;
pub mod lease;
pub mod table;

pub use table::{StateError, StateTable};
