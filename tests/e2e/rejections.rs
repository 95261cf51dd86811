//! Airbyte's rejections of a source, in each shape of its error bodies, as the caller sees them.

use airbyte_sim::{CannedResponse, ErrorShape, Fault, FaultKind, Route};
use e2e::{Event, Generation, POSTGRES, TestEnv, case, token};
use serde_json::{Value, json};
use uuid::Uuid;

e2e::test_each_generation!(
    returns_all_missing_configuration_fields,
    rejects_unknown_template,
    reads_every_shape_of_error_body,
    maps_fields_of_every_service,
    withholds_values_echoed_by_airbyte,
    withholds_token_echoed_by_airbyte,
);

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

async fn returns_all_missing_configuration_fields(generation: Generation) {
    let env = TestEnv::of(generation).await;
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

async fn rejects_unknown_template(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let event = Event::create().field("source_config_template_id", unknown);

    let response = function.invoke(event).await;

    response.expect_problem(422, "source-rejected");
}

async fn reads_every_shape_of_error_body(generation: Generation) {
    const FIELDS: &str =
        "Airbyte rejected the source. Fix the fields listed in `errors` and try again.";
    let names = generation.names();
    let (template, configuration) = (names.template, names.configuration);
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
                { "loc": ["body", configuration, "host"], "msg": "Field required", "type": "missing" },
                { "loc": ["body", configuration, "tables", 2, "na/me~"], "msg": "Too long", "type": "x" },
                { "loc": ["body", template], "msg": "Not a uuid", "type": "uuid_parsing" },
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
        (
            "Agent API",
            json!({ "message": null, "errors": [
                { "field": format!("body.{configuration}.host"), "message": "Field required", "error_code": "missing" },
                { "field": template, "message": null, "error_code": "uuid_parsing", "details": null },
                { "field": "body", "message": "Incomplete", "error_code": null },
            ] }),
            FIELDS,
            vec![
                ("", "Incomplete"),
                ("/connection_configuration/host", "Field required"),
                ("/source_config_template_id", "must be a UUID"),
            ],
        ),
    ];
    let env = TestEnv::of(generation).await;
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

/// The shapes of Airbyte's services, with the names that each of them has for the same fields.
async fn maps_fields_of_every_service(generation: Generation) {
    let mut shapes = vec![
        ErrorShape::MicronautValidationErrors,
        ErrorShape::ProblemDataMessage,
        ErrorShape::FastApiList,
    ];
    if generation == Generation::Agents {
        shapes.extend([
            ErrorShape::AgentsFieldsDotted,
            ErrorShape::AgentsFieldsSlashed,
            ErrorShape::AgentsFieldsArray,
        ]);
    }
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    for shape in shapes {
        let _case = case(format_args!("{shape:?}"));
        env.respond(Route::Sources, shape.response());

        let response = function.invoke(postgres_without(&[])).await;

        assert_eq!(
            response.expect_problem(422, "source-rejected").pointers(),
            [
                "/connection_configuration/host",
                "/connection_configuration/port"
            ]
        );
    }
}

async fn withholds_values_echoed_by_airbyte(generation: Generation) {
    let configuration = generation.names().configuration;
    let bodies = [
        json!({ "detail": format!("connection failed for password {PASSWORD}") }),
        json!({ "detail": [{
            "loc": ["body", configuration, "password"],
            "msg": format!("'{PASSWORD}' is too short"),
            "type": "string_too_short",
            "input": PASSWORD,
        }] }),
        json!({ "detail": [{
            "loc": ["body", configuration, PASSWORD],
            "msg": "unexpected",
            "type": "extra_forbidden",
        }] }),
        json!({ "message": PASSWORD, "_embedded": { "errors": [{ "message": format!("bad value: {PASSWORD}") }] } }),
        json!({ "title": PASSWORD, "detail": format!("bad value: {PASSWORD}") }),
        json!({ "message": PASSWORD, "errors": [
            { "field": format!("{configuration}.password"), "message": format!("bad value: {PASSWORD}"), "error_code": "x",
              "details": { "input": PASSWORD } },
            { "field": format!("{configuration}/{PASSWORD}"), "message": null, "error_code": PASSWORD },
        ] }),
        json!({ "unknown": { "shape": PASSWORD } }),
    ];
    let env = TestEnv::of(generation).await;
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

async fn withholds_token_echoed_by_airbyte(generation: Generation) {
    let env = TestEnv::of(generation).await;
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
