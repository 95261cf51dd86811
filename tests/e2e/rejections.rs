//! Airbyte's rejections of a source, in each shape of its error bodies, as the caller sees them.

use airbyte_sim::{CannedResponse, Fault, FaultKind, Route};
use e2e::{Event, POSTGRES, TestEnv, case, token};
use serde_json::{Value, json};
use uuid::Uuid;

const PASSWORD: &str = "canary-password-5b1e";

/// Creates a request for the "Postgres" template without some fields of the configuration.
fn postgres_without(missing: &[&str]) -> Event {
    let mut configuration = json!({
        "host": "db.example.com",
        "database": "shop",
        "username": "airbyte",
        "password": PASSWORD,
    });
    for name in missing {
        configuration.as_object_mut().unwrap().remove(*name);
    }
    Event::create_source(
        "alice",
        &json!({ "source_config_template_id": POSTGRES, "connection_configuration": configuration }),
    )
}

#[tokio::test]
async fn returns_all_missing_configuration_fields() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let complete = function.invoke(postgres_without(&[])).await;
    complete.expect_success(201);

    let response = function
        .invoke(postgres_without(&["host", "password"]))
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
    let function = env.create_source().await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let event = Event::create().field("source_config_template_id", unknown);

    let response = function.invoke(event).await;

    response.expect_problem(422, "source-rejected");
}

#[tokio::test]
async fn reads_every_shape_of_error_body() {
    const FIELDS: &str =
        "Airbyte rejected the source. Fix the fields listed in `errors` and try again.";
    let cases = [
        (
            "FastAPI, message",
            json!({ "detail": "Source template not found" }),
            "Airbyte rejected the source: Source template not found",
            vec![],
        ),
        (
            "FastAPI, field errors",
            json!({ "detail": [
                { "loc": ["body", "connection_configuration", "host"], "msg": "Field required", "type": "missing" },
                { "loc": ["body", "connection_configuration", "tables", 2, "na/me~"], "msg": "Too long", "type": "x" },
                { "loc": ["body", "source_config_template_id"], "msg": "Not a uuid", "type": "uuid_parsing" },
            ] }),
            FIELDS,
            vec![
                ("/connection_configuration/host", "Field required"),
                ("/connection_configuration/tables/2/na~1me~0", "Too long"),
                ("/source_config_template_id", "Not a uuid"),
            ],
        ),
        (
            "Micronaut",
            json!({
                "message": "Bad Request",
                "_embedded": { "errors": [{ "message": "The connection configuration is not valid" }] },
            }),
            "Airbyte rejected the source: Bad Request",
            vec![("", "The connection configuration is not valid")],
        ),
        (
            "problem details",
            json!({ "type": "about:blank", "title": "Conflict", "status": 409, "detail": "It exists" }),
            "Airbyte rejected the source: It exists",
            vec![],
        ),
    ];
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for (name, body, detail, errors) in cases {
        let _case = case(name);
        env.respond(Route::Sources, CannedResponse::new(422).json(&body));

        let response = function.invoke(Event::create()).await;

        let problem = response.expect_problem(422, "source-rejected");
        assert_eq!(problem.detail, detail);
        let returned: Vec<_> = problem
            .errors
            .iter()
            .map(|error| (error.pointer.as_str(), error.detail.as_str()))
            .collect();
        assert_eq!(returned, errors);
    }
}

#[tokio::test]
async fn withholds_values_echoed_by_airbyte() {
    let bodies = [
        json!({ "detail": format!("connection failed for password {PASSWORD}") }),
        json!({ "detail": [{
            "loc": ["body", "connection_configuration", "password"],
            "msg": format!("'{PASSWORD}' is too short"),
            "type": "string_too_short",
            "input": PASSWORD,
        }] }),
        json!({ "detail": [{
            "loc": ["body", "connection_configuration", PASSWORD],
            "msg": "unexpected",
            "type": "extra_forbidden",
        }] }),
        json!({ "message": PASSWORD, "_embedded": { "errors": [{ "message": format!("bad value: {PASSWORD}") }] } }),
        json!({ "title": PASSWORD, "detail": format!("bad value: {PASSWORD}") }),
        json!({ "unknown": { "shape": PASSWORD } }),
    ];
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for status in [400, 404, 409, 422, 403, 401, 500] {
        for body in &bodies {
            let _case = case(format_args!("{status} {body}"));
            env.respond(Route::Sources, CannedResponse::new(status).json(body));

            let response = function.invoke(postgres_without(&[])).await;

            assert!(response.status >= 400, "{response:?}");
            assert!(!response.text.contains(PASSWORD), "{response:?}");
        }
    }
    assert!(
        !function.output().contains(PASSWORD),
        "{}",
        function.output()
    );
}

#[tokio::test]
async fn withholds_token_echoed_by_airbyte() {
    let env = TestEnv::new().await;
    let token = token::opaque_for(Uuid::new_v4(), "alice");
    let scoped_token = token::decode(&token)["token"].as_str().unwrap().to_owned();
    let minted = CannedResponse::new(200).json(&json!({ "token": token }));
    let bodies: [Value; 3] = [
        json!({ "detail": format!("bad token Bearer {scoped_token}") }),
        json!({ "detail": [{ "loc": ["header", scoped_token], "msg": format!("{scoped_token} has ended") }] }),
        json!({ "message": "bad", "_embedded": { "errors": [{ "message": scoped_token }] } }),
    ];
    let function = env.create_source().await;
    for body in bodies {
        let _case = case(&body);
        env.respond(Route::Sources, CannedResponse::new(422).json(&body));
        let mint = FaultKind::Respond(minted.clone());
        env.airbyte.inject(Fault::new(Route::WidgetToken, mint));
        for event in [
            Event::create().field("token", token.clone()),
            Event::create(),
        ] {
            let response = function.invoke(event).await;
            response.expect_problem(422, "source-rejected");
            for part in scoped_token.split('.') {
                assert!(!format!("{response:?}").contains(part), "{response:?}");
            }
        }
    }
}
