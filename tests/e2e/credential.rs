//! The organization's credential: how it may be stored, when it is read again, and what its failures look like.

use std::cell::Cell;
use std::time::{Duration, Instant};

use airbyte_sim::{Application, CannedResponse, FaultKind, Options, Route};
use e2e::{Binary, Event, Function, Secret, SecretsManager, TestEnv, eventually};
use futures_util::future::join_all;
use serde_json::json;

use crate::exchange::{APPLICATION_TOKEN, WIDGET_TOKEN, calls, paths};

fn application(client_secret: &str) -> Application {
    Application {
        client_id: "dev-client-id".to_owned(),
        client_secret: client_secret.to_owned(),
    }
}

async fn application_env() -> TestEnv {
    let secret = json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" });
    TestEnv::with_secret(Secret::create_json(&secret).await).await
}

#[tokio::test]
async fn accepts_plain_and_json_organization_token() {
    for value in [
        "dev-organization-token".to_owned(),
        json!({ "organization_token": "dev-organization-token" }).to_string(),
    ] {
        let env = TestEnv::with_secret(Secret::create(&value).await).await;
        let response = env
            .mint_token()
            .await
            .invoke(Event::mint_token("alice"))
            .await;

        response.expect_success(200);
        let call = &calls(&env.airbyte, WIDGET_TOKEN)[0];
        assert_eq!(
            call.header("authorization"),
            Some("Bearer dev-organization-token")
        );
    }
}

#[tokio::test]
async fn exchanges_application_with_json_body() {
    let env = application_env().await;
    let response = env
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    response.expect_success(200);
    assert_eq!(paths(&env.airbyte), [APPLICATION_TOKEN, WIDGET_TOKEN]);
    let exchange = &env.airbyte.requests()[0];
    assert_eq!(exchange.method, "POST");
    assert_eq!(exchange.header("content-type"), Some("application/json"));
    assert_eq!(exchange.header("authorization"), None);
    assert_eq!(
        exchange.json().unwrap(),
        json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" })
    );
}

#[tokio::test]
async fn accepts_secret_arn() {
    let env = TestEnv::new().await;
    let config = env
        .config()
        .with("ORGANIZATION_TOKEN_SECRET_ARN", &env.secret.arn().await);
    let function = Function::start(Binary::MintToken, &config).await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);

    let read = &env.secrets_manager.requests()[0];
    assert_eq!(read.target, "secretsmanager.GetSecretValue");
    assert!(
        read.authorization
            .starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"),
        "{read:?}"
    );
}

#[tokio::test]
async fn prefers_service_specific_endpoint_variable() {
    let env = TestEnv::new().await;
    let url = env.secrets_manager.url();
    let general = env
        .config()
        .without("AWS_ENDPOINT_URL_SECRETS_MANAGER")
        .with("AWS_ENDPOINT_URL", &url);
    let both = env.config().with("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    for config in [general, both] {
        let function = Function::start(Binary::MintToken, &config).await;
        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
    }
}

#[tokio::test]
async fn reads_secret_once_during_init() {
    let env = TestEnv::new().await;
    for (binary, event) in [
        (Binary::MintToken, Event::mint_token("alice")),
        (
            Binary::CreateSource,
            Event::create_source("alice", &e2e::faker_source()),
        ),
    ] {
        let before = env.secrets_manager.reads();
        let function = env.start(binary).await;
        eventually("the secret is read before the first request", || {
            env.secrets_manager.reads() > before
        })
        .await;
        for _ in 0..5 {
            assert!(function.invoke(event.clone()).await.status < 300);
        }
        assert_eq!(env.secrets_manager.reads(), before + 1);
    }
}

#[tokio::test]
async fn first_request_reuses_init_secret_read() {
    let env = TestEnv::new().await;
    env.secrets_manager
        .inject_times(1, FaultKind::Delay(Duration::from_millis(400)));
    let function = env.mint_token().await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    assert_eq!(env.secrets_manager.reads(), 1);
}

#[tokio::test]
async fn rereads_secret_after_ttl() {
    let env = TestEnv::new().await;
    env.airbyte.set_organization_tokens(vec![
        "dev-organization-token".to_owned(),
        "the-next-one".to_owned(),
    ]);
    let config = env.config().with("SECRET_TTL_SECONDS", "1");
    let function = Function::start(Binary::MintToken, &config).await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    env.secret.put("the-next-one").await;

    // Airbyte takes both, so only the time makes the function notice.
    let mut sent = Vec::new();
    let started = Instant::now();
    while sent.last().map(String::as_str) != Some("Bearer the-next-one") {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the new value is never used: {sent:?}"
        );
        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
        let call = calls(&env.airbyte, WIDGET_TOKEN).pop().unwrap();
        sent.push(call.header("authorization").unwrap().to_owned());
    }
    assert!(
        started.elapsed() > Duration::from_millis(500),
        "read again before its time"
    );
}

/// Rotates the credential in Airbyte and in Secrets Manager, and checks that the next request notices nothing.
async fn rotation_is_unnoticed(env: &TestEnv, rotate: impl FnOnce(&TestEnv), new_secret: &str) {
    let function = env.mint_token().await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    let reads = env.secrets_manager.reads();
    rotate(env);
    env.secret.put(new_secret).await;

    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    assert_eq!(env.secrets_manager.reads(), reads + 1, "one fresh read");
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    assert_eq!(env.secrets_manager.reads(), reads + 1, "and no more");
}

#[tokio::test]
async fn survives_organization_token_rotation() {
    for wrap in [
        |token: &str| token.to_owned(),
        |token: &str| json!({ "organization_token": token }).to_string(),
    ] {
        let env = TestEnv::with_secret(Secret::create(&wrap("dev-organization-token")).await).await;
        let rotate = |env: &TestEnv| {
            env.airbyte
                .set_organization_tokens(vec!["new-token".to_owned()]);
        };
        rotation_is_unnoticed(&env, rotate, &wrap("new-token")).await;

        let tokens: Vec<_> = calls(&env.airbyte, WIDGET_TOKEN)
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
async fn survives_application_rotation() {
    let env = application_env().await;
    let rotate = |env: &TestEnv| {
        env.airbyte
            .set_applications(vec![application("new-secret")]);
        env.airbyte.revoke_application_tokens();
    };
    let new_secret = json!({ "client_id": "dev-client-id", "client_secret": "new-secret" });
    rotation_is_unnoticed(&env, rotate, &new_secret.to_string()).await;
}

#[tokio::test]
async fn rereads_secret_when_exchange_is_rejected() {
    let secret = json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" });
    let options = Options {
        application_token_lifetime: Duration::from_secs(2),
        ..Options::default()
    };
    let env = TestEnv::with(options, Secret::create_json(&secret).await).await;
    let function = env.mint_token().await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    env.airbyte
        .set_applications(vec![application("new-secret")]);
    env.secret
        .put(&json!({ "client_id": "dev-client-id", "client_secret": "new-secret" }).to_string())
        .await;

    // The token in hand stays good until it ends; then the old secret is refused, and the new one is read.
    until_exchanges(&env, &function, 3).await;
    let statuses: Vec<_> = calls(&env.airbyte, APPLICATION_TOKEN)
        .iter()
        .map(|call| call.status)
        .collect();
    assert_eq!(statuses, [Some(200), Some(401), Some(200)]);
}

/// Mints tokens, all of them with success, until there were so many exchanges of the application.
async fn until_exchanges(env: &TestEnv, function: &Function, count: usize) {
    let started = Instant::now();
    while calls(&env.airbyte, APPLICATION_TOKEN).len() < count {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the application's token is never exchanged anew"
        );
        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
    }
}

/// Four functions at work all the time, while the credential is rotated again and again.
#[tokio::test]
async fn survives_rotations_under_load() {
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
        let accept = |env: &TestEnv, numbers: &[usize]| {
            env.airbyte.set_organization_tokens(
                numbers
                    .iter()
                    .map(|number| format!("token-{number}"))
                    .collect(),
            );
            env.airbyte.set_applications(
                numbers
                    .iter()
                    .map(|number| application(&format!("secret-{number}")))
                    .collect(),
            );
        };
        let env = TestEnv::with_secret(Secret::create(&format(0)).await).await;
        accept(&env, &[0]);
        let functions = join_all((0..4).map(|_| env.mint_token())).await;
        // Concurrent first mints would each create a workspace.
        functions[0]
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
        let rotated = Cell::new(false);
        let load = join_all(functions.iter().map(async |function| {
            let mut requests = 0;
            while !rotated.get() {
                function
                    .invoke(Event::mint_token("alice"))
                    .await
                    .expect_success(200);
                requests += 1;
            }
            requests
        }));
        let rotation = async {
            for number in 1..=ROTATIONS {
                // The new one is made, stored, and then the old one is revoked.
                accept(&env, &[number - 1, number]);
                env.secret.put(&format(number)).await;
                accept(&env, &[number]);
                env.airbyte.revoke_application_tokens();
                let requests = calls(&env.airbyte, WIDGET_TOKEN).len();
                while calls(&env.airbyte, WIDGET_TOKEN).len() < requests + 40 {
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
        let last = calls(&env.airbyte, WIDGET_TOKEN).pop().unwrap();
        assert_eq!(last.status, Some(200));
    }
}

#[tokio::test]
async fn switches_from_token_to_application() {
    let env = TestEnv::new().await;
    let rotate = |env: &TestEnv| env.airbyte.set_organization_tokens(Vec::new());
    let application = json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" });
    rotation_is_unnoticed(&env, rotate, &application.to_string()).await;
}

#[tokio::test]
async fn exchanges_again_when_token_is_rejected() {
    let env = application_env().await;
    let function = env.mint_token().await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    env.airbyte.clear_requests();
    env.inject_times(
        1,
        Route::WidgetToken,
        FaultKind::Respond(CannedResponse::new(401)),
    );

    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    assert_eq!(
        paths(&env.airbyte),
        [WIDGET_TOKEN, APPLICATION_TOKEN, WIDGET_TOKEN]
    );
}

#[tokio::test]
async fn reuses_application_token_until_expiry() {
    let env = application_env().await;
    let function = env.mint_token().await;
    for _ in 0..3 {
        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
    }
    assert_eq!(calls(&env.airbyte, APPLICATION_TOKEN).len(), 1);
}

#[tokio::test]
async fn trusts_token_expiry_over_expires_in() {
    // The simulator says `expires_in: 900`, as Airbyte does, whatever the token itself says.
    let secret = json!({ "client_id": "dev-client-id", "client_secret": "dev-client-secret" });
    let options = Options {
        application_token_lifetime: Duration::from_secs(2),
        ..Options::default()
    };
    let env = TestEnv::with(options, Secret::create_json(&secret).await).await;
    let function = env.mint_token().await;
    until_exchanges(&env, &function, 3).await;

    let refused = calls(&env.airbyte, WIDGET_TOKEN)
        .iter()
        .filter(|call| call.status != Some(200))
        .count();
    assert_eq!(refused, 0, "a token was used up to its end, or beyond");
}

#[tokio::test]
async fn rejects_credential_after_one_reread() {
    for status in [401, 403] {
        let env = TestEnv::new().await;
        let function = env.mint_token().await;
        env.respond(Route::WidgetToken, CannedResponse::new(status));
        let response = function.invoke(Event::mint_token("alice")).await;

        response.expect_problem(502, "credential-rejected");
        assert_eq!(env.secrets_manager.reads(), 2, "{status}");
        assert_eq!(paths(&env.airbyte).len(), 2, "{status}");
    }
}

#[tokio::test]
async fn reports_rejected_application_after_reread() {
    for status in [401, 403] {
        let env = application_env().await;
        let function = env.mint_token().await;
        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
        env.airbyte.revoke_application_tokens();
        env.respond(Route::ApplicationToken, CannedResponse::new(status));
        env.airbyte.clear_requests();
        let response = function.invoke(Event::mint_token("alice")).await;

        response.expect_problem(502, "credential-rejected");
        assert_eq!(env.secrets_manager.reads(), 2, "{status}");
        assert_eq!(
            paths(&env.airbyte),
            [WIDGET_TOKEN, APPLICATION_TOKEN],
            "{status}"
        );
    }
}

#[tokio::test]
async fn backs_off_until_credential_is_fixed() {
    const REQUESTS: usize = 20;
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    env.airbyte
        .set_organization_tokens(vec!["new-token".to_owned()]);
    for _ in 0..REQUESTS {
        let response = function.invoke(Event::mint_token("alice")).await;
        response.expect_problem(502, "credential-rejected");
    }
    assert!(
        env.secrets_manager.reads() <= REQUESTS / 2,
        "{} reads",
        env.secrets_manager.reads()
    );
    assert!(
        paths(&env.airbyte).len() <= REQUESTS,
        "{} calls",
        paths(&env.airbyte).len()
    );

    env.secret.put("new-token").await;
    let started = Instant::now();
    loop {
        let response = function.invoke(Event::mint_token("alice")).await;
        if response.status == 200 {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the new value is never read: {response:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn reports_unusable_secret_as_unavailable() {
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
        let env = TestEnv::with_secret(Secret::create(value).await).await;
        for binary in Binary::ALL {
            let function = env.start(binary).await;
            let event = match binary {
                Binary::MintToken => Event::mint_token("alice"),
                Binary::CreateSource => Event::create_source("alice", &e2e::faker_source()),
            };
            let response = function.invoke(event).await;
            assert_eq!(response.status, 503, "{value:?}: {response:?}");
            response.expect_problem(503, "credential-unavailable");
            assert!(env.airbyte.requests().is_empty(), "{value:?}");
        }
    }
    let env = TestEnv::with_secret(Secret::create_binary("3q2+7w==").await).await;
    let response = env
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;
    response.expect_problem(503, "credential-unavailable");
}

#[tokio::test]
async fn finds_secret_created_after_startup() {
    let env = TestEnv::with_secret(Secret::absent()).await;
    let function = env.mint_token().await;
    let response = function.invoke(Event::mint_token("alice")).await;
    response.expect_problem(503, "credential-unavailable");
    assert!(env.airbyte.requests().is_empty());

    env.secret.create_now("dev-organization-token").await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
}

#[tokio::test]
async fn serves_cached_secret_during_outage() {
    let env = TestEnv::new().await;
    let config = env.config().with("SECRET_TTL_SECONDS", "1");
    let function = Function::start(Binary::MintToken, &config).await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    assert!(!function.output().contains("WARN"), "{}", function.output());
    let reads = env.secrets_manager.reads();
    env.secrets_manager
        .inject(SecretsManager::error(400, "AccessDeniedException"));

    // Until a fresh read was tried, and once more after that.
    let started = Instant::now();
    while env.secrets_manager.reads() == reads {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the secret is never read again"
        );
        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
    }
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    assert!(function.output().contains("WARN"), "{}", function.output());
}
