//! The error table of the HTTP API, row by row: status, type, detail, and the requests that Airbyte received.
//!
//! [`Response::expect_problem`](e2e::Response::expect_problem) checks what all problems have in common: the media type,
//! `no-store`, `www-authenticate` with 401 alone and `retry-after` with 429 alone.

use std::time::Duration;

use airbyte_sim::{CannedResponse, FaultKind, Route};
use e2e::{Binary, Event, Generation, Secret, SecretsManager, TestEnv, case, faker_source, token};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// Timeout of every invocation, for the rows in which Airbyte does not respond.
const TIMEOUT: Duration = Duration::from_secs(2);

const MINT: &[Route] = &[Route::WidgetToken];
const MINT_TWICE: &[Route] = &[Route::WidgetToken, Route::WidgetToken];
const MINT_AND_CREATE: &[Route] = &[Route::WidgetToken, Route::Sources];

e2e::test_each_generation!(
    reports_revoked_token_as_expired,
    forbids_workspace_of_another_token,
    reports_403_on_create_as_forbidden,
    reports_rejected_source,
    reports_rate_limit,
    reports_failed_mint,
    reports_failed_create,
    reports_invalid_mint_response,
    reports_invalid_create_response,
    reports_unreachable_airbyte,
    reports_rejected_organization_token,
    reports_rejected_application,
    reports_upstream_timeout,
);

/// Starts and invokes a function, and checks its problem and the requests that Airbyte received.
async fn expect_problem(
    env: &TestEnv,
    binary: Binary,
    event: Event,
    (status, problem_type, detail): (u16, &str, &str),
    routes: &[Route],
) {
    let function = env.start(binary).await;
    env.airbyte.clear_requests();
    let response = function.invoke_with_timeout(event, TIMEOUT).await;
    let problem = response.expect_problem(status, problem_type);
    assert_eq!(problem.detail, detail, "{response:?}");
    assert_eq!(env.routes(), routes, "{response:?}");
}

/// Checks that a mint fails in the same way in both functions.
async fn expect_mint_problem(env: &TestEnv, expected: (u16, &str, &str)) {
    for binary in Binary::ALL {
        expect_problem(env, binary, Event::valid(binary), expected, MINT).await;
    }
}

/// Checks that a create fails.
async fn expect_create_problem(env: &TestEnv, expected: (u16, &str, &str)) {
    let (binary, event) = (Binary::CreateSource, Event::create());
    expect_problem(env, binary, event, expected, MINT_AND_CREATE).await;
}

#[tokio::test]
async fn rejects_invalid_bodies() {
    const FIELDS: &str =
        "The request body is invalid. Fix the fields listed in `errors` and try again.";
    const NOT_JSON: &str =
        "The request body is not valid JSON (line 1, column 2). Send a JSON object.";
    const NOT_AN_OBJECT: &str = "The request body must be a JSON object.";
    const NOT_UTF8: &str = "The request body is not valid UTF-8. Send JSON encoded as UTF-8.";
    const NOT_BASE64: &str = "The request body is not valid base64, although the event declares it so. Send JSON encoded as \
                              UTF-8.";
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let valid = Event::valid(binary);
        for (name, event, detail) in [
            ("not JSON", valid.clone().body("not JSON"), NOT_JSON),
            ("a list", valid.clone().body("[]"), NOT_AN_OBJECT),
            ("not UTF-8", valid.clone().base64_body(b"\xff"), NOT_UTF8),
            ("not base64", valid.clone().raw_base64_body("!"), NOT_BASE64),
            ("unknown field", valid.clone().field("unknown", 5), FIELDS),
            (
                "wrong type",
                valid.clone().field("externalUserId", 5),
                FIELDS,
            ),
        ] {
            let _case = case(format!("{name}, {binary:?}"));
            expect_problem(&env, binary, event, (400, "invalid-request", detail), &[]).await;
        }
    }
    let event = Event::create().json(&json!({}));
    let expected = (400, "invalid-request", FIELDS);
    expect_problem(&env, Binary::CreateSource, event, expected, &[]).await;
}

#[tokio::test]
async fn requires_verified_caller() {
    let env = TestEnv::new().await;
    let expected = (
        401,
        "unauthenticated",
        "No verified caller. Send a bearer token that the API's authorizer accepts, or sign the request with SigV4.",
    );
    for binary in Binary::ALL {
        let event = Event::valid(binary).no_authorizer();
        expect_problem(&env, binary, event, expected, &[]).await;
    }
}

const TOKEN_EXPIRED: (u16, &str, &str) = (
    401,
    "token-expired",
    "`token` has expired. Get a new one from `POST /token`, or omit `token`.",
);

#[tokio::test]
async fn rejects_expired_token() {
    let env = TestEnv::new().await;
    for age in [time::Duration::SECOND, time::Duration::DAY] {
        let _case = case(age);
        let claims = token::scoped_claims(Uuid::new_v4(), "alice", OffsetDateTime::now_utc() - age);
        let event = Event::create().field("token", token::opaque_with_claims(&claims));
        expect_problem(&env, Binary::CreateSource, event, TOKEN_EXPIRED, &[]).await;
    }
}

async fn reports_revoked_token_as_expired(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let minted = env.mint_token().await.invoke(Event::mint()).await;
    env.airbyte.revoke_scoped_tokens();

    let event = Event::create().field("token", minted.expect_success(200)["token"].clone());
    expect_problem(
        &env,
        Binary::CreateSource,
        event,
        TOKEN_EXPIRED,
        &[Route::Sources],
    )
    .await;
    assert_eq!(
        env.secrets_manager.reads(),
        2,
        "the organization's credential is not concerned"
    );
}

#[tokio::test]
async fn forbids_wrong_user() {
    let env = TestEnv::new().await;
    let no_user = (
        403,
        "forbidden",
        "The verified JWT does not identify the user. The claim named by EXTERNAL_USER_ID_CLAIM must be a string of 1 to \
         256 characters, without control characters and without leading or trailing whitespace or invisible characters.",
    );
    let mismatch = (
        403,
        "forbidden",
        "`externalUserId` does not match the user of the JWT. Omit it: the JWT identifies the user.",
    );
    let list = (
        403,
        "forbidden",
        "The claim named by EXTERNAL_USER_ID_CLAIM is a list or a map in the verified JWT. It must be a string: let the \
         identity provider add a claim with one ID.",
    );
    for binary in Binary::ALL {
        for (claims, expected) in [
            (json!({ "aud": "client-1" }), no_user),
            (json!({ "sub": "alice\u{200b}" }), no_user),
            (json!({ "sub": "[alice@example.com a@example.com]" }), list),
            (json!({ "sub": "map[id:alice]" }), list),
        ] {
            let event = Event::valid(binary).claims(&claims);
            expect_problem(&env, binary, event, expected, &[]).await;
        }
        let event = Event::valid(binary).field("externalUserId", "bob");
        expect_problem(&env, binary, event, mismatch, &[]).await;
    }
}

async fn forbids_workspace_of_another_token(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let event = Event::create().field("workspace_id", Uuid::new_v4().to_string());
    let expected = (
        403,
        "forbidden",
        "`workspace_id` does not match the token's workspace. Omit it, or send the matching ID.",
    );
    expect_problem(&env, Binary::CreateSource, event, expected, MINT).await;
}

async fn reports_403_on_create_as_forbidden(generation: Generation) {
    let env = TestEnv::of(generation).await;
    env.respond(
        Route::Sources,
        CannedResponse::new(403).json(&json!({ "detail": "Forbidden" })),
    );
    let expected = (
        403,
        "forbidden",
        "Airbyte does not allow this user to create this source. Check the template and the workspace.",
    );
    expect_create_problem(&env, expected).await;
}

#[tokio::test]
async fn rejects_unlisted_origin() {
    let env = TestEnv::new().await;
    let detail = |field| {
        format!(
            "{field} is not an allowed origin. Call from an allowed origin, or add it to ALLOWED_ORIGINS."
        )
    };
    for binary in Binary::ALL {
        let event = Event::valid(binary).origin("https://evil.example");
        let expected = (403, "origin-not-allowed", &*detail("The `Origin` header"));
        expect_problem(&env, binary, event, expected, &[]).await;
    }
    let event = Event::mint().field("allowedOrigin", "https://evil.example");
    let expected = (403, "origin-not-allowed", &*detail("`allowedOrigin`"));
    expect_problem(&env, Binary::MintToken, event, expected, &[]).await;
}

#[tokio::test]
async fn rejects_undecodable_token() {
    let env = TestEnv::new().await;
    let expected = (
        400,
        "invalid-token",
        "`token` is invalid: token is not valid base64. Send the value returned by `POST /token` unchanged, or omit it.",
    );
    let event = Event::create().field("token", "abc!");
    expect_problem(&env, Binary::CreateSource, event, expected, &[]).await;
}

async fn reports_rejected_source(generation: Generation) {
    let env = TestEnv::of(generation).await;
    for status in [400, 404, 409, 422] {
        let _case = case(status);
        env.respond(
            Route::Sources,
            CannedResponse::new(status).json(&json!({ "detail": "no" })),
        );
        let expected = (422, "source-rejected", "Airbyte rejected the source: no");
        expect_create_problem(&env, expected).await;
    }
}

#[tokio::test]
async fn rejects_body_over_limit() {
    let env = TestEnv::new().await;
    let too_large = |detail| (413, "payload-too-large", detail);
    let event = Event::mint().body(format!("{{}}{}", " ".repeat(64 * 1024)));
    let expected = too_large("The request body is larger than 64 KiB. Send a smaller one.");
    expect_problem(&env, Binary::MintToken, event, expected, &[]).await;
    let event = Event::create().body(format!("{}{}", faker_source(), " ".repeat(1024 * 1024)));
    let expected = too_large("The request body is larger than 1 MiB. Send a smaller one.");
    expect_problem(&env, Binary::CreateSource, event, expected, &[]).await;
}

async fn reports_rate_limit(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let limited = CannedResponse::new(429).header("retry-after", "17");
    let expected = (
        429,
        "rate-limited",
        "Airbyte is rate limiting requests. Retry in 17 seconds.",
    );
    env.respond(Route::WidgetToken, limited.clone());
    expect_mint_problem(&env, expected).await;
    env.respond(Route::Sources, limited);
    expect_create_problem(&env, expected).await;
}

async fn reports_failed_mint(generation: Generation) {
    let env = TestEnv::of(generation).await;
    for status in [
        300, 301, 302, 303, 307, 308, 400, 404, 409, 418, 422, 500, 501, 507,
    ] {
        let _case = case(status);
        env.respond(Route::WidgetToken, redirect(status));
        let advice = if status >= 500 {
            "Retry later."
        } else {
            "The operator must check the configuration against the Airbyte account."
        };
        let detail = format!("Airbyte returned status {status}. {advice}");
        expect_mint_problem(&env, (502, "upstream-error", &detail)).await;
    }
}

async fn reports_failed_create(generation: Generation) {
    let env = TestEnv::of(generation).await;
    for status in [
        300, 301, 302, 303, 307, 308, 402, 405, 408, 418, 500, 501, 502, 503, 504,
    ] {
        let _case = case(status);
        env.respond(Route::Sources, redirect(status));
        let detail = format!(
            "Airbyte returned status {status}. The source may have been created. Check before retrying."
        );
        expect_create_problem(&env, (502, "upstream-error", &detail)).await;
    }
}

fn redirect(status: u16) -> CannedResponse {
    CannedResponse::new(status).header("location", "https://elsewhere.example/")
}

fn json_response(body: impl Into<Vec<u8>>) -> CannedResponse {
    CannedResponse::new(200)
        .header("content-type", "application/json")
        .body(body)
}

async fn reports_invalid_mint_response(generation: Generation) {
    const INVALID: &str = "Airbyte returned an invalid response. Retry later.";
    let token = || token::opaque_for(Uuid::new_v4(), "alice");
    let valid = json!({ "token": token() }).to_string();
    let with_expiry = |expiry: Value| {
        let mut claims = token::scoped_claims(Uuid::new_v4(), "alice", token::in_an_hour());
        claims["exp"] = expiry;
        json!({ "token": token::opaque_with_claims(&claims) }).to_string()
    };
    let invalid_token = |error| format!("Airbyte returned an invalid token: {error}. Retry later.");
    let with_workspace = |claim: Value, widget_url: &str| {
        let mut claims = token::scoped_claims(Uuid::new_v4(), "alice", token::in_an_hour());
        claims["io.airbyte.auth.workspace_scope"]["workspaceId"] = claim;
        json!({ "token": token::opaque(&token::jwt(&claims), widget_url) }).to_string()
    };
    let other_workspace = format!("{}?workspaceId={}", token::WIDGET_URL, Uuid::new_v4());
    let cases: [(&str, Vec<u8>, &str); 16] = [
        ("empty", b"".to_vec(), INVALID),
        ("HTML", b"<html>hello</html>".to_vec(), INVALID),
        ("list", b"[]".to_vec(), INVALID),
        ("no token", b"{}".to_vec(), INVALID),
        ("null token", br#"{"token":null}"#.to_vec(), INVALID),
        (
            "token in a list",
            json!([token()]).to_string().into(),
            INVALID,
        ),
        (
            "undecodable token",
            br#"{"token":"not a token"}"#.to_vec(),
            &invalid_token("token is not valid base64"),
        ),
        (
            "no expiry",
            with_expiry(Value::Null).into(),
            &invalid_token("JWT has no expiry (`exp`)"),
        ),
        (
            "expiry of another type",
            with_expiry(json!("soon")).into(),
            &invalid_token("expiry of the JWT (`exp`) is not a valid time"),
        ),
        (
            "expiry out of range",
            with_expiry(json!(-99_999_999_999_i64)).into(),
            &invalid_token("expiry of the JWT (`exp`) is not a valid time"),
        ),
        (
            "no workspace",
            with_workspace(Value::Null, token::WIDGET_URL).into(),
            &invalid_token("neither the JWT nor `widgetUrl` has a workspace"),
        ),
        (
            "invalid workspace",
            with_workspace(json!("alice"), token::WIDGET_URL).into(),
            &invalid_token("workspace is not a UUID"),
        ),
        (
            "two workspaces",
            with_workspace(json!(Uuid::new_v4()), &other_workspace).into(),
            &invalid_token("JWT and `widgetUrl` have different workspaces"),
        ),
        (
            "truncated",
            valid.as_bytes()[..valid.len() / 2].to_vec(),
            INVALID,
        ),
        (
            "invalid UTF-8",
            [b"{\"\xff\":1,", &valid.as_bytes()[1..]].concat(),
            INVALID,
        ),
        (
            "over 1 MiB",
            format!("{valid}{}", " ".repeat(1024 * 1024)).into(),
            INVALID,
        ),
    ];
    let env = TestEnv::of(generation).await;
    for (name, body, detail) in cases {
        let _case = case(name);
        env.respond(Route::WidgetToken, json_response(body));
        expect_mint_problem(&env, (502, "upstream-error", detail)).await;
    }
}

async fn reports_invalid_create_response(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let large = format!("{{}}{}", " ".repeat(1024 * 1024)).into_bytes();
    for (name, body) in [
        ("empty", b"".to_vec()),
        ("HTML", b"<html>hello</html>".to_vec()),
        ("truncated", b"{\"id\":".to_vec()),
        ("invalid UTF-8", b"{\"\xff\":1}".to_vec()),
        ("null", b"null".to_vec()),
        ("boolean", b"true".to_vec()),
        ("string", b"\"created\"".to_vec()),
        ("list", b"[{\"id\":\"1\"}]".to_vec()),
        ("over 1 MiB", large),
    ] {
        let _case = case(name);
        env.respond(Route::Sources, json_response(body));
        let expected = (
            502,
            "upstream-error",
            "Airbyte created the source but returned an invalid response. Check before retrying.",
        );
        expect_create_problem(&env, expected).await;
    }
}

async fn reports_unreachable_airbyte(generation: Generation) {
    let env = TestEnv::of(generation).await;
    env.airbyte.refuse_connections().await.unwrap();
    for binary in Binary::ALL {
        let expected = (
            502,
            "upstream-error",
            "Could not connect to Airbyte. Retry later.",
        );
        expect_problem(&env, binary, Event::valid(binary), expected, &[]).await;
    }
}

const CREDENTIAL_REJECTED: (u16, &str, &str) = (
    502,
    "credential-rejected",
    "Airbyte rejected the organization's credential. The operator must renew it in Secrets Manager.",
);

async fn reports_rejected_organization_token(generation: Generation) {
    let env = TestEnv::of(generation).await;
    for status in [401, 403] {
        let _case = case(status);
        env.respond(Route::WidgetToken, CannedResponse::new(status));
        for binary in Binary::ALL {
            let event = Event::valid(binary);
            expect_problem(&env, binary, event, CREDENTIAL_REJECTED, MINT_TWICE).await;
        }
    }
}

async fn reports_rejected_application(generation: Generation) {
    let env = TestEnv::with_secret(Secret::application("not-the-right-one").await)
        .await
        .generation(generation);
    expect_problem(
        &env,
        Binary::MintToken,
        Event::mint(),
        CREDENTIAL_REJECTED,
        &[Route::ApplicationToken, Route::ApplicationToken],
    )
    .await;
}

async fn reports_upstream_timeout(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let timeout = |detail| (504, "upstream-timeout", detail);
    env.inject(Route::WidgetToken, FaultKind::Hang);
    expect_mint_problem(&env, timeout("Airbyte did not respond in time. Retry.")).await;
    env.inject(Route::Sources, FaultKind::Hang);
    let detail =
        "Airbyte did not respond in time. The source may have been created. Check before retrying.";
    expect_create_problem(&env, timeout(detail)).await;
}

#[tokio::test]
async fn reports_unavailable_credential() {
    let env = TestEnv::new().await;
    let expected = (
        503,
        "credential-unavailable",
        "The organization's credential cannot be read. Retry later; if it persists, see the function's logs for the cause.",
    );
    for (name, fault) in [
        (
            "denied",
            SecretsManager::error(400, "AccessDeniedException"),
        ),
        (
            "missing",
            SecretsManager::error(400, "ResourceNotFoundException"),
        ),
        (
            "not decrypted",
            SecretsManager::error(400, "DecryptionFailure"),
        ),
        (
            "internal error",
            SecretsManager::error(500, "InternalServiceError"),
        ),
        ("connection lost", FaultKind::ResetBeforeResponse),
    ] {
        let _case = case(name);
        env.secrets_manager.inject(fault);
        for binary in Binary::ALL {
            expect_problem(&env, binary, Event::valid(binary), expected, &[]).await;
        }
    }
    env.secrets_manager.clear_faults();
    env.secret
        .put(r#"{"organization-token": "misspelt"}"#)
        .await;
    expect_problem(&env, Binary::MintToken, Event::mint(), expected, &[]).await;
    env.secret.delete().await;
    expect_problem(&env, Binary::MintToken, Event::mint(), expected, &[]).await;
}
