//! Validation of bodies: all field errors are returned, each with a pointer, and nothing is sent to Airbyte.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::{Binary, Event, FAKER, Function, Response, TestEnv, case, faker_source, token};
use serde_json::{Value, json};
use uuid::Uuid;

const MEBIBYTE: usize = 1024 * 1024;

const CONFIGURATION_REQUIRED: &str = "/connection_configuration is required";
const TEMPLATE_REQUIRED: &str = "/source_config_template_id is required";

/// Invokes a function with a body, as text and as base64.
async fn invoke(function: &Function, binary: Binary, body: &[u8]) -> [Response; 2] {
    let event = Event::valid(binary);
    let text = String::from_utf8_lossy(body);
    [
        function.invoke(event.clone().body(text)).await,
        function.invoke(event.base64_body(body)).await,
    ]
}

/// Invokes a function and checks the field errors.
async fn expect_errors(function: &Function, event: Event, errors: &[&str]) {
    let response = function.invoke(event).await;
    let problem = response.expect_problem(400, "invalid-request");
    assert_eq!(problem.messages(), errors);
    assert_eq!(
        problem.detail,
        "The request body is invalid. Fix the fields listed in `errors` and try again."
    );
}

#[tokio::test]
async fn rejects_bodies_other_than_objects() {
    let bodies: [&[u8]; 22] = [
        b"x",
        b"{",
        b"}",
        b"{}{}",
        b"{} x",
        b"{,}",
        b"{'a':1}",
        b"{\"a\":1,}",
        b"{\"a\"}",
        b"{a:1}",
        b"// comment\n{}",
        b"[]",
        b"[{}]",
        b"null",
        b"true",
        b"17",
        b"\"{}\"",
        b"NaN",
        b"{\"allowedOrigin\":NaN}",
        b"allowedOrigin=https%3A%2F%2Fapp.example.com",
        b"<html></html>",
        b"\xef\xbb\xbf{}",
    ];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for body in bodies {
            let _case = case(String::from_utf8_lossy(body));
            for response in invoke(&function, binary, body).await {
                let problem = response.expect_problem(400, "invalid-request");
                assert!(problem.errors.is_empty(), "{problem:?}");
            }
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_invalid_utf8_and_base64() {
    let invalid_utf8: [&[u8]; 4] = [
        b"\xff\xfe{\0}\0",
        b"{\"a\":\"\xc3\x28\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"\x1f\x8b\x08\0",
    ];
    let invalid_base64 = [
        "{}",
        "e30",
        "e3 0=",
        "e30==",
        "====",
        "e30=e30=",
        "ez0\u{e9}",
    ];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let event = Event::valid(binary);
        for bytes in invalid_utf8 {
            let _case = case(format_args!("{bytes:?}"));
            let response = function.invoke(event.clone().base64_body(bytes)).await;
            response.expect_problem(400, "invalid-request");
        }
        for text in invalid_base64 {
            let _case = case(text);
            let response = function.invoke(event.clone().raw_base64_body(text)).await;
            response.expect_problem(400, "invalid-request");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn returns_all_field_errors_of_token_request() {
    const ORIGIN: &str = "/allowedOrigin must be a string";
    const USER: &str = "/externalUserId must be a string";
    let cases: [(Value, &[&str]); 6] = [
        (json!({ "allowedOrigin": 17 }), &[ORIGIN]),
        (
            json!({ "allowedOrigin": ["https://app.example.com"] }),
            &[ORIGIN],
        ),
        (json!({ "externalUserId": { "id": 1 } }), &[USER]),
        (
            json!({ "allowed_origin": "https://app.example.com" }),
            &["/allowed_origin unknown field"],
        ),
        (
            json!({ "a/b~c": 1, "": 2 }),
            &["/ unknown field", "/a~1b~0c unknown field"],
        ),
        (
            json!({ "organizationId": "x", "allowedOrigin": true, "externalUserId": 5, "ä": null }),
            &[
                ORIGIN,
                USER,
                "/organizationId unknown field",
                "/ä unknown field",
            ],
        ),
    ];
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for (body, errors) in cases {
        let _case = case(&body);
        expect_errors(&function, Event::mint().json(&body), errors).await;
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn returns_all_field_errors_of_source_request() {
    const CONFIGURATION: &str = "/connection_configuration must be an object";
    const TEMPLATE: &str =
        "/source_config_template_id must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01";
    const WORKSPACE: &str =
        "/workspace_id must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01";
    let cases: [(&str, Value, &[&str]); 6] = [
        (
            "empty",
            json!({}),
            &[CONFIGURATION_REQUIRED, TEMPLATE_REQUIRED],
        ),
        (
            "no template",
            json!({ "connection_configuration": {} }),
            &[TEMPLATE_REQUIRED],
        ),
        (
            "no configuration",
            json!({ "source_config_template_id": FAKER }),
            &[CONFIGURATION_REQUIRED],
        ),
        (
            "null",
            json!({ "source_config_template_id": null, "connection_configuration": null }),
            &[CONFIGURATION_REQUIRED, TEMPLATE_REQUIRED],
        ),
        (
            "wrong types",
            json!({
                "source_config_template_id": "postgres",
                "connection_configuration": [],
                "workspace_id": 17,
                "token": {},
                "unknown": "x",
                "externalUserId": false,
            }),
            &[
                CONFIGURATION,
                "/externalUserId must be a string",
                TEMPLATE,
                "/token must be a string",
                "/unknown unknown field",
                "/workspace_id must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
            ],
        ),
        (
            "UUIDs in other notations",
            json!({
                "source_config_template_id": format!("{{{FAKER}}}"),
                "connection_configuration": "{}",
                "workspace_id": "fba81218346745888a8d5a8396cde6c03",
            }),
            &[CONFIGURATION, TEMPLATE, WORKSPACE],
        ),
    ];
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for (name, body, errors) in cases {
        let _case = case(name);
        expect_errors(&function, Event::create().json(&body), errors).await;
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn requires_template_and_configuration() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for event in [Event::create().no_body(), Event::create().body("")] {
        let errors = [CONFIGURATION_REQUIRED, TEMPLATE_REQUIRED];
        expect_errors(&function, event, &errors).await;
    }
    assert!(env.airbyte.requests().is_empty());
}

/// Creates a request whose `connection_configuration` is this text.
fn create_with(configuration: &str) -> Event {
    Event::create().body(format!(
        r#"{{"source_config_template_id":"{FAKER}","connection_configuration":{configuration}}}"#
    ))
}

#[tokio::test]
async fn rejects_ambiguous_configuration() {
    let number = format!(r#"{{"count":{}}}"#, "9".repeat(400));
    let cases = [
        (
            "duplicate key",
            r#"{"count":1,"count":2}"#,
            "/connection_configuration/count appears more than once",
        ),
        (
            "duplicate key, escaped",
            r#"{"count":1,"c\u006funt":2}"#,
            "/connection_configuration/count appears more than once",
        ),
        (
            "duplicate key, nested",
            r#"{"a":{"b":[0,{"c":1,"c":1}]}}"#,
            "/connection_configuration/a/b/1/c appears more than once",
        ),
        (
            "duplicate key with special characters",
            r#"{"a/b":{"~":1,"~":1}}"#,
            "/connection_configuration/a~1b/~0 appears more than once",
        ),
        (
            "large exponent",
            r#"{"count":1e400}"#,
            "/connection_configuration/count is out of range for a 64-bit float",
        ),
        (
            "large negative exponent",
            r#"{"list":[1,-1e999]}"#,
            "/connection_configuration/list/1 is out of range for a 64-bit float",
        ),
        (
            "many digits",
            &number,
            "/connection_configuration/count is out of range for a 64-bit float",
        ),
        (
            "high surrogate",
            r#"{"text":"\ud800"}"#,
            "/connection_configuration/text contains an unpaired UTF-16 surrogate",
        ),
        (
            "surrogates in reverse order",
            r#"{"text":"\udc00\ud800"}"#,
            "/connection_configuration/text contains an unpaired UTF-16 surrogate",
        ),
        (
            "surrogate before a space",
            r#"{"list":["\ud83d x"]}"#,
            "/connection_configuration/list/0 contains an unpaired UTF-16 surrogate",
        ),
    ];
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for (name, configuration, error) in cases {
        let _case = case(name);
        expect_errors(&function, create_with(configuration), &[error]).await;
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_key_with_unpaired_surrogate() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for response in invoke(&function, binary, br#"{"\ud800":1}"#).await {
            response.expect_problem(400, "invalid-request");
        }
    }
    let function = env.create_source().await;
    expect_errors(
        &function,
        create_with(r#"{"\ud800":1}"#),
        &["/connection_configuration/\u{fffd} contains an unpaired UTF-16 surrogate"],
    )
    .await;
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn limits_configuration_depth() {
    // The configuration itself is the first level.
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        create_with(&format!(r#"{{"count":1,"x":{open}1{close}}}"#))
    };
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    function.invoke(nested(64)).await.expect_success(201);
    assert_eq!(env.airbyte.sources().len(), 1);

    env.airbyte.clear_requests();
    for depth in [65, 128, 1000, 400_000] {
        let _case = case(depth);
        let response = function.invoke(nested(depth)).await;
        let problem = response.expect_problem(400, "invalid-request");
        assert_eq!(problem.errors.len(), 1, "{problem:?}");
        assert_eq!(problem.errors[0].detail, "is nested too deeply");
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_duplicate_fields() {
    let env = TestEnv::new().await;
    expect_errors(
        &env.mint_token().await,
        Event::mint()
            .body(r#"{"allowedOrigin":"https://app.example.com","allowedOrigin":"https://admin.example.com:8443"}"#),
        &["/allowedOrigin appears more than once"],
    )
    .await;
    expect_errors(
        &env.create_source().await,
        create_with(r#"{},"connection_configuration":{}"#),
        &["/connection_configuration appears more than once"],
    )
    .await;
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn returns_configuration_and_body_errors_together() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let body = r#"{"connection_configuration":{"a":1,"a":2,"n":1e999,"s":"\udfff"},"workspace_id":"x","extra":1}"#;
    expect_errors(
        &function,
        Event::create().body(body),
        &[
            "/connection_configuration/a appears more than once",
            "/connection_configuration/n is out of range for a 64-bit float",
            "/connection_configuration/s contains an unpaired UTF-16 surrogate",
            "/extra unknown field",
            TEMPLATE_REQUIRED,
            "/workspace_id must be a UUID, such as 6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01",
        ],
    )
    .await;
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn enforces_body_limit() {
    let env = TestEnv::new().await;
    for (binary, limit) in [
        (Binary::MintToken, 64 * 1024),
        (Binary::CreateSource, MEBIBYTE),
    ] {
        // Whitespace counts.
        let padded = |length: usize| {
            let json = match binary {
                Binary::MintToken => "{}".to_owned(),
                Binary::CreateSource => faker_source().to_string(),
            };
            format!("{json}{}", " ".repeat(length - json.len()))
        };
        // Bytes count, not characters. The body is not parsed, so it need not be JSON.
        let wide = "é".repeat(limit / 2 + 1);
        let function = env.start(binary).await;
        for response in invoke(&function, binary, padded(limit).as_bytes()).await {
            response.expect_success(binary.success());
        }
        env.airbyte.clear_requests();
        for body in [padded(limit + 1), padded(limit + 3), wide] {
            for response in invoke(&function, binary, body.as_bytes()).await {
                response.expect_problem(413, "payload-too-large");
            }
        }
        assert!(env.airbyte.requests().is_empty());
    }
}

#[tokio::test]
async fn limits_number_of_field_errors() {
    let fields: Vec<_> = (0..20_000)
        .map(|index| format!(r#""long-name-long-name-long-name-{index}":1"#))
        .collect();
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let event = Event::create().body(format!("{{{}}}", fields.join(",")));

    let response = function.invoke(event).await;

    let problem = response.expect_problem(400, "invalid-request");
    assert_eq!(problem.errors.len(), 50);
    assert_eq!(
        problem.detail,
        "The request body is invalid. Fix the fields listed in `errors` and try again. Only the first 50 errors are listed."
    );
}

/// Creates values that are not tokens, and tokens with each kind of invalid content.
fn undecodable_tokens() -> Vec<(&'static str, String)> {
    let claims = token::scoped_claims(Uuid::new_v4(), "alice", token::in_an_hour());
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        token::opaque_with_claims(&claims)
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        token::opaque_with_claims(&claims)
    };
    let base64 = |text: &str| BASE64_STANDARD.encode(text);
    let scope = "io.airbyte.auth.workspace_scope";
    vec![
        ("empty", String::new()),
        ("space", " ".to_owned()),
        ("word", "token".to_owned()),
        ("not base64", "!!!!".to_owned()),
        ("bare JWT", token::jwt(&claims)),
        ("not JSON", base64("not JSON")),
        ("list", base64("[]")),
        ("empty object", base64("{}")),
        (
            "null token",
            base64(r#"{"token":null,"widgetUrl":"https://cloud.airbyte.com"}"#),
        ),
        (
            "JWT without JSON",
            base64(r#"{"token":"a.b.c","widgetUrl":"https://cloud.airbyte.com"}"#),
        ),
        (
            "not a JWT",
            base64(r#"{"token":"abc","widgetUrl":"https://cloud.airbyte.com"}"#),
        ),
        ("claims in a list", token::opaque_with_claims(&json!([]))),
        ("no workspace scope", without(scope)),
        ("empty workspace scope", with(scope, json!({}))),
        (
            "workspace ID that is no UUID",
            with(scope, json!({ "workspaceId": "x" })),
        ),
        (
            "workspace ID that is no string",
            with(scope, json!({ "workspaceId": 17 })),
        ),
        ("no expiry", without("exp")),
        ("expiry that is no number", with("exp", json!("tomorrow"))),
        ("expiry out of range", with("exp", json!(1e300))),
        ("too long", "A".repeat(500_000)),
    ]
}

#[tokio::test]
async fn rejects_undecodable_tokens() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for (name, token) in undecodable_tokens() {
        let _case = case(name);
        let event = Event::create().field("token", token.as_str());
        let response = function.invoke(event).await;
        response.expect_problem(400, "invalid-token");
        assert!(
            token.len() < 10 || !response.text.contains(&token),
            "the response contains the token"
        );
    }
    assert!(env.airbyte.requests().is_empty());
}
