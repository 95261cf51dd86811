//! The simulator as its clients see it: over HTTP, on real connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

mod application_token;
mod client;
mod connections;
mod connectors;
mod control;
mod description;
mod fault_injection;
mod generations;
mod program;
mod scoped_token;
mod sources;
mod templates;
mod widget_page;
mod widget_token;
mod workspaces;

use airbyte_sim::{Airbyte, Options};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use client::{Reply, Request};
use serde_json::{Value, json};

const ORGANIZATION: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
const POSTGRES: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01";
const FAKER: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e02";
const HELPDESK: &str = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e03";

/// Starts a simulator with the default options.
async fn airbyte() -> Airbyte {
    Airbyte::start(Options::default()).await.unwrap()
}

/// A request for `user`'s widget token in the `embedded` generation.
fn widget_token_request(user: &str) -> Request {
    Request::post("/api/v1/embedded/widget_token")
        .bearer("dev-organization-token")
        .json(&json!({
            "externalUserId": user,
            "organizationId": ORGANIZATION,
            "allowedOrigin": "https://app.example.com",
        }))
}

/// A request for `user`'s widget token in the `agents` generation.
fn agents_widget_token_request(user: &str) -> Request {
    agents_post("/api/v1/account/applications/widget-token").json(&json!({
        "workspace_name": user,
        "allowed_origin": "https://app.example.com",
    }))
}

/// A request with the organization's token and its ID.
fn agents_post(path: &str) -> Request {
    Request::post(path)
        .bearer("dev-organization-token")
        .header("x-organization-id", ORGANIZATION)
}

/// A scoped token and its workspace.
struct Session {
    token: String,
    workspace: String,
}

impl Session {
    /// Mints a session for `user`.
    async fn of(airbyte: &Airbyte, user: &str) -> Self {
        Self::mint(airbyte, &widget_token_request(user)).await
    }

    /// Mints a session for `user` in the `agents` generation.
    async fn of_agents(airbyte: &Airbyte, user: &str) -> Self {
        Self::mint(airbyte, &agents_widget_token_request(user)).await
    }

    async fn mint(airbyte: &Airbyte, request: &Request) -> Self {
        let reply = request.send(airbyte).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let token = opaque(&reply)["token"].as_str().unwrap().to_owned();
        let workspace = claims(&token)["io.airbyte.auth.workspace_scope"]["workspaceId"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { token, workspace }
    }

    /// A request to create a source in the session's workspace, with `configuration` verbatim.
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

/// Returns the `errors` of a reply in the `agents` generation's shape: fields and error codes.
fn agents_errors(reply: &Reply) -> Value {
    let errors = reply.json()["errors"].take();
    errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| json!([error["field"], error["error_code"]]))
        .collect()
}

/// Exchanges an application's credentials for a token.
async fn application_token(airbyte: &Airbyte, credentials: &Value) -> String {
    let reply = Request::post("/api/v1/account/applications/token")
        .json(credentials)
        .send(airbyte)
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

/// Returns the fields of a 422 reply, and the type of each error.
fn field_errors(reply: &Reply) -> Value {
    let detail = reply.json()["detail"].take();
    detail
        .as_array()
        .unwrap()
        .iter()
        .map(|error| json!([error["loc"][1], error["type"]]))
        .collect()
}

/// Decodes the opaque token of a reply.
fn opaque(reply: &Reply) -> Value {
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    serde_json::from_slice(&STANDARD.decode(token).unwrap()).unwrap()
}

/// Decodes the claims of a JWT.
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
