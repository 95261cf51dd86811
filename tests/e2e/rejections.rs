//! Airbyte's refusal of a source, in each of the shapes its errors have, as the caller sees it.

use airbyte_sim::{CannedResponse, Route};
use e2e::{Event, POSTGRES, TestEnv, faker_source, token};
use serde_json::{Value, json};
use uuid::Uuid;

fn postgres_without(missing: &[&str]) -> Value {
    let mut configuration = json!({
        "host": "db.example.com",
        "database": "shop",
        "username": "airbyte",
        "password": "a-password-that-nobody-repeats",
    });
    for name in missing {
        configuration.as_object_mut().unwrap().remove(*name);
    }
    json!({ "source_config_template_id": POSTGRES, "connection_configuration": configuration })
}

#[tokio::test]
async fn returns_all_missing_configuration_fields() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let complete = Event::create_source("alice", &postgres_without(&[]));
    function.invoke(complete).await.expect_success(201);

    let response = function
        .invoke(Event::create_source(
            "alice",
            &postgres_without(&["host", "password"]),
        ))
        .await;
    let problem = response.expect_problem(422, "source-rejected");
    assert_eq!(
        problem.pointers(),
        [
            "/connection_configuration/host",
            "/connection_configuration/password"
        ]
    );
    assert_eq!(env.airbyte.sources().len(), 1);
}

#[tokio::test]
async fn rejects_unknown_template() {
    let env = TestEnv::new().await;
    let mut body = faker_source();
    body["source_config_template_id"] = json!("00000000-0000-4000-8000-000000000000");
    let response = env
        .create_source()
        .await
        .invoke(Event::create_source("alice", &body))
        .await;
    response.expect_problem(422, "source-rejected");
}

#[tokio::test]
async fn reads_every_shape_of_error_body() {
    let cases = [
        // FastAPI: a text, or a list with places.
        (json!({ "detail": "Source template not found" }), vec![]),
        (
            json!({ "detail": [
                { "loc": ["body", "connection_configuration", "host"], "msg": "Field required", "type": "missing" },
                { "loc": ["body", "connection_configuration", "tables", 2, "na/me~"], "msg": "Too long", "type": "x" },
                { "loc": ["body", "source_config_template_id"], "msg": "Not a uuid", "type": "uuid_parsing" },
            ] }),
            vec![
                ("/connection_configuration/host", "Field required"),
                ("/connection_configuration/tables/2/na~1me~0", "Too long"),
                ("/source_config_template_id", "Not a uuid"),
            ],
        ),
        // Micronaut.
        (
            json!({
                "message": "Bad Request",
                "_embedded": { "errors": [{ "message": "The connection configuration is not valid" }] },
            }),
            vec![("", "The connection configuration is not valid")],
        ),
        // Problem details.
        (
            json!({ "type": "about:blank", "title": "Conflict", "status": 409, "detail": "It exists" }),
            vec![],
        ),
    ];
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for (body, errors) in cases {
        env.respond(Route::Sources, CannedResponse::new(422).json(&body));
        let response = function
            .invoke(Event::create_source("alice", &faker_source()))
            .await;

        let problem = response.expect_problem(422, "source-rejected");
        let told: Vec<_> = problem
            .errors
            .iter()
            .map(|error| (error.pointer.as_str(), error.detail.as_str()))
            .collect();
        assert_eq!(told, errors, "{body}");
    }
}

#[tokio::test]
async fn withholds_values_echoed_by_airbyte() {
    let secret = "a-password-that-nobody-repeats";
    let bodies = [
        json!({ "detail": format!("connection failed for password {secret}") }),
        json!({ "detail": [{
            "loc": ["body", "connection_configuration", "password"],
            "msg": format!("'{secret}' is too short"),
            "type": "string_too_short",
            "input": secret,
        }] }),
        json!({ "detail": [{
            "loc": ["body", "connection_configuration", secret],
            "msg": "unexpected",
            "type": "extra_forbidden",
        }] }),
        json!({ "message": secret, "_embedded": { "errors": [{ "message": format!("bad value: {secret}") }] } }),
        json!({ "title": secret, "detail": format!("bad value: {secret}") }),
        json!({ "unknown": { "shape": secret } }),
    ];
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for status in [400, 404, 409, 422, 403, 401, 500] {
        for body in &bodies {
            env.respond(Route::Sources, CannedResponse::new(status).json(body));
            let response = function
                .invoke(Event::create_source("alice", &postgres_without(&[])))
                .await;

            assert!(response.status >= 400, "{response:?}");
            assert!(
                !response.text.contains(secret),
                "{status} {body}: {response:?}"
            );
        }
    }
    assert!(!function.output().contains(secret), "{}", function.output());
}

#[tokio::test]
async fn withholds_token_echoed_by_airbyte() {
    let env = TestEnv::new().await;
    let opaque = token::opaque_for(Uuid::new_v4(), "alice");
    let scoped = token::decode(&opaque)["token"].as_str().unwrap().to_owned();
    env.respond(
        Route::WidgetToken,
        CannedResponse::new(200).json(&json!({ "token": opaque })),
    );
    let mut with_token = faker_source();
    with_token["token"] = json!(opaque);
    let function = env.create_source().await;
    for said in [
        json!({ "detail": format!("bad token Bearer {scoped}") }),
        json!({ "detail": [{ "loc": ["header", scoped], "msg": format!("{scoped} has ended") }] }),
        json!({ "message": "bad", "_embedded": { "errors": [{ "message": scoped }] } }),
    ] {
        env.respond(Route::Sources, CannedResponse::new(422).json(&said));
        for body in [&with_token, &faker_source()] {
            let response = function.invoke(Event::create_source("alice", body)).await;
            let said = format!("{response:?}");
            response.expect_problem(422, "source-rejected");
            for part in scoped.split('.') {
                assert!(!said.contains(part), "{said}");
            }
        }
    }
}
