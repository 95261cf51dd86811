//! `/api/v1/integrations/connectors` and the templates, of the `agents` generation.

use airbyte_sim::{Airbyte, Generation, SourcesBearer};
use serde_json::{Value, json};

use crate::client::{Reply, Request};
use crate::{
    FAKER, HELPDESK, ORGANIZATION, POSTGRES, Session, agents_errors, agents_post, airbyte,
};

const PATH: &str = "/api/v1/integrations/connectors";
const TEMPLATES: &str = "/api/v1/integrations/templates/sources";

/// A request to create a source for alice from the "Faker" template.
fn faker() -> Value {
    json!({"workspace_name": "alice", "source_template_id": FAKER, "replication_config": {"count": 1}})
}

fn create(token: &str, body: &Value) -> Request {
    Request::post(PATH).bearer(token).json(body)
}

fn get(path: &str) -> Request {
    Request::get(path)
        .bearer("dev-organization-token")
        .header("x-organization-id", ORGANIZATION)
}

fn names(reply: &Reply) -> Vec<String> {
    let body = reply.json();
    let data = body["data"].as_array().unwrap().iter();
    data.map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn with_alice() -> (Airbyte, Session) {
    let airbyte = airbyte().await;
    let alice = Session::of_agents(&airbyte, "alice").await;
    (airbyte, alice)
}

#[tokio::test]
async fn creates_source_with_either_bearer() {
    let (airbyte, alice) = with_alice().await;

    for request in [
        create(&alice.token, &faker()),
        agents_post(PATH).json(&faker()),
    ] {
        let reply = request.send(&airbyte).await;

        assert_eq!(reply.status, 200, "{reply:?}");
        let source = airbyte.sources().pop().unwrap();
        assert_eq!(source.workspace_id.to_string(), alice.workspace);
        assert_eq!(source.external_user_id, "alice");
        let body = reply.json();
        assert_eq!(body["id"], json!(source.id));
        assert_eq!(body["name"], format!("Faker - {}", source.id));
        assert_eq!(body["source_template"]["id"], FAKER);
        assert_eq!(body["replication_config"], json!({"count": 1}));
    }
    assert_eq!(airbyte.sources().len(), 2);
}

#[tokio::test]
async fn sources_bearer_restricts_tokens() {
    let (airbyte, alice) = with_alice().await;
    let statuses = async || {
        [
            create(&alice.token, &faker()).status(&airbyte).await,
            agents_post(PATH).json(&faker()).status(&airbyte).await,
        ]
    };

    for (bearer, expected) in [
        (SourcesBearer::Any, [200, 200]),
        (SourcesBearer::Scoped, [200, 403]),
        (SourcesBearer::Organization, [403, 200]),
    ] {
        airbyte.set_sources_bearer(bearer);

        assert_eq!(statuses().await, expected, "{bearer:?}");
    }
}

#[tokio::test]
async fn keeps_configuration_credentials_and_environment_verbatim() {
    let (airbyte, alice) = with_alice().await;
    let body = format!(
        r#"{{"workspace_name": "alice", "source_template_id": "{HELPDESK}", "name": "Tickets",
            "credentials": {{ "api_token":  "\u00e4" }}, "environment": {{"size": 1.0e2}},
            "replication_config": {{"big": 123456789012345678901234567890}}}}"#
    );

    let reply = Request::post(PATH)
        .bearer(&alice.token)
        .header("content-type", "application/json")
        .body(body)
        .send(&airbyte)
        .await;

    assert_eq!(
        (reply.status, &reply.json()["name"]),
        (200, &json!("Tickets"))
    );
    let source = airbyte.sources().pop().unwrap();
    assert_eq!(
        source.credentials.as_deref(),
        Some(r#"{ "api_token":  "\u00e4" }"#)
    );
    assert_eq!(source.environment.as_deref(), Some(r#"{"size": 1.0e2}"#));
    assert_eq!(
        source.connection_configuration,
        r#"{"big": 123456789012345678901234567890}"#
    );
}

#[tokio::test]
async fn masks_secrets_in_responses() {
    let (airbyte, alice) = with_alice().await;
    let configuration =
        json!({"host": "db", "database": "d", "username": "u", "password": "hunter2"});

    let reply = create(
        &alice.token,
        &json!({"workspace_name": "alice", "source_template_id": POSTGRES, "replication_config": configuration}),
    )
    .send(&airbyte)
    .await;

    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["replication_config"]["password"], "**********");
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let shown = get(&format!("{PATH}/{id}")).send(&airbyte).await;
    assert_eq!(shown.json(), reply.json());
}

#[tokio::test]
async fn finds_template_by_connector_and_definition() {
    let (airbyte, alice) = with_alice().await;
    let template = |name: &str, value: &str| json!({"workspace_name": "alice", name: value, "replication_config": {"count": 1}});

    for body in [
        template("connector_type", "Faker"),
        template("definition_id", "dfd88b22-b603-4c3d-aad7-3701784586b1"),
    ] {
        let reply = create(&alice.token, &body).send(&airbyte).await;

        assert_eq!(reply.json()["source_template"]["id"], FAKER, "{body}");
    }
    let reply = create(&alice.token, &template("connector_type", "unknown"))
        .send(&airbyte)
        .await;
    assert_eq!(
        (reply.status, reply.json()),
        (
            404,
            json!({"message": "Source template not found", "errors": []})
        )
    );
}

#[tokio::test]
async fn rejects_unknown_workspaces() {
    let airbyte = airbyte().await;

    let reply = agents_post(PATH).json(&faker()).send(&airbyte).await;

    assert_eq!(
        (reply.status, reply.json()),
        (404, json!({"message": "Workspace not found", "errors": []}))
    );
}

#[tokio::test]
async fn scoped_token_is_confined_to_its_workspace() {
    let (airbyte, alice) = with_alice().await;
    Session::of_agents(&airbyte, "bob").await;
    let mut body = faker();
    body["workspace_name"] = "bob".into();

    let reply = create(&alice.token, &body).send(&airbyte).await;

    assert_eq!(
        (reply.status, reply.json()),
        (
            403,
            json!({"message": "The token is not valid for this workspace", "errors": []})
        )
    );
    assert!(airbyte.sources().is_empty());
}

#[tokio::test]
async fn rejects_bodies_without_configuration() {
    let (airbyte, alice) = with_alice().await;
    let body = json!({"workspace_name": "alice", "replication_config": null});

    let reply = create(&alice.token, &body).send(&airbyte).await;

    assert_eq!(reply.status, 422);
    assert_eq!(
        reply.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (
                error["field"].as_str().unwrap(),
                error["message"].as_str().unwrap()
            ))
            .collect::<Vec<_>>(),
        [
            (
                "body",
                "Value error, provide source_template_id, definition_id or connector_type"
            ),
            (
                "body",
                "Value error, provide replication_config, credentials or server_side_oauth_secret_id"
            ),
        ]
    );
}

#[tokio::test]
async fn reports_field_errors_with_dotted_locations() {
    let (airbyte, alice) = with_alice().await;

    for (case, body, expected) in [
        (
            "types",
            json!({"workspace_name": 1, "name": 2, "source_template_id": "x", "definition_id": "y",
                "replication_config": [], "selected_connection_template_tags_mode": "some"}),
            json!([
                ["body.workspace_name", "string_type"],
                ["body.name", "string_type"],
                ["body.source_template_id", "uuid_parsing"],
                ["body.definition_id", "uuid_parsing"],
                ["body.replication_config", "dict_type"],
                ["body.selected_connection_template_tags_mode", "enum"],
            ]),
        ),
        (
            "replication",
            json!({"workspace_name": "alice", "source_template_id": FAKER, "replication_config": {"count": "x"}}),
            json!([["body.replication_config.count", "int_type"]]),
        ),
        (
            "no configuration for replication",
            json!({"workspace_name": "alice", "source_template_id": FAKER, "credentials": {}}),
            json!([["body.replication_config", "missing"]]),
        ),
        (
            "credentials",
            json!({"workspace_name": "alice", "source_template_id": HELPDESK, "credentials": {},
                "environment": {"subdomain": 1}}),
            json!([
                ["body.credentials.api_token", "missing"],
                ["body.environment.subdomain", "string_type"],
            ]),
        ),
    ] {
        let reply = create(&alice.token, &body).send(&airbyte).await;

        assert_eq!(reply.status, 422, "{case}");
        assert_eq!(agents_errors(&reply), expected, "{case}");
    }
    assert!(airbyte.sources().is_empty());
}

#[tokio::test]
async fn lists_sources_of_workspace_or_organization() {
    let (airbyte, alice) = with_alice().await;
    let bob = Session::of(&airbyte, "bob").await;
    let named = |name: &str| {
        let mut body = faker();
        body["name"] = name.into();
        body
    };
    create(&alice.token, &named("one")).send(&airbyte).await;
    bob.create(FAKER, r#"{"count": 1}"#).send(&airbyte).await;
    let bobs = airbyte.sources()[1].name.clone();

    let list = async |request: Request| names(&request.send(&airbyte).await);

    assert_eq!(list(Request::get(PATH).bearer(&alice.token)).await, ["one"]);
    assert_eq!(
        list(Request::get(PATH).bearer(&bob.token)).await,
        [bobs.as_str()]
    );
    assert_eq!(list(get(PATH)).await, ["one", bobs.as_str()]);
    for filter in [
        format!("workspace_id={}", alice.workspace),
        "workspace_name=alice&definition_id=dfd88b22-b603-4c3d-aad7-3701784586b1".to_owned(),
        "external_user_id=alice".to_owned(),
        "customer_name=alice".to_owned(),
    ] {
        assert_eq!(
            list(get(&format!("{PATH}?{filter}"))).await,
            ["one"],
            "{filter}"
        );
    }
    assert!(
        list(get(&format!("{PATH}?definition_id=x")))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn hides_sources_of_others() {
    let (airbyte, alice) = with_alice().await;
    let bob = Session::of(&airbyte, "bob").await;
    create(&alice.token, &faker()).send(&airbyte).await;
    let path = format!("{PATH}/{}", airbyte.sources()[0].id);

    assert_eq!(
        Request::get(&path)
            .bearer(&alice.token)
            .status(&airbyte)
            .await,
        200
    );
    assert_eq!(
        Request::get(&path)
            .bearer(&bob.token)
            .status(&airbyte)
            .await,
        404
    );
    assert_eq!(get(&format!("{PATH}/unknown")).status(&airbyte).await, 404);
}

#[tokio::test]
async fn redirects_with_trailing_slash() {
    let reply = Request::post("/api/v1/integrations/connectors/?a=b")
        .send(&airbyte().await)
        .await;

    assert_eq!(
        (reply.status, reply.headers["location"].as_str()),
        (307, "/api/v1/integrations/connectors?a=b")
    );
}

#[tokio::test]
async fn lists_templates_by_tags() {
    let airbyte = airbyte().await;

    for (query, expected) in [
        ("", &["Postgres", "Faker", "Helpdesk"][..]),
        ("?tags=database", &["Postgres"]),
        ("?tags=database&tags=sample", &[]),
        (
            "?tags=database&tags=sample&tags_mode=any",
            &["Postgres", "Faker"],
        ),
    ] {
        let reply = get(&format!("{TEMPLATES}{query}")).send(&airbyte).await;

        assert_eq!(names(&reply), expected, "{query}");
    }
    let reply = get(&format!("{TEMPLATES}?tags_mode=some"))
        .send(&airbyte)
        .await;
    assert_eq!(
        (reply.status, agents_errors(&reply)),
        (422, json!([["query.tags_mode", "enum"]]))
    );
}

#[tokio::test]
async fn shows_user_config_spec() {
    let airbyte = airbyte().await;

    let reply = get(&format!("{TEMPLATES}/{POSTGRES}")).send(&airbyte).await;

    let template = reply.json();
    assert_eq!(
        template["user_config_spec"]["connectionSpecification"]["required"],
        json!(["host", "database", "username", "password"])
    );
    assert_eq!(
        template["partial_default_config"],
        json!({"port": 5432, "ssl_mode": "prefer"})
    );
    // The embedded generation has the same path.
    assert!(template["connection_specification"].is_object());
    airbyte.set_generations(&[Generation::Agents]);
    let template = get(&format!("{TEMPLATES}/{POSTGRES}"))
        .send(&airbyte)
        .await
        .json();
    assert_eq!(template["connection_specification"], Value::Null);
    assert_eq!(get(&format!("{TEMPLATES}/x")).status(&airbyte).await, 404);
}
