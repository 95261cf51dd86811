//! The contract's table of errors, row by row: status, type, headers, and what Airbyte got to see.
//!
//! [`Response::expect_problem`](e2e::Response::expect_problem) checks what all of them have in common: `application/problem+json`,
//! `no-store`, `www-authenticate` on 401 and `retry-after` on 429 and on nothing else.

use std::time::Duration;

use airbyte_sim::{CannedResponse, FaultKind, Options, Route};
use e2e::{Binary, Event, Problem, Secret, SecretsManager, TestEnv, faker_source, token};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::exchange::{APPLICATION_TOKEN, SOURCES, WIDGET_TOKEN, paths};

/// The deadline of the rows in which Airbyte does not answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Invokes a function and checks the problem that comes back and the calls that Airbyte got for it.
async fn problem(
    env: &TestEnv,
    binary: Binary,
    event: Event,
    (status, kind): (u16, &str),
    upstream: &[&str],
) -> Problem {
    let function = env.start(binary).await;
    env.airbyte.clear_requests();
    let response = function.invoke_with_timeout(event, DEADLINE).await;
    let problem = response.expect_problem(status, kind);
    assert_eq!(paths(&env.airbyte), upstream, "{response:?}");
    problem
}

/// Both functions need a token, ask for it once, and tell the same problem.
async fn minting_fails(env: &TestEnv, expected: (u16, &str)) {
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        problem(env, binary, event, expected, &[WIDGET_TOKEN]).await;
    }
}

fn mint() -> Event {
    Event::mint_token("alice")
}

fn create() -> Event {
    Event::create_source("alice", &faker_source())
}

fn create_with(name: &str, value: impl Into<Value>) -> Event {
    let mut body = faker_source();
    body[name] = value.into();
    Event::create_source("alice", &body)
}

fn token_that_expires(expiry: OffsetDateTime) -> String {
    let claims = token::scoped_claims(Uuid::new_v4(), "alice", expiry);
    token::opaque(
        &token::jwt(&claims),
        "https://cloud.airbyte.com/embedded-widget",
    )
}

#[tokio::test]
async fn rejects_invalid_bodies() {
    let env = TestEnv::new().await;
    for (binary, event) in [
        (Binary::MintToken, mint().body("not JSON")),
        (
            Binary::MintToken,
            mint().json(&json!({ "allowedOrigin": 5 })),
        ),
        (Binary::MintToken, mint().json(&json!({ "unknown": 5 }))),
        (Binary::MintToken, mint().base64_body(b"\xff")),
        (Binary::MintToken, mint().raw_base64_body("!")),
        (Binary::CreateSource, create().body("not JSON")),
        (Binary::CreateSource, create_with("workspace_id", 5)),
        (Binary::CreateSource, create_with("unknown", 5)),
        (Binary::CreateSource, create().json(&json!({}))),
        (Binary::CreateSource, create().base64_body(b"\xff")),
        (Binary::CreateSource, create().raw_base64_body("!")),
    ] {
        problem(&env, binary, event, (400, "invalid-request"), &[]).await;
    }
}

#[tokio::test]
async fn requires_verified_caller() {
    let env = TestEnv::new().await;
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        problem(
            &env,
            binary,
            event.no_authorizer(),
            (401, "unauthenticated"),
            &[],
        )
        .await;
    }
}

#[tokio::test]
async fn rejects_expired_token() {
    let env = TestEnv::new().await;
    for age in [time::Duration::SECOND, time::Duration::DAY] {
        let event = create_with("token", token_that_expires(OffsetDateTime::now_utc() - age));
        problem(
            &env,
            Binary::CreateSource,
            event,
            (401, "token-expired"),
            &[],
        )
        .await;
    }
}

#[tokio::test]
async fn reports_revoked_token_as_expired() {
    let env = TestEnv::new().await;
    let minted = env.mint_token().await.invoke(mint()).await;
    env.airbyte.revoke_scoped_tokens();
    let event = create_with("token", minted.expect_success(200)["token"].clone());
    problem(
        &env,
        Binary::CreateSource,
        event,
        (401, "token-expired"),
        &[SOURCES],
    )
    .await;
    assert_eq!(
        env.secrets_manager.reads(),
        2,
        "the organization's credential has nothing to do with it"
    );
}

#[tokio::test]
async fn forbids_wrong_user() {
    let env = TestEnv::new().await;
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        let nameless = event.clone().claims(&json!({ "aud": "client-1" }));
        problem(&env, binary, nameless, (403, "forbidden"), &[]).await;
    }
    let other = json!({ "externalUserId": "bob" });
    problem(
        &env,
        Binary::MintToken,
        mint().json(&other),
        (403, "forbidden"),
        &[],
    )
    .await;
    let other = create_with("externalUserId", "bob");
    problem(&env, Binary::CreateSource, other, (403, "forbidden"), &[]).await;
}

#[tokio::test]
async fn forbids_workspace_of_another_token() {
    let env = TestEnv::new().await;
    let elsewhere = create_with("workspace_id", Uuid::new_v4().to_string());
    problem(
        &env,
        Binary::CreateSource,
        elsewhere,
        (403, "forbidden"),
        &[WIDGET_TOKEN],
    )
    .await;
}

#[tokio::test]
async fn reports_403_on_create_as_forbidden() {
    let env = TestEnv::new().await;
    env.respond(
        Route::Sources,
        CannedResponse::new(403).json(&json!({ "detail": "Forbidden" })),
    );
    problem(
        &env,
        Binary::CreateSource,
        create(),
        (403, "forbidden"),
        &[WIDGET_TOKEN, SOURCES],
    )
    .await;
}

#[tokio::test]
async fn rejects_unlisted_origin() {
    let env = TestEnv::new().await;
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        let event = event.origin("https://evil.example");
        problem(&env, binary, event, (403, "origin-not-allowed"), &[]).await;
    }
    let event = mint().json(&json!({ "allowedOrigin": "https://evil.example" }));
    problem(
        &env,
        Binary::MintToken,
        event,
        (403, "origin-not-allowed"),
        &[],
    )
    .await;
}

#[tokio::test]
async fn rejects_undecodable_token() {
    let env = TestEnv::new().await;
    problem(
        &env,
        Binary::CreateSource,
        create_with("token", "abc"),
        (400, "invalid-token"),
        &[],
    )
    .await;
}

#[tokio::test]
async fn reports_rejected_source() {
    let env = TestEnv::new().await;
    for status in [400, 404, 409, 422] {
        env.respond(
            Route::Sources,
            CannedResponse::new(status).json(&json!({ "detail": "no" })),
        );
        let expected = (422, "source-rejected");
        problem(
            &env,
            Binary::CreateSource,
            create(),
            expected,
            &[WIDGET_TOKEN, SOURCES],
        )
        .await;
    }
}

#[tokio::test]
async fn rejects_body_over_limit() {
    let env = TestEnv::new().await;
    let too_large = (413, "payload-too-large");
    let event = mint().body(format!("{{}}{}", " ".repeat(64 * 1024)));
    problem(&env, Binary::MintToken, event, too_large, &[]).await;
    let event = create().body(format!("{}{}", faker_source(), " ".repeat(1024 * 1024)));
    problem(&env, Binary::CreateSource, event, too_large, &[]).await;
}

#[tokio::test]
async fn reports_rate_limit() {
    let env = TestEnv::new().await;
    let limited = (429, "rate-limited");
    env.respond(
        Route::WidgetToken,
        CannedResponse::new(429).header("retry-after", "17"),
    );
    problem(&env, Binary::MintToken, mint(), limited, &[WIDGET_TOKEN]).await;
    env.respond(
        Route::Sources,
        CannedResponse::new(429).header("retry-after", "17"),
    );
    problem(
        &env,
        Binary::CreateSource,
        create(),
        limited,
        &[WIDGET_TOKEN, SOURCES],
    )
    .await;
}

#[tokio::test]
async fn reports_failed_mint_as_upstream_error() {
    let env = TestEnv::new().await;
    for status in [
        300, 301, 302, 303, 307, 308, 400, 404, 409, 418, 422, 500, 501, 507,
    ] {
        env.respond(
            Route::WidgetToken,
            CannedResponse::new(status).header("location", "https://elsewhere.example/"),
        );
        minting_fails(&env, (502, "upstream-error")).await;
    }
}

#[tokio::test]
async fn reports_failed_create_as_upstream_error() {
    let env = TestEnv::new().await;
    for status in [
        300, 301, 302, 303, 307, 308, 402, 405, 408, 418, 500, 501, 502, 503, 504,
    ] {
        env.respond(
            Route::Sources,
            CannedResponse::new(status).header("location", "https://elsewhere.example/"),
        );
        let expected = (502, "upstream-error");
        let problem = problem(
            &env,
            Binary::CreateSource,
            create(),
            expected,
            &[WIDGET_TOKEN, SOURCES],
        )
        .await;
        assert!(
            problem.detail.contains("may have been created"),
            "{problem:?}"
        );
    }
}

#[tokio::test]
async fn reports_invalid_mint_response() {
    let expiry = OffsetDateTime::now_utc() + time::Duration::HOUR;
    let with_expiry = |expires: Value| {
        let mut claims = token::scoped_claims(Uuid::new_v4(), "alice", expiry);
        claims["exp"] = expires;
        let url = "https://cloud.airbyte.com/embedded-widget";
        let opaque = token::opaque(&token::jwt(&claims), url);
        json!({ "token": opaque }).to_string().into_bytes()
    };
    let whole = json!({ "token": token::opaque_for(Uuid::new_v4(), "alice") }).to_string();
    let bodies: [Vec<u8>; 13] = [
        b"".to_vec(),
        b"<html>hello</html>".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        br#"{"token":null}"#.to_vec(),
        json!([token::opaque_for(Uuid::new_v4(), "alice")])
            .to_string()
            .into_bytes(),
        br#"{"token":"not a token"}"#.to_vec(),
        with_expiry(Value::Null),
        with_expiry(json!("soon")),
        // A year that no answer can tell.
        with_expiry(json!(-99_999_999_999_i64)),
        whole.as_bytes()[..whole.len() / 2].to_vec(),
        [b"{\"\xff\":1,", &whole.as_bytes()[1..]].concat(),
        format!("{whole}{}", " ".repeat(1024 * 1024)).into_bytes(),
    ];
    let env = TestEnv::new().await;
    for body in bodies {
        env.respond(
            Route::WidgetToken,
            CannedResponse::new(200)
                .header("content-type", "application/json")
                .body(body),
        );
        minting_fails(&env, (502, "upstream-error")).await;
    }
}

#[tokio::test]
async fn reports_invalid_create_response() {
    let env = TestEnv::new().await;
    let large = format!("{{}}{}", " ".repeat(1024 * 1024)).into_bytes();
    for body in [
        b"".to_vec(),
        b"<html>hello</html>".to_vec(),
        b"{\"id\":".to_vec(),
        b"{\"\xff\":1}".to_vec(),
        // JSON, but not a source.
        b"null".to_vec(),
        b"true".to_vec(),
        b"\"created\"".to_vec(),
        b"[{\"id\":\"1\"}]".to_vec(),
        large,
    ] {
        env.respond(
            Route::Sources,
            CannedResponse::new(200)
                .header("content-type", "application/json")
                .body(body),
        );
        let expected = (502, "upstream-error");
        let problem = problem(
            &env,
            Binary::CreateSource,
            create(),
            expected,
            &[WIDGET_TOKEN, SOURCES],
        )
        .await;
        assert_eq!(
            problem.detail,
            "Airbyte created the source but returned an invalid response. Check before retrying."
        );
    }
}

#[tokio::test]
async fn reports_unreachable_airbyte() {
    let env = TestEnv::new().await;
    env.airbyte.refuse_connections().await.unwrap();
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        problem(&env, binary, event, (502, "upstream-error"), &[]).await;
    }
}

#[tokio::test]
async fn reports_rejected_organization_token() {
    let env = TestEnv::new().await;
    env.airbyte
        .set_organization_tokens(vec!["another".to_owned()]);
    let rejected = (502, "credential-rejected");
    problem(
        &env,
        Binary::MintToken,
        mint(),
        rejected,
        &[WIDGET_TOKEN, WIDGET_TOKEN],
    )
    .await;
    problem(
        &env,
        Binary::CreateSource,
        create(),
        rejected,
        &[WIDGET_TOKEN, WIDGET_TOKEN],
    )
    .await;

    env.respond(Route::WidgetToken, CannedResponse::new(403));
    problem(
        &env,
        Binary::MintToken,
        mint(),
        rejected,
        &[WIDGET_TOKEN, WIDGET_TOKEN],
    )
    .await;
}

#[tokio::test]
async fn reports_rejected_application() {
    let secret = json!({ "client_id": "dev-client-id", "client_secret": "not-the-right-one" });
    let env = TestEnv::with(Options::default(), Secret::create_json(&secret).await).await;
    let rejected = (502, "credential-rejected");
    problem(
        &env,
        Binary::MintToken,
        mint(),
        rejected,
        &[APPLICATION_TOKEN, APPLICATION_TOKEN],
    )
    .await;
}

#[tokio::test]
async fn reports_upstream_timeout() {
    let env = TestEnv::new().await;
    env.inject(Route::WidgetToken, FaultKind::Hang);
    problem(
        &env,
        Binary::MintToken,
        mint(),
        (504, "upstream-timeout"),
        &[WIDGET_TOKEN],
    )
    .await;
    env.inject(Route::Sources, FaultKind::Hang);
    let timeout = (504, "upstream-timeout");
    let problem = problem(
        &env,
        Binary::CreateSource,
        create(),
        timeout,
        &[WIDGET_TOKEN, SOURCES],
    )
    .await;
    assert!(
        problem.detail.contains("may"),
        "the source may exist all the same: {problem:?}"
    );
}

#[tokio::test]
async fn reports_unavailable_credential() {
    let env = TestEnv::new().await;
    let unavailable = (503, "credential-unavailable");
    for fault in [
        SecretsManager::error(400, "AccessDeniedException"),
        SecretsManager::error(400, "ResourceNotFoundException"),
        SecretsManager::error(400, "DecryptionFailure"),
        SecretsManager::error(500, "InternalServiceError"),
        FaultKind::ResetBeforeResponse,
    ] {
        env.secrets_manager.inject(fault);
        problem(&env, Binary::MintToken, mint(), unavailable, &[]).await;
        problem(&env, Binary::CreateSource, create(), unavailable, &[]).await;
    }
    env.secrets_manager.clear_faults();
    env.secret
        .put(r#"{"organization-token": "misspelt"}"#)
        .await;
    problem(&env, Binary::MintToken, mint(), unavailable, &[]).await;
    env.secret.delete().await;
    problem(&env, Binary::MintToken, mint(), unavailable, &[]).await;
}
