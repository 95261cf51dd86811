//! The scoped tokens that `create-source` keeps for callers who send none: one for each user, and never another's.

use std::time::{Duration, Instant};

use airbyte_sim::{CannedResponse, Options, Route};
use e2e::{Config, Event, TestEnv, faker_source, token};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::{SOURCES, WIDGET_TOKEN, calls, paths};

fn create(user: &str) -> Event {
    Event::create_source(user, &faker_source())
}

#[tokio::test]
async fn reuses_scoped_token_of_user() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for _ in 0..3 {
        function.invoke(create("alice")).await.expect_success(201);
    }
    assert_eq!(
        paths(&env.airbyte),
        [WIDGET_TOKEN, SOURCES, SOURCES, SOURCES]
    );
}

#[tokio::test]
async fn creates_sources_in_each_users_workspace() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let users = [
        "alice",
        "bob",
        "Alice",
        "alice@example.com",
        "bob",
        "alice",
        "bob",
        "Alice",
    ];
    for user in users {
        function.invoke(create(user)).await.expect_success(201);
    }
    let sources = env.airbyte.sources();
    assert_eq!(sources.len(), users.len());
    for (user, source) in users.iter().zip(sources) {
        let workspace = env
            .airbyte
            .workspace_of(Config::ORGANIZATION_ID, user)
            .unwrap();
        assert_eq!(source.workspace_id, workspace, "{user}");
        assert_eq!(source.external_user_id, *user);
    }
    assert_eq!(
        calls(&env.airbyte, WIDGET_TOKEN).len(),
        4,
        "one token for each user"
    );
}

#[tokio::test]
async fn replaces_rejected_scoped_token() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    function.invoke(create("alice")).await.expect_success(201);
    env.airbyte.revoke_scoped_tokens();
    env.airbyte.clear_requests();

    function.invoke(create("alice")).await.expect_success(201);
    assert_eq!(paths(&env.airbyte), [SOURCES, WIDGET_TOKEN, SOURCES]);
    assert_eq!(env.airbyte.sources().len(), 2);
    function.invoke(create("alice")).await.expect_success(201);
    assert_eq!(
        paths(&env.airbyte),
        [SOURCES, WIDGET_TOKEN, SOURCES, SOURCES]
    );
}

#[tokio::test]
async fn fails_after_fresh_token_is_rejected() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    env.respond(Route::Sources, CannedResponse::new(401));
    let response = function.invoke(create("alice")).await;

    assert_eq!(
        response.status, 502,
        "the caller has no token that could have expired: {response:?}"
    );
    response.expect_problem(502, "upstream-error");
    assert!(calls(&env.airbyte, SOURCES).len() <= 2);

    env.airbyte.clear_faults();
    function.invoke(create("alice")).await.expect_success(201);
}

#[tokio::test]
async fn replaces_scoped_token_before_expiry() {
    let options = Options {
        scoped_token_lifetime: Duration::from_secs(2),
        ..Options::default()
    };
    let env = TestEnv::with_options(options).await;
    let function = env.create_source().await;
    let started = Instant::now();
    while calls(&env.airbyte, WIDGET_TOKEN).len() < 3 {
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "the token is never replaced"
        );
        function.invoke(create("alice")).await.expect_success(201);
    }
    let refused = calls(&env.airbyte, SOURCES)
        .iter()
        .filter(|call| call.status == Some(401))
        .count();
    assert_eq!(refused, 0, "a token was used up to its end, or beyond");
}

#[tokio::test]
async fn does_not_cache_supplied_token() {
    let env = TestEnv::new().await;
    let minted = env
        .mint_token()
        .await
        .invoke(Event::mint_token("bob"))
        .await;
    let function = env.create_source().await;
    let mut body = faker_source();
    body["token"] = minted.expect_success(200)["token"].clone();
    // A token is what lets its holder in: Airbyte decides about it.
    let supplied = function.invoke(Event::create_source("bob", &body)).await;
    supplied.expect_success(201);
    env.airbyte.clear_requests();

    function.invoke(create("alice")).await.expect_success(201);
    function.invoke(create("bob")).await.expect_success(201);
    assert_eq!(calls(&env.airbyte, WIDGET_TOKEN).len(), 2);
    let alice = env
        .airbyte
        .workspace_of(Config::ORGANIZATION_ID, "alice")
        .unwrap();
    assert_eq!(env.airbyte.sources()[1].workspace_id, alice);
}

#[tokio::test]
async fn never_replaces_supplied_token() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    function.invoke(create("alice")).await.expect_success(201);
    let mut body = faker_source();
    // Readable, unexpired, and not Airbyte's.
    body["token"] = json!(token::opaque_for(Uuid::new_v4(), "alice"));
    env.airbyte.clear_requests();
    let response = function.invoke(Event::create_source("alice", &body)).await;

    response.expect_problem(401, "token-expired");
    assert_eq!(paths(&env.airbyte), [SOURCES]);
    assert_eq!(env.airbyte.sources().len(), 1);
}
