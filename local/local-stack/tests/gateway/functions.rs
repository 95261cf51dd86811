//! What a function is invoked with, and what becomes of its result.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Request;
use http_body_util::Full;
use local_stack::gateway::{Gateway, Options};
use serde_json::json;

use crate::support::{
    ANY_PORT, Changes, InvokeResult, NOWHERE, World, header, message, soon, template,
};

#[tokio::test]
async fn a_function_gets_the_request_and_its_answer_comes_back() {
    let world = World::open().await;
    world.lambda.answer(InvokeResult::Result(json!({
        "statusCode": 201,
        "headers": {"content-type": "application/problem+json", "cache-control": "no-store"},
        "cookies": ["a=1", "b=2"],
        "body": "eyJhIjoxfQ==",
        "isBase64Encoded": true,
    })));
    let request = Request::post(world.url("/open?a=1&a=2"))
        .header("X-Custom", "one")
        .header("x-custom", "two")
        .header("content-type", "application/json; charset=utf-8")
        .body(Full::from(r#"{"b": 2}"#))
        .unwrap();
    let response = world.send(request).await;

    assert_eq!(response.status(), 201);
    assert_eq!(
        header(&response, "content-type"),
        Some("application/problem+json")
    );
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(
        response
            .headers()
            .get_all("set-cookie")
            .iter()
            .collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
    assert_eq!(&response.body()[..], br#"{"a":1}"#);

    let [event] = &world.lambda.events()[..] else {
        panic!("not one event")
    };
    assert_eq!(event["routeKey"], "POST /open");
    assert_eq!(event["rawPath"], "/open");
    assert_eq!(event["rawQueryString"], "a=1&a=2");
    assert_eq!(event["headers"]["x-custom"], "one,two");
    assert_eq!(event["body"], r#"{"b": 2}"#);
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(event["requestContext"].get("authorizer"), None);
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(
        event["requestContext"]["requestId"].as_str(),
        header(&response, "apigw-requestid")
    );
}

#[tokio::test]
async fn a_body_of_no_known_text_type_arrives_as_base64() {
    let world = World::open().await;
    for content_type in [
        None,
        Some("application/x-www-form-urlencoded"),
        Some("application/octet-stream"),
    ] {
        let request = Request::post(world.url("/open"));
        let request = content_type.into_iter().fold(request, |request, kind| {
            request.header("content-type", kind)
        });
        world.send(request.body(Full::from("{}")).unwrap()).await;
    }
    let events = world.lambda.events();
    assert_eq!(events.len(), 3);
    for event in events {
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!("e30="), &json!(true))
        );
    }
}

#[tokio::test]
async fn routes_that_are_not_in_the_template_are_not_found() {
    let world = World::open().await;
    let get = Request::get(world.url("/open"))
        .body(Full::default())
        .unwrap();
    let mut responses = vec![world.send(get).await];
    for path in ["/", "/open/", "/opened", "/OPEN", "/prod/open"] {
        responses.push(world.post(path, &[]).await);
    }
    for response in responses {
        assert_eq!(
            (response.status().as_u16(), message(&response)),
            (404, "Not Found".to_owned())
        );
    }
    assert!(world.lambda.events().is_empty());
}

#[tokio::test]
async fn json_without_a_status_is_taken_for_a_200() {
    let world = World::open().await;
    world
        .lambda
        .answer(InvokeResult::Result(json!({"hello": "world"})));
    let response = world.post("/open", &[]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    assert_eq!(&response.body()[..], br#"{"hello":"world"}"#);
}

#[tokio::test]
async fn a_function_that_fails_is_a_500_and_the_console_says_why() {
    let world = World::open().await;
    let cases = [
        (
            InvokeResult::Raw(500, r#"{"errorMessage":"boom"}"#),
            r#"mint-token: the invocation failed: {"errorMessage":"boom"}"#,
        ),
        (
            InvokeResult::Raw(200, "not JSON"),
            "mint-token: its result is no answer to a request: it is not JSON: expected ident at line 1 column 2",
        ),
        (
            InvokeResult::Result(json!({"statusCode": "many"})),
            "mint-token: its result is no answer to a request: its statusCode is \"many\"",
        ),
    ];
    for (result, line) in cases {
        world.lambda.answer(result);
        let response = world.post("/open", &[]).await;
        assert_eq!(
            (response.status().as_u16(), message(&response)),
            (500, "Internal Server Error".to_owned())
        );
        assert_eq!(world.console().last().unwrap(), line);
    }
}

#[tokio::test]
async fn a_function_that_cannot_be_reached_is_a_500_and_the_console_says_where() {
    let endpoint = "http://127.0.0.1:9/2015-03-31/functions/mint-token/invocations";
    let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    let gateway = Gateway::start(Options {
        address: ANY_PORT,
        template: template(NOWHERE, &Changes::default()),
        functions: BTreeMap::from([("mint-token".to_owned(), endpoint.to_owned())]),
        console: Arc::new(move |line| seen.lock().unwrap().push(line.to_owned())),
    })
    .await
    .unwrap();
    let world = World::open().await;
    let request = Request::post(format!("{}/open", gateway.url()))
        .body(Full::default())
        .unwrap();
    let response = world.send(request).await;
    assert_eq!(
        (response.status().as_u16(), message(&response)),
        (500, "Internal Server Error".to_owned())
    );
    let lines = lines.lock().unwrap().clone();
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert!(
        line.starts_with(&format!("mint-token: cannot be reached at {endpoint}: ")),
        "{line}"
    );
}

#[tokio::test]
async fn a_route_to_an_unknown_function_keeps_the_gateway_from_starting() {
    let error = Gateway::start(Options {
        address: ANY_PORT,
        template: template(NOWHERE, &Changes::default()),
        functions: BTreeMap::new(),
        console: Arc::new(|_| {}),
    })
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "POST /token leads to mint-token, for which no address was given"
    );
}

#[tokio::test]
async fn who_runs_longer_than_its_timeout_has_failed() {
    let world = World::open_with(Changes {
        function_timeout: 1,
        ..Changes::default()
    })
    .await;
    world.lambda.answer(InvokeResult::Never);
    let response = soon("the function's time-out", world.post("/open", &[])).await;
    assert_eq!(
        (response.status().as_u16(), message(&response)),
        (500, "Internal Server Error".to_owned())
    );
    assert_eq!(
        world.console(),
        [
            "mint-token: no answer within its Timeout of 1s: it runs for longer, or does not run at all"
        ]
    );
}

#[tokio::test]
async fn the_gateway_waits_no_longer_than_the_integration_says() {
    let world = World::open_with(Changes {
        integration_timeout: 100,
        ..Changes::default()
    })
    .await;
    world.lambda.answer(InvokeResult::Never);
    let response = soon("the integration's time-out", world.post("/open", &[])).await;
    assert_eq!(
        (response.status().as_u16(), message(&response)),
        (503, "Service Unavailable".to_owned())
    );
    assert_eq!(
        world.console(),
        ["mint-token: no answer within the integration's 100ms"]
    );
}
