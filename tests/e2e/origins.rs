//! From which pages the API may be used, and which origin Airbyte is told.

use airbyte_sim::Airbyte;
use e2e::{Binary, Environment, Event, Function, World, faker_source};
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

async fn function(world: &World, allowed: &str) -> Function {
    let environment = world.environment().with("ALLOWED_ORIGINS", allowed);
    Function::start(Binary::MintToken, &environment).await
}

#[tokio::test]
async fn an_origin_in_the_list_is_told_to_airbyte_in_its_normal_form() {
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
    let world = World::new().await;
    let function = function(&world, allowed).await;
    for (header, normal_form) in cases {
        world.airbyte.clear_requests();
        let answer = function
            .invoke(Event::mint_token("alice").origin(header))
            .await;
        assert_eq!(answer.status, 200, "{header}: {answer:?}");
        assert_eq!(told(&world.airbyte), [normal_form], "{header}");

        world.airbyte.clear_requests();
        let body = json!({ "allowedOrigin": header });
        let answer = function
            .invoke(Event::mint_token("alice").no_origin().json(&body))
            .await;
        assert_eq!(answer.status, 200, "{header}: {answer:?}");
        assert_eq!(told(&world.airbyte), [normal_form], "{header}");
    }
}

#[tokio::test]
async fn the_list_itself_is_brought_into_the_normal_form() {
    let world = World::new().await;
    let function = function(&world, "HTTPS://App.Example.com:443").await;
    for event in [
        Event::mint_token("alice").no_origin(),
        Event::mint_token("alice"),
    ] {
        world.airbyte.clear_requests();
        let _ = function.invoke(event).await.success(200);
        assert_eq!(told(&world.airbyte), ["https://app.example.com"]);
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

#[tokio::test]
async fn any_other_origin_header_is_refused() {
    let world = World::new().await;
    let function = world.mint_token().await;
    for origin in strangers() {
        let answer = function
            .invoke(Event::mint_token("alice").origin(&origin))
            .await;
        assert_eq!(answer.status, 403, "{origin:?}: {answer:?}");
        let _ = answer.problem(403, "origin-not-allowed");
        // Not even beside a good one in the body.
        let body = json!({ "allowedOrigin": Environment::ORIGIN });
        let answer = function
            .invoke(Event::mint_token("alice").origin(&origin).json(&body))
            .await;
        let _ = answer.problem(403, "origin-not-allowed");
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn any_other_origin_in_the_body_is_refused() {
    let world = World::new().await;
    let function = world.mint_token().await;
    for origin in strangers() {
        let body = json!({ "allowedOrigin": origin });
        let answer = function
            .invoke(Event::mint_token("alice").no_origin().json(&body))
            .await;
        assert_eq!(answer.status, 403, "{origin:?}: {answer:?}");
        let _ = answer.problem(403, "origin-not-allowed");
        // Not even beside a good header.
        let answer = function
            .invoke(Event::mint_token("alice").json(&body))
            .await;
        let _ = answer.problem(403, "origin-not-allowed");
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn create_source_checks_the_origin_as_well() {
    let world = World::new().await;
    let function = world.create_source().await;
    for origin in strangers() {
        let answer = function
            .invoke(Event::create_source("alice", &faker_source()).origin(&origin))
            .await;
        assert_eq!(answer.status, 403, "{origin:?}: {answer:?}");
        let _ = answer.problem(403, "origin-not-allowed");
    }
    assert!(world.airbyte.requests().is_empty());

    let event = Event::create_source("alice", &faker_source()).origin(Environment::OTHER_ORIGIN);
    let _ = function.invoke(event).await.success(201);
    assert_eq!(told(&world.airbyte), [Environment::OTHER_ORIGIN]);
}

#[tokio::test]
async fn the_header_wins_over_the_body_and_the_first_of_the_list_over_nothing() {
    let world = World::new().await;
    let function = world.mint_token().await;
    let body = json!({ "allowedOrigin": Environment::OTHER_ORIGIN });
    for (event, origin) in [
        (Event::mint_token("alice").json(&body), Environment::ORIGIN),
        (
            Event::mint_token("alice").no_origin().json(&body),
            Environment::OTHER_ORIGIN,
        ),
        (Event::mint_token("alice").no_origin(), Environment::ORIGIN),
    ] {
        world.airbyte.clear_requests();
        let _ = function.invoke(event).await.success(200);
        assert_eq!(told(&world.airbyte), [origin]);
    }
}

#[tokio::test]
async fn the_header_is_found_whatever_the_case_of_its_name() {
    let world = World::new().await;
    let function = world.mint_token().await;
    for name in ["Origin", "ORIGIN"] {
        let event = Event::mint_token("alice")
            .no_origin()
            .header(name, "https://evil.example");
        let _ = function
            .invoke(event)
            .await
            .problem(403, "origin-not-allowed");
    }
    assert!(world.airbyte.requests().is_empty());
}
