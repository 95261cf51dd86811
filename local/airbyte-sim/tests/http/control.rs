//! The control API, `/_sim/`.

use airbyte_sim::ErrorShape;
use serde_json::json;

use crate::client::Request;
use crate::{
    FAKER, ORGANIZATION, Session, agents_widget_token_request, airbyte, application_token,
    widget_token_request,
};

#[tokio::test]
async fn reports_health() {
    let reply = Request::get("/_sim/health").send(&airbyte().await).await;

    assert_eq!((reply.status, reply.json()), (200, json!({"status": "ok"})));
}

#[tokio::test]
async fn returns_and_clears_request_log() {
    let airbyte = airbyte().await;
    Request::post("/nowhere?a=b")
        .header("x-test", "1")
        .body("text")
        .send(&airbyte)
        .await;
    Request::post("/nowhere").body([0xff]).send(&airbyte).await;

    let requests = Request::get("/_sim/requests").send(&airbyte).await.json();

    let [first, second] = &requests.as_array().unwrap()[..] else {
        panic!("two exchanges: {requests}")
    };
    assert_eq!(first["at"], airbyte.requests()[0].at);
    for (field, expected) in [
        ("connection", json!(1)),
        ("method", json!("POST")),
        ("path", json!("/nowhere")),
        ("query", json!("a=b")),
        ("body", json!("text")),
        ("status", json!(404)),
        ("outcome", json!("completed")),
    ] {
        assert_eq!(first[field], expected, "{field}");
    }
    assert!(
        first["headers"]
            .as_array()
            .unwrap()
            .contains(&json!(["x-test", "1"]))
    );
    assert_eq!(
        (&second["query"], &second["body_base64"]),
        (&json!(null), &json!("/w=="))
    );

    assert_eq!(
        Request::new("DELETE", "/_sim/requests")
            .status(&airbyte)
            .await,
        204
    );
    assert_eq!(
        Request::get("/_sim/requests").send(&airbyte).await.json(),
        json!([])
    );
}

#[tokio::test]
async fn injects_and_clears_faults() {
    let airbyte = airbyte().await;
    let fault =
        json!({"route": "widget-token", "kind": {"respond": {"status": 503, "body": "no"}}});

    assert_eq!(
        Request::post("/_sim/faults")
            .json(&fault)
            .status(&airbyte)
            .await,
        204
    );
    assert_eq!(
        widget_token_request("alice").send(&airbyte).await.text(),
        "no"
    );

    assert_eq!(
        Request::new("DELETE", "/_sim/faults")
            .status(&airbyte)
            .await,
        204
    );
    assert_eq!(widget_token_request("alice").status(&airbyte).await, 200);
}

#[tokio::test]
async fn rejects_invalid_faults() {
    let airbyte = airbyte().await;
    let fault = json!({"route": "any", "kind": {"respond": {"status": 503, "body_base64": "?"}}});

    let reply = Request::post("/_sim/faults")
        .json(&fault)
        .send(&airbyte)
        .await;

    assert_eq!(
        (reply.status, reply.text()),
        (422, "`body_base64` is not base64.")
    );
    assert_eq!(widget_token_request("alice").status(&airbyte).await, 200);
}

#[tokio::test]
async fn returns_sources_with_configuration() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    let created = alice
        .create(FAKER, r#"{"count":  1.0e0}"#)
        .send(&airbyte)
        .await
        .json();

    let sources = Request::get("/_sim/sources").send(&airbyte).await.json();

    assert_eq!(
        sources,
        json!([{
            "id": created["id"],
            "name": created["name"],
            "workspace_id": alice.workspace,
            "source_config_template_id": FAKER,
            "external_user_id": "alice",
            "connection_configuration": r#"{"count":  1.0e0}"#,
            "credentials": null,
            "environment": null,
            "created_at": created["created_at"],
        }])
    );
}

#[tokio::test]
async fn changes_settings() {
    let airbyte = airbyte().await;
    let change = async |settings| {
        Request::new("PUT", "/_sim/settings")
            .json(&settings)
            .status(&airbyte)
            .await
    };

    let applications = json!([{"client_id": "next", "client_secret": "secret"}]);
    assert_eq!(
        change(json!({"organization_tokens": ["next"], "applications": applications})).await,
        204
    );
    assert_eq!(widget_token_request("alice").status(&airbyte).await, 401);
    let token = application_token(&airbyte, &applications[0]).await;
    assert_eq!(
        widget_token_request("alice")
            .bearer(&token)
            .status(&airbyte)
            .await,
        200
    );

    let lifetimes =
        json!({"scoped_token_lifetime_seconds": 0, "application_token_lifetime_seconds": 0});
    assert_eq!(change(lifetimes).await, 204);
    airbyte.set_organization_tokens(vec!["dev-organization-token".to_owned()]);
    let expired = Session::of(&airbyte, "alice").await;
    assert_eq!(
        expired
            .create(FAKER, r#"{"count": 1}"#)
            .status(&airbyte)
            .await,
        401
    );
    let token = application_token(&airbyte, &applications[0]).await;
    assert_eq!(
        widget_token_request("alice")
            .bearer(&token)
            .status(&airbyte)
            .await,
        401
    );
}

#[tokio::test]
async fn rejects_unknown_settings() {
    let reply = Request::new("PUT", "/_sim/settings")
        .json(&json!({"lifetime": 1}))
        .send(&airbyte().await)
        .await;

    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("lifetime"), "{}", reply.text());
}

#[tokio::test]
async fn revokes_tokens() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    let application = json!({"client_id": "dev-client-id", "client_secret": "dev-client-secret"});
    let token = application_token(&airbyte, &application).await;

    assert_eq!(
        Request::post("/_sim/revoke-scoped-tokens")
            .status(&airbyte)
            .await,
        204
    );
    assert_eq!(
        alice
            .create(FAKER, r#"{"count": 1}"#)
            .status(&airbyte)
            .await,
        401
    );
    assert_eq!(
        widget_token_request("alice")
            .bearer(&token)
            .status(&airbyte)
            .await,
        200
    );

    assert_eq!(
        Request::post("/_sim/revoke-application-tokens")
            .status(&airbyte)
            .await,
        204
    );
    assert_eq!(
        widget_token_request("alice")
            .bearer(&token)
            .status(&airbyte)
            .await,
        401
    );
}

#[tokio::test]
async fn is_neither_logged_nor_failed() {
    let airbyte = airbyte().await;
    let fault = json!({"route": "any", "kind": {"respond": {"status": 503}}});
    Request::post("/_sim/faults")
        .json(&fault)
        .send(&airbyte)
        .await;

    assert_eq!(Request::get("/_sim/health").status(&airbyte).await, 200);
    assert!(airbyte.requests().is_empty());
}

#[tokio::test]
async fn injects_error_shapes_by_name() {
    let airbyte = airbyte().await;
    let shapes = Request::get("/_sim/error-shapes")
        .send(&airbyte)
        .await
        .json();
    let shapes = shapes.as_array().unwrap();
    assert_eq!(shapes.len(), ErrorShape::ALL.len());

    for shape in shapes {
        let fault = json!({"route": "widget-token", "times": 1, "kind": {"error": shape["name"]}});
        assert_eq!(
            Request::post("/_sim/faults")
                .json(&fault)
                .status(&airbyte)
                .await,
            204
        );

        let reply = widget_token_request("alice").send(&airbyte).await;

        assert_eq!(
            (json!(reply.status), json!(reply.text())),
            (shape["status"].clone(), shape["body"].clone()),
            "{shape}"
        );
    }
    let unknown = json!({"route": "any", "kind": {"error": "unknown"}});
    let reply = Request::post("/_sim/faults")
        .json(&unknown)
        .send(&airbyte)
        .await;
    assert_eq!(
        (reply.status, reply.text()),
        (
            422,
            "Unknown error shape. GET /_sim/error-shapes lists them."
        )
    );
}

#[tokio::test]
async fn returns_workspaces() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    let workspaces = Request::get("/_sim/workspaces").send(&airbyte).await.json();

    assert_eq!(
        workspaces,
        json!([{
            "id": alice.workspace,
            "organization_id": ORGANIZATION,
            "name": "alice",
            "region_id": null,
            "created_at": airbyte.workspaces()[0].created_at,
        }])
    );
}

#[tokio::test]
async fn changes_generations_bearer_and_creation_time() {
    let airbyte = airbyte().await;
    let change = async |settings| {
        Request::new("PUT", "/_sim/settings")
            .json(&settings)
            .status(&airbyte)
            .await
    };
    let settings = json!({"generations": ["agents"], "sources_bearer": "organization", "workspace_creation_ms": 500});

    assert_eq!(change(settings).await, 204);

    assert_eq!(widget_token_request("alice").status(&airbyte).await, 404);
    let mint = agents_widget_token_request("alice");
    tokio::join!(mint.status(&airbyte), mint.status(&airbyte));
    assert_eq!(airbyte.workspaces().len(), 2);
    let bob = Session::of_agents(&airbyte, "bob").await;
    let create = Request::post("/api/v1/integrations/connectors").bearer(&bob.token);
    assert_eq!(create.status(&airbyte).await, 403);
    for invalid in [
        json!({"generations": ["next"]}),
        json!({"sources_bearer": "none"}),
    ] {
        assert_eq!(change(invalid).await, 422);
    }
}
