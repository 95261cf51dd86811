//! `POST /sources`.

use airbyte_sim::{CannedResponse, Fault, FaultKind, Route};
use e2e::{Environment, Event, FAKER, World, faker_source};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exchange::{SOURCES, WIDGET_TOKEN, calls, paths};

/// The opaque token that `mint-token` gives to a user.
async fn token(world: &World, user: &str) -> String {
    let answer = world
        .mint_token()
        .await
        .invoke(Event::mint_token(user))
        .await;
    let token = answer.success(200)["token"].as_str().unwrap().to_owned();
    world.airbyte.clear_requests();
    token
}

fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

#[tokio::test]
async fn a_source_is_created_in_the_callers_workspace_with_one_call_of_theirs() {
    let world = World::new().await;
    let answer = world
        .create_source()
        .await
        .invoke(Event::create_source("alice", &faker_source()))
        .await;

    let body = answer.success(201);
    let sources = world.airbyte.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(body["id"], sources[0].id.to_string());
    let alice = world
        .airbyte
        .workspace_of(Environment::ORGANIZATION, "alice")
        .unwrap();
    assert_eq!(sources[0].workspace_id, alice);
    assert_eq!(sources[0].source_config_template_id, FAKER);
    assert_eq!(paths(&world.airbyte), [WIDGET_TOKEN, SOURCES]);
}

#[tokio::test]
async fn airbyte_is_asked_with_the_users_own_scoped_token() {
    let world = World::new().await;
    let token = token(&world, "alice").await;
    let scoped = e2e::token::open(&token)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let event = Event::create_source("alice", &with(faker_source(), "token", token));
    let answer = world.create_source().await.invoke(event).await;

    let _ = answer.success(201);
    let requests = world.airbyte.requests();
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
    let alice = world
        .airbyte
        .workspace_of(Environment::ORGANIZATION, "alice")
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
async fn the_workspace_may_be_named_if_it_is_the_tokens() {
    let world = World::new().await;
    let token = token(&world, "alice").await;
    let workspace = world
        .airbyte
        .workspace_of(Environment::ORGANIZATION, "alice")
        .unwrap();
    let function = world.create_source().await;
    let body = with(faker_source(), "workspace_id", workspace.to_string());

    let minted = function.invoke(Event::create_source("alice", &body)).await;
    let _ = minted.success(201);
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
    let _ = supplied.success(201);
    assert_eq!(world.airbyte.sources().len(), 2);
}

#[tokio::test]
async fn another_workspace_is_refused_before_the_source_is_sent() {
    let world = World::new().await;
    let token = token(&world, "alice").await;
    let function = world.create_source().await;
    let body = with(faker_source(), "workspace_id", Uuid::new_v4().to_string());

    let supplied = function
        .invoke(Event::create_source(
            "alice",
            &with(body.clone(), "token", token),
        ))
        .await;
    let _ = supplied.problem(403, "forbidden");
    assert!(paths(&world.airbyte).is_empty());
    let minted = function.invoke(Event::create_source("alice", &body)).await;
    let _ = minted.problem(403, "forbidden");
    assert!(calls(&world.airbyte, SOURCES).is_empty());
}

#[tokio::test]
async fn a_backend_with_an_iam_signature_names_the_user() {
    let world = World::new().await;
    let event = Event::create_source("", &with(faker_source(), "externalUserId", "alice"))
        .iam()
        .no_origin();
    let answer = world.create_source().await.invoke(event).await;

    let _ = answer.success(201);
    let alice = world
        .airbyte
        .workspace_of(Environment::ORGANIZATION, "alice")
        .unwrap();
    assert_eq!(world.airbyte.sources()[0].workspace_id, alice);
    let sent = calls(&world.airbyte, SOURCES)[0].json().unwrap();
    assert_eq!(
        sent.get("externalUserId"),
        None,
        "the function's own field is not Airbyte's"
    );
}

#[tokio::test]
async fn a_base64_body_is_decoded() {
    let world = World::new().await;
    let event = Event::create_source("alice", &json!({}))
        .base64_body(faker_source().to_string().as_bytes());
    let answer = world.create_source().await.invoke(event).await;

    let _ = answer.success(201);
    assert_eq!(world.airbyte.sources().len(), 1);
}

#[tokio::test]
async fn airbytes_answer_comes_back_with_201_whichever_success_it_was() {
    let world = World::new().await;
    let function = world.create_source().await;
    for status in [200, 201, 202] {
        // Numbers that a detour over floating point would change.
        let reply = r#"{"source_id":"6f2c","created_at":12345678901234567890123,"ratio":1.0,"more":{"b":1,"a":[]}}"#;
        world.airbyte.clear_faults();
        world.airbyte.inject(Fault::new(
            Route::Sources,
            FaultKind::Respond(
                CannedResponse::new(status)
                    .header("content-type", "application/json")
                    .body(reply),
            ),
        ));
        let answer = function
            .invoke(Event::create_source("alice", &faker_source()))
            .await;

        let _ = answer.success(201);
        assert_eq!(answer.raw, reply, "{status}");
    }
}

#[tokio::test]
async fn a_configuration_reaches_airbyte_exactly_as_it_was_sent() {
    let configuration = r#"{
  "count" :  10,
  "big": 123456789012345678901234567890, "negative": -0, "float": 1.0, "exponent": 1e5, "Exponent": 1E+05,
  "precise": 0.1000000000000000055511151231257827021181583404541015625,
	"text": "\u00e9 é \ud83d\ude00 😀 \/ \"\\ \u0000",
  "z": [ 1 , [ ] , { } , null , true ], "a": { "deep": { "deeper": [ {"x" : 1 } ] } }, "": "" }"#;
    let body = format!(
        r#"{{ "connection_configuration" : {configuration} , "source_config_template_id": "{FAKER}" }}"#
    );
    let world = World::new().await;
    let function = world.create_source().await;
    for event in [
        Event::create_source("alice", &json!({})).body(&body),
        Event::create_source("alice", &json!({})).base64_body(body.as_bytes()),
    ] {
        world.airbyte.clear_requests();
        let answer = function.invoke(event).await;

        assert_eq!(answer.status, 201, "{answer:?}");
        let sent = String::from_utf8(calls(&world.airbyte, SOURCES)[0].body.clone()).unwrap();
        assert!(sent.contains(configuration), "{sent}");
        assert_eq!(
            world
                .airbyte
                .sources()
                .last()
                .unwrap()
                .connection_configuration,
            configuration
        );
    }
}
