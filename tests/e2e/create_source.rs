//! `POST /sources`.

use airbyte_sim::{CannedResponse, Route};
use e2e::{Config, Event, FAKER, TestEnv, faker_source};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exchange::{SOURCES, WIDGET_TOKEN, calls, paths};

/// The opaque token that `mint-token` gives to a user.
async fn token(env: &TestEnv, user: &str) -> String {
    let response = env.mint_token().await.invoke(Event::mint_token(user)).await;
    let token = response.expect_success(200)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    env.airbyte.clear_requests();
    token
}

fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

#[tokio::test]
async fn creates_source_in_callers_workspace() {
    let env = TestEnv::new().await;
    let response = env
        .create_source()
        .await
        .invoke(Event::create_source("alice", &faker_source()))
        .await;

    let body = response.expect_success(201);
    let sources = env.airbyte.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(body["id"], sources[0].id.to_string());
    let alice = env
        .airbyte
        .workspace_of(Config::ORGANIZATION_ID, "alice")
        .unwrap();
    assert_eq!(sources[0].workspace_id, alice);
    assert_eq!(sources[0].source_config_template_id, FAKER);
    assert_eq!(paths(&env.airbyte), [WIDGET_TOKEN, SOURCES]);
}

#[tokio::test]
async fn sends_create_with_scoped_token() {
    let env = TestEnv::new().await;
    let token = token(&env, "alice").await;
    let scoped = e2e::token::decode(&token)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let event = Event::create_source("alice", &with(faker_source(), "token", token));
    let response = env.create_source().await.invoke(event).await;

    response.expect_success(201);
    let requests = env.airbyte.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("POST", SOURCES)
    );
    assert_eq!(
        requests[0].header("authorization"),
        Some(format!("Bearer {scoped}").as_str())
    );
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    let alice = env
        .airbyte
        .workspace_of(Config::ORGANIZATION_ID, "alice")
        .unwrap();
    assert_eq!(
        requests[0].json().unwrap(),
        json!({
            "workspace_id": alice,
            "source_config_template_id": FAKER,
            "connection_configuration": { "count": 10 },
        })
    );
}

#[tokio::test]
async fn accepts_workspace_id_of_token() {
    let env = TestEnv::new().await;
    let token = token(&env, "alice").await;
    let workspace = env
        .airbyte
        .workspace_of(Config::ORGANIZATION_ID, "alice")
        .unwrap();
    let function = env.create_source().await;
    let body = with(faker_source(), "workspace_id", workspace.to_string());

    let minted = function.invoke(Event::create_source("alice", &body)).await;
    minted.expect_success(201);
    let upper_case = with(
        body.clone(),
        "workspace_id",
        workspace.to_string().to_uppercase(),
    );
    let supplied = function
        .invoke(Event::create_source(
            "alice",
            &with(upper_case, "token", token),
        ))
        .await;
    supplied.expect_success(201);
    assert_eq!(env.airbyte.sources().len(), 2);
}

#[tokio::test]
async fn forbids_other_workspace_before_sending() {
    let env = TestEnv::new().await;
    let token = token(&env, "alice").await;
    let function = env.create_source().await;
    let body = with(faker_source(), "workspace_id", Uuid::new_v4().to_string());

    let supplied = function
        .invoke(Event::create_source(
            "alice",
            &with(body.clone(), "token", token),
        ))
        .await;
    supplied.expect_problem(403, "forbidden");
    assert!(paths(&env.airbyte).is_empty());
    let minted = function.invoke(Event::create_source("alice", &body)).await;
    minted.expect_problem(403, "forbidden");
    assert!(calls(&env.airbyte, SOURCES).is_empty());
}

#[tokio::test]
async fn accepts_backend_with_iam_signature() {
    let env = TestEnv::new().await;
    let event = Event::create_source("", &with(faker_source(), "externalUserId", "alice"))
        .iam()
        .no_origin();
    let response = env.create_source().await.invoke(event).await;

    response.expect_success(201);
    let alice = env
        .airbyte
        .workspace_of(Config::ORGANIZATION_ID, "alice")
        .unwrap();
    assert_eq!(env.airbyte.sources()[0].workspace_id, alice);
    let sent = calls(&env.airbyte, SOURCES)[0].json().unwrap();
    assert_eq!(
        sent.get("externalUserId"),
        None,
        "the function's own field is not Airbyte's"
    );
}

#[tokio::test]
async fn decodes_base64_body() {
    let env = TestEnv::new().await;
    let event = Event::create_source("alice", &json!({}))
        .base64_body(faker_source().to_string().as_bytes());
    let response = env.create_source().await.invoke(event).await;

    response.expect_success(201);
    assert_eq!(env.airbyte.sources().len(), 1);
}

#[tokio::test]
async fn returns_201_for_any_success_status() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for status in [200, 201, 202] {
        // Numbers that a detour over floating point would change.
        let reply = r#"{"source_id":"6f2c","created_at":12345678901234567890123,"ratio":1.0,"more":{"b":1,"a":[]}}"#;
        env.respond(
            Route::Sources,
            CannedResponse::new(status)
                .header("content-type", "application/json")
                .body(reply),
        );
        let response = function
            .invoke(Event::create_source("alice", &faker_source()))
            .await;

        response.expect_success(201);
        assert_eq!(response.text, reply, "{status}");
    }
}

#[tokio::test]
async fn forwards_configuration_verbatim() {
    let configuration = r#"{
  "count" :  10,
  "big": 123456789012345678901234567890, "negative": -0, "float": 1.0, "exponent": 1e5, "Exponent": 1E+05,
  "precise": 0.1000000000000000055511151231257827021181583404541015625,
	"text": "\u00e9 é \ud83d\ude00 😀 \/ \"\\ \u0000",
  "z": [ 1 , [ ] , { } , null , true ], "a": { "deep": { "deeper": [ {"x" : 1 } ] } }, "": "" }"#;
    let body = format!(
        r#"{{ "connection_configuration" : {configuration} , "source_config_template_id": "{FAKER}" }}"#
    );
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for event in [
        Event::create_source("alice", &json!({})).body(&body),
        Event::create_source("alice", &json!({})).base64_body(body.as_bytes()),
    ] {
        env.airbyte.clear_requests();
        let response = function.invoke(event).await;

        assert_eq!(response.status, 201, "{response:?}");
        let sent = String::from_utf8(calls(&env.airbyte, SOURCES)[0].body.clone()).unwrap();
        assert!(sent.contains(configuration), "{sent}");
        assert_eq!(
            env.airbyte
                .sources()
                .last()
                .unwrap()
                .connection_configuration,
            configuration
        );
    }
}
