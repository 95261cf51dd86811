//! Invocation of functions, and their results.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use local_stack::gateway::{Gateway, Options};
use serde_json::json;

use crate::support::{
    ANY_PORT, Changes, InvokeResult, NOWHERE, World, header, message, soon, template,
};

#[tokio::test]
async fn invokes_function_and_returns_its_response() {
    let world = World::open().await;
    world.lambda.respond(InvokeResult::Result(json!({
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
async fn remaps_www_authenticate_of_function() {
    let world = World::open().await;
    world.lambda.respond(InvokeResult::Result(json!({
        "statusCode": 401,
        "headers": {"www-authenticate": "Bearer"},
    })));

    let response = world.post("/open", &[]).await;

    assert_eq!(response.status(), 401);
    assert_eq!(
        header(&response, "x-amzn-remapped-www-authenticate"),
        Some("Bearer")
    );
    assert_eq!(header(&response, "www-authenticate"), None);
}

#[tokio::test]
async fn encodes_body_of_unknown_type() {
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
async fn rejects_unknown_routes() {
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
async fn takes_json_without_status_for_200() {
    let world = World::open().await;
    world
        .lambda
        .respond(InvokeResult::Result(json!({"hello": "world"})));
    let response = world.post("/open", &[]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    assert_eq!(&response.body()[..], br#"{"hello":"world"}"#);
}

#[tokio::test]
async fn reports_failed_invocation() {
    let world = World::open().await;
    let cases = [
        (
            InvokeResult::Raw(500, r#"{"errorMessage":"boom"}"#),
            r#"mint-token: the invocation failed: {"errorMessage":"boom"}"#,
        ),
        (
            InvokeResult::Raw(200, "not JSON"),
            "mint-token: invalid response: not valid JSON: expected ident at line 1 column 2",
        ),
        (
            InvokeResult::Result(json!({"statusCode": "many"})),
            "mint-token: invalid response: `statusCode` is \"many\"",
        ),
    ];
    for (result, line) in cases {
        world.lambda.respond(result);
        let response = world.post("/open", &[]).await;
        assert_eq!(
            (response.status().as_u16(), message(&response)),
            (500, "Internal Server Error".to_owned())
        );
        assert_eq!(world.console().last().unwrap(), line);
    }
}

#[tokio::test]
async fn reports_unreachable_function() {
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
async fn requires_address_of_every_function() {
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
        "POST /token invokes mint-token, which has no address"
    );
}

#[tokio::test]
async fn fails_function_that_exceeds_its_timeout() {
    let world = World::open_with(Changes {
        function_timeout: Duration::from_secs(1),
        ..Changes::default()
    })
    .await;
    world.lambda.respond(InvokeResult::Never);
    let response = soon("the function's timeout", world.post("/open", &[])).await;
    assert_eq!(
        (response.status().as_u16(), message(&response)),
        (500, "Internal Server Error".to_owned())
    );
    assert_eq!(
        world.console(),
        [
            "mint-token: no response within its Timeout of 1s: it runs longer, or does not run at all"
        ]
    );
}

#[tokio::test]
async fn responds_503_after_integration_timeout() {
    let world = World::open_with(Changes {
        integration_timeout: Duration::from_millis(100),
        ..Changes::default()
    })
    .await;
    world.lambda.respond(InvokeResult::Never);
    let response = soon("the integration's timeout", world.post("/open", &[])).await;
    assert_eq!(
        (response.status().as_u16(), message(&response)),
        (503, "Service Unavailable".to_owned())
    );
    assert_eq!(
        world.console(),
        ["mint-token: no response within the integration's 100ms"]
    );
}
