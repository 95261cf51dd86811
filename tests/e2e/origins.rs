//! From which pages the API may be used, and which origin Airbyte is told.

use airbyte_sim::Airbyte;
use e2e::{Binary, Config, Event, Function, TestEnv, faker_source};
use serde_json::json;

use crate::exchange::{WIDGET_TOKEN, calls};

/// The origins that Airbyte was told.
fn told(airbyte: &Airbyte) -> Vec<String> {
    let origin = |body: serde_json::Value| body["allowedOrigin"].as_str().unwrap().to_owned();
    calls(airbyte, WIDGET_TOKEN)
        .iter()
        .map(|call| origin(call.json().unwrap()))
        .collect()
}

async fn function(env: &TestEnv, allowed: &str) -> Function {
    let config = env.config().with("ALLOWED_ORIGINS", allowed);
    Function::start(Binary::MintToken, &config).await
}

#[tokio::test]
async fn sends_listed_origin_in_normal_form() {
    let allowed = "https://app.example.com,https://admin.example.com:8443,http://localhost:5173,\
                   https://xn--bcher-kva.example,http://[::1]:3000,http://127.0.0.1";
    let cases = [
        ("https://app.example.com", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("HTTPS://App.EXAMPLE.com", "https://app.example.com"),
        (
            "https://admin.example.com:8443",
            "https://admin.example.com:8443",
        ),
        ("http://localhost:5173", "http://localhost:5173"),
        (
            "https://xn--bcher-kva.example",
            "https://xn--bcher-kva.example",
        ),
        (
            "https://XN--BCHER-KVA.example:443",
            "https://xn--bcher-kva.example",
        ),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
    ];
    let env = TestEnv::new().await;
    let function = function(&env, allowed).await;
    for (header, normal_form) in cases {
        env.airbyte.clear_requests();
        let response = function
            .invoke(Event::mint_token("alice").origin(header))
            .await;
        assert_eq!(response.status, 200, "{header}: {response:?}");
        assert_eq!(told(&env.airbyte), [normal_form], "{header}");

        env.airbyte.clear_requests();
        let body = json!({ "allowedOrigin": header });
        let response = function
            .invoke(Event::mint_token("alice").no_origin().json(&body))
            .await;
        assert_eq!(response.status, 200, "{header}: {response:?}");
        assert_eq!(told(&env.airbyte), [normal_form], "{header}");
    }
}

#[tokio::test]
async fn normalizes_configured_origins() {
    let env = TestEnv::new().await;
    let function = function(&env, "HTTPS://App.Example.com:443").await;
    for event in [
        Event::mint_token("alice").no_origin(),
        Event::mint_token("alice"),
    ] {
        env.airbyte.clear_requests();
        function.invoke(event).await.expect_success(200);
        assert_eq!(told(&env.airbyte), ["https://app.example.com"]);
    }
}

/// Everything that is nearly `https://app.example.com`, and is not.
fn strangers() -> Vec<String> {
    let mut strangers: Vec<String> = [
        "",
        " ",
        "null",
        "NULL",
        "undefined",
        "*",
        "https://*",
        "https://*.example.com",
        "file://",
        "data:text/html,x",
        "http://app.example.com",
        "http://app.example.com:443",
        "wss://app.example.com",
        "https://app.example.com:80",
        "https://app.example.com:8443",
        "https://app.example.com:",
        "https://app.example.com:443443",
        "https://app.example.com:-443",
        "https://app.example.com:443 ",
        "https://app.example.com/",
        "https://app.example.com:443/",
        "https://app.example.com/path",
        "https://app.example.com?query",
        "https://app.example.com#fragment",
        "https://app.example.com\\",
        "https://app.example.com.",
        "https://app.example.com..",
        "https://.app.example.com",
        "https://app..example.com",
        "https://app.example.com.evil.example",
        "https://evil.example/https://app.example.com",
        "https://evil.example#https://app.example.com",
        "https://evil-app.example.com",
        "https://example.com",
        "https://sub.app.example.com",
        "https://appxexample.com",
        "https://user@app.example.com",
        "https://user:password@app.example.com",
        "https://@app.example.com",
        "https://app.example.com@evil.example",
        "https://app.example.com, https://app.example.com",
        "https://app.example.com,https://admin.example.com:8443",
        "https://app.example.com https://evil.example",
        " https://app.example.com",
        "https://app.example.com ",
        "\thttps://app.example.com",
        "https://app.example.com\r\nx-injected: 1",
        "https://app.exa\nmple.com",
        "ht\ttps://app.example.com",
        "https://app.example.com\0",
        "app.example.com",
        "//app.example.com",
        "://app.example.com",
        "https:app.example.com",
        "https:/app.example.com",
        "https:///app.example.com",
        "https:\\\\app.example.com",
        "https://app%2eexample.com",
        "https://%61pp.example.com",
        // Characters that IDNA maps to those of the name.
        "https://app\u{3002}example.com",
        "https://\u{ff41}pp.example.com",
        "https://a\u{ad}pp.example.com",
        "https://app.example\u{2024}com",
        // Characters that look like those of the name.
        "https://\u{430}pp.example.com",
        "https://xn--pp-7ka.example.com",
    ]
    .map(str::to_owned)
    .to_vec();
    strangers.push(format!("https://{}.example.com", "a".repeat(10 * 1024)));
    strangers.push(format!(
        "https://app.example.com:{}443",
        "0".repeat(10 * 1024)
    ));
    strangers
}

/// The status and problem type for an `Origin` header: an event with control characters in a header is no HTTP request.
fn expected_for_header(origin: &str) -> (u16, &'static str) {
    if origin.contains(['\r', '\n', '\0']) {
        (400, "invalid-request")
    } else {
        (403, "origin-not-allowed")
    }
}

#[tokio::test]
async fn rejects_unlisted_origin_header() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for origin in strangers() {
        let response = function
            .invoke(Event::mint_token("alice").origin(&origin))
            .await;
        let (status, problem_type) = expected_for_header(&origin);
        assert_eq!(response.status, status, "{origin:?}: {response:?}");
        response.expect_problem(status, problem_type);
        // Not even with an allowed origin in the body.
        let body = json!({ "allowedOrigin": Config::ORIGIN });
        let response = function
            .invoke(Event::mint_token("alice").origin(&origin).json(&body))
            .await;
        response.expect_problem(status, problem_type);
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_unlisted_origin_in_body() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for origin in strangers() {
        let body = json!({ "allowedOrigin": origin });
        let response = function
            .invoke(Event::mint_token("alice").no_origin().json(&body))
            .await;
        assert_eq!(response.status, 403, "{origin:?}: {response:?}");
        response.expect_problem(403, "origin-not-allowed");
        // Not even beside a good header.
        let response = function
            .invoke(Event::mint_token("alice").json(&body))
            .await;
        response.expect_problem(403, "origin-not-allowed");
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn create_source_rejects_unlisted_origin() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for origin in strangers() {
        let response = function
            .invoke(Event::create_source("alice", &faker_source()).origin(&origin))
            .await;
        let (status, problem_type) = expected_for_header(&origin);
        assert_eq!(response.status, status, "{origin:?}: {response:?}");
        response.expect_problem(status, problem_type);
    }
    assert!(env.airbyte.requests().is_empty());

    let event = Event::create_source("alice", &faker_source()).origin(Config::OTHER_ORIGIN);
    function.invoke(event).await.expect_success(201);
    assert_eq!(told(&env.airbyte), [Config::OTHER_ORIGIN]);
}

#[tokio::test]
async fn prefers_header_then_body_then_first_origin() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let body = json!({ "allowedOrigin": Config::OTHER_ORIGIN });
    for (event, origin) in [
        (Event::mint_token("alice").json(&body), Config::ORIGIN),
        (
            Event::mint_token("alice").no_origin().json(&body),
            Config::OTHER_ORIGIN,
        ),
        (Event::mint_token("alice").no_origin(), Config::ORIGIN),
    ] {
        env.airbyte.clear_requests();
        function.invoke(event).await.expect_success(200);
        assert_eq!(told(&env.airbyte), [origin]);
    }
}

#[tokio::test]
async fn reads_origin_header_in_any_case() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for name in ["Origin", "ORIGIN"] {
        let event = Event::mint_token("alice")
            .no_origin()
            .header(name, "https://evil.example");
        function
            .invoke(event)
            .await
            .expect_problem(403, "origin-not-allowed");
    }
    assert!(env.airbyte.requests().is_empty());
}
