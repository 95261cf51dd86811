//! The stand-in's own interface, `/_sim/`.

use serde_json::json;

use crate::client::Request;
use crate::{FAKER, Session, airbyte, application_token, widget_token_request};

#[tokio::test]
async fn it_says_that_it_serves() {
    let reply = Request::get("/_sim/health").send(&airbyte().await).await;

    assert_eq!((reply.status, reply.json()), (200, json!({"status": "ok"})));
}

#[tokio::test]
async fn the_journal_can_be_read_and_cleared() {
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
async fn faults_can_be_ordered_and_taken_back() {
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
async fn an_order_that_is_not_understood_changes_nothing() {
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
async fn sources_are_shown_with_their_configuration() {
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
            "created_at": created["created_at"],
        }])
    );
}

#[tokio::test]
async fn settings_can_be_changed() {
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
async fn settings_that_are_unknown_are_refused() {
    let reply = Request::new("PUT", "/_sim/settings")
        .json(&json!({"lifetime": 1}))
        .send(&airbyte().await)
        .await;

    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("lifetime"), "{}", reply.text());
}

#[tokio::test]
async fn tokens_can_be_revoked() {
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
async fn it_is_not_in_the_journal_and_suffers_no_fault() {
    let airbyte = airbyte().await;
    let fault = json!({"route": "any", "kind": {"respond": {"status": 503}}});
    Request::post("/_sim/faults")
        .json(&fault)
        .send(&airbyte)
        .await;

    assert_eq!(Request::get("/_sim/health").status(&airbyte).await, 200);
    assert!(airbyte.requests().is_empty());
}
