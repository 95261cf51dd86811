//! `POST /api/v1/account/applications/token`.

use std::time::Duration;

use airbyte_sim::{Airbyte, Application};
use serde_json::{Value, json};

use crate::client::Request;
use crate::{airbyte, application_token, claims, unix_seconds, widget_token_request};

const PATH: &str = "/api/v1/account/applications/token";

fn credentials(client_secret: &str) -> Value {
    json!({"client_id": "dev-client-id", "client_secret": client_secret})
}

fn token_request(client_secret: &str) -> Request {
    Request::post(PATH).json(&credentials(client_secret))
}

async fn token(airbyte: &Airbyte) -> String {
    application_token(airbyte, &credentials("dev-client-secret")).await
}

#[tokio::test]
async fn exchanges_credentials_for_token() {
    let airbyte = airbyte().await;

    let token = token(&airbyte).await;

    assert_eq!(
        widget_token_request("alice")
            .bearer(&token)
            .status(&airbyte)
            .await,
        200
    );
}

#[tokio::test]
async fn returns_constant_expires_in() {
    let airbyte = airbyte().await;
    airbyte.set_application_token_lifetime(Duration::from_mins(3));
    let before = unix_seconds();

    let body = token_request("dev-client-secret")
        .send(&airbyte)
        .await
        .json();

    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    let expiry = claims(body["access_token"].as_str().unwrap())["exp"]
        .as_u64()
        .unwrap();
    assert!(
        (before + 180..=unix_seconds() + 180).contains(&expiry),
        "{expiry}"
    );
}

#[tokio::test]
async fn rejects_wrong_credentials() {
    let airbyte = airbyte().await;

    let reply = token_request("guessed").send(&airbyte).await;

    assert_eq!(
        (reply.status, reply.json()),
        (401, json!({"detail": "Invalid client credentials"}))
    );
}

#[tokio::test]
async fn rejects_forms() {
    let airbyte = airbyte().await;

    let reply = Request::post(PATH)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("client_id=dev-client-id&client_secret=dev-client-secret")
        .send(&airbyte)
        .await;

    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn names_missing_credentials() {
    let airbyte = airbyte().await;

    let reply = Request::post(PATH).json(&json!({})).send(&airbyte).await;

    assert_eq!(reply.status, 422);
    assert_eq!(
        reply.json()["detail"][0]["loc"],
        json!(["body", "client_id"])
    );
    assert_eq!(
        reply.json()["detail"][1]["loc"],
        json!(["body", "client_secret"])
    );
}

#[tokio::test]
async fn replaces_applications() {
    let airbyte = airbyte().await;
    let before = token(&airbyte).await;

    let next = Application {
        client_id: "dev-client-id".to_owned(),
        client_secret: "next".to_owned(),
    };
    airbyte.set_applications(vec![next]);

    assert_eq!(
        token_request("dev-client-secret").status(&airbyte).await,
        401
    );
    assert_eq!(token_request("next").status(&airbyte).await, 200);
    assert_eq!(
        widget_token_request("alice")
            .bearer(&before)
            .status(&airbyte)
            .await,
        200
    );
}

#[tokio::test]
async fn rejects_expired_and_revoked_tokens() {
    let airbyte = airbyte().await;
    let revoked = token(&airbyte).await;
    airbyte.revoke_application_tokens();
    airbyte.set_application_token_lifetime(Duration::ZERO);
    let expired = token(&airbyte).await;

    for token in [revoked, expired] {
        assert_eq!(
            widget_token_request("alice")
                .bearer(&token)
                .status(&airbyte)
                .await,
            401
        );
    }
}
