//! The scoped tokens that `create-source` keeps for callers who send none: one for each user, and never another's.

use std::time::{Duration, Instant};

use airbyte_sim::{CannedResponse, Options, Route};
use e2e::{Environment, Event, Secret, World, faker_source, token};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::{SOURCES, WIDGET_TOKEN, calls, paths};

fn create(user: &str) -> Event {
    Event::create_source(user, &faker_source())
}

#[tokio::test]
async fn a_users_second_source_needs_no_second_token() {
    let world = World::new().await;
    let function = world.create_source().await;
    for _ in 0..3 {
        let _ = function.invoke(create("alice")).await.success(201);
    }
    assert_eq!(
        paths(&world.airbyte),
        [WIDGET_TOKEN, SOURCES, SOURCES, SOURCES]
    );
}

#[tokio::test]
async fn each_users_sources_land_in_their_own_workspace() {
    let world = World::new().await;
    let function = world.create_source().await;
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
        let _ = function.invoke(create(user)).await.success(201);
    }
    let sources = world.airbyte.sources();
    assert_eq!(sources.len(), users.len());
    for (user, source) in users.iter().zip(sources) {
        let workspace = world
            .airbyte
            .workspace_of(Environment::ORGANIZATION, user)
            .unwrap();
        assert_eq!(source.workspace_id, workspace, "{user}");
        assert_eq!(source.external_user_id, *user);
    }
    assert_eq!(
        calls(&world.airbyte, WIDGET_TOKEN).len(),
        4,
        "one token for each user"
    );
}

#[tokio::test]
async fn a_token_that_airbyte_refuses_is_replaced_and_the_source_is_created() {
    let world = World::new().await;
    let function = world.create_source().await;
    let _ = function.invoke(create("alice")).await.success(201);
    world.airbyte.revoke_scoped_tokens();
    world.airbyte.clear_requests();

    let _ = function.invoke(create("alice")).await.success(201);
    assert_eq!(paths(&world.airbyte), [SOURCES, WIDGET_TOKEN, SOURCES]);
    assert_eq!(world.airbyte.sources().len(), 2);
    let _ = function.invoke(create("alice")).await.success(201);
    assert_eq!(
        paths(&world.airbyte),
        [SOURCES, WIDGET_TOKEN, SOURCES, SOURCES]
    );
}

#[tokio::test]
async fn a_fresh_token_that_airbyte_refuses_too_ends_the_matter() {
    let world = World::new().await;
    let function = world.create_source().await;
    world.airbyte_answers(Route::Sources, CannedResponse::new(401));
    let answer = function.invoke(create("alice")).await;

    assert_eq!(
        answer.status, 502,
        "the caller has no token that could have expired: {answer:?}"
    );
    let _ = answer.problem(502, "upstream-error");
    assert!(calls(&world.airbyte, SOURCES).len() <= 2);

    world.airbyte.clear_faults();
    let _ = function.invoke(create("alice")).await.success(201);
}

#[tokio::test]
async fn a_kept_token_is_replaced_before_it_expires() {
    let options = Options {
        scoped_token_lifetime: Duration::from_secs(2),
        ..Options::default()
    };
    let world = World::with(options, Secret::create("dev-organization-token").await).await;
    let function = world.create_source().await;
    let started = Instant::now();
    while calls(&world.airbyte, WIDGET_TOKEN).len() < 3 {
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "the token is never replaced"
        );
        let _ = function.invoke(create("alice")).await.success(201);
    }
    let refused = calls(&world.airbyte, SOURCES)
        .iter()
        .filter(|call| call.status == Some(401))
        .count();
    assert_eq!(refused, 0, "a token was used up to its end, or beyond");
}

#[tokio::test]
async fn a_supplied_token_is_not_kept_for_anyone() {
    let world = World::new().await;
    let minted = world
        .mint_token()
        .await
        .invoke(Event::mint_token("bob"))
        .await;
    let function = world.create_source().await;
    let mut body = faker_source();
    body["token"] = minted.success(200)["token"].clone();
    // A token is what lets its holder in: Airbyte decides about it.
    let supplied = function.invoke(Event::create_source("bob", &body)).await;
    let _ = supplied.success(201);
    world.airbyte.clear_requests();

    let _ = function.invoke(create("alice")).await.success(201);
    let _ = function.invoke(create("bob")).await.success(201);
    assert_eq!(calls(&world.airbyte, WIDGET_TOKEN).len(), 2);
    let alice = world
        .airbyte
        .workspace_of(Environment::ORGANIZATION, "alice")
        .unwrap();
    assert_eq!(world.airbyte.sources()[1].workspace_id, alice);
}

#[tokio::test]
async fn a_supplied_token_is_never_replaced_by_one_of_ours() {
    let world = World::new().await;
    let function = world.create_source().await;
    let _ = function.invoke(create("alice")).await.success(201);
    let mut body = faker_source();
    // Readable, unexpired, and not Airbyte's.
    body["token"] = json!(token::opaque_for(Uuid::new_v4(), "alice"));
    world.airbyte.clear_requests();
    let answer = function.invoke(Event::create_source("alice", &body)).await;

    let _ = answer.problem(401, "token-expired");
    assert_eq!(paths(&world.airbyte), [SOURCES]);
    assert_eq!(world.airbyte.sources().len(), 1);
}
