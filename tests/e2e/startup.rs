//! Configuration: what is refused at start-up, in one line that names the variable.

use std::time::{Duration, Instant};

use airbyte_sim::{CannedResponse, FaultKind};
use e2e::tls::BrokenTls;
use e2e::{Binary, Event, Function, Gate, SecretsManager, TestEnv};
use futures_util::future::join_all;

/// Variables and values with which no function starts; `None` takes the variable away.
const UNUSABLE: [(&str, &[Option<&str>]); 7] = [
    (
        "ORGANIZATION_TOKEN_SECRET_ARN",
        &[None, Some(""), Some(" ")],
    ),
    (
        "AIRBYTE_ORGANIZATION_ID",
        &[
            None,
            Some(""),
            Some("my-organization"),
            Some("0a1b2c3d-4e5f-4a6b-8c7d"),
            Some("0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4g"),
        ],
    ),
    (
        "ALLOWED_ORIGINS",
        &[
            None,
            Some(""),
            Some(","),
            Some("*"),
            Some("null"),
            Some("app.example.com"),
            Some("https://app.example.com/"),
            Some("https://app.example.com/path"),
            Some("https://*.example.com"),
            Some("https://app.example.com,"),
            Some("https://app.example.com;https://admin.example.com"),
            Some("https://app.example.com,*"),
            Some("https://user@app.example.com"),
            Some("ftp://app.example.com"),
        ],
    ),
    (
        "AIRBYTE_API_URL",
        &[
            Some("api.airbyte.ai"),
            Some("http://api.airbyte.ai"),
            Some("http://127.0.0.1.example.com"),
            Some("http://localhost.example.com"),
            Some("http://10.0.0.1"),
            Some("ftp://127.0.0.1"),
            Some("https://"),
            Some("https://user:password@api.airbyte.ai"),
            Some("https://api.airbyte.ai?x=1"),
            Some("https://api.airbyte.ai#x"),
        ],
    ),
    (
        "SECRET_TTL_SECONDS",
        &[
            Some("soon"),
            Some("-1"),
            Some("0"),
            Some("1.5"),
            Some("300s"),
            Some("18446744073709551616"),
        ],
    ),
    ("AWS_REGION", &[None, Some("")]),
    (
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        &[Some("localhost:5000"), Some("ftp://127.0.0.1")],
    ),
];

#[tokio::test]
async fn names_missing_or_invalid_variable_in_one_line() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        for (name, values) in UNUSABLE {
            for value in values {
                let config = match value {
                    Some(value) => env.config().with(name, value),
                    None => env.config().without(name),
                };
                // Only AWS_REGION can be said in another way.
                let config = if name == "AWS_REGION" {
                    config.without("AWS_DEFAULT_REGION")
                } else {
                    config
                };
                let Err(exit) = Function::try_start(binary, &config).await else {
                    panic!("{} starts with {name}={value:?}", binary.name());
                };
                assert!(!exit.status.success(), "{name}={value:?}: {exit}");
                let lines = exit.lines();
                assert_eq!(lines.len(), 1, "{name}={value:?}: {exit}");
                assert!(lines[0].contains(name), "{name}={value:?}: {exit}");
                let line: serde_json::Value = serde_json::from_str(lines[0])
                    .unwrap_or_else(|_| panic!("not JSON, {name}={value:?}: {exit}"));
                assert!(line.is_object(), "{exit}");
            }
        }
    }
    assert_eq!(
        env.secrets_manager.reads(),
        0,
        "the secret is not read for nothing"
    );
}

#[tokio::test]
async fn reports_all_invalid_variables_in_one_line() {
    let env = TestEnv::new().await;
    let config = env
        .config()
        .without("ALLOWED_ORIGINS")
        .with("AIRBYTE_ORGANIZATION_ID", "x")
        .with("SECRET_TTL_SECONDS", "x");
    let Err(exit) = Function::try_start(Binary::MintToken, &config).await else {
        panic!("it starts");
    };
    let lines = exit.lines();
    assert_eq!(lines.len(), 1, "{exit}");
    for name in [
        "ALLOWED_ORIGINS",
        "AIRBYTE_ORGANIZATION_ID",
        "SECRET_TTL_SECONDS",
    ] {
        assert!(lines[0].contains(name), "{exit}");
    }
}

#[tokio::test]
async fn withholds_value_in_wrong_variable() {
    let canary = "canary-organization-token-in-the-wrong-place";
    let env = TestEnv::new().await;
    for name in [
        "AIRBYTE_ORGANIZATION_ID",
        "ALLOWED_ORIGINS",
        "AIRBYTE_API_URL",
        "SECRET_TTL_SECONDS",
    ] {
        let config = env.config().with(name, canary);
        let Err(exit) = Function::try_start(Binary::MintToken, &config).await else {
            panic!("it starts with {name}={canary}");
        };
        assert!(exit.to_string().contains(name), "{exit}");
        assert!(!exit.to_string().contains(canary), "{exit}");
        assert!(!exit.init_errors.concat().contains(canary), "{exit:?}");
    }
}

#[tokio::test]
async fn starts_without_optional_variables() {
    let env = TestEnv::new().await;
    // Without AIRBYTE_API_URL the functions would call the real Airbyte, so that one is only left out of the start.
    for binary in Binary::ALL {
        Function::start(binary, &env.config().without("AIRBYTE_API_URL")).await;
    }
}

#[tokio::test]
async fn accepts_plain_http_to_loopback() {
    let env = TestEnv::new().await;
    let port = env.airbyte.url().rsplit(':').next().unwrap().to_owned();
    for url in [
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}/"),
    ] {
        let function = Function::start(
            Binary::MintToken,
            &env.config().with("AIRBYTE_API_URL", &url),
        )
        .await;
        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
    }
}

#[tokio::test]
async fn starts_without_readable_secret() {
    let faults = [
        FaultKind::Hang,
        FaultKind::ResetBeforeResponse,
        SecretsManager::error(400, "AccessDeniedException"),
        SecretsManager::error(503, "ServiceUnavailable"),
        FaultKind::Respond(CannedResponse::new(200).body("not what it should be")),
    ];
    let cases = faults
        .iter()
        .flat_map(|fault| Binary::ALL.map(|binary| (fault, binary)));
    join_all(cases.map(async |(fault, binary)| {
        let env = TestEnv::new().await;
        env.secrets_manager.inject(fault.clone());
        let started = Instant::now();
        let function = env.start(binary).await;
        let took = started.elapsed();
        assert!(
            took < Duration::from_secs(8),
            "Lambda's init phase ends at 10 s: {fault:?} took {took:?}"
        );
        let event = match binary {
            Binary::MintToken => Event::mint_token("alice"),
            Binary::CreateSource => Event::create_source("alice", &e2e::faker_source()),
        };
        let response = function
            .invoke_with_timeout(event.clone(), Duration::from_secs(2))
            .await;
        response.expect_problem(503, "credential-unavailable");

        env.secrets_manager.clear_faults();
        let response = function.invoke(event).await;
        assert!(response.status < 300, "{fault:?}: {response:?}");
    }))
    .await;
}

#[tokio::test]
async fn starts_without_secrets_manager() {
    let env = TestEnv::new().await;
    let gate = Gate::closed(&env.secrets_manager.url());
    let config = env
        .config()
        .with("AWS_ENDPOINT_URL_SECRETS_MANAGER", &gate.url());
    let function = Function::start(Binary::MintToken, &config).await;
    let response = function.invoke(Event::mint_token("alice")).await;
    response.expect_problem(503, "credential-unavailable");

    gate.open();
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
}

#[tokio::test]
async fn starts_without_airbyte() {
    let env = TestEnv::new().await;
    let tls = BrokenTls::plain_text().await;
    env.airbyte.refuse_connections().await.unwrap();
    for url in [env.airbyte.url(), tls.url()] {
        for binary in Binary::ALL {
            let started = Instant::now();
            Function::start(binary, &env.config().with("AIRBYTE_API_URL", &url)).await;
            assert!(started.elapsed() < Duration::from_secs(5), "{url}");
        }
    }
}
