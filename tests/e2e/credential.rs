//! The organization's credential: how it may be stored, when it is read again, and what its failures look like.

use std::cell::Cell;
use std::time::{Duration, Instant};

use airbyte_sim::{Application, CannedResponse, Fault, FaultKind, Options, Route};
use e2e::{Binary, Event, Function, Secret, SecretsManager, World, eventually};
use futures_util::future::join_all;
use serde_json::json;

use crate::exchange::{APPLICATION_TOKEN, WIDGET_TOKEN, calls, paths};

fn application(client_secret: &str) -> Application {
    Application {
        client_id: "dev-client-id".to_owned(),
        client_secret: client_secret.to_owned(),
    }
}

async fn application_world() -> World {
    let secret = json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" });
    World::with_secret(Secret::create_json(&secret).await).await
}

#[tokio::test]
async fn an_organization_token_may_be_the_whole_secret_or_a_member_of_it() {
    for value in [
        "dev-organization-token".to_owned(),
        json!({ "organization_token": "dev-organization-token" }).to_string(),
    ] {
        let world = World::with_secret(Secret::create(&value).await).await;
        let answer = world
            .mint_token()
            .await
            .invoke(Event::mint_token("alice"))
            .await;

        let _ = answer.success(200);
        let call = &calls(&world.airbyte, WIDGET_TOKEN)[0];
        assert_eq!(
            call.header("authorization"),
            Some("Bearer dev-organization-token")
        );
    }
}

#[tokio::test]
async fn an_application_is_exchanged_for_a_token_as_json() {
    let world = application_world().await;
    let answer = world
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    let _ = answer.success(200);
    assert_eq!(paths(&world.airbyte), [APPLICATION_TOKEN, WIDGET_TOKEN]);
    let exchange = &world.airbyte.requests()[0];
    assert_eq!(exchange.method, "POST");
    assert_eq!(exchange.header("content-type"), Some("application/json"));
    assert_eq!(exchange.header("authorization"), None);
    assert_eq!(
        exchange.json().unwrap(),
        json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" })
    );
}

#[tokio::test]
async fn the_secret_may_be_named_by_its_arn() {
    let world = World::new().await;
    let environment = world
        .environment()
        .with("ORGANIZATION_TOKEN_SECRET_ARN", &world.secret.arn().await);
    let function = Function::start(Binary::MintToken, &environment).await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);

    let read = &world.secrets_manager.requests()[0];
    assert_eq!(read.target, "secretsmanager.GetSecretValue");
    assert!(
        read.authorization
            .starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"),
        "{read:?}"
    );
}

#[tokio::test]
async fn the_general_endpoint_variable_is_honoured_and_the_specific_one_wins() {
    let world = World::new().await;
    let url = world.secrets_manager.url();
    let general = world
        .environment()
        .without("AWS_ENDPOINT_URL_SECRETS_MANAGER")
        .with("AWS_ENDPOINT_URL", &url);
    let both = world
        .environment()
        .with("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    for environment in [general, both] {
        let function = Function::start(Binary::MintToken, &environment).await;
        let _ = function
            .invoke(Event::mint_token("alice"))
            .await
            .success(200);
    }
}

#[tokio::test]
async fn the_secret_is_read_once_at_start_up() {
    let world = World::new().await;
    for (binary, event) in [
        (Binary::MintToken, Event::mint_token("alice")),
        (
            Binary::CreateSource,
            Event::create_source("alice", &e2e::faker_source()),
        ),
    ] {
        let before = world.secrets_manager.reads();
        let function = world.start(binary).await;
        eventually("the secret is read before the first request", || {
            world.secrets_manager.reads() > before
        })
        .await;
        for _ in 0..5 {
            assert!(function.invoke(event.clone()).await.status < 300);
        }
        assert_eq!(world.secrets_manager.reads(), before + 1);
    }
}

#[tokio::test]
async fn the_first_request_waits_for_the_read_of_the_start_instead_of_reading_itself() {
    let world = World::new().await;
    world
        .secrets_manager
        .inject_times(1, FaultKind::Delay(Duration::from_millis(400)));
    let function = world.mint_token().await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    assert_eq!(world.secrets_manager.reads(), 1);
}

#[tokio::test]
async fn after_its_time_to_live_the_secret_is_read_again() {
    let world = World::new().await;
    world.airbyte.set_organization_tokens(vec![
        "dev-organization-token".to_owned(),
        "the-next-one".to_owned(),
    ]);
    let environment = world.environment().with("SECRET_TTL_SECONDS", "1");
    let function = Function::start(Binary::MintToken, &environment).await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    world.secret.put("the-next-one").await;

    // Airbyte takes both, so only the time makes the function notice.
    let mut sent = Vec::new();
    let started = Instant::now();
    while sent.last().map(String::as_str) != Some("Bearer the-next-one") {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the new value is never used: {sent:?}"
        );
        let _ = function
            .invoke(Event::mint_token("alice"))
            .await
            .success(200);
        let call = calls(&world.airbyte, WIDGET_TOKEN).pop().unwrap();
        sent.push(call.header("authorization").unwrap().to_owned());
    }
    assert!(
        started.elapsed() > Duration::from_millis(500),
        "read again before its time"
    );
}

/// Rotates the credential in Airbyte and in Secrets Manager, and checks that the next request notices nothing.
async fn rotation_is_unnoticed(world: &World, rotate: impl FnOnce(&World), new_secret: &str) {
    let function = world.mint_token().await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    let reads = world.secrets_manager.reads();
    rotate(world);
    world.secret.put(new_secret).await;

    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    assert_eq!(world.secrets_manager.reads(), reads + 1, "one fresh read");
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    assert_eq!(world.secrets_manager.reads(), reads + 1, "and no more");
}

#[tokio::test]
async fn a_rotated_organization_token_loses_no_request() {
    for wrap in [
        |token: &str| token.to_owned(),
        |token: &str| json!({ "organization_token": token }).to_string(),
    ] {
        let world = World::with_secret(Secret::create(&wrap("dev-organization-token")).await).await;
        let rotate = |world: &World| {
            world
                .airbyte
                .set_organization_tokens(vec!["new-token".to_owned()]);
        };
        rotation_is_unnoticed(&world, rotate, &wrap("new-token")).await;

        let tokens: Vec<_> = calls(&world.airbyte, WIDGET_TOKEN)
            .iter()
            .map(|call| {
                (
                    call.header("authorization").unwrap().to_owned(),
                    call.status,
                )
            })
            .collect();
        let expected = [
            ("Bearer dev-organization-token", 200),
            ("Bearer dev-organization-token", 401),
            ("Bearer new-token", 200),
            ("Bearer new-token", 200),
        ];
        assert_eq!(
            tokens,
            expected.map(|(token, status)| (token.to_owned(), Some(status)))
        );
    }
}

#[tokio::test]
async fn a_rotated_application_loses_no_request() {
    let world = application_world().await;
    let rotate = |world: &World| {
        world
            .airbyte
            .set_applications(vec![application("new-secret")]);
        world.airbyte.revoke_application_tokens();
    };
    let new_secret = json!({ "client_id": "dev-client-id", "client_secret": "new-secret" });
    rotation_is_unnoticed(&world, rotate, &new_secret.to_string()).await;
}

#[tokio::test]
async fn a_rotated_application_is_noticed_at_the_next_exchange_and_loses_no_request() {
    let secret = json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" });
    let options = Options {
        application_token_lifetime: Duration::from_secs(2),
        ..Options::default()
    };
    let world = World::with(options, Secret::create_json(&secret).await).await;
    let function = world.mint_token().await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    world
        .airbyte
        .set_applications(vec![application("new-secret")]);
    world
        .secret
        .put(&json!({ "client_id": "dev-client-id", "client_secret": "new-secret" }).to_string())
        .await;

    // The token in hand stays good until it ends; then the old secret is refused, and the new one is read.
    until_exchanges(&world, &function, 3).await;
    let statuses: Vec<_> = calls(&world.airbyte, APPLICATION_TOKEN)
        .iter()
        .map(|call| call.status)
        .collect();
    assert_eq!(statuses, [Some(200), Some(401), Some(200)]);
}

/// Mints tokens, all of them with success, until there were so many exchanges of the application.
async fn until_exchanges(world: &World, function: &Function, count: usize) {
    let started = Instant::now();
    while calls(&world.airbyte, APPLICATION_TOKEN).len() < count {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the application's token is never exchanged anew"
        );
        let _ = function
            .invoke(Event::mint_token("alice"))
            .await
            .success(200);
    }
}

/// Four functions at work all the time, while the credential is rotated again and again.
#[tokio::test]
async fn rotations_under_load_lose_no_request() {
    const ROTATIONS: usize = 5;
    let formats: [fn(usize) -> String; 3] = [
        |number| format!("token-{number}"),
        |number| json!({ "organization_token": format!("token-{number}") }).to_string(),
        |number| {
            json!({ "client_id": "dev-client-id", "client_secret": format!("secret-{number}") })
                .to_string()
        },
    ];
    for format in formats {
        let accept = |world: &World, numbers: &[usize]| {
            world.airbyte.set_organization_tokens(
                numbers
                    .iter()
                    .map(|number| format!("token-{number}"))
                    .collect(),
            );
            world.airbyte.set_applications(
                numbers
                    .iter()
                    .map(|number| application(&format!("secret-{number}")))
                    .collect(),
            );
        };
        let world = World::with_secret(Secret::create(&format(0)).await).await;
        accept(&world, &[0]);
        let functions = join_all((0..4).map(|_| world.mint_token())).await;
        let rotated = Cell::new(false);
        let load = join_all(functions.iter().map(async |function| {
            let mut requests = 0;
            while !rotated.get() {
                let _ = function
                    .invoke(Event::mint_token("alice"))
                    .await
                    .success(200);
                requests += 1;
            }
            requests
        }));
        let rotation = async {
            for number in 1..=ROTATIONS {
                // The new one is made, stored, and then the old one is revoked.
                accept(&world, &[number - 1, number]);
                world.secret.put(&format(number)).await;
                accept(&world, &[number]);
                world.airbyte.revoke_application_tokens();
                let requests = calls(&world.airbyte, WIDGET_TOKEN).len();
                while calls(&world.airbyte, WIDGET_TOKEN).len() < requests + 40 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            rotated.set(true);
        };
        let (requests, ()) = tokio::join!(load, rotation);
        assert!(
            requests.iter().all(|requests| *requests > ROTATIONS),
            "{requests:?}"
        );
        let last = calls(&world.airbyte, WIDGET_TOKEN).pop().unwrap();
        assert_eq!(last.status, Some(200));
    }
}

#[tokio::test]
async fn an_application_may_take_an_organization_tokens_place_without_a_restart() {
    let world = World::new().await;
    let rotate = |world: &World| world.airbyte.set_organization_tokens(Vec::new());
    let application = json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" });
    rotation_is_unnoticed(&world, rotate, &application.to_string()).await;
}

#[tokio::test]
async fn a_refused_application_token_is_exchanged_anew() {
    let world = application_world().await;
    let function = world.mint_token().await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    world.airbyte.clear_requests();
    world.airbyte.inject(
        Fault::new(
            Route::WidgetToken,
            FaultKind::Respond(CannedResponse::new(401)),
        )
        .times(1),
    );

    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    assert_eq!(
        paths(&world.airbyte),
        [WIDGET_TOKEN, APPLICATION_TOKEN, WIDGET_TOKEN]
    );
}

#[tokio::test]
async fn an_application_token_is_kept_until_shortly_before_the_expiry_in_it() {
    let world = application_world().await;
    let function = world.mint_token().await;
    for _ in 0..3 {
        let _ = function
            .invoke(Event::mint_token("alice"))
            .await
            .success(200);
    }
    assert_eq!(calls(&world.airbyte, APPLICATION_TOKEN).len(), 1);
}

#[tokio::test]
async fn the_expiry_in_an_application_token_counts_and_not_what_is_said_beside_it() {
    // The simulator says `expires_in: 900`, as Airbyte does, whatever the token itself says.
    let secret = json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" });
    let options = Options {
        application_token_lifetime: Duration::from_secs(2),
        ..Options::default()
    };
    let world = World::with(options, Secret::create_json(&secret).await).await;
    let function = world.mint_token().await;
    until_exchanges(&world, &function, 3).await;

    let refused = calls(&world.airbyte, WIDGET_TOKEN)
        .iter()
        .filter(|call| call.status != Some(200))
        .count();
    assert_eq!(refused, 0, "a token was used up to its end, or beyond");
}

#[tokio::test]
async fn a_credential_that_airbyte_rejects_after_a_fresh_read_too_is_said_to_be_rejected() {
    for status in [401, 403] {
        let world = World::new().await;
        let function = world.mint_token().await;
        world.airbyte_answers(Route::WidgetToken, CannedResponse::new(status));
        let answer = function.invoke(Event::mint_token("alice")).await;

        let _ = answer.problem(502, "credential-rejected");
        assert_eq!(world.secrets_manager.reads(), 2, "{status}");
        assert_eq!(paths(&world.airbyte).len(), 2, "{status}");
    }
}

#[tokio::test]
async fn an_application_that_airbyte_rejects_is_said_to_be_rejected() {
    for status in [401, 403] {
        let world = application_world().await;
        let function = world.mint_token().await;
        let _ = function
            .invoke(Event::mint_token("alice"))
            .await
            .success(200);
        world.airbyte.revoke_application_tokens();
        world.airbyte_answers(Route::ApplicationToken, CannedResponse::new(status));
        world.airbyte.clear_requests();
        let answer = function.invoke(Event::mint_token("alice")).await;

        let _ = answer.problem(502, "credential-rejected");
        assert_eq!(world.secrets_manager.reads(), 2, "{status}");
        assert_eq!(
            paths(&world.airbyte),
            [WIDGET_TOKEN, APPLICATION_TOKEN],
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_rejected_credential_is_not_hammered_and_a_mended_one_is_found() {
    const REQUESTS: usize = 20;
    let world = World::new().await;
    let function = world.mint_token().await;
    world
        .airbyte
        .set_organization_tokens(vec!["new-token".to_owned()]);
    for _ in 0..REQUESTS {
        let answer = function.invoke(Event::mint_token("alice")).await;
        let _ = answer.problem(502, "credential-rejected");
    }
    assert!(
        world.secrets_manager.reads() <= REQUESTS / 2,
        "{} reads",
        world.secrets_manager.reads()
    );
    assert!(
        paths(&world.airbyte).len() <= REQUESTS,
        "{} calls",
        paths(&world.airbyte).len()
    );

    world.secret.put("new-token").await;
    let started = Instant::now();
    loop {
        let answer = function.invoke(Event::mint_token("alice")).await;
        if answer.status == 200 {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the new value is never read: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_secret_that_is_nothing_usable_is_said_to_be_unavailable() {
    let unusable = [
        " ",
        "{}",
        "{\"organization_token\":",
        r#"{"organization_token":""}"#,
        r#"{"organization_token":null}"#,
        r#"{"organization_token":17}"#,
        r#"{"token":"dev-organization-token"}"#,
        r#"{"client_id":"dev-client-id"}"#,
        r#"{"client_secret":"dev-client-secret"}"#,
        r#"{"client_id":"","client_secret":""}"#,
        "two\r\nlines: 1",
    ];
    for value in unusable {
        let world = World::with_secret(Secret::create(value).await).await;
        for binary in Binary::ALL {
            let function = world.start(binary).await;
            let event = match binary {
                Binary::MintToken => Event::mint_token("alice"),
                Binary::CreateSource => Event::create_source("alice", &e2e::faker_source()),
            };
            let answer = function.invoke(event).await;
            assert_eq!(answer.status, 503, "{value:?}: {answer:?}");
            let _ = answer.problem(503, "credential-unavailable");
            assert!(world.airbyte.requests().is_empty(), "{value:?}");
        }
    }
    let world = World::with_secret(Secret::create_binary("3q2+7w==").await).await;
    let answer = world
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;
    let _ = answer.problem(503, "credential-unavailable");
}

#[tokio::test]
async fn a_missing_secret_does_not_stop_the_start_and_is_found_when_it_is_there() {
    let world = World::with_secret(Secret::absent()).await;
    let function = world.mint_token().await;
    let answer = function.invoke(Event::mint_token("alice")).await;
    let _ = answer.problem(503, "credential-unavailable");
    assert!(world.airbyte.requests().is_empty());

    world.secret.appear("dev-organization-token").await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
}

#[tokio::test]
async fn a_good_value_is_kept_while_secrets_manager_fails_with_a_warning() {
    let world = World::new().await;
    let environment = world.environment().with("SECRET_TTL_SECONDS", "1");
    let function = Function::start(Binary::MintToken, &environment).await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    assert!(!function.output().contains("WARN"), "{}", function.output());
    let reads = world.secrets_manager.reads();
    world
        .secrets_manager
        .inject(SecretsManager::refusal(400, "AccessDeniedException"));

    // Until a fresh read was tried, and once more after that.
    let started = Instant::now();
    while world.secrets_manager.reads() == reads {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the secret is never read again"
        );
        let _ = function
            .invoke(Event::mint_token("alice"))
            .await
            .success(200);
    }
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    assert!(function.output().contains("WARN"), "{}", function.output());
}
