//! The organization's Airbyte credential: where it is stored, how it is cached and rotated, and when it is rejected.
//!
//! | file | contents |
//! | --- | --- |
//! | `store` | the cache, and the calls that carry the organization's token |
//! | `secret` | the formats of the secret's value |
//! | `lifetime` | the expiry of an application's token, and the time of its replacement |
//! | `backoff` | the backoff after rejections |
//! | [`secrets_manager`] | the client for AWS Secrets Manager |
//!
//! [`mint`](crate::mint) makes the calls. [`crate::problem`] maps the errors to the caller's response.

mod backoff;
mod lifetime;
mod secret;
pub mod secrets_manager;
mod store;

pub use secret::Credential;
pub use store::{CredentialError, CredentialStore, Denial};
