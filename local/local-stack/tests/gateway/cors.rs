//! Preflight and CORS headers per origin.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;

use crate::support::{InvokeResult, ORIGIN, OTHER_ORIGIN, World, header};

async fn preflight(world: &World, path: &str, origin: &str) -> Response<Bytes> {
    let request = Request::options(world.url(path))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    world.send(request.body(Full::default()).unwrap()).await
}

fn cors_headers(response: &Response<Bytes>) -> Vec<String> {
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    headers
}

#[tokio::test]
async fn allows_preflight_of_each_allowed_origin() {
    let world = World::open().await;
    for origin in [ORIGIN, OTHER_ORIGIN] {
        let response = preflight(&world, "/token", origin).await;
        assert_eq!(response.status(), 204);
        assert!(response.body().is_empty());
        assert_eq!(
            cors_headers(&response),
            [
                "access-control-allow-headers: authorization,content-type".to_owned(),
                "access-control-allow-methods: POST".to_owned(),
                format!("access-control-allow-origin: {origin}"),
                "access-control-max-age: 600".to_owned(),
            ]
        );
    }
    assert!(
        world.lambda.events().is_empty(),
        "a preflight reached the function"
    );
}

#[tokio::test]
async fn omits_cors_headers_for_other_origins() {
    let world = World::start().await;
    world.lambda.respond(InvokeResult::Result(json!({
        "statusCode": 200,
        "headers": {"access-control-allow-origin": "*", "Access-Control-Allow-Credentials": "true"},
    })));
    let bearer = world.bearer("alice");
    for origin in [
        "https://evil.example",
        "http://localhost:5174",
        "null",
        "http://localhost:5173.evil.example",
    ] {
        let response = preflight(&world, "/token", origin).await;
        assert_eq!(
            (response.status().as_u16(), cors_headers(&response)),
            (204, vec![]),
            "{origin}"
        );

        let response = world
            .post("/token", &[("authorization", &bearer), ("origin", origin)])
            .await;
        assert_eq!(
            (response.status().as_u16(), cors_headers(&response)),
            (200, vec![]),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn replaces_cors_headers_of_function() {
    let world = World::start().await;
    world.lambda.respond(InvokeResult::Result(json!({
        "statusCode": 200,
        "headers": {"access-control-allow-origin": "*", "access-control-max-age": "1", "retry-after": "3"},
    })));
    let bearer = world.bearer("alice");
    for origin in [ORIGIN, OTHER_ORIGIN] {
        let response = world
            .post("/token", &[("authorization", &bearer), ("origin", origin)])
            .await;
        assert_eq!(
            cors_headers(&response),
            [
                format!("access-control-allow-origin: {origin}"),
                "access-control-expose-headers: retry-after".to_owned()
            ]
        );
        assert_eq!(header(&response, "retry-after"), Some("3"));
    }
}

#[tokio::test]
async fn adds_cors_headers_to_own_errors() {
    let world = World::open().await;
    for (path, status) in [("/token", 401), ("/nowhere", 404), ("/signed", 403)] {
        let response = world.post(path, &[("origin", ORIGIN)]).await;
        assert_eq!(response.status(), status);
        assert_eq!(
            header(&response, "access-control-allow-origin"),
            Some(ORIGIN),
            "{path}"
        );
    }
}

#[tokio::test]
async fn responds_204_to_options_that_is_no_preflight() {
    let world = World::open().await;
    for header in [None, Some(("origin", ORIGIN))] {
        let request = Request::options(world.url("/token"));
        let request = header.into_iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });

        let response = world.send(request.body(Full::default()).unwrap()).await;

        assert_eq!(
            (response.status().as_u16(), cors_headers(&response)),
            (204, vec![]),
            "{header:?}"
        );
        assert!(response.body().is_empty());
    }
}
