//! A source to create. Fields have their names in `POST /sources`.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::request::caller::ExternalUserId;

/// A source to create. No `Debug`, because its contents are secret.
///
/// The objects are the caller's JSON verbatim, because numbers would change if they were parsed and serialized.
#[derive(Clone, Copy)]
pub struct NewSource<'a> {
    /// The verified user that the source is for.
    pub user: &'a ExternalUserId,
    /// The user's workspace.
    pub workspace_id: Uuid,
    /// `source_config_template_id`.
    pub template_id: Uuid,
    /// `connection_configuration`.
    pub configuration: Option<&'a RawValue>,
    /// `credentials`.
    pub credentials: Option<&'a RawValue>,
    /// `environment`.
    pub environment: Option<&'a RawValue>,
    /// `name`.
    pub name: Option<&'a str>,
}
