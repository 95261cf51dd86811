//! The source templates: a connector's specification, and the operator's values for some of its fields.

use jsonschema::Validator;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::generation::Generation;
use crate::validation::{FieldError, field_errors};

/// What Airbyte puts in place of a secret.
const MASK: &str = "**********";

/// When every template was created.
const CREATED_AT: &str = "2026-01-01T00:00:00Z";

/// A source template that users can create sources from.
pub(crate) struct Template {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// The connector's name, such as `postgres`.
    connector: String,
    /// The ID of the connector's definition.
    definition_id: Uuid,
    tags: Vec<String>,
    pub(crate) mode: Mode,
    defaults: Map<String, Value>,
    specification: Value,
    validator: Validator,
}

/// What a template's sources do, and thus which configuration they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Mode {
    /// Replication, with a configuration. The only mode that the `embedded` generation has.
    #[default]
    Replication,
    /// Direct access, with `credentials` and an `environment`.
    Direct,
}

/// A template's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: Uuid,
    name: String,
    connector: String,
    definition_id: Uuid,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    mode: Mode,
    /// The operator's values, for fields that users are not asked for.
    #[serde(default)]
    defaults: Map<String, Value>,
    /// The connector's specification, a JSON Schema. In mode `DIRECT` it is that of an object with `credentials` and
    /// `environment`.
    connection_specification: Value,
}

impl Template {
    /// Returns every template.
    pub(crate) fn all() -> Vec<Self> {
        [
            include_str!("../assets/templates/postgres.json"),
            include_str!("../assets/templates/faker.json"),
            include_str!("../assets/templates/helpdesk.json"),
        ]
        .map(Self::parse)
        .into()
    }

    #[expect(
        clippy::expect_used,
        reason = "the files are part of the program, and a test reads them all"
    )]
    fn parse(file: &str) -> Self {
        let file: File = serde_json::from_str(file).expect("a template");
        let validator =
            jsonschema::validator_for(&file.connection_specification).expect("a JSON Schema");
        Self {
            id: file.id,
            name: file.name,
            connector: file.connector,
            definition_id: file.definition_id,
            tags: file.tags,
            mode: file.mode,
            defaults: file.defaults,
            specification: file.connection_specification,
            validator,
        }
    }

    /// Whether this template is of the connector with this name, or with this definition.
    pub(crate) fn is_of(&self, connector: Option<&str>, definition_id: Option<Uuid>) -> bool {
        connector.is_some_and(|name| name.eq_ignore_ascii_case(&self.connector))
            || definition_id == Some(self.definition_id)
    }

    /// Whether it has the tags: all of them, or any. No tags at all select every template.
    pub(crate) fn is_selected(&self, tags: &[String], all: bool) -> bool {
        let has = |tag: &String| self.tags.contains(tag);
        tags.is_empty()
            || if all {
                tags.iter().all(has)
            } else {
                tags.iter().any(has)
            }
    }

    /// Returns the template as the `embedded` generation describes it.
    pub(crate) fn embedded(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "connection_specification": self.user_specification(),
        })
    }

    /// Returns what a form needs to know of the template: `id`, `name`, `mode`, and the specification of the fields that
    /// users fill in.
    pub(crate) fn form(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "mode": self.mode,
            "connection_specification": self.user_specification(),
        })
    }

    /// Whether the generation has templates of this mode.
    pub(crate) fn is_in(&self, generation: Generation) -> bool {
        generation == Generation::Agents || self.mode == Mode::Replication
    }

    /// Returns the template as an item of the `agents` generation's list.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "icon": null,
            "connector_name": self.connector,
            "organization_id": null,
            "actor_definition_id": self.definition_id,
            "tags": self.tags,
            "customization": null,
            "mode": self.mode,
            "runtime_mode": null,
            "supports_context_store": false,
            "created_at": CREATED_AT,
            "updated_at": CREATED_AT,
        })
    }

    /// Returns the template as the `agents` generation describes it in detail.
    pub(crate) fn details(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "icon": null,
            "source_definition_id": self.definition_id,
            "user_config_spec": {
                "documentationUrl": null,
                "connectionSpecification": self.user_specification(),
            },
            "partial_default_config": self.defaults,
            "customization": null,
            "tags": self.tags,
            "mode": self.mode,
            "is_experimental": false,
            "runtime_mode": null,
            "supports_context_store": false,
            "created_at": CREATED_AT,
            "updated_at": CREATED_AT,
        })
    }

    /// Returns the specification without the fields that have a default.
    fn user_specification(&self) -> Value {
        let mut specification = self.specification.clone();
        if let Some(properties) = specification["properties"].as_object_mut() {
            properties.retain(|name, _| !self.defaults.contains_key(name));
        }
        if let Some(required) = specification["required"].as_array_mut() {
            required.retain(|name| {
                !name
                    .as_str()
                    .is_some_and(|name| self.defaults.contains_key(name))
            });
        }
        specification
    }

    /// Returns what is wrong with a configuration at `path` in the request, after adding the defaults.
    pub(crate) fn validate(
        &self,
        configuration: Map<String, Value>,
        path: &[&str],
    ) -> Vec<FieldError> {
        let mut whole = self.defaults.clone();
        whole.extend(configuration);
        field_errors(&self.validator, &Value::Object(whole), path)
    }

    /// Returns a configuration with its secrets masked, as Airbyte shows it.
    pub(crate) fn masked(&self, mut configuration: Map<String, Value>) -> Map<String, Value> {
        for (name, value) in &mut configuration {
            if self.specification["properties"][name]["airbyte_secret"] == true {
                *value = MASK.into();
            }
        }
        configuration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(name: &str) -> Template {
        Template::all()
            .into_iter()
            .find(|template| template.name == name)
            .unwrap()
    }

    fn validate(template: &str, configuration: &Value) -> Vec<FieldError> {
        super::tests::template(template).validate(configuration.as_object().unwrap().clone(), &[])
    }

    #[test]
    fn hides_fields_with_defaults() {
        let specification = template("Postgres").user_specification();

        assert_eq!(
            specification["required"],
            json!(["host", "database", "username", "password"])
        );
        let names: Vec<_> = specification["properties"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(names, ["database", "host", "password", "username"]);
    }

    #[test]
    fn defaults_complete_configurations() {
        assert_eq!(validate("Faker", &json!({"count": 1})), []);
        assert_eq!(
            validate(
                "Postgres",
                &json!({"host": "db", "database": "d", "username": "u", "password": "p"})
            ),
            []
        );
    }

    #[test]
    fn validates_overridden_defaults() {
        assert_eq!(validate("Faker", &json!({"count": 1, "seed": 7})), []);
        assert_eq!(
            validate("Faker", &json!({"count": 1, "seed": "x"})).len(),
            1
        );
    }

    #[test]
    fn reports_all_field_errors() {
        let configuration = json!({"host": "", "port": "x", "ssl_mode": "none"});

        assert_eq!(validate("Postgres", &configuration).len(), 6);
    }

    #[test]
    fn direct_mode_requires_credentials() {
        assert_eq!(
            validate(
                "Helpdesk",
                &json!({"credentials": {"api_token": "t"}, "environment": {}})
            ),
            []
        );
        assert_eq!(
            validate("Helpdesk", &json!({"credentials": {}, "environment": {}})).len(),
            1
        );
    }

    #[test]
    fn masks_secrets() {
        let configuration = json!({"host": "db", "password": "hunter2"});

        assert_eq!(
            Value::Object(template("Postgres").masked(configuration.as_object().unwrap().clone())),
            json!({"host": "db", "password": "**********"})
        );
    }

    #[test]
    fn selects_by_tags() {
        let postgres = template("Postgres");
        let tags = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();

        for (names, all, selected) in [
            (&[][..], true, true),
            (&["database"], true, true),
            (&["database", "crm"], true, false),
            (&["database", "crm"], false, true),
            (&["crm"], false, false),
        ] {
            assert_eq!(
                postgres.is_selected(&tags(names), all),
                selected,
                "{names:?}, {all}"
            );
        }
    }
}
