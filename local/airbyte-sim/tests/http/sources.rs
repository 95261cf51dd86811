//! `/api/v1/integrations/sources/`, of the `embedded` generation.

use std::time::Duration;

use serde_json::json;

use crate::client::Request;
use crate::{FAKER, HELPDESK, ORGANIZATION, POSTGRES, Session, airbyte, field_errors};

const PATH: &str = "/api/v1/integrations/sources/";
const DATABASE: &str =
    r#"{"host": "db.example.com", "database": "app", "username": "reader", "password": "hunter2"}"#;

#[tokio::test]
async fn creates_source_in_users_workspace() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    let reply = alice.create(POSTGRES, DATABASE).send(&airbyte).await;

    assert_eq!(reply.status, 201);
    let [source] = &airbyte.sources()[..] else {
        panic!("one source: {:?}", airbyte.sources())
    };
    assert_eq!(source.external_user_id, "alice");
    assert_eq!(
        Some(source.workspace_id),
        airbyte.workspace_of(ORGANIZATION, "alice")
    );
    assert_eq!(
        reply.json(),
        json!({
            "id": source.id,
            "name": format!("Postgres - {}", source.id),
            "workspace_id": alice.workspace,
            "source_config_template_id": POSTGRES,
            "created_at": source.created_at,
            "updated_at": source.created_at,
        })
    );
}

#[tokio::test]
async fn keeps_configuration_verbatim() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    let configuration = r#"{ "count" : 123456789012345678901234567890,
        "seed": 7, "rate": 0.10, "name": "\u00e4\/" , "rate": 1E2 }"#;

    assert_eq!(
        alice.create(FAKER, configuration).status(&airbyte).await,
        201
    );

    assert_eq!(airbyte.sources()[0].connection_configuration, configuration);
}

#[tokio::test]
async fn lists_own_sources_only() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    let bob = Session::of(&airbyte, "bob").await;
    let created = alice
        .create(FAKER, r#"{"count": 1}"#)
        .send(&airbyte)
        .await
        .json();

    let list = async |session: &Session| {
        let reply = Request::get(PATH)
            .bearer(&session.token)
            .send(&airbyte)
            .await;
        assert_eq!(reply.status, 200);
        reply.json()
    };

    assert_eq!(list(&alice).await, json!({"data": [created]}));
    assert_eq!(list(&bob).await, json!({"data": []}));
}

#[tokio::test]
async fn denies_other_workspaces() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    let bob = Session::of(&airbyte, "bob").await;

    let reply = bob
        .create(FAKER, r#"{"count": 1}"#)
        .bearer(&alice.token)
        .send(&airbyte)
        .await;

    assert_eq!(
        (reply.status, reply.json()),
        (
            403,
            json!({"detail": "The token is not valid for this workspace"})
        )
    );
    assert!(airbyte.sources().is_empty());
}

#[tokio::test]
async fn denies_organization_token() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    let request = alice
        .create(FAKER, r#"{"count": 1}"#)
        .bearer("dev-organization-token");

    assert_eq!(request.status(&airbyte).await, 403);
    assert!(airbyte.sources().is_empty());
}

#[tokio::test]
async fn rejects_forged_expired_and_revoked_tokens() {
    let airbyte = airbyte().await;
    let revoked = Session::of(&airbyte, "alice").await;
    airbyte.revoke_scoped_tokens();
    airbyte.set_scoped_token_lifetime(Duration::ZERO);
    let expired = Session::of(&airbyte, "alice").await;
    airbyte.set_scoped_token_lifetime(Duration::from_mins(20));
    let good = Session::of(&airbyte, "alice").await;
    let (unsigned, _) = good.token.rsplit_once('.').unwrap();
    let (_, signature) = expired.token.rsplit_once('.').unwrap();

    let create = good.create(FAKER, r#"{"count": 1}"#);
    for token in [
        &revoked.token,
        &expired.token,
        unsigned,
        &format!("{unsigned}.{signature}"),
    ] {
        let reply = create.clone().bearer(token).send(&airbyte).await;

        assert_eq!(
            (reply.status, reply.json()),
            (401, json!({"detail": "Invalid or expired token"}))
        );
    }
    assert_eq!(create.status(&airbyte).await, 201);
    assert_eq!(airbyte.sources().len(), 1);
}

#[tokio::test]
async fn rejects_unknown_and_direct_templates() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    for template in ["00000000-0000-4000-8000-000000000000", HELPDESK] {
        let reply = alice.create(template, "{}").send(&airbyte).await;

        assert_eq!(
            (reply.status, reply.json()),
            (404, json!({"detail": "Source template not found"})),
            "{template}"
        );
    }
}

#[tokio::test]
async fn reports_all_configuration_errors() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    let reply = alice
        .create(
            POSTGRES,
            r#"{"port": "5432", "database": "app", "password": null}"#,
        )
        .send(&airbyte)
        .await;

    assert_eq!(reply.status, 422);
    let mut errors: Vec<_> = reply.json()["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["loc"].to_string(),
                error["msg"].to_string(),
                error["type"].to_string(),
            )
        })
        .collect();
    errors.sort();
    let field = |name: &str| format!(r#"["body","connection_configuration","{name}"]"#);
    let error =
        |name, msg: &str, kind: &str| (field(name), format!("\"{msg}\""), format!("\"{kind}\""));
    assert_eq!(
        errors,
        [
            error("host", "Field required", "missing"),
            error("password", "Input should be a valid string", "string_type"),
            error("port", "Input should be a valid integer", "int_type"),
            error("username", "Field required", "missing"),
        ]
    );
    assert!(airbyte.sources().is_empty());
}

#[tokio::test]
async fn reports_all_body_errors() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    let request = Request::post(PATH).bearer(&alice.token);

    let reply = request
        .json(&json!({"workspace_id": "mine", "connection_configuration": []}))
        .send(&airbyte)
        .await;

    assert_eq!(reply.status, 422);
    assert_eq!(
        field_errors(&reply),
        json!([
            ["workspace_id", "uuid_parsing"],
            ["source_config_template_id", "missing"],
            ["connection_configuration", "dict_type"]
        ])
    );
}

#[tokio::test]
async fn redirects_without_trailing_slash() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    let reply = Request::post("/api/v1/integrations/sources?a=b")
        .bearer(&alice.token)
        .send(&airbyte)
        .await;

    assert_eq!(
        (reply.status, reply.headers["location"].as_str()),
        (307, "/api/v1/integrations/sources/?a=b")
    );
}

#[tokio::test]
async fn rejects_unknown_paths_and_methods() {
    let airbyte = airbyte().await;

    assert_eq!(
        Request::get("/api/v2/").send(&airbyte).await.json(),
        json!({"detail": "Not Found"})
    );
    let reply = Request::new("DELETE", PATH).send(&airbyte).await;
    assert_eq!(
        (reply.status, reply.json()),
        (405, json!({"detail": "Method Not Allowed"}))
    );
}
