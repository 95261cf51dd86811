//! The workspaces of an organization's users.

use serde::Serialize;
use uuid::Uuid;

/// A workspace, as the simulator keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workspace {
    /// Its ID.
    pub id: Uuid,
    /// The organization that it belongs to.
    pub organization_id: Uuid,
    /// Its name: the external user ID that it was created for. Airbyte does not keep it unique.
    pub name: String,
    /// The region that the request which created it asked for.
    pub region_id: Option<Uuid>,
    /// When it was created, in RFC 3339.
    pub created_at: String,
}

/// The error for a user with several workspaces, of which Airbyte never recovers.
#[derive(Debug)]
pub(crate) struct DuplicateWorkspaces;
