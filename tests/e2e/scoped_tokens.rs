//! The scoped tokens that `create-source` caches for callers who send none: one per user, never another user's.

use std::time::{Duration, Instant};

use airbyte_sim::{CannedResponse, Options, Route};
use e2e::{Event, Function, Generation, TestEnv, case, faker_source, token};
use uuid::Uuid;

e2e::test_each_generation!(
    reuses_scoped_token_of_user,
    creates_sources_in_each_users_workspace,
    replaces_rejected_scoped_token,
    fails_after_fresh_token_is_rejected,
    replaces_scoped_token_before_expiry,
    does_not_cache_supplied_token,
    never_replaces_supplied_token,
);

async fn create(function: &Function, user: &str) {
    let event = Event::create_source(user, &faker_source());
    function.invoke(event).await.expect_success(201);
}

async fn reuses_scoped_token_of_user(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    for _ in 0..3 {
        create(&function, "alice").await;
    }
    assert_eq!(
        env.routes(),
        [
            Route::WidgetToken,
            Route::Sources,
            Route::Sources,
            Route::Sources
        ]
    );
}

async fn creates_sources_in_each_users_workspace(generation: Generation) {
    let env = TestEnv::of(generation).await;
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
        create(&function, user).await;
    }

    let sources = env.airbyte.sources();
    assert_eq!(sources.len(), users.len());
    for (user, source) in users.iter().zip(sources) {
        let _case = case(user);
        assert_eq!(source.workspace_id, env.workspace_of(user));
        assert_eq!(source.external_user_id, *user);
    }
    assert_eq!(
        env.requests(Route::WidgetToken).len(),
        4,
        "one token per user"
    );
}

async fn replaces_rejected_scoped_token(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    create(&function, "alice").await;
    env.airbyte.revoke_scoped_tokens();
    env.airbyte.clear_requests();

    create(&function, "alice").await;
    assert_eq!(
        env.routes(),
        [Route::Sources, Route::WidgetToken, Route::Sources]
    );
    assert_eq!(env.airbyte.sources().len(), 2);

    env.airbyte.clear_requests();
    create(&function, "alice").await;
    assert_eq!(env.routes(), [Route::Sources]);
}

async fn fails_after_fresh_token_is_rejected(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    env.respond(Route::Sources, CannedResponse::new(401));

    let response = function.invoke(Event::create()).await;

    // Not a 401, because the caller sent no token that could have expired.
    let problem = response.expect_problem(502, "upstream-error");
    assert_eq!(
        problem.detail,
        "Airbyte rejected the token that it had just issued. Retry later."
    );
    assert!(env.requests(Route::Sources).len() <= 2);

    env.airbyte.clear_faults();
    create(&function, "alice").await;
}

async fn replaces_scoped_token_before_expiry(generation: Generation) {
    let env = TestEnv::with_options(Options {
        scoped_token_lifetime: Duration::from_secs(2),
        ..Options::default()
    })
    .await
    .generation(generation);
    let function = env.create_source().await;
    let started = Instant::now();
    while env.requests(Route::WidgetToken).len() < 3 {
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "the token is not replaced"
        );
        create(&function, "alice").await;
    }

    let creates = env.requests(Route::Sources);
    assert!(
        creates.iter().all(|request| request.status != Some(401)),
        "an expired token was sent: {creates:?}"
    );
}

async fn does_not_cache_supplied_token(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let minted = env
        .mint_token()
        .await
        .invoke(Event::mint_token("bob"))
        .await;
    let token = minted.expect_success(200)["token"].clone();
    let function = env.create_source().await;
    let supplied = Event::create_source("bob", &faker_source()).field("token", token);
    function.invoke(supplied).await.expect_success(201);
    env.airbyte.clear_requests();

    create(&function, "alice").await;
    create(&function, "bob").await;
    assert_eq!(env.requests(Route::WidgetToken).len(), 2);
    assert_eq!(
        env.airbyte.sources()[1].workspace_id,
        env.workspace_of("alice")
    );
}

async fn never_replaces_supplied_token(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    create(&function, "alice").await;
    env.airbyte.clear_requests();
    // Decodable and not expired, but not issued by Airbyte.
    let forged = token::opaque_for(Uuid::new_v4(), "alice");

    let response = function
        .invoke(Event::create().field("token", forged))
        .await;

    response.expect_problem(401, "token-expired");
    assert_eq!(env.routes(), [Route::Sources]);
    assert_eq!(env.airbyte.sources().len(), 1);
}
