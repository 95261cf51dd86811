//! Allowed origins: from which pages the API can be called, and the origin that is sent to Airbyte.

use airbyte_sim::Route;
use e2e::{Binary, Config, Event, Function, Generation, TestEnv, case};

e2e::test_each_generation!(
    sends_listed_origin_in_normal_form,
    prefers_header_then_body_then_first_origin,
);

/// Returns the origins that were sent to Airbyte.
fn sent_origins(env: &TestEnv) -> Vec<String> {
    let name = env.names().origin;
    let requests = env.requests(Route::WidgetToken);
    requests
        .iter()
        .map(|request| {
            let body = request.json().unwrap();
            body[name].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Starts `mint-token` with these allowed origins.
async fn start(env: &TestEnv, allowed_origins: &str) -> Function {
    let config = env.config().with("ALLOWED_ORIGINS", allowed_origins);
    Function::start(Binary::MintToken, &config).await
}

/// Mints, and checks the origin that is sent to Airbyte.
async fn expect_origin(env: &TestEnv, function: &Function, event: Event, origin: &str) {
    env.airbyte.clear_requests();
    function.invoke(event).await.expect_success(200);
    assert_eq!(sent_origins(env), [origin]);
}

async fn expect_not_allowed(function: &Function, event: Event) {
    function
        .invoke(event)
        .await
        .expect_problem(403, "origin-not-allowed");
}

async fn sends_listed_origin_in_normal_form(generation: Generation) {
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
    let env = TestEnv::of(generation).await;
    let function = start(&env, allowed).await;
    for (origin, normal_form) in cases {
        let _case = case(origin);
        let header = Event::mint().origin(origin);
        expect_origin(&env, &function, header, normal_form).await;
        let body = Event::mint().no_origin().field("allowedOrigin", origin);
        expect_origin(&env, &function, body, normal_form).await;
    }
}

#[tokio::test]
async fn normalizes_configured_origins() {
    let env = TestEnv::new().await;
    let function = start(&env, "HTTPS://App.Example.com:443").await;
    for event in [Event::mint().no_origin(), Event::mint()] {
        expect_origin(&env, &function, event, "https://app.example.com").await;
    }
}

/// Origins that resemble `https://app.example.com`.
fn unlisted_origins() -> Vec<String> {
    let mut origins: Vec<String> = [
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
        "ht\ttps://app.example.com",
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
    origins.push(format!("https://{}.example.com", "a".repeat(10 * 1024)));
    origins.push(format!(
        "https://app.example.com:{}443",
        "0".repeat(10 * 1024)
    ));
    origins
}

#[tokio::test]
async fn rejects_unlisted_origin_header() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for origin in unlisted_origins() {
        let _case = case(format_args!("{origin:?}"));
        let event = Event::mint().origin(&origin);
        expect_not_allowed(&function, event.clone()).await;
        let with_listed_body = event.field("allowedOrigin", Config::ORIGIN);
        expect_not_allowed(&function, with_listed_body).await;
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_unlisted_origin_in_body() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for origin in unlisted_origins().into_iter().chain(invalid_headers()) {
        let _case = case(format_args!("{origin:?}"));
        let with_listed_header = Event::mint().field("allowedOrigin", origin);
        expect_not_allowed(&function, with_listed_header.clone()).await;
        expect_not_allowed(&function, with_listed_header.no_origin()).await;
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn create_source_rejects_unlisted_origin() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for origin in unlisted_origins() {
        let _case = case(format_args!("{origin:?}"));
        expect_not_allowed(&function, Event::create().origin(&origin)).await;
    }
    assert!(env.airbyte.requests().is_empty());

    let event = Event::create().origin(Config::OTHER_ORIGIN);
    function.invoke(event).await.expect_success(201);
    assert_eq!(sent_origins(&env), [Config::OTHER_ORIGIN]);
}

/// Values that are not valid in an HTTP header, so that API Gateway cannot send them.
fn invalid_headers() -> [String; 3] {
    [
        "https://app.example.com\r\nx-injected: 1",
        "https://app.exa\nmple.com",
        "https://app.example.com\0",
    ]
    .map(str::to_owned)
}

#[tokio::test]
async fn rejects_invalid_header_values() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for origin in invalid_headers() {
            let _case = case(format_args!("{origin:?}"));
            function
                .invoke(Event::valid(binary).origin(&origin))
                .await
                .expect_problem(400, "invalid-request");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

async fn prefers_header_then_body_then_first_origin(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    let with_body = Event::mint().field("allowedOrigin", Config::OTHER_ORIGIN);
    for (name, event, origin) in [
        ("header and body", with_body.clone(), Config::ORIGIN),
        ("body", with_body.no_origin(), Config::OTHER_ORIGIN),
        ("neither", Event::mint().no_origin(), Config::ORIGIN),
    ] {
        let _case = case(name);
        expect_origin(&env, &function, event, origin).await;
    }
}

#[tokio::test]
async fn reads_origin_header_in_any_case() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for name in ["Origin", "ORIGIN"] {
        let _case = case(name);
        let event = Event::mint()
            .no_origin()
            .header(name, "https://evil.example");
        expect_not_allowed(&function, event).await;
    }
    assert!(env.airbyte.requests().is_empty());
}
