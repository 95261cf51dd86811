//! `GET /api/v1/integrations/templates/sources/`, of the `embedded` generation.

use airbyte_sim::Generation;
use serde_json::json;

use crate::client::Request;
use crate::{FAKER, HELPDESK, POSTGRES, Session, airbyte};

const PATH: &str = "/api/v1/integrations/templates/sources/";

#[tokio::test]
async fn lists_templates_for_users_and_organization() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    for token in [alice.token.as_str(), "dev-organization-token"] {
        let reply = Request::get(PATH).bearer(token).send(&airbyte).await;

        assert_eq!(reply.status, 200);
        let data = reply.json()["data"].clone();
        let templates: Vec<_> = data
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (&one["id"], &one["name"]))
            .collect();
        assert_eq!(
            json!(templates),
            json!([[POSTGRES, "Postgres"], [FAKER, "Faker"]])
        );
    }
}

#[tokio::test]
async fn shows_specification_without_defaults() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    let reply = Request::get(&format!("{PATH}{POSTGRES}"))
        .bearer(&alice.token)
        .send(&airbyte)
        .await;

    assert_eq!(reply.status, 200);
    let specification = reply.json()["connection_specification"].clone();
    assert_eq!(
        specification["required"],
        json!(["host", "database", "username", "password"])
    );
    assert_eq!(
        specification["properties"]["password"]["airbyte_secret"],
        true
    );
    assert_eq!(specification["properties"]["port"], json!(null));
}

#[tokio::test]
async fn rejects_unknown_templates() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    for id in ["00000000-0000-4000-8000-000000000000", "postgres"] {
        let reply = Request::get(&format!("{PATH}{id}"))
            .bearer(&alice.token)
            .send(&airbyte)
            .await;

        assert_eq!(
            (reply.status, reply.json()),
            (404, json!({"detail": "Source template not found"}))
        );
    }
}

#[tokio::test]
async fn rejects_unknown_tokens() {
    let airbyte = airbyte().await;

    for path in [PATH.to_owned(), format!("{PATH}{POSTGRES}")] {
        let reply = Request::get(&path).bearer("guessed").send(&airbyte).await;

        assert_eq!(
            (reply.status, reply.json()),
            (401, json!({"detail": "Invalid or expired token"}))
        );
    }
}

#[tokio::test]
async fn hands_templates_of_generation_to_forms() {
    let airbyte = airbyte().await;
    airbyte.set_generations(&[]);
    let modes = |generation| -> Vec<_> {
        let templates = airbyte.source_templates(generation);
        templates
            .iter()
            .map(|template| template["mode"].as_str().unwrap().to_owned())
            .collect()
    };

    assert_eq!(modes(Generation::Embedded), ["REPLICATION", "REPLICATION"]);
    assert_eq!(
        modes(Generation::Agents),
        ["REPLICATION", "REPLICATION", "DIRECT"]
    );
    let helpdesk = &airbyte.source_templates(Generation::Agents)[2];
    assert_eq!(helpdesk["id"], HELPDESK);
    assert!(
        helpdesk["connection_specification"]["properties"]["credentials"].is_object(),
        "{helpdesk}"
    );
}
