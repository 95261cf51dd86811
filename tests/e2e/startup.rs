//! Startup: a missing or invalid variable stops it with one line that names the variable; an unavailable upstream does not.

use std::time::{Duration, Instant};

use airbyte_sim::{CannedResponse, FaultKind};
use e2e::tls::BrokenTls;
use e2e::{Binary, Event, Exit, Function, Gate, Generation, SecretsManager, TestEnv, case};
use futures_util::future::join_all;
use serde_json::Value;

/// Invalid values of each variable; `None` removes the variable.
const INVALID: [(&str, &[Option<&str>]); 8] = [
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
    (
        "AIRBYTE_API",
        &[Some("Agents"), Some("both"), Some("embedded,agents")],
    ),
    ("AWS_REGION", &[None, Some("")]),
    (
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        &[Some("localhost:5000"), Some("ftp://127.0.0.1")],
    ),
];

/// Values of the settings that only `AIRBYTE_API=agents` has: a valid one, and invalid ones.
const SETTINGS_OF_AGENTS: [(&str, &str, &[&str]); 6] = [
    (
        "AIRBYTE_SOURCES_BEARER",
        "organization",
        &["Organization", "both"],
    ),
    (
        "AIRBYTE_REGION_ID",
        "645a183f-b12b-4c6e-8ad3-99e165603450",
        &["eu", "645a183f"],
    ),
    ("SOURCE_TEMPLATE_TAGS", "crm,files", &[",", "crm,,files"]),
    ("CONNECTION_TEMPLATE_TAGS", "daily", &[",", "daily,"]),
    ("SOURCE_TEMPLATE_TAGS_MODE", "all", &["some", "ALL"]),
    ("CONNECTION_TEMPLATE_TAGS_MODE", "all", &["some", "ALL"]),
];

/// Checks that a function failed with one JSON line, and returns the line.
fn expect_one_line(exit: &Exit) -> &str {
    assert!(!exit.status.success(), "{exit}");
    assert_eq!(exit.lines().len(), 1, "{exit}");
    let line = exit.lines()[0];
    assert!(
        matches!(serde_json::from_str(line), Ok(Value::Object(_))),
        "{exit}"
    );
    line
}

#[tokio::test]
async fn names_missing_or_invalid_variable_in_one_line() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        for (name, values) in INVALID {
            for value in values {
                let _case = case(format_args!("{name}={value:?}"));
                let mut config = match value {
                    Some(value) => env.config().with(name, value),
                    None => env.config().without(name),
                };
                if name == "AWS_REGION" {
                    config = config.without("AWS_DEFAULT_REGION");
                }
                let exit = Function::expect_exit(binary, &config).await;
                assert!(expect_one_line(&exit).contains(name), "{exit}");
            }
        }
    }
    assert_eq!(env.secrets_manager.reads(), 0);
}

#[tokio::test]
async fn names_setting_of_other_airbyte_api() {
    let env = TestEnv::of(Generation::Embedded).await;
    for binary in Binary::ALL {
        for (name, value, _) in SETTINGS_OF_AGENTS {
            let _case = case(name);
            let exit = Function::expect_exit(binary, &env.config().with(name, value)).await;
            let expected =
                format!("{name} is not valid: it must be unset unless AIRBYTE_API is `agents`");
            assert!(expect_one_line(&exit).contains(&expected), "{exit}");
        }
    }
    assert_eq!(env.secrets_manager.reads(), 0);
}

#[tokio::test]
async fn names_invalid_setting_of_agents_api() {
    let env = TestEnv::of(Generation::Agents).await;
    for (name, valid, invalid) in SETTINGS_OF_AGENTS {
        for value in invalid {
            let _case = case(format_args!("{name}={value}"));
            let config = env.config().with(name, value);
            let exit = Function::expect_exit(Binary::CreateSource, &config).await;
            let expected = format!("{name} is not valid: it must be ");
            assert!(expect_one_line(&exit).contains(&expected), "{exit}");
        }
        let _case = case(name);
        Function::start(Binary::CreateSource, &env.config().with(name, valid)).await;
    }
}

#[tokio::test]
async fn reports_all_invalid_variables_in_one_line() {
    let env = TestEnv::new().await;
    let config = env
        .config()
        .without("ALLOWED_ORIGINS")
        .with("AIRBYTE_ORGANIZATION_ID", "x")
        .with("SECRET_TTL_SECONDS", "x");

    let exit = Function::expect_exit(Binary::MintToken, &config).await;

    let line = expect_one_line(&exit);
    for name in [
        "ALLOWED_ORIGINS",
        "AIRBYTE_ORGANIZATION_ID",
        "SECRET_TTL_SECONDS",
    ] {
        assert!(line.contains(name), "{exit}");
    }
}

#[tokio::test]
async fn withholds_value_in_wrong_variable() {
    let canary = "canary-organization-token-in-the-wrong-variable";
    let env = TestEnv::new().await;
    for name in [
        "AIRBYTE_ORGANIZATION_ID",
        "ALLOWED_ORIGINS",
        "AIRBYTE_API_URL",
        "SECRET_TTL_SECONDS",
    ] {
        let _case = case(name);
        let config = env.config().with(name, canary);
        let exit = Function::expect_exit(Binary::MintToken, &config).await;
        assert!(expect_one_line(&exit).contains(name), "{exit}");
        assert!(!exit.to_string().contains(canary), "{exit}");
        assert!(!exit.init_errors.concat().contains(canary), "{exit:?}");
    }
}

#[tokio::test]
async fn starts_without_optional_variables() {
    let env = TestEnv::new().await;
    // Only the start is tested without AIRBYTE_API_URL, because a request would call the real Airbyte.
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
        let _case = case(&url);
        let config = env.config().with("AIRBYTE_API_URL", &url);
        let function = Function::start(Binary::MintToken, &config).await;
        function.invoke(Event::mint()).await.expect_success(200);
    }
}

#[tokio::test]
async fn starts_without_readable_secret() {
    let faults = [
        FaultKind::Hang,
        FaultKind::ResetBeforeResponse,
        SecretsManager::error(400, "AccessDeniedException"),
        SecretsManager::error(503, "ServiceUnavailable"),
        FaultKind::Respond(CannedResponse::new(200).body("not JSON")),
    ];
    let cases = faults
        .iter()
        .flat_map(|fault| Binary::ALL.map(|binary| (fault, binary)));
    join_all(cases.map(async |(fault, binary)| {
        let _case = case(format_args!("{binary:?}, {fault:?}"));
        let env = TestEnv::new().await;
        env.secrets_manager.inject(fault.clone());
        let started = Instant::now();
        let function = env.start(binary).await;
        let elapsed = started.elapsed();
        assert!(
            elapsed < Duration::from_secs(8),
            "{elapsed:?} of Lambda's init phase, which is limited to 10 s"
        );
        function
            .invoke_with_timeout(Event::valid(binary), Duration::from_secs(2))
            .await
            .expect_problem(503, "credential-unavailable");

        env.secrets_manager.clear_faults();
        function
            .invoke(Event::valid(binary))
            .await
            .expect_success(binary.success());
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
    let response = function.invoke(Event::mint()).await;
    response.expect_problem(503, "credential-unavailable");

    gate.open();
    function.invoke(Event::mint()).await.expect_success(200);
}

#[tokio::test]
async fn starts_without_airbyte() {
    let env = TestEnv::new().await;
    let tls = BrokenTls::plain_text().await;
    env.airbyte.refuse_connections().await.unwrap();
    for url in [env.airbyte.url(), tls.url()] {
        let _case = case(&url);
        for binary in Binary::ALL {
            let started = Instant::now();
            Function::start(binary, &env.config().with("AIRBYTE_API_URL", &url)).await;
            assert!(started.elapsed() < Duration::from_secs(5));
        }
    }
}
