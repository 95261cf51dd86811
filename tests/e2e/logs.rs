//! What the functions print: JSON, one object a line, one line for each request that tells what became of it and carries
//! the metrics.

use airbyte_sim::{CannedResponse, FaultKind, Route};
use e2e::{Binary, Event, Function, SecretsManager, TestEnv, faker_source};
use serde_json::{Value, json};

/// The lines of requests, as opposed to warnings.
fn request_lines(function: &Function) -> Vec<Value> {
    let mut lines = function.logs();
    lines.retain(|line| line.get("outcome").is_some());
    lines
}

/// The metrics that a line declares, with their values; each is checked against CloudWatch's embedded metric format.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn metrics(line: &Value) -> Vec<(String, f64)> {
    let metadata = &line["_aws"];
    assert!(
        metadata["Timestamp"]
            .as_i64()
            .is_some_and(|millis| millis > 1_700_000_000_000),
        "{line}"
    );
    let mut metrics = Vec::new();
    for directive in metadata["CloudWatchMetrics"]
        .as_array()
        .expect("directives")
    {
        assert_eq!(directive["Namespace"], "AirbyteEmbedded", "{line}");
        for dimensions in directive["Dimensions"]
            .as_array()
            .expect("sets of dimensions")
        {
            for dimension in dimensions.as_array().expect("a set of dimensions") {
                assert!(
                    line[dimension.as_str().unwrap()].is_string(),
                    "{dimension} has no value: {line}"
                );
            }
        }
        for metric in directive["Metrics"].as_array().expect("metrics") {
            let name = metric["Name"].as_str().unwrap();
            let value = line[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name} has no value: {line}"));
            assert!(
                ["Count", "Milliseconds"].contains(&metric["Unit"].as_str().unwrap()),
                "{line}"
            );
            metrics.push((name.to_owned(), value));
        }
    }
    metrics
}

fn metric(line: &Value, name: &str) -> Option<f64> {
    metrics(line)
        .into_iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

#[tokio::test]
async fn logs_one_line_per_request() {
    let env = TestEnv::new().await;
    for (binary, event, route, outcome, status, attempts) in [
        (
            Binary::MintToken,
            Event::mint_token("alice"),
            "POST /token",
            "token-minted",
            200,
            1,
        ),
        (
            Binary::CreateSource,
            Event::create_source("alice", &faker_source()),
            "POST /sources",
            "source-created",
            201,
            2,
        ),
    ] {
        let function = env.start(binary).await;
        let response = function.invoke(event).await;
        let lines = request_lines(&function);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        for (name, value) in [
            ("requestId", json!(response.request_id)),
            ("traceId", json!(Function::trace_id())),
            ("route", json!(route)),
            ("outcome", json!(outcome)),
            ("status", json!(status)),
            ("upstreamStatus", json!(status)),
            ("attempts", json!(attempts)),
            ("coldStart", json!(true)),
            ("level", json!("INFO")),
        ] {
            assert_eq!(line[name], value, "{name}: {line}");
        }
        let upstream = line["upstreamMs"].as_f64().unwrap();
        assert!(
            upstream > 0.0 && upstream <= line["durationMs"].as_f64().unwrap(),
            "{line}"
        );
        assert!(
            line["timestamp"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z')),
            "{line}"
        );
    }
}

#[tokio::test]
async fn logs_upstream_status_and_attempts() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    env.respond(Route::WidgetToken, CannedResponse::new(503));
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_problem(502, "upstream-error");
    env.inject_times(
        1,
        Route::WidgetToken,
        FaultKind::Respond(CannedResponse::new(503)),
    );
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    function
        .invoke(Event::mint_token("alice").no_authorizer())
        .await
        .expect_problem(401, "unauthenticated");

    let told: Vec<_> = request_lines(&function)
        .iter()
        .map(|line| {
            json!([
                line["outcome"],
                line["status"],
                line["upstreamStatus"],
                line["attempts"],
                line["coldStart"]
            ])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!(["token-minted", 200, 200, 1, true]),
            json!(["upstream-error", 502, 503, 3, false]),
            json!(["token-minted", 200, 200, 2, false]),
            json!(["unauthenticated", 401, null, 0, false]),
        ]
    );
}

#[tokio::test]
async fn logs_problem_type_with_level() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    function
        .invoke(Event::mint_token("alice").body("x"))
        .await
        .expect_problem(400, "invalid-request");
    env.respond(Route::WidgetToken, CannedResponse::new(401));
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_problem(502, "credential-rejected");

    let lines = request_lines(&function);
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["level"]),
        (&json!("invalid-request"), &json!("INFO"))
    );
    assert_eq!(
        (&lines[1]["outcome"], &lines[1]["level"]),
        (&json!("credential-rejected"), &json!("ERROR"))
    );
}

#[tokio::test]
async fn logs_user_as_same_hash_in_both_functions() {
    let env = TestEnv::new().await;
    let mut hashes = Vec::new();
    for (binary, user) in [
        (Binary::MintToken, "alice@example.com"),
        (Binary::CreateSource, "alice@example.com"),
        (Binary::MintToken, "bob@example.com"),
    ] {
        let function = env.start(binary).await;
        let event = match binary {
            Binary::MintToken => Event::mint_token(user),
            Binary::CreateSource => Event::create_source(user, &faker_source()),
        };
        assert!(function.invoke(event).await.status < 300);
        assert!(!function.output().contains(user), "{}", function.output());
        hashes.push(
            request_lines(&function)[0]["user"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
    assert!(
        hashes.iter().all(|hash| (4..=16).contains(&hash.len())),
        "{hashes:?}"
    );
}

#[tokio::test]
async fn embeds_metrics_in_request_line() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_success(200);
    env.respond(Route::WidgetToken, CannedResponse::new(401));
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_problem(502, "credential-rejected");
    function
        .invoke(Event::mint_token("alice").body("x"))
        .await
        .expect_problem(400, "invalid-request");

    let lines = request_lines(&function);
    for line in &lines {
        assert_eq!(metric(line, "Requests"), Some(1.0), "{line}");
        assert_eq!(line["Function"], "mint-token", "{line}");
    }
    assert_eq!(metric(&lines[0], "TokensMinted"), Some(1.0));
    assert_eq!(metric(&lines[0], "CredentialRejected"), None);
    assert_eq!(metric(&lines[1], "CredentialRejected"), Some(1.0));
    assert_eq!(metric(&lines[1], "ServerErrors"), Some(1.0));
    assert_eq!(metric(&lines[2], "ClientErrors"), Some(1.0));
}

#[tokio::test]
async fn counts_and_warns_of_unreadable_secret() {
    let env = TestEnv::new().await;
    env.secrets_manager
        .inject(SecretsManager::error(400, "AccessDeniedException"));
    let function = env.mint_token().await;
    function
        .invoke(Event::mint_token("alice"))
        .await
        .expect_problem(503, "credential-unavailable");

    let line = &request_lines(&function)[0];
    assert_eq!(metric(line, "CredentialUnavailable"), Some(1.0));
    let warnings: Vec<_> = function
        .logs()
        .into_iter()
        .filter(|line| line["level"] == "WARN")
        .collect();
    assert!(!warnings.is_empty());
    assert!(
        warnings
            .iter()
            .all(|line| line.to_string().contains("AccessDeniedException")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn logs_requests_at_every_level() {
    let env = TestEnv::new().await;
    env.secrets_manager
        .inject_times(1, SecretsManager::error(400, "AccessDeniedException"));
    for (name, value) in [
        ("RUST_LOG", "error"),
        ("AWS_LAMBDA_LOG_LEVEL", "ERROR"),
        ("AWS_LAMBDA_LOG_LEVEL", "FATAL"),
    ] {
        let function = Function::start(Binary::MintToken, &env.config().with(name, value)).await;
        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
        assert_eq!(function.logs().len(), 1, "{}", function.output());
    }
}

#[tokio::test]
async fn rejects_invalid_log_level() {
    let env = TestEnv::new().await;
    for name in ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"] {
        let config = env.config().with(name, "loud");
        let Err(exit) = Function::try_start(Binary::MintToken, &config).await else {
            panic!("it starts with {name}=loud");
        };
        assert!(!exit.status.success(), "{exit}");
        assert_eq!(exit.lines().len(), 1, "{exit}");
        assert!(exit.lines()[0].contains(name), "{exit}");
    }
}
