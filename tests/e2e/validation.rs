//! Bodies that are refused: what is wrong is told as a whole, with a pointer to each place, and nothing is sent.

use std::fmt::Write as _;

use e2e::{Binary, Event, FAKER, Function, Response, TestEnv, faker_source, token};
use serde_json::{Value, json};
use uuid::Uuid;

const MEBIBYTE: usize = 1024 * 1024;

async fn invoke(function: &Function, binary: Binary, body: &[u8]) -> [Response; 2] {
    let event = match binary {
        Binary::MintToken => Event::mint_token("alice"),
        Binary::CreateSource => Event::create_source("alice", &json!({})),
    };
    let text = String::from_utf8_lossy(body);
    [
        function.invoke(event.clone().body(text)).await,
        function.invoke(event.base64_body(body)).await,
    ]
}

#[tokio::test]
async fn rejects_body_that_is_no_object() {
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
            for response in invoke(&function, binary, body).await {
                assert_eq!(
                    response.status,
                    400,
                    "{}: {response:?}",
                    String::from_utf8_lossy(body)
                );
                response.expect_problem(400, "invalid-request");
            }
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_invalid_utf8_and_base64() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let event = match binary {
            Binary::MintToken => Event::mint_token("alice"),
            Binary::CreateSource => Event::create_source("alice", &faker_source()),
        };
        for bytes in [
            &b"\xff\xfe{\0}\0"[..],
            b"{\"a\":\"\xc3\x28\"}",
            b"{\"a\":\"\xed\xa0\x80\"}",
            b"\x1f\x8b\x08\0",
        ] {
            let response = function.invoke(event.clone().base64_body(bytes)).await;
            response.expect_problem(400, "invalid-request");
        }
        for text in [
            "{}",
            "e30",
            "e3 0=",
            "e30==",
            "====",
            "e30=e30=",
            "ez0\u{e9}",
        ] {
            let response = function.invoke(event.clone().raw_base64_body(text)).await;
            assert_eq!(response.status, 400, "{text}: {response:?}");
            response.expect_problem(400, "invalid-request");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn returns_all_field_errors_of_token_request() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let cases = [
        (json!({ "allowedOrigin": 17 }), vec!["/allowedOrigin"]),
        (
            json!({ "allowedOrigin": ["https://app.example.com"] }),
            vec!["/allowedOrigin"],
        ),
        (
            json!({ "externalUserId": { "id": 1 } }),
            vec!["/externalUserId"],
        ),
        (
            json!({ "allowed_origin": "https://app.example.com" }),
            vec!["/allowed_origin"],
        ),
        (json!({ "a/b~c": 1, "": 2 }), vec!["/", "/a~1b~0c"]),
        (
            json!({ "organizationId": "x", "allowedOrigin": true, "externalUserId": 5, "ä": null }),
            vec!["/allowedOrigin", "/externalUserId", "/organizationId", "/ä"],
        ),
    ];
    for (body, pointers) in cases {
        let response = function
            .invoke(Event::mint_token("alice").json(&body))
            .await;
        assert_eq!(
            response.expect_problem(400, "invalid-request").pointers(),
            pointers,
            "{body}"
        );
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn returns_all_field_errors_of_source_request() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let (template, configuration) = ("/source_config_template_id", "/connection_configuration");
    let cases = [
        (json!({}), vec![configuration, template]),
        (json!({ "connection_configuration": {} }), vec![template]),
        (
            json!({ "source_config_template_id": FAKER }),
            vec![configuration],
        ),
        (
            json!({ "source_config_template_id": null, "connection_configuration": null }),
            vec![configuration, template],
        ),
        (
            json!({
                "source_config_template_id": "postgres",
                "connection_configuration": [],
                "workspace_id": 17,
                "token": {},
                "name": "mine",
                "externalUserId": false,
            }),
            vec![
                configuration,
                "/externalUserId",
                "/name",
                template,
                "/token",
                "/workspace_id",
            ],
        ),
        (
            json!({
                "source_config_template_id": format!("{{{FAKER}}}"),
                "connection_configuration": "{}",
                "workspace_id": "fba81218346745888a8d5a8396cde6c03",
            }),
            vec![configuration, template, "/workspace_id"],
        ),
    ];
    for (body, pointers) in cases {
        let response = function.invoke(Event::create_source("alice", &body)).await;
        assert_eq!(
            response.expect_problem(400, "invalid-request").pointers(),
            pointers,
            "{body}"
        );
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn requires_template_and_configuration() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for event in [
        Event::create_source("alice", &json!({})).no_body(),
        Event::create_source("alice", &json!({})).body(""),
    ] {
        let problem = function
            .invoke(event)
            .await
            .expect_problem(400, "invalid-request");
        assert_eq!(
            problem.pointers(),
            ["/connection_configuration", "/source_config_template_id"]
        );
    }
    assert!(env.airbyte.requests().is_empty());
}

/// A body whose `connection_configuration` is the given text.
fn source_with(configuration: &str) -> String {
    format!(
        r#"{{"source_config_template_id":"{FAKER}","connection_configuration":{configuration}}}"#
    )
}

fn nested(depth: usize) -> String {
    // The configuration itself is one level.
    format!(
        r#"{{"count":1,"x":{}1{}}}"#,
        "[".repeat(depth - 1),
        "]".repeat(depth - 1)
    )
}

#[tokio::test]
async fn rejects_ambiguous_configuration() {
    let cases = [
        (
            r#"{"count":1,"count":2}"#.to_owned(),
            "/connection_configuration/count",
        ),
        (
            r#"{"count":1,"c\u006funt":2}"#.to_owned(),
            "/connection_configuration/count",
        ),
        (
            r#"{"a":{"b":[0,{"c":1,"c":1}]}}"#.to_owned(),
            "/connection_configuration/a/b/1/c",
        ),
        (
            r#"{"a/b":{"~":1,"~":1}}"#.to_owned(),
            "/connection_configuration/a~1b/~0",
        ),
        (
            r#"{"count":1e400}"#.to_owned(),
            "/connection_configuration/count",
        ),
        (
            r#"{"list":[1,-1e999]}"#.to_owned(),
            "/connection_configuration/list/1",
        ),
        (
            format!(r#"{{"count":{}}}"#, "9".repeat(400)),
            "/connection_configuration/count",
        ),
        (
            r#"{"text":"\ud800"}"#.to_owned(),
            "/connection_configuration/text",
        ),
        (
            r#"{"text":"\udc00\ud800"}"#.to_owned(),
            "/connection_configuration/text",
        ),
        (
            r#"{"list":["\ud83d x"]}"#.to_owned(),
            "/connection_configuration/list/0",
        ),
    ];
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for (configuration, pointer) in cases {
        let event = Event::create_source("alice", &json!({})).body(source_with(&configuration));
        let response = function.invoke(event).await;
        assert_eq!(
            response.expect_problem(400, "invalid-request").pointers(),
            [pointer],
            "{configuration}"
        );
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
    let event = Event::create_source("alice", &json!({})).body(source_with(r#"{"\ud800":1}"#));
    function
        .invoke(event)
        .await
        .expect_problem(400, "invalid-request");
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn limits_configuration_depth() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let event = |depth| Event::create_source("alice", &json!({})).body(source_with(&nested(depth)));
    function.invoke(event(64)).await.expect_success(201);
    assert_eq!(env.airbyte.sources().len(), 1);

    env.airbyte.clear_requests();
    for depth in [65, 128, 1000, 400_000] {
        let response = function.invoke(event(depth)).await;
        response.expect_problem(400, "invalid-request");
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_duplicate_fields() {
    let env = TestEnv::new().await;
    let token = env.mint_token().await;
    let event = Event::mint_token("alice")
        .body(r#"{"allowedOrigin":"https://app.example.com","allowedOrigin":"https://admin.example.com:8443"}"#);
    assert_eq!(
        token
            .invoke(event)
            .await
            .expect_problem(400, "invalid-request")
            .pointers(),
        ["/allowedOrigin"]
    );

    let source = env.create_source().await;
    let body = format!(
        r#"{{"source_config_template_id":"{FAKER}","connection_configuration":{{}},"connection_configuration":{{}}}}"#
    );
    let event = Event::create_source("alice", &json!({})).body(body);
    assert_eq!(
        source
            .invoke(event)
            .await
            .expect_problem(400, "invalid-request")
            .pointers(),
        ["/connection_configuration"]
    );
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn returns_configuration_and_body_errors_together() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let body = r#"{"connection_configuration":{"a":1,"a":2,"n":1e999,"s":"\udfff"},"workspace_id":"x","extra":1}"#;
    let response = function
        .invoke(Event::create_source("alice", &json!({})).body(body))
        .await;

    assert_eq!(
        response.expect_problem(400, "invalid-request").pointers(),
        [
            "/connection_configuration/a",
            "/connection_configuration/n",
            "/connection_configuration/s",
            "/extra",
            "/source_config_template_id",
            "/workspace_id",
        ]
    );
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn enforces_body_limit() {
    let env = TestEnv::new().await;
    for (binary, limit, success) in [
        (Binary::MintToken, 64 * 1024, 200),
        (Binary::CreateSource, MEBIBYTE, 201),
    ] {
        let body = |length: usize| {
            let text = match binary {
                Binary::MintToken => "{}".to_owned(),
                Binary::CreateSource => faker_source().to_string(),
            };
            // White space is as much of a body as anything.
            format!("{text}{}", " ".repeat(length - text.len()))
        };
        let function = env.start(binary).await;
        for response in invoke(&function, binary, body(limit).as_bytes()).await {
            response.expect_success(success);
        }
        env.airbyte.clear_requests();
        for length in [limit + 1, limit + 3] {
            for response in invoke(&function, binary, body(length).as_bytes()).await {
                response.expect_problem(413, "payload-too-large");
            }
        }
        // Bytes count, not characters; and what is too large is not read, so it need not be JSON.
        let wide = "é".repeat(limit / 2 + 1);
        for response in invoke(&function, binary, wide.as_bytes()).await {
            response.expect_problem(413, "payload-too-large");
        }
        assert!(env.airbyte.requests().is_empty());
    }
}

#[tokio::test]
async fn limits_number_of_field_errors() {
    let mut body = String::from("{");
    for index in 0..20_000 {
        let _ = write!(body, r#""{}{index}":1,"#, "long-name-".repeat(3));
    }
    body.push_str(r#""last":1}"#);
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let response = function
        .invoke(Event::create_source("alice", &json!({})).body(body))
        .await;

    let problem = response.expect_problem(400, "invalid-request");
    assert!(!problem.errors.is_empty());
    assert!(
        response.text.len() < 64 * 1024,
        "{} bytes",
        response.text.len()
    );
}

/// Strings that are no token, and one for each way in which a token can be wrong on the inside.
fn unreadable_tokens() -> Vec<String> {
    let expiry = time::OffsetDateTime::now_utc() + time::Duration::HOUR;
    let claims = token::scoped_claims(Uuid::new_v4(), "alice", expiry);
    let opaque = |claims: &Value| {
        token::opaque(
            &token::jwt(claims),
            "https://cloud.airbyte.com/embedded-widget",
        )
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        opaque(&claims)
    };
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        opaque(&claims)
    };
    let base64 = |text: &str| {
        use base64::Engine;
        base64::prelude::BASE64_STANDARD.encode(text)
    };
    let scope = "io.airbyte.auth.workspace_scope";
    vec![
        String::new(),
        " ".to_owned(),
        "token".to_owned(),
        "!!!!".to_owned(),
        token::jwt(&claims),
        base64("not JSON"),
        base64("[]"),
        base64("{}"),
        base64(r#"{"token":null,"widgetUrl":"https://cloud.airbyte.com"}"#),
        base64(r#"{"token":"a.b.c","widgetUrl":"https://cloud.airbyte.com"}"#),
        base64(r#"{"token":"abc","widgetUrl":"https://cloud.airbyte.com"}"#),
        opaque(&json!([])),
        without(scope),
        with(scope, json!({})),
        with(scope, json!({ "workspaceId": "x" })),
        with(scope, json!({ "workspaceId": 17 })),
        without("exp"),
        with("exp", json!("tomorrow")),
        with("exp", json!(1e300)),
        "A".repeat(500_000),
    ]
}

#[tokio::test]
async fn rejects_undecodable_tokens() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for token in unreadable_tokens() {
        let mut body = faker_source();
        body["token"] = json!(token);
        let response = function.invoke(Event::create_source("alice", &body)).await;
        assert_eq!(response.status, 400, "{token:.200}: {response:?}");
        response.expect_problem(400, "invalid-token");
        assert!(
            token.len() < 10 || !response.text.contains(&token),
            "the response repeats the token"
        );
    }
    assert!(env.airbyte.requests().is_empty());
}
