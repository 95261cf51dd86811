//! Evaluated resources, as the evaluator prints them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::diagnostic::Diagnostic;

/// The resources of the template by their logical IDs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Resources(BTreeMap<String, Resource>);

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    r#type: String,
    #[serde(default)]
    properties: Value,
    #[serde(default)]
    metadata: Value,
}

impl Resources {
    /// The logical IDs of a type.
    pub(crate) fn of_type(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(_, resource)| resource.r#type == kind)
            .map(|(id, _)| id.as_str())
    }

    /// The one resource of a type.
    pub(crate) fn only(&self, kind: &str) -> Result<&str, Diagnostic> {
        let mut ids = self.of_type(kind);
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => Err(Diagnostic::new(
                "Resources",
                format!("the template has no {kind}"),
            )),
            (Some(_), Some(second)) => Err(Diagnostic::new(
                format!("Resources.{second}"),
                format!("the local gateway serves one {kind}"),
            )),
        }
    }

    /// Whether there is a resource of this type and ID.
    pub(crate) fn has(&self, kind: &str, id: &str) -> bool {
        self.0
            .get(id)
            .is_some_and(|resource| resource.r#type == kind)
    }

    /// The properties of a resource.
    pub(crate) fn properties<T: DeserializeOwned>(&self, id: &str) -> Result<T, Diagnostic> {
        self.part(id, "Properties", |resource| &resource.properties)
    }

    /// The metadata of a resource.
    pub(crate) fn metadata<T: DeserializeOwned>(&self, id: &str) -> Result<T, Diagnostic> {
        self.part(id, "Metadata", |resource| &resource.metadata)
    }

    fn part<T: DeserializeOwned>(
        &self,
        id: &str,
        key: &str,
        part: fn(&Resource) -> &Value,
    ) -> Result<T, Diagnostic> {
        let nothing = Value::Object(serde_json::Map::new());
        let value = self.0.get(id).map(part).filter(|value| !value.is_null());
        serde_path_to_error::deserialize(value.unwrap_or(&nothing)).map_err(|error| {
            let path = match error.path().to_string().as_str() {
                "." => property(id, key),
                inner => format!("{}.{inner}", property(id, key)),
            };
            Diagnostic::new(path, error.into_inner().to_string())
        })
    }
}

/// The path of a resource's property, or of another part of it.
pub(crate) fn property(id: &str, key: &str) -> String {
    format!("Resources.{id}.{key}")
}

/// The resource and the attribute that a value of the form `${Resource}` or `${Resource.Attribute}` refers to.
pub(crate) fn reference(text: &str) -> Option<(&str, Option<&str>)> {
    let inner = text.strip_prefix("${")?.strip_suffix('}')?;
    if inner.contains(['{', '}']) {
        return None;
    }
    Some(match inner.split_once('.') {
        Some((id, attribute)) => (id, Some(attribute)),
        None => (inner, None),
    })
}

/// A scalar of the template. CloudFormation takes `"5"` for 5 and the other way round.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, a number or a boolean")]
enum Scalar {
    Text(String),
    Number(Number),
    Bool(bool),
}

impl Scalar {
    fn into_string(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Bool(flag) => flag.to_string(),
        }
    }
}

/// Deserializes a scalar as a string.
pub(crate) fn string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Scalar::deserialize(deserializer).map(Scalar::into_string)
}

/// Deserializes a map of scalars as strings.
pub(crate) fn strings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let scalars = BTreeMap::<String, Scalar>::deserialize(deserializer)?;
    Ok(scalars
        .into_iter()
        .map(|(name, scalar)| (name, scalar.into_string()))
        .collect())
}

/// Deserializes a scalar by parsing it; null is `None`.
pub(crate) fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let Some(scalar) = Option::<Scalar>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let text = scalar.into_string();
    text.parse()
        .map(Some)
        .map_err(|error| D::Error::custom(format!("invalid value {text:?}: {error}")))
}
