//! `POST /sources`.

use airbyte_sim::{CannedResponse, Options, Route};
use e2e::{Config, Event, FAKER, Generation, Secret, TestEnv, case, faker_source};
use serde_json::json;
use uuid::Uuid;

e2e::test_each_generation!(
    creates_source_in_callers_workspace,
    sends_documented_create_request,
    names_organization_in_every_call,
    accepts_workspace_id_of_token,
    forbids_other_workspace_before_sending,
    accepts_backend_with_iam_signature,
    returns_201_for_any_success_status,
    forwards_configuration_verbatim,
);

/// Mints an opaque token with `mint-token` and clears the request log.
async fn mint(env: &TestEnv) -> String {
    let response = env.mint_token().await.invoke(Event::mint()).await;
    let token = response.expect_success(200)["token"].as_str().unwrap();
    env.airbyte.clear_requests();
    token.to_owned()
}

async fn creates_source_in_callers_workspace(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;

    let response = function.invoke(Event::create()).await;

    let body = response.expect_success(201);
    let sources = env.airbyte.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(body["id"], sources[0].id.to_string());
    assert_eq!(sources[0].workspace_id, env.workspace_of("alice"));
    assert_eq!(sources[0].source_config_template_id, FAKER);
    assert_eq!(env.routes(), [Route::WidgetToken, Route::Sources]);
}

async fn sends_documented_create_request(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let token = mint(&env).await;
    let scoped_token = e2e::token::decode(&token)["token"].clone();
    let function = env.create_source().await;

    let response = function.invoke(Event::create().field("token", token)).await;

    response.expect_success(201);
    let requests = env.airbyte.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("POST", generation.names().create_path)
    );
    assert_eq!(
        requests[0].header("authorization"),
        Some(format!("Bearer {}", scoped_token.as_str().unwrap()).as_str())
    );
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    let body = match generation {
        Generation::Embedded => json!({
            "workspace_id": env.workspace_of("alice"),
            "source_config_template_id": FAKER,
            "connection_configuration": { "count": 10 },
        }),
        Generation::Agents => json!({
            "workspace_name": "alice",
            "source_template_id": FAKER,
            "replication_config": { "count": 10 },
        }),
    };
    assert_eq!(requests[0].json().unwrap(), body);
}

/// Airbyte requires the header of accounts with several organizations.
async fn names_organization_in_every_call(generation: Generation) {
    let organization = Uuid::try_parse(Config::ORGANIZATION_ID).unwrap();
    let options = Options {
        organizations: Some(vec![Uuid::new_v4(), organization]),
        ..Options::default()
    };
    let secret = Secret::application("dev-client-secret").await;
    let env = TestEnv::with(options, secret).await.generation(generation);

    let response = env.create_source().await.invoke(Event::create()).await;

    response.expect_success(201);
    let expected = generation.organization_header();
    assert_eq!(env.airbyte.requests().len(), 3);
    for request in env.airbyte.requests() {
        let header = request.header("x-organization-id");
        assert_eq!(header, expected, "{request:?}");
    }
    let source = &env.airbyte.sources()[0];
    assert_eq!(source.workspace_id, env.workspace_of("alice"));
}

async fn accepts_workspace_id_of_token(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let token = mint(&env).await;
    let workspace = env.workspace_of("alice").to_string();
    let function = env.create_source().await;

    let minted = Event::create().field("workspace_id", workspace.clone());
    function.invoke(minted).await.expect_success(201);
    let supplied = Event::create()
        .field("workspace_id", workspace.to_uppercase())
        .field("token", token);
    function.invoke(supplied).await.expect_success(201);

    assert_eq!(env.airbyte.sources().len(), 2);
}

async fn forbids_other_workspace_before_sending(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let token = mint(&env).await;
    let function = env.create_source().await;
    let event = Event::create().field("workspace_id", Uuid::new_v4().to_string());

    function
        .invoke(event.clone().field("token", token))
        .await
        .expect_problem(403, "forbidden");
    assert!(env.routes().is_empty());
    function
        .invoke(event)
        .await
        .expect_problem(403, "forbidden");
    assert_eq!(env.routes(), [Route::WidgetToken]);
}

async fn accepts_backend_with_iam_signature(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let event = Event::create()
        .field("externalUserId", "alice")
        .iam()
        .no_origin();

    let response = env.create_source().await.invoke(event).await;

    response.expect_success(201);
    assert_eq!(
        env.airbyte.sources()[0].workspace_id,
        env.workspace_of("alice")
    );
    let sent = env.requests(Route::Sources)[0].json().unwrap();
    assert_eq!(sent.get("externalUserId"), None, "not a field of Airbyte");
}

#[tokio::test]
async fn decodes_base64_body() {
    let env = TestEnv::new().await;
    let event = Event::create().base64_body(faker_source().to_string().as_bytes());

    let response = env.create_source().await.invoke(event).await;

    response.expect_success(201);
    assert_eq!(env.airbyte.sources().len(), 1);
}

async fn returns_201_for_any_success_status(generation: Generation) {
    // Numbers that a conversion to floating point would change.
    let body = r#"{"source_id":"6f2c","created_at":12345678901234567890123,"ratio":1.0,"more":{"b":1,"a":[]}}"#;
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    for status in [200, 201, 202] {
        let _case = case(status);
        env.respond(
            Route::Sources,
            CannedResponse::new(status)
                .header("content-type", "application/json")
                .body(body),
        );

        let response = function.invoke(Event::create()).await;

        response.expect_success(201);
        assert_eq!(response.text, body);
    }
}

async fn forwards_configuration_verbatim(generation: Generation) {
    let configuration = r#"{
  "count" :  10,
  "big": 123456789012345678901234567890, "negative": -0, "float": 1.0, "exponent": 1e5, "Exponent": 1E+05,
  "precise": 0.1000000000000000055511151231257827021181583404541015625,
	"text": "\u00e9 é \ud83d\ude00 😀 \/ \"\\ \u0000",
  "z": [ 1 , [ ] , { } , null , true ], "a": { "deep": { "deeper": [ {"x" : 1 } ] } }, "": "" }"#;
    let body = format!(
        r#"{{ "connection_configuration" : {configuration} , "source_config_template_id": "{FAKER}" }}"#
    );
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    for (name, event) in [
        ("text", Event::create().body(&body)),
        ("base64", Event::create().base64_body(body.as_bytes())),
    ] {
        let _case = case(name);
        env.airbyte.clear_requests();

        let response = function.invoke(event).await;

        response.expect_success(201);
        let sent = String::from_utf8(env.requests(Route::Sources)[0].body.clone()).unwrap();
        assert!(sent.contains(configuration), "{sent}");
        let source = env.airbyte.sources().pop().unwrap();
        assert_eq!(source.connection_configuration, configuration);
    }
}
