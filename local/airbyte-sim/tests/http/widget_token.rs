//! `POST /api/v1/embedded/widget_token`.

use airbyte_sim::{Airbyte, Options};
use serde_json::json;
use uuid::uuid;

use crate::client::Request;
use crate::{
    ORGANIZATION, Session, airbyte, claims, field_errors, opaque, unix_seconds,
    widget_token_request,
};

const PATH: &str = "/api/v1/embedded/widget_token";

#[tokio::test]
async fn returns_scoped_token_and_widget_url() {
    let airbyte = airbyte().await;
    let before = unix_seconds();

    let reply = widget_token_request("alice").send(&airbyte).await;

    assert_eq!(reply.status, 200);
    let opaque = opaque(&reply);
    let claims = claims(opaque["token"].as_str().unwrap());
    let workspace = airbyte.workspace_of(ORGANIZATION, "alice").unwrap();
    assert_eq!(
        claims["io.airbyte.auth.workspace_scope"],
        json!({"workspaceId": workspace})
    );
    assert_eq!(claims["act"], json!({"sub": "alice"}));
    assert_eq!(claims["roles"], json!(["EMBEDDED_END_USER"]));
    assert_eq!(claims["iss"], airbyte.url());
    let expiry = claims["exp"].as_u64().unwrap();
    assert!(
        (before + 1200..=unix_seconds() + 1200).contains(&expiry),
        "{expiry}"
    );
    assert_eq!(
        opaque["widgetUrl"],
        format!(
            "{}/embedded-widget?workspaceId={workspace}&allowedOrigin=https%3A%2F%2Fapp.example.com",
            airbyte.url()
        )
    );
}

#[tokio::test]
async fn honors_cloud_url() {
    let options = Options {
        cloud_url: Some("http://localhost:3002".to_owned()),
        ..Options::default()
    };
    let airbyte = Airbyte::start(options).await.unwrap();

    let opaque = opaque(&widget_token_request("alice").send(&airbyte).await);

    assert!(
        opaque["widgetUrl"]
            .as_str()
            .unwrap()
            .starts_with("http://localhost:3002/embedded-widget?")
    );
    assert_eq!(
        claims(opaque["token"].as_str().unwrap())["iss"],
        "http://localhost:3002"
    );
}

#[tokio::test]
async fn returns_decoded_token_for_debug() {
    let airbyte = airbyte().await;
    let body =
        json!({"externalUserId": "alice", "organizationId": ORGANIZATION, "allowedOrigin": "x"});

    let reply = Request::post(&format!("{PATH}?debug"))
        .bearer("dev-organization-token")
        .json(&body)
        .send(&airbyte)
        .await
        .json();

    assert_eq!(
        claims(reply["token"].as_str().unwrap())["act"]["sub"],
        "alice"
    );
    assert!(
        reply["widgetUrl"]
            .as_str()
            .unwrap()
            .ends_with("&allowedOrigin=x")
    );
}

#[tokio::test]
async fn reuses_workspace_per_user() {
    let airbyte = airbyte().await;

    let first = Session::of(&airbyte, "alice").await;
    let second = Session::of(&airbyte, "alice").await;
    let other = Session::of(&airbyte, "bob").await;

    assert_eq!(first.workspace, second.workspace);
    assert_ne!(first.workspace, other.workspace);
}

#[tokio::test]
async fn rejects_unknown_credentials() {
    let airbyte = airbyte().await;

    for request in [
        widget_token_request("alice").bearer("guessed"),
        Request::post(PATH).json(&json!({})),
        Request::post(PATH).header("authorization", "Basic ZGV2LW9yZ2FuaXphdGlvbi10b2tlbg=="),
    ] {
        let reply = request.send(&airbyte).await;

        assert_eq!(reply.status, 401);
        assert_eq!(reply.json()["message"], "Unauthorized");
        assert_eq!(
            reply.json()["_embedded"]["errors"],
            json!([{"message": "Unauthorized"}])
        );
    }
    assert_eq!(airbyte.workspace_of(ORGANIZATION, "alice"), None);
}

#[tokio::test]
async fn denies_scoped_token() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    let reply = widget_token_request("bob")
        .bearer(&alice.token)
        .send(&airbyte)
        .await;

    assert_eq!(reply.status, 403);
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    assert_eq!(reply.json()["status"], 403);
    assert_eq!(airbyte.workspace_of(ORGANIZATION, "bob"), None);
}

#[tokio::test]
async fn denies_unknown_organization() {
    let organizations = Some(vec![uuid!("00000000-0000-4000-8000-000000000001")]);
    let airbyte = Airbyte::start(Options {
        organizations,
        ..Options::default()
    })
    .await
    .unwrap();

    let reply = widget_token_request("alice").send(&airbyte).await;

    assert_eq!(reply.status, 403);
    assert_eq!(reply.headers["content-type"], "application/problem+json");
}

#[tokio::test]
async fn replaces_organization_tokens() {
    let airbyte = airbyte().await;

    airbyte.set_organization_tokens(vec!["next".to_owned()]);

    assert_eq!(widget_token_request("alice").status(&airbyte).await, 401);
    assert_eq!(
        widget_token_request("alice")
            .bearer("next")
            .status(&airbyte)
            .await,
        200
    );
}

#[tokio::test]
async fn reports_all_body_errors() {
    let airbyte = airbyte().await;
    let request = Request::post(PATH).bearer("dev-organization-token");

    let reply = request
        .json(&json!({"externalUserId": 7, "organizationId": "mine"}))
        .send(&airbyte)
        .await;

    assert_eq!(reply.status, 422);
    assert_eq!(
        field_errors(&reply),
        json!([
            ["externalUserId", "string_type"],
            ["organizationId", "uuid_parsing"],
            ["allowedOrigin", "missing"]
        ])
    );
}

#[tokio::test]
async fn rejects_bodies_that_are_not_json() {
    let airbyte = airbyte().await;
    let request = Request::post(PATH).bearer("dev-organization-token");

    let no_content_type = request.clone().body("{}").send(&airbyte).await;
    assert_eq!(
        (
            no_content_type.status,
            &no_content_type.json()["detail"][0]["type"]
        ),
        (422, &json!("dict_type"))
    );
    let broken = request
        .header("content-type", "application/json")
        .body("{")
        .send(&airbyte)
        .await;
    assert_eq!(
        (broken.status, &broken.json()["detail"][0]["type"]),
        (422, &json!("json_invalid"))
    );
}
