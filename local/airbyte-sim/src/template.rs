//! The source templates: a connector's specification, and the values that the operator chose for some of its fields.

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::validation::{FieldError, field_errors};

/// A source template that users can make sources from.
pub(crate) struct Template {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    defaults: Map<String, Value>,
    specification: Value,
    validator: Validator,
}

/// A template as its file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: Uuid,
    name: String,
    /// The operator's values, for fields that users are not asked for.
    defaults: Map<String, Value>,
    /// The connector's whole specification, a JSON Schema.
    connection_specification: Value,
}

impl Template {
    /// Every template there is.
    pub(crate) fn all() -> Vec<Self> {
        [
            include_str!("../assets/templates/postgres.json"),
            include_str!("../assets/templates/faker.json"),
        ]
        .map(Self::parse)
        .into()
    }

    #[expect(
        clippy::expect_used,
        reason = "the files are part of the program, and a test reads them all"
    )]
    fn parse(file: &str) -> Self {
        let File {
            id,
            name,
            defaults,
            connection_specification: specification,
        } = serde_json::from_str(file).expect("a template");
        let validator = jsonschema::validator_for(&specification).expect("a JSON Schema");
        Self {
            id,
            name,
            defaults,
            specification,
            validator,
        }
    }

    /// What Airbyte tells of the template: the fields with a default are left out of the specification.
    pub(crate) fn description(&self) -> Value {
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
        json!({"id": self.id, "name": self.name, "connection_specification": specification})
    }

    /// What is wrong with a connection configuration, once the defaults have filled in what it leaves out.
    pub(crate) fn check(&self, configuration: Map<String, Value>) -> Vec<FieldError> {
        let mut whole = self.defaults.clone();
        whole.extend(configuration);
        field_errors(
            &self.validator,
            &Value::Object(whole),
            &["body", "connection_configuration"],
        )
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

    fn check(template: &str, configuration: &Value) -> Vec<FieldError> {
        super::tests::template(template).check(configuration.as_object().unwrap().clone())
    }

    #[test]
    fn users_are_not_asked_for_what_has_a_default() {
        let description = template("Postgres").description();
        let specification = &description["connection_specification"];

        assert_eq!(
            specification["required"],
            json!(["host", "database", "username", "password"])
        );
        let asked_for: Vec<_> = specification["properties"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(asked_for, ["database", "host", "password", "username"]);
    }

    #[test]
    fn defaults_fill_in_what_is_left_out() {
        assert_eq!(check("Faker", &json!({"count": 1})), []);
        assert_eq!(
            check(
                "Postgres",
                &json!({"host": "db", "database": "d", "username": "u", "password": "p"})
            ),
            []
        );
    }

    #[test]
    fn a_default_can_be_overridden_but_not_broken() {
        assert_eq!(check("Faker", &json!({"count": 1, "seed": 7})), []);
        assert_eq!(check("Faker", &json!({"count": 1, "seed": "x"})).len(), 1);
    }

    #[test]
    fn every_fault_is_found() {
        assert_eq!(
            check(
                "Postgres",
                &json!({"host": "", "port": "x", "ssl_mode": "none"})
            )
            .len(),
            6
        );
    }
}
