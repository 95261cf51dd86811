//! The organization's credential: its formats, its rotation, and its failures.

use std::cell::Cell;
use std::time::{Duration, Instant};

use airbyte_sim::{
    Application, CannedResponse, ErrorShape, Exchange, Fault, FaultKind, Options, Route,
};
use e2e::{Binary, Event, Function, Generation, Secret, SecretsManager, TestEnv, case, eventually};
use futures_util::future::join_all;
use serde_json::json;

e2e::test_each_generation!(
    exchanges_application_with_json_body,
    survives_organization_token_rotation,
    survives_application_rotation,
    rereads_secret_when_exchange_is_rejected,
    survives_rotations_under_load,
    exchanges_again_when_token_is_rejected,
    rejects_credential_after_one_reread,
    rejects_application_after_one_reread,
    attributes_403_to_request_after_acceptance,
    serves_other_users_while_403_precedes_acceptance,
    notices_revocation_within_one_request,
    replaces_token_that_expires_during_call,
    keeps_acceptance_when_token_expires_during_call,
    uses_cached_token_while_exchange_is_forbidden,
    uses_old_token_while_exchange_of_new_application_fails,
    denied_user_harms_no_other_user,
);

fn application(client_secret: &str) -> Application {
    Application {
        client_id: "dev-client-id".to_owned(),
        client_secret: client_secret.to_owned(),
    }
}

async fn mint(function: &Function) {
    function.invoke(Event::mint()).await.expect_success(200);
}

#[tokio::test]
async fn accepts_plain_and_json_organization_token() {
    let token = TestEnv::ORGANIZATION_TOKEN;
    for value in [
        token.to_owned(),
        json!({ "organization_token": token }).to_string(),
    ] {
        let _case = case(&value);
        let env = TestEnv::with_secret(Secret::create(&value).await).await;
        mint(&env.mint_token().await).await;
        assert_eq!(
            env.requests(Route::WidgetToken)[0].header("authorization"),
            Some("Bearer dev-organization-token")
        );
    }
}

#[tokio::test]
async fn strips_byte_order_mark_of_secret() {
    for value in [
        TestEnv::ORGANIZATION_TOKEN.to_owned(),
        Secret::application_value("dev-client-secret"),
    ] {
        let _case = case(&value);
        let secret = Secret::create(&format!("\u{feff}{value}\r\n")).await;
        let env = TestEnv::with_secret(secret).await;
        mint(&env.mint_token().await).await;
    }
}

async fn exchanges_application_with_json_body(generation: Generation) {
    let env = TestEnv::with_application().await.generation(generation);
    mint(&env.mint_token().await).await;

    assert_eq!(env.routes(), [Route::ApplicationToken, Route::WidgetToken]);
    let exchange = &env.airbyte.requests()[0];
    assert_eq!(exchange.path, "/api/v1/account/applications/token");
    assert_eq!(exchange.header("content-type"), Some("application/json"));
    assert_eq!(exchange.header("authorization"), None);
    assert_eq!(
        exchange.header("x-organization-id"),
        generation.organization_header()
    );
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
    mint(&Function::start(Binary::MintToken, &config).await).await;

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
    let general = env
        .config()
        .without("AWS_ENDPOINT_URL_SECRETS_MANAGER")
        .with("AWS_ENDPOINT_URL", &env.secrets_manager.url());
    let both = env.config().with("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    for (name, config) in [("general", general), ("both", both)] {
        let _case = case(name);
        mint(&Function::start(Binary::MintToken, &config).await).await;
    }
}

#[tokio::test]
async fn reads_secret_once_during_init() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let reads = env.secrets_manager.reads();
        let function = env.start(binary).await;
        eventually("the secret is read before the first request", || {
            env.secrets_manager.reads() > reads
        })
        .await;
        for _ in 0..5 {
            function
                .invoke(Event::valid(binary))
                .await
                .expect_success(binary.success());
        }
        assert_eq!(env.secrets_manager.reads(), reads + 1);
    }
}

#[tokio::test]
async fn first_request_reuses_init_secret_read() {
    let env = TestEnv::new().await;
    env.secrets_manager
        .inject_times(1, FaultKind::Delay(Duration::from_millis(400)));
    mint(&env.mint_token().await).await;
    assert_eq!(env.secrets_manager.reads(), 1);
}

#[tokio::test]
async fn rereads_secret_after_ttl() {
    let env = TestEnv::new().await;
    // Airbyte accepts both tokens, so that only the time to live causes a read.
    env.airbyte.set_organization_tokens(vec![
        TestEnv::ORGANIZATION_TOKEN.to_owned(),
        "new-token".to_owned(),
    ]);
    let config = env.config().with("SECRET_TTL_SECONDS", "1");
    let function = Function::start(Binary::MintToken, &config).await;
    mint(&function).await;
    env.secret.put("new-token").await;

    let started = Instant::now();
    let sent_token = || {
        let request = env.requests(Route::WidgetToken).pop().unwrap();
        request.header("authorization").unwrap().to_owned()
    };
    while sent_token() != "Bearer new-token" {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the new value is not used"
        );
        mint(&function).await;
    }
    assert!(
        started.elapsed() > Duration::from_millis(500),
        "read before the time to live passed"
    );
}

/// Rotates the credential in Airbyte and in Secrets Manager, and checks that the next request succeeds after one read.
async fn expect_unnoticed_rotation(env: &TestEnv, rotate: impl FnOnce(), new_secret: &str) {
    let function = env.mint_token().await;
    mint(&function).await;
    let reads = env.secrets_manager.reads();
    rotate();
    env.secret.put(new_secret).await;

    mint(&function).await;
    assert_eq!(env.secrets_manager.reads(), reads + 1);
    mint(&function).await;
    assert_eq!(env.secrets_manager.reads(), reads + 1);
}

async fn survives_organization_token_rotation(generation: Generation) {
    type Format = fn(&str) -> String;
    let formats: [(&str, Format); 2] = [
        ("plain", str::to_owned),
        ("JSON", |token| {
            json!({ "organization_token": token }).to_string()
        }),
    ];
    for (name, format) in formats {
        let _case = case(name);
        let secret = Secret::create(&format(TestEnv::ORGANIZATION_TOKEN)).await;
        let env = TestEnv::with_secret(secret).await.generation(generation);
        let rotate = || {
            env.airbyte
                .set_organization_tokens(vec!["new-token".to_owned()]);
        };
        expect_unnoticed_rotation(&env, rotate, &format("new-token")).await;

        let attempts: Vec<_> = env
            .requests(Route::WidgetToken)
            .iter()
            .map(|request| {
                let token = request.header("authorization").unwrap();
                (token.to_owned(), request.status.unwrap())
            })
            .collect();
        let expected = [
            ("Bearer dev-organization-token", 200),
            ("Bearer dev-organization-token", 401),
            ("Bearer new-token", 200),
            ("Bearer new-token", 200),
        ];
        assert_eq!(
            attempts,
            expected.map(|(token, status)| (token.to_owned(), status))
        );
    }
}

async fn survives_application_rotation(generation: Generation) {
    let env = TestEnv::with_application().await.generation(generation);
    let rotate = || {
        env.airbyte
            .set_applications(vec![application("new-secret")]);
        env.airbyte.revoke_application_tokens();
    };
    let new_secret = Secret::application_value("new-secret");
    expect_unnoticed_rotation(&env, rotate, &new_secret).await;
}

/// Starts an environment with an application whose tokens expire after two seconds.
async fn env_with_short_application_tokens() -> TestEnv {
    let options = Options {
        application_token_lifetime: Duration::from_secs(2),
        ..Options::default()
    };
    TestEnv::with(options, Secret::application("dev-client-secret").await).await
}

async fn rereads_secret_when_exchange_is_rejected(generation: Generation) {
    for (name, fault, status) in [
        ("401", None, 401),
        ("invalid client", Some(ErrorShape::InvalidClient), 400),
    ] {
        let _case = case(name);
        let env = env_with_short_application_tokens()
            .await
            .generation(generation);
        let function = env.mint_token().await;
        mint(&function).await;
        env.airbyte
            .set_applications(vec![application("new-secret")]);
        if let Some(shape) = fault {
            env.inject_times(1, Route::ApplicationToken, shape.into());
        }
        let new_secret = Secret::application_value("new-secret");
        env.secret.put(&new_secret).await;

        // The cached token is used until it expires. Then the old secret is rejected, and the new one is read.
        mint_until_exchanges(&env, &function, 3).await;
        let statuses: Vec<_> = env
            .requests(Route::ApplicationToken)
            .iter()
            .map(|request| request.status)
            .collect();
        assert_eq!(statuses, [Some(200), Some(status), Some(200)]);
    }
}

/// Mints tokens until the application was exchanged `count` times.
async fn mint_until_exchanges(env: &TestEnv, function: &Function, count: usize) {
    let started = Instant::now();
    while env.requests(Route::ApplicationToken).len() < count {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the application is not exchanged again"
        );
        mint(function).await;
    }
}

/// Four functions serve requests all the time while the credential is rotated.
async fn survives_rotations_under_load(generation: Generation) {
    const ROTATIONS: usize = 5;
    type Format = fn(usize) -> String;
    let formats: [(&str, Format); 3] = [
        ("plain", |number| format!("token-{number}")),
        ("JSON", |number| {
            json!({ "organization_token": format!("token-{number}") }).to_string()
        }),
        ("application", |number| {
            Secret::application_value(&format!("secret-{number}"))
        }),
    ];
    for (name, format) in formats {
        let _case = case(name);
        let env = TestEnv::with_secret(Secret::create(&format(0)).await)
            .await
            .generation(generation);
        let accept = |numbers: &[usize]| {
            let tokens = numbers.iter().map(|number| format!("token-{number}"));
            env.airbyte.set_organization_tokens(tokens.collect());
            let applications = numbers
                .iter()
                .map(|number| application(&format!("secret-{number}")));
            env.airbyte.set_applications(applications.collect());
        };
        accept(&[0]);
        let functions = join_all((0..4).map(|_| env.mint_token())).await;
        // Concurrent first mints of one user would create two workspaces, as they do at Airbyte.
        mint(&functions[0]).await;
        let is_done = Cell::new(false);
        let requests: [Cell<usize>; 4] = Default::default();
        let load = join_all(
            functions
                .iter()
                .zip(&requests)
                .map(async |(function, count)| {
                    while !is_done.get() {
                        mint(function).await;
                        count.set(count.get() + 1);
                    }
                }),
        );
        let rotation = async {
            for number in 1..=ROTATIONS {
                // The new credential is created and stored, and then the old one is revoked.
                accept(&[number - 1, number]);
                env.secret.put(&format(number)).await;
                accept(&[number]);
                env.airbyte.revoke_application_tokens();
                // A second rotation during one request would be too much. Each function completes a request that began
                // after this one.
                let target = requests.each_ref().map(|count| count.get() + 5);
                while requests
                    .iter()
                    .zip(target)
                    .any(|(count, target)| count.get() < target)
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            is_done.set(true);
        };
        tokio::join!(load, rotation);

        let last = env.requests(Route::WidgetToken).pop().unwrap();
        assert_eq!(last.status, Some(200));
    }
}

#[tokio::test]
async fn switches_from_token_to_application() {
    let env = TestEnv::new().await;
    let rotate = || env.airbyte.set_organization_tokens(Vec::new());
    let new_secret = Secret::application_value("dev-client-secret");
    expect_unnoticed_rotation(&env, rotate, &new_secret).await;
}

async fn exchanges_again_when_token_is_rejected(generation: Generation) {
    let env = TestEnv::with_application().await.generation(generation);
    let function = env.mint_token().await;
    mint(&function).await;
    env.airbyte.clear_requests();
    let unauthorized = FaultKind::Respond(CannedResponse::new(401));
    env.inject_times(1, Route::WidgetToken, unauthorized);

    mint(&function).await;
    assert_eq!(
        env.routes(),
        [
            Route::WidgetToken,
            Route::ApplicationToken,
            Route::WidgetToken
        ]
    );
}

#[tokio::test]
async fn reuses_application_token_until_expiry() {
    let env = TestEnv::with_application().await;
    let function = env.mint_token().await;
    for _ in 0..3 {
        mint(&function).await;
    }
    assert_eq!(env.requests(Route::ApplicationToken).len(), 1);
}

/// The simulator returns `expires_in: 900` whatever the token's own expiry, as Airbyte does.
#[tokio::test]
async fn trusts_token_expiry_over_expires_in() {
    let env = env_with_short_application_tokens().await;
    let function = env.mint_token().await;
    mint_until_exchanges(&env, &function, 3).await;

    let mints = env.requests(Route::WidgetToken);
    assert!(
        mints.iter().all(|request| request.status == Some(200)),
        "an expired token was sent: {mints:?}"
    );
}

async fn rejects_credential_after_one_reread(generation: Generation) {
    for status in [401, 403] {
        let _case = case(status);
        let env = TestEnv::of(generation).await;
        let function = env.mint_token().await;
        env.respond(Route::WidgetToken, CannedResponse::new(status));

        let response = function.invoke(Event::mint()).await;

        response.expect_problem(502, "credential-rejected");
        assert_eq!(env.secrets_manager.reads(), 2);
        assert_eq!(env.routes(), [Route::WidgetToken, Route::WidgetToken]);
    }
}

async fn rejects_application_after_one_reread(generation: Generation) {
    for (name, response) in [
        ("401", CannedResponse::new(401)),
        ("403", CannedResponse::new(403)),
        ("invalid client", ErrorShape::InvalidClient.response()),
    ] {
        let _case = case(name);
        let env = TestEnv::with_application().await.generation(generation);
        let function = env.mint_token().await;
        mint(&function).await;
        env.airbyte.revoke_application_tokens();
        env.respond(Route::ApplicationToken, response);
        env.airbyte.clear_requests();

        let response = function.invoke(Event::mint()).await;

        response.expect_problem(502, "credential-rejected");
        assert_eq!(env.secrets_manager.reads(), 2);
        assert_eq!(env.routes(), [Route::WidgetToken, Route::ApplicationToken]);
    }
}

/// A user whom Airbyte denies a token.
const DENIED_USER: &str = "mallory";

/// The kinds of bodies that a 403 has, and the problem that each results in.
const DENIALS: [(ErrorShape, u16, &str, &str); 3] = [
    (
        ErrorShape::AgentsForbidden,
        403,
        "forbidden",
        "Airbyte does not allow this user to get a token. The operator must check the user's access in Airbyte.",
    ),
    (
        ErrorShape::ProblemForbidden,
        403,
        "forbidden",
        "Airbyte does not allow this user to get a token. The operator must check the user's access in Airbyte.",
    ),
    (
        ErrorShape::HtmlForbidden,
        502,
        "upstream-error",
        "Airbyte returned status 403. The operator must check the configuration against the Airbyte account.",
    ),
];

fn deny_user(env: &TestEnv, shape: ErrorShape) {
    env.airbyte.clear_faults();
    env.airbyte
        .inject(Fault::new(Route::WidgetToken, shape.into()).user(DENIED_USER));
}

fn request_by(user: &str, binary: Binary) -> Event {
    match binary {
        Binary::MintToken => Event::mint_token(user),
        Binary::CreateSource => Event::create_source(user, &e2e::faker_source()),
    }
}

/// Returns whether the function has logged a rejected credential.
fn has_reported_rejection(function: &Function) -> bool {
    let logs = function.logs();
    logs.iter().any(|line| line["CredentialRejected"] == 1)
}

async fn attributes_403_to_request_after_acceptance(generation: Generation) {
    let secrets = [
        TestEnv::ORGANIZATION_TOKEN.to_owned(),
        Secret::application_value("dev-client-secret"),
    ];
    for (secret, binary) in secrets.iter().flat_map(|s| Binary::ALL.map(|b| (s, b))) {
        for (shape, status, problem_type, detail) in DENIALS {
            let _case = case(format!("{secret} {} {shape:?}", binary.name()));
            let env = TestEnv::with_secret(Secret::create(secret).await)
                .await
                .generation(generation);
            let function = env.start(binary).await;
            let accepted = function.invoke(request_by("alice", binary)).await;
            accepted.expect_success(binary.success());
            env.airbyte.clear_requests();
            deny_user(&env, shape);

            for _ in 0..4 {
                let denied = function.invoke(request_by(DENIED_USER, binary)).await;
                let problem = denied.expect_problem(status, problem_type);
                assert_eq!(problem.detail, detail);
            }

            // One call each: nothing was read or exchanged again.
            assert_eq!(env.routes(), [Route::WidgetToken; 4]);
            assert_eq!(env.secrets_manager.reads(), 1);
            assert!(!has_reported_rejection(&function), "{}", function.output());
            let served = function.invoke(request_by("bob", binary)).await;
            served.expect_success(binary.success());
        }
    }
}

#[tokio::test]
async fn keeps_acceptance_when_secret_and_token_are_refreshed() {
    let env = env_with_short_application_tokens().await;
    let config = env.config().with("SECRET_TTL_SECONDS", "1");
    let function = Function::start(Binary::MintToken, &config).await;
    mint(&function).await;
    deny_user(&env, ErrorShape::ProblemForbidden);

    // Only the denied user calls, while the secret is read and the application is exchanged again.
    let started = Instant::now();
    while env.secrets_manager.reads() < 3 || env.requests(Route::ApplicationToken).len() < 3 {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the credential is not refreshed"
        );
        let denied = function.invoke(Event::mint_token(DENIED_USER)).await;
        denied.expect_problem(403, "forbidden");
    }
}

async fn serves_other_users_while_403_precedes_acceptance(generation: Generation) {
    let env = TestEnv::of(generation).await;
    deny_user(&env, ErrorShape::HtmlForbidden);
    let function = env.mint_token().await;

    for _ in 0..4 {
        let denied = function.invoke(Event::mint_token(DENIED_USER)).await;
        denied.expect_problem(502, "credential-rejected");
    }
    // Each read of the secret after init belongs to one retry.
    let retries = env.secrets_manager.reads() - 1;
    assert!((1..4).contains(&retries), "{retries} retries");
    assert_eq!(env.requests(Route::WidgetToken).len(), 4 + retries);

    mint(&function).await;
    let denied = function.invoke(Event::mint_token(DENIED_USER)).await;
    denied.expect_problem(502, "upstream-error");
}

async fn notices_revocation_within_one_request(generation: Generation) {
    let secrets = [
        TestEnv::ORGANIZATION_TOKEN.to_owned(),
        Secret::application_value("dev-client-secret"),
    ];
    for (secret, binary) in secrets.iter().flat_map(|s| Binary::ALL.map(|b| (s, b))) {
        let _case = case(format!("{secret} {}", binary.name()));
        let env = TestEnv::with_secret(Secret::create(secret).await)
            .await
            .generation(generation);
        let function = env.start(binary).await;
        let accepted = function.invoke(request_by("alice", binary)).await;
        accepted.expect_success(binary.success());
        env.airbyte.set_organization_tokens(Vec::new());
        env.airbyte.set_applications(Vec::new());
        env.airbyte.revoke_application_tokens();

        let response = function.invoke(request_by("bob", binary)).await;

        response.expect_problem(502, "credential-rejected");
        assert_eq!(env.secrets_manager.reads(), 2);
        assert!(has_reported_rejection(&function), "{}", function.output());
    }
}

/// Injects a delay into the next mint that is longer than the lifetime of its token.
fn delay_mint(env: &TestEnv) {
    let delay = FaultKind::Delay(Duration::from_millis(2100));
    env.airbyte
        .inject(Fault::new(Route::WidgetToken, delay).times(1));
}

async fn replaces_token_that_expires_during_call(generation: Generation) {
    let env = env_with_short_application_tokens()
        .await
        .generation(generation);
    let function = env.mint_token().await;
    mint(&function).await;
    env.airbyte.clear_requests();
    delay_mint(&env);

    mint(&function).await;

    let mint_statuses: Vec<_> = env
        .requests(Route::WidgetToken)
        .iter()
        .map(|request| request.status.unwrap())
        .collect();
    assert_eq!(mint_statuses, [401, 200]);
    assert_eq!(env.secrets_manager.reads(), 1);
    assert!(!has_reported_rejection(&function), "{}", function.output());
}

/// The exchange is forbidden, for example by a firewall, which says as little about the credential as the expired token.
async fn keeps_acceptance_when_token_expires_during_call(generation: Generation) {
    let env = env_with_short_application_tokens()
        .await
        .generation(generation);
    let function = env.mint_token().await;
    mint(&function).await;
    env.respond(
        Route::ApplicationToken,
        ErrorShape::HtmlForbidden.response(),
    );
    delay_mint(&env);

    let response = function.invoke(Event::mint()).await;

    response.expect_problem(502, "upstream-error");
    assert_eq!(env.secrets_manager.reads(), 1);
    assert!(!has_reported_rejection(&function), "{}", function.output());
    env.airbyte.clear_faults();
    mint(&function).await;
}

async fn uses_cached_token_while_exchange_is_forbidden(generation: Generation) {
    let env = env_with_short_application_tokens()
        .await
        .generation(generation);
    let function = env.mint_token().await;
    mint(&function).await;
    env.respond(
        Route::ApplicationToken,
        ErrorShape::HtmlForbidden.response(),
    );

    // Until the cached token expires, the failed exchange is only logged.
    let started = Instant::now();
    let response = loop {
        let response = function.invoke(Event::mint()).await;
        if response.status != 200 {
            break response;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the application is not exchanged again"
        );
    };
    response.expect_problem(502, "upstream-error");
    let logs = function.logs();
    let message = "failed to refresh the application token; using the cached token";
    assert!(logs.iter().any(|line| line["message"] == message));
    assert_eq!(env.secrets_manager.reads(), 1);

    env.airbyte.clear_faults();
    mint(&function).await;
}

/// The secret is rotated in Secrets Manager, but the old application's token is still valid.
async fn uses_old_token_while_exchange_of_new_application_fails(generation: Generation) {
    let env = TestEnv::with_application().await.generation(generation);
    let config = env.config().with("SECRET_TTL_SECONDS", "1");
    let function = Function::start(Binary::MintToken, &config).await;
    mint(&function).await;
    env.airbyte
        .set_applications(vec![application("new-secret")]);
    env.respond(Route::ApplicationToken, CannedResponse::new(503));
    let new_secret = Secret::application_value("new-secret");
    env.secret.put(&new_secret).await;

    mint_until_exchanges(&env, &function, 2).await;
    mint(&function).await;

    env.airbyte.revoke_application_tokens();
    let response = function.invoke(Event::mint()).await;
    response.expect_problem(502, "upstream-error");
    env.airbyte.clear_faults();
    mint(&function).await;
    let last = env.requests(Route::ApplicationToken).pop().unwrap();
    assert_eq!(last.status, Some(200));
}

/// One denied user calls five times as often as each of 20 others, who must not notice. `make load` has the long form.
async fn denied_user_harms_no_other_user(generation: Generation) {
    const ROUNDS: usize = 10;
    let env = TestEnv::with_application().await.generation(generation);
    let functions = join_all((0..4).map(|_| env.mint_token())).await;
    for function in &functions {
        mint(function).await;
    }
    let reads = env.secrets_manager.reads();
    env.airbyte.clear_requests();
    deny_user(&env, ErrorShape::ProblemForbidden);

    join_all(functions.iter().enumerate().map(async |(index, function)| {
        for _ in 0..ROUNDS {
            for number in (index..20).step_by(functions.len()) {
                let denied = function.invoke(Event::mint_token(DENIED_USER)).await;
                denied.expect_problem(403, "forbidden");
                let user = format!("user-{number}");
                let response = function.invoke(Event::mint_token(&user)).await;
                response.expect_success(200);
            }
        }
    }))
    .await;

    let is_mint = |exchange: &Exchange| Route::WidgetToken.covers("POST", &exchange.path);
    assert!(env.airbyte.requests().iter().all(is_mint));
    assert_eq!(env.airbyte.requests().len(), 2 * 20 * ROUNDS);
    assert_eq!(env.secrets_manager.reads(), reads);
    for function in &functions {
        assert!(!has_reported_rejection(function), "{}", function.output());
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
        let response = function.invoke(Event::mint()).await;
        response.expect_problem(502, "credential-rejected");
    }
    let (reads, calls) = (env.secrets_manager.reads(), env.routes().len());
    assert!(reads <= REQUESTS / 2, "{reads} reads");
    assert!(calls <= REQUESTS, "{calls} calls");

    env.secret.put("new-token").await;
    let started = Instant::now();
    loop {
        let response = function.invoke(Event::mint()).await;
        if response.status == 200 {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the new value is not read: {response:?}"
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
        "'dev-organization-token'",
        "{dev-organization-token}",
    ];
    for value in unusable {
        let _case = case(value);
        let env = TestEnv::with_secret(Secret::create(value).await).await;
        for binary in Binary::ALL {
            let function = env.start(binary).await;
            let response = function.invoke(Event::valid(binary)).await;
            response.expect_problem(503, "credential-unavailable");
        }
        assert!(env.airbyte.requests().is_empty());
    }
    let env = TestEnv::with_secret(Secret::create_binary("3q2+7w==").await).await;
    let response = env.mint_token().await.invoke(Event::mint()).await;
    response.expect_problem(503, "credential-unavailable");
}

#[tokio::test]
async fn finds_secret_created_after_startup() {
    let env = TestEnv::with_secret(Secret::absent()).await;
    let function = env.mint_token().await;
    let response = function.invoke(Event::mint()).await;
    response.expect_problem(503, "credential-unavailable");
    assert!(env.airbyte.requests().is_empty());

    env.secret.create_now(TestEnv::ORGANIZATION_TOKEN).await;
    mint(&function).await;
}

#[tokio::test]
async fn serves_cached_secret_during_outage() {
    let env = TestEnv::new().await;
    let config = env.config().with("SECRET_TTL_SECONDS", "1");
    let function = Function::start(Binary::MintToken, &config).await;
    mint(&function).await;
    assert!(!function.output().contains("WARN"), "{}", function.output());
    let reads = env.secrets_manager.reads();
    env.secrets_manager
        .inject(SecretsManager::error(400, "AccessDeniedException"));

    let started = Instant::now();
    while env.secrets_manager.reads() == reads {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the secret is not read again"
        );
        mint(&function).await;
    }
    mint(&function).await;
    assert!(function.output().contains("WARN"), "{}", function.output());
}
