//! The stand-in as its clients see it: over HTTP, on real connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

mod application_token;
mod client;
mod connections;
mod control;
mod faults;
mod program;
mod sources;
mod templates;
mod widget_page;
mod widget_token;

use airbyte_sim::{Airbyte, Options};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use client::{Reply, Request};
use serde_json::{Value, json};

const ORGANIZATION: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
const POSTGRES: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01";
const FAKER: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e02";

/// A stand-in with the default options.
async fn airbyte() -> Airbyte {
    Airbyte::start(Options::default()).await.unwrap()
}

/// A request for `user`'s widget token, as an organization's backend sends it.
fn widget_token_request(user: &str) -> Request {
    Request::post("/api/v1/embedded/widget_token")
        .bearer("dev-organization-token")
        .json(&json!({
            "externalUserId": user,
            "organizationId": ORGANIZATION,
            "allowedOrigin": "https://app.example.com",
        }))
}

/// What a widget token holds: the scoped token and the workspace that it is for.
struct Session {
    token: String,
    workspace: String,
}

impl Session {
    /// A session of `user`.
    async fn of(airbyte: &Airbyte, user: &str) -> Self {
        let reply = widget_token_request(user).send(airbyte).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let token = opaque(&reply)["token"].as_str().unwrap().to_owned();
        let workspace = claims(&token)["io.airbyte.auth.workspace_scope"]["workspaceId"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { token, workspace }
    }

    /// A request to create a source in the session's own workspace, with `configuration` as it is.
    fn create(&self, template: &str, configuration: &str) -> Request {
        let body = format!(
            r#"{{"workspace_id": "{}", "source_config_template_id": "{template}", "connection_configuration": {configuration}}}"#,
            self.workspace
        );
        Request::post("/api/v1/integrations/sources/")
            .bearer(&self.token)
            .header("content-type", "application/json")
            .body(body)
    }
}

/// The token that an application's credentials give.
async fn application_token(airbyte: &Airbyte, credentials: &Value) -> String {
    let reply = Request::post("/api/v1/account/applications/token")
        .json(credentials)
        .send(airbyte)
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

/// Where the faults in a 422 reply are, as fields of the body, and of what type.
fn faults(reply: &Reply) -> Value {
    let detail = reply.json()["detail"].take();
    detail
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| json!([fault["loc"][1], fault["type"]]))
        .collect()
}

/// What the opaque token in the reply to a widget token's request holds.
fn opaque(reply: &Reply) -> Value {
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    serde_json::from_slice(&STANDARD.decode(token).unwrap()).unwrap()
}

/// The claims of a JWT.
fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
