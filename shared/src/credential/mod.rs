//! The organization's Airbyte credential: read from Secrets Manager, cached, exchanged and rotated.

pub mod secrets_manager;
pub mod store;

pub use store::{CredentialError, CredentialStore, OrganizationToken, describe};
