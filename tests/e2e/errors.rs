//! The contract's table of errors, row by row: status, type, headers, and what Airbyte got to see.
//!
//! [`CannedResponse::problem`](e2e::Answer::problem) checks what all of them have in common: `application/problem+json`,
//! `no-store`, `www-authenticate` on 401 and `retry-after` on 429 and on nothing else.

use std::time::Duration;

use airbyte_sim::{CannedResponse, Fault, FaultKind, Options, Route};
use e2e::{Binary, Event, Problem, Secret, SecretsManager, World, faker_source, token};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::exchange::{APPLICATION_TOKEN, SOURCES, WIDGET_TOKEN, paths};

/// The deadline of the rows in which Airbyte does not answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Invokes a function and checks the problem that comes back and the calls that Airbyte got for it.
async fn problem(
    world: &World,
    binary: Binary,
    event: Event,
    (status, kind): (u16, &str),
    upstream: &[&str],
) -> Problem {
    let function = world.start(binary).await;
    world.airbyte.clear_requests();
    let answer = function.invoke_with_deadline(event, DEADLINE).await;
    let problem = answer.problem(status, kind);
    assert_eq!(paths(&world.airbyte), upstream, "{answer:?}");
    problem
}

/// Both functions need a token, ask for it once, and tell the same problem.
async fn minting_fails(world: &World, expected: (u16, &str)) {
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        problem(world, binary, event, expected, &[WIDGET_TOKEN]).await;
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
async fn an_unreadable_body_is_an_invalid_request() {
    let world = World::new().await;
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
        problem(&world, binary, event, (400, "invalid-request"), &[]).await;
    }
}

#[tokio::test]
async fn a_request_without_a_verified_caller_is_unauthenticated() {
    let world = World::new().await;
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        problem(
            &world,
            binary,
            event.no_authorizer(),
            (401, "unauthenticated"),
            &[],
        )
        .await;
    }
}

#[tokio::test]
async fn a_supplied_token_past_its_expiry_is_expired() {
    let world = World::new().await;
    for age in [time::Duration::SECOND, time::Duration::DAY] {
        let event = create_with("token", token_that_expires(OffsetDateTime::now_utc() - age));
        problem(
            &world,
            Binary::CreateSource,
            event,
            (401, "token-expired"),
            &[],
        )
        .await;
    }
}

#[tokio::test]
async fn a_supplied_token_that_airbyte_answers_with_401_is_expired() {
    let world = World::new().await;
    let minted = world.mint_token().await.invoke(mint()).await;
    world.airbyte.revoke_scoped_tokens();
    let event = create_with("token", minted.success(200)["token"].clone());
    problem(
        &world,
        Binary::CreateSource,
        event,
        (401, "token-expired"),
        &[SOURCES],
    )
    .await;
    assert_eq!(
        world.secrets_manager.reads(),
        2,
        "the organization's credential has nothing to do with it"
    );
}

#[tokio::test]
async fn a_caller_that_is_not_who_they_must_be_is_forbidden() {
    let world = World::new().await;
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        let nameless = event.clone().claims(&json!({ "aud": "client-1" }));
        problem(&world, binary, nameless, (403, "forbidden"), &[]).await;
    }
    let other = json!({ "externalUserId": "bob" });
    problem(
        &world,
        Binary::MintToken,
        mint().json(&other),
        (403, "forbidden"),
        &[],
    )
    .await;
    let other = create_with("externalUserId", "bob");
    problem(&world, Binary::CreateSource, other, (403, "forbidden"), &[]).await;
}

#[tokio::test]
async fn a_workspace_that_is_not_the_tokens_is_forbidden() {
    let world = World::new().await;
    let elsewhere = create_with("workspace_id", Uuid::new_v4().to_string());
    problem(
        &world,
        Binary::CreateSource,
        elsewhere,
        (403, "forbidden"),
        &[WIDGET_TOKEN],
    )
    .await;
}

#[tokio::test]
async fn a_create_that_airbyte_answers_with_403_is_forbidden() {
    let world = World::new().await;
    world.airbyte_answers(
        Route::Sources,
        CannedResponse::new(403).json(&json!({ "detail": "Forbidden" })),
    );
    problem(
        &world,
        Binary::CreateSource,
        create(),
        (403, "forbidden"),
        &[WIDGET_TOKEN, SOURCES],
    )
    .await;
}

#[tokio::test]
async fn an_origin_outside_of_the_list_is_not_allowed() {
    let world = World::new().await;
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        let event = event.origin("https://evil.example");
        problem(&world, binary, event, (403, "origin-not-allowed"), &[]).await;
    }
    let event = mint().json(&json!({ "allowedOrigin": "https://evil.example" }));
    problem(
        &world,
        Binary::MintToken,
        event,
        (403, "origin-not-allowed"),
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_supplied_token_that_cannot_be_decoded_is_invalid() {
    let world = World::new().await;
    problem(
        &world,
        Binary::CreateSource,
        create_with("token", "abc"),
        (400, "invalid-token"),
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_source_that_airbyte_does_not_want_is_rejected() {
    let world = World::new().await;
    for status in [400, 404, 409, 422] {
        world.airbyte_answers(
            Route::Sources,
            CannedResponse::new(status).json(&json!({ "detail": "no" })),
        );
        let expected = (422, "source-rejected");
        problem(
            &world,
            Binary::CreateSource,
            create(),
            expected,
            &[WIDGET_TOKEN, SOURCES],
        )
        .await;
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large() {
    let world = World::new().await;
    let too_large = (413, "payload-too-large");
    let event = mint().body(format!("{{}}{}", " ".repeat(64 * 1024)));
    problem(&world, Binary::MintToken, event, too_large, &[]).await;
    let event = create().body(format!("{}{}", faker_source(), " ".repeat(1024 * 1024)));
    problem(&world, Binary::CreateSource, event, too_large, &[]).await;
}

#[tokio::test]
async fn airbytes_rate_limit_is_passed_on() {
    let world = World::new().await;
    let limited = (429, "rate-limited");
    world.airbyte_answers(
        Route::WidgetToken,
        CannedResponse::new(429).header("retry-after", "17"),
    );
    problem(&world, Binary::MintToken, mint(), limited, &[WIDGET_TOKEN]).await;
    world.airbyte_answers(
        Route::Sources,
        CannedResponse::new(429).header("retry-after", "17"),
    );
    problem(
        &world,
        Binary::CreateSource,
        create(),
        limited,
        &[WIDGET_TOKEN, SOURCES],
    )
    .await;
}

#[tokio::test]
async fn a_mint_that_airbyte_fails_is_an_upstream_error() {
    let world = World::new().await;
    for status in [
        300, 301, 302, 303, 307, 308, 400, 404, 409, 418, 422, 500, 501, 507,
    ] {
        world.airbyte_answers(
            Route::WidgetToken,
            CannedResponse::new(status).header("location", "https://elsewhere.example/"),
        );
        minting_fails(&world, (502, "upstream-error")).await;
    }
}

#[tokio::test]
async fn a_create_that_airbyte_fails_is_an_upstream_error() {
    let world = World::new().await;
    for status in [
        300, 301, 302, 303, 307, 308, 402, 405, 408, 418, 500, 501, 502, 503, 504,
    ] {
        world.airbyte_answers(
            Route::Sources,
            CannedResponse::new(status).header("location", "https://elsewhere.example/"),
        );
        let expected = (502, "upstream-error");
        let problem = problem(
            &world,
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
async fn an_answer_to_a_mint_that_cannot_be_understood_is_an_upstream_error() {
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
    let world = World::new().await;
    for body in bodies {
        world.airbyte_answers(
            Route::WidgetToken,
            CannedResponse::new(200)
                .header("content-type", "application/json")
                .body(body),
        );
        minting_fails(&world, (502, "upstream-error")).await;
    }
}

#[tokio::test]
async fn an_answer_to_a_create_that_cannot_be_understood_is_an_upstream_error() {
    let world = World::new().await;
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
        world.airbyte_answers(
            Route::Sources,
            CannedResponse::new(200)
                .header("content-type", "application/json")
                .body(body),
        );
        let expected = (502, "upstream-error");
        let problem = problem(
            &world,
            Binary::CreateSource,
            create(),
            expected,
            &[WIDGET_TOKEN, SOURCES],
        )
        .await;
        assert!(
            problem.detail.contains("Look for the source"),
            "it may exist all the same: {problem:?}"
        );
    }
}

#[tokio::test]
async fn an_unreachable_airbyte_is_an_upstream_error() {
    let world = World::new().await;
    world.airbyte.refuse_connections().await.unwrap();
    for (binary, event) in [
        (Binary::MintToken, mint()),
        (Binary::CreateSource, create()),
    ] {
        problem(&world, binary, event, (502, "upstream-error"), &[]).await;
    }
}

#[tokio::test]
async fn a_rejected_credential_is_said_to_be_rejected() {
    let world = World::new().await;
    world
        .airbyte
        .set_organization_tokens(vec!["another".to_owned()]);
    let rejected = (502, "credential-rejected");
    problem(
        &world,
        Binary::MintToken,
        mint(),
        rejected,
        &[WIDGET_TOKEN, WIDGET_TOKEN],
    )
    .await;
    problem(
        &world,
        Binary::CreateSource,
        create(),
        rejected,
        &[WIDGET_TOKEN, WIDGET_TOKEN],
    )
    .await;

    world.airbyte_answers(Route::WidgetToken, CannedResponse::new(403));
    problem(
        &world,
        Binary::MintToken,
        mint(),
        rejected,
        &[WIDGET_TOKEN, WIDGET_TOKEN],
    )
    .await;
}

#[tokio::test]
async fn a_rejected_application_is_said_to_be_rejected() {
    let secret = json!({ "client_id": "dev-client-id", "client_secret": "not-the-right-one" });
    let world = World::with(Options::default(), Secret::create_json(&secret).await).await;
    let rejected = (502, "credential-rejected");
    problem(
        &world,
        Binary::MintToken,
        mint(),
        rejected,
        &[APPLICATION_TOKEN, APPLICATION_TOKEN],
    )
    .await;
}

#[tokio::test]
async fn an_airbyte_that_does_not_answer_in_time_is_a_timeout() {
    let world = World::new().await;
    world
        .airbyte
        .inject(Fault::new(Route::WidgetToken, FaultKind::Hang));
    problem(
        &world,
        Binary::MintToken,
        mint(),
        (504, "upstream-timeout"),
        &[WIDGET_TOKEN],
    )
    .await;
    world.airbyte.clear_faults();
    world
        .airbyte
        .inject(Fault::new(Route::Sources, FaultKind::Hang));
    let timeout = (504, "upstream-timeout");
    let problem = problem(
        &world,
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
async fn a_credential_that_cannot_be_read_is_unavailable() {
    let world = World::new().await;
    let unavailable = (503, "credential-unavailable");
    for fault in [
        SecretsManager::refusal(400, "AccessDeniedException"),
        SecretsManager::refusal(400, "ResourceNotFoundException"),
        SecretsManager::refusal(400, "DecryptionFailure"),
        SecretsManager::refusal(500, "InternalServiceError"),
        FaultKind::ResetBeforeResponse,
    ] {
        world.secrets_manager.inject(fault);
        problem(&world, Binary::MintToken, mint(), unavailable, &[]).await;
        problem(&world, Binary::CreateSource, create(), unavailable, &[]).await;
    }
    world.secrets_manager.clear_faults();
    world
        .secret
        .put(r#"{"organization-token": "misspelt"}"#)
        .await;
    problem(&world, Binary::MintToken, mint(), unavailable, &[]).await;
    world.secret.delete().await;
    problem(&world, Binary::MintToken, mint(), unavailable, &[]).await;
}
