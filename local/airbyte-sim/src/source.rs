//! The sources that were created.

use serde::Serialize;
use uuid::Uuid;

/// A source, as the simulator keeps it.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// Its ID.
    pub id: Uuid,
    /// Its name: the one that the request gave, else the template's name and the source's ID.
    pub name: String,
    /// The workspace that it is in.
    pub workspace_id: Uuid,
    /// The template that it was created from.
    pub source_config_template_id: Uuid,
    /// The user whose workspace it is in: `act.sub` of a scoped token, else the workspace's name.
    pub external_user_id: String,
    /// The configuration (`connection_configuration` or `replication_config`) byte for byte as it was received; empty
    /// if the request had none.
    pub connection_configuration: String,
    /// `credentials`, byte for byte as they were received.
    pub credentials: Option<String>,
    /// `environment`, byte for byte as it was received.
    pub environment: Option<String>,
    /// When it was created, in RFC 3339.
    pub created_at: String,
}
