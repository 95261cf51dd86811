//! The sources that were created.

use serde::Serialize;
use serde::ser::SerializeStruct;
use uuid::Uuid;

/// A source, as the stand-in keeps it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id.
    pub id: Uuid,
    /// Its name: the template's name and the source's id.
    pub name: String,
    /// The workspace that it is in.
    pub workspace_id: Uuid,
    /// The template that it was made from.
    pub source_config_template_id: Uuid,
    /// Whose scoped token created it (`act.sub` of the token).
    pub external_user_id: String,
    /// The connection configuration, byte for byte as it was received.
    pub connection_configuration: String,
    /// When it was created, in RFC 3339.
    pub created_at: String,
}

/// What Airbyte tells of a source: without its configuration, which holds secrets.
impl Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut source = serializer.serialize_struct("Source", 6)?;
        source.serialize_field("id", &self.id)?;
        source.serialize_field("name", &self.name)?;
        source.serialize_field("workspace_id", &self.workspace_id)?;
        source.serialize_field("source_config_template_id", &self.source_config_template_id)?;
        source.serialize_field("created_at", &self.created_at)?;
        source.serialize_field("updated_at", &self.created_at)?;
        source.end()
    }
}
