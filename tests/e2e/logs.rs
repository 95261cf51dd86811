//! What the functions print: JSON, one object a line, one line for each request that tells what became of it and carries
//! the metrics.

use airbyte_sim::{CannedResponse, Fault, FaultKind, Route};
use e2e::{Binary, Event, Function, SecretsManager, World, faker_source};
use serde_json::{Value, json};

/// The lines of requests, as opposed to warnings.
fn request_lines(function: &Function) -> Vec<Value> {
    let mut lines = function.json_logs();
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
async fn each_request_is_one_line_that_tells_what_became_of_it() {
    let world = World::new().await;
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
        let function = world.start(binary).await;
        let answer = function.invoke(event).await;
        let lines = request_lines(&function);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        for (name, value) in [
            ("requestId", json!(answer.request_id)),
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
async fn the_last_status_and_the_number_of_tries_are_those_of_the_request() {
    let world = World::new().await;
    let function = world.mint_token().await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    world.airbyte_answers(Route::WidgetToken, CannedResponse::new(503));
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .problem(502, "upstream-error");
    world.airbyte.clear_faults();
    world.airbyte.inject(
        Fault::new(
            Route::WidgetToken,
            FaultKind::Respond(CannedResponse::new(503)),
        )
        .times(1),
    );
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    let _ = function
        .invoke(Event::mint_token("alice").no_authorizer())
        .await
        .problem(401, "unauthenticated");

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
async fn a_problem_is_told_by_its_type_and_as_an_error_where_the_owner_must_act() {
    let world = World::new().await;
    let function = world.mint_token().await;
    let _ = function
        .invoke(Event::mint_token("alice").body("x"))
        .await
        .problem(400, "invalid-request");
    world.airbyte_answers(Route::WidgetToken, CannedResponse::new(401));
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .problem(502, "credential-rejected");

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
async fn the_user_appears_as_a_short_hash_that_is_the_same_in_both_functions() {
    let world = World::new().await;
    let mut hashes = Vec::new();
    for (binary, user) in [
        (Binary::MintToken, "alice@example.com"),
        (Binary::CreateSource, "alice@example.com"),
        (Binary::MintToken, "bob@example.com"),
    ] {
        let function = world.start(binary).await;
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
async fn metrics_are_embedded_in_the_line_and_the_alarmed_ones_are_sent() {
    let world = World::new().await;
    let function = world.mint_token().await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .success(200);
    world.airbyte_answers(Route::WidgetToken, CannedResponse::new(401));
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .problem(502, "credential-rejected");
    let _ = function
        .invoke(Event::mint_token("alice").body("x"))
        .await
        .problem(400, "invalid-request");

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
async fn a_secret_that_cannot_be_read_is_counted_and_warned_of() {
    let world = World::new().await;
    world
        .secrets_manager
        .inject(SecretsManager::refusal(400, "AccessDeniedException"));
    let function = world.mint_token().await;
    let _ = function
        .invoke(Event::mint_token("alice"))
        .await
        .problem(503, "credential-unavailable");

    let line = &request_lines(&function)[0];
    assert_eq!(metric(line, "CredentialUnavailable"), Some(1.0));
    let warnings: Vec<_> = function
        .json_logs()
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
async fn requests_are_told_at_every_level_and_nothing_else_below_it() {
    let world = World::new().await;
    world
        .secrets_manager
        .inject_times(1, SecretsManager::refusal(400, "AccessDeniedException"));
    for (name, value) in [
        ("RUST_LOG", "error"),
        ("AWS_LAMBDA_LOG_LEVEL", "ERROR"),
        ("AWS_LAMBDA_LOG_LEVEL", "FATAL"),
    ] {
        let function =
            Function::start(Binary::MintToken, &world.environment().with(name, value)).await;
        let _ = function
            .invoke(Event::mint_token("alice"))
            .await
            .success(200);
        assert_eq!(function.json_logs().len(), 1, "{}", function.output());
    }
}

#[tokio::test]
async fn a_level_that_is_none_stops_the_start() {
    let world = World::new().await;
    for name in ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"] {
        let environment = world.environment().with(name, "loud");
        let Err(exit) = Function::try_start(Binary::MintToken, &environment).await else {
            panic!("it starts with {name}=loud");
        };
        assert!(!exit.status.success(), "{exit}");
        assert_eq!(exit.lines().len(), 1, "{exit}");
        assert!(exit.lines()[0].contains(name), "{exit}");
    }
}
