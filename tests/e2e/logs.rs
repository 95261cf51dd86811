//! The functions' output: one JSON object per line, and one line per request with its outcome and metrics.

use airbyte_sim::{CannedResponse, FaultKind, Route};
use e2e::{
    Binary, Event, Function, Generation, Secret, SecretsManager, TestEnv, case, faker_source, token,
};
use serde_json::{Value, json};
use uuid::Uuid;

e2e::test_each_generation!(
    logs_one_line_per_request,
    logs_upstream_status_and_attempts,
    logs_problem_type_with_level,
    logs_user_as_same_hash_in_both_functions,
    logs_workspace_of_supplied_token,
    embeds_metrics_in_request_line,
    logs_setting_to_check_if_endpoint_is_missing,
);

/// Returns the lines of requests, without warnings.
fn request_lines(function: &Function) -> Vec<Value> {
    let mut lines = function.logs();
    lines.retain(|line| line.get("outcome").is_some());
    lines
}

/// Returns the metrics of a line with their values, and checks them against CloudWatch's embedded metric format.
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

async fn logs_one_line_per_request(generation: Generation) {
    let env = TestEnv::of(generation).await;
    for (binary, route, outcome, upstream_status, attempts) in [
        (Binary::MintToken, "POST /token", "token-minted", 200, 1),
        (
            Binary::CreateSource,
            "POST /sources",
            "source-created",
            generation.create_status(),
            2,
        ),
    ] {
        let function = env.start(binary).await;

        let response = function.invoke(Event::valid(binary)).await;

        let lines = request_lines(&function);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        for (name, value) in [
            ("requestId", json!(response.request_id)),
            ("traceId", json!(Function::trace_id())),
            ("route", json!(route)),
            ("outcome", json!(outcome)),
            ("status", json!(binary.success())),
            ("upstreamStatus", json!(upstream_status)),
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
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(timestamp.ends_with('Z'), "{line}");
    }
}

async fn logs_upstream_status_and_attempts(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    function.invoke(Event::mint()).await.expect_success(200);
    env.respond(Route::WidgetToken, CannedResponse::new(503));
    let response = function.invoke(Event::mint()).await;
    response.expect_problem(502, "upstream-error");
    let unavailable = FaultKind::Respond(CannedResponse::new(503));
    env.inject_times(1, Route::WidgetToken, unavailable);
    function.invoke(Event::mint()).await.expect_success(200);
    let response = function.invoke(Event::mint().no_authorizer()).await;
    response.expect_problem(401, "unauthenticated");

    let logged: Vec<_> = request_lines(&function)
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
        logged,
        [
            json!(["token-minted", 200, 200, 1, true]),
            json!(["upstream-error", 502, 503, 3, false]),
            json!(["token-minted", 200, 200, 2, false]),
            json!(["unauthenticated", 401, null, 0, false]),
        ]
    );
}

/// Invokes `mint-token` with an invalid body, and then while Airbyte rejects the credential.
async fn fail_twice(env: &TestEnv, function: &Function) {
    let response = function.invoke(Event::mint().body("x")).await;
    response.expect_problem(400, "invalid-request");
    env.respond(Route::WidgetToken, CannedResponse::new(401));
    let response = function.invoke(Event::mint()).await;
    response.expect_problem(502, "credential-rejected");
}

async fn logs_problem_type_with_level(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    fail_twice(&env, &function).await;

    let logged: Vec<_> = request_lines(&function)
        .iter()
        .map(|line| json!([line["outcome"], line["level"]]))
        .collect();
    assert_eq!(
        logged,
        [
            json!(["invalid-request", "INFO"]),
            json!(["credential-rejected", "ERROR"])
        ]
    );
}

async fn logs_user_as_same_hash_in_both_functions(generation: Generation) {
    let (alice, bob) = ("alice@example.com", "bob@example.com");
    let env = TestEnv::of(generation).await;
    let mut hashes = Vec::new();
    for (binary, event, user) in [
        (Binary::MintToken, Event::mint_token(alice), alice),
        (
            Binary::CreateSource,
            Event::create_source(alice, &faker_source()),
            alice,
        ),
        (Binary::MintToken, Event::mint_token(bob), bob),
    ] {
        let function = env.start(binary).await;
        function
            .invoke(event)
            .await
            .expect_success(binary.success());
        assert!(!function.output().contains(user), "{}", function.output());
        let line = request_lines(&function).remove(0);
        hashes.push(line["user"].as_str().unwrap().to_owned());
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
    assert!(
        hashes.iter().all(|hash| (4..=16).contains(&hash.len())),
        "{hashes:?}"
    );
}

async fn logs_workspace_of_supplied_token(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let mint_token = env.mint_token().await;
    let response = mint_token.invoke(Event::mint_token("alice")).await;
    let minted = response.expect_success(200);
    let function = env.create_source().await;
    let create = || Event::create_source("bob", &faker_source());

    let supplied = create().field("token", minted["token"].clone());
    let response = function.invoke(supplied).await;
    match generation {
        Generation::Embedded => {
            response.expect_success(201);
        }
        // The create names the user, which Airbyte compares with the token's.
        Generation::Agents => {
            response.expect_problem(403, "forbidden");
        }
    }
    function.invoke(create()).await.expect_success(201);

    let lines = request_lines(&function);
    assert_eq!(lines[0]["suppliedTokenWorkspace"], minted["workspaceId"]);
    assert_eq!(lines[0]["user"], lines[1]["user"]);
    assert!(lines[1].get("suppliedTokenWorkspace").is_none());
}

async fn embeds_metrics_in_request_line(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    function.invoke(Event::mint()).await.expect_success(200);
    fail_twice(&env, &function).await;

    let lines = request_lines(&function);
    for line in &lines {
        assert_eq!(metric(line, "Requests"), Some(1.0), "{line}");
        assert_eq!(line["Function"], "mint-token", "{line}");
    }
    assert_eq!(metric(&lines[0], "TokensMinted"), Some(1.0));
    assert_eq!(metric(&lines[0], "CredentialRejected"), None);
    assert_eq!(metric(&lines[1], "ClientErrors"), Some(1.0));
    assert_eq!(metric(&lines[2], "CredentialRejected"), Some(1.0));
    assert_eq!(metric(&lines[2], "ServerErrors"), Some(1.0));
}

#[tokio::test]
async fn counts_and_warns_of_unreadable_secret() {
    let env = TestEnv::new().await;
    env.secrets_manager
        .inject(SecretsManager::error(400, "AccessDeniedException"));
    let function = env.mint_token().await;
    let response = function.invoke(Event::mint()).await;
    response.expect_problem(503, "credential-unavailable");

    let line = &request_lines(&function)[0];
    assert_eq!(metric(line, "CredentialUnavailable"), Some(1.0));
    let mut warnings = function.logs();
    warnings.retain(|line| line["level"] == "WARN");
    assert!(!warnings.is_empty());
    for warning in warnings {
        let warning = warning.to_string();
        assert!(warning.contains("AccessDeniedException"), "{warning}");
    }
}

#[tokio::test]
async fn logs_why_secret_cannot_be_used() {
    let error = |code: &str, message: &str| {
        let body = json!({ "__type": code, "Message": message }).to_string();
        let response = CannedResponse::new(400)
            .header("content-type", "application/x-amz-json-1.1")
            .body(body);
        FaultKind::Respond(response)
    };
    for (name, fault, secret, expected) in [
        (
            "no such secret",
            None,
            Secret::absent(),
            "Secrets Manager returned ResourceNotFoundException: no such secret in this account and region; check the \
             ARN, its region, and that the secret exists",
        ),
        (
            "no value",
            None,
            Secret::create_empty().await,
            "Secrets Manager returned ResourceNotFoundException: the secret has no current value; put a value into the \
             secret",
        ),
        (
            "KMS",
            Some(error(
                "AccessDeniedException",
                "Access to KMS is not allowed",
            )),
            Secret::absent(),
            "Secrets Manager returned AccessDeniedException: not allowed to use the secret's KMS key; check \
             SecretKmsKeyArn and the key's policy",
        ),
        (
            "other account",
            Some(error(
                "InvalidRequestException",
                "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS \
                 service key.",
            )),
            Secret::absent(),
            "Secrets Manager returned InvalidRequestException: the secret is in another account, and encrypted with that \
             account's AWS managed key; encrypt the secret with a customer managed key, and set SecretKmsKeyArn",
        ),
        (
            "quotes",
            None,
            Secret::create("'dev-organization-token'").await,
            "the secret's value is malformed: it is enclosed in quotes; store it without them",
        ),
    ] {
        let _case = case(name);
        let env = TestEnv::with_secret(secret).await;
        if let Some(fault) = fault {
            env.secrets_manager.inject(fault);
        }
        let function = env.mint_token().await;
        let response = function.invoke(Event::mint()).await;
        response.expect_problem(503, "credential-unavailable");

        let logs = function.logs();
        let warning = logs.iter().find(|line| line["level"] == "WARN").unwrap();
        assert_eq!(warning["message"], "failed to read the secret");
        assert_eq!(warning["still_usable"], false);
        assert_eq!(warning["reason"], expected);
    }
}

/// Returns the paths of the calls for which the log names the settings to check.
fn missing_endpoints(function: &Function) -> Vec<Value> {
    let mut lines = function.logs();
    lines.retain(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message == "no such endpoint at Airbyte: check AIRBYTE_API and AIRBYTE_API_URL"
    });
    lines
        .iter()
        .map(|line| json!([line["level"], line["path"], line["status"]]))
        .collect()
}

async fn logs_setting_to_check_if_endpoint_is_missing(generation: Generation) {
    use airbyte_sim::Generation as Served;
    let env = TestEnv::of(generation).await;
    let names = env.names();
    let token = token::mint(&env.airbyte, "alice").await;
    let create = Event::create().field("token", token);
    let switch_off = || {
        env.airbyte.set_generations(match generation {
            Generation::Embedded => &[Served::Agents],
            Generation::Agents => &[Served::Embedded],
        });
    };
    let redirect = |status| {
        let path = names.create_path;
        let response = CannedResponse::new(status).header("location", format!("{path}/"));
        env.respond(Route::Any, response);
    };
    for (binary, event, path) in [
        (Binary::MintToken, Event::mint(), names.mint_path),
        (Binary::CreateSource, create, names.create_path),
    ] {
        for status in [307, 308, 404] {
            let _case = case(format_args!("{} {status}", binary.name()));
            let function = env.start(binary).await;
            match status {
                404 => switch_off(),
                _ => redirect(status),
            }

            let response = function.invoke(&event).await;

            env.airbyte.clear_faults();
            env.airbyte.set_generations(&Served::ALL);
            assert!([502, 422].contains(&response.status), "{response:?}");
            assert_eq!(
                missing_endpoints(&function),
                [json!(["WARN", path, status])],
                "{}",
                function.output()
            );
        }
    }

    // Another 404 is about the request.
    let function = env.create_source().await;
    let unknown = Event::create().field("source_config_template_id", Uuid::new_v4().to_string());
    let response = function.invoke(unknown).await;
    response.expect_problem(422, "source-rejected");
    assert!(missing_endpoints(&function).is_empty());
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
        let _case = case(format_args!("{name}={value}"));
        let function = Function::start(Binary::MintToken, &env.config().with(name, value)).await;
        function.invoke(Event::mint()).await.expect_success(200);
        assert_eq!(function.logs().len(), 1, "{}", function.output());
    }
}

#[tokio::test]
async fn rejects_invalid_log_level() {
    let env = TestEnv::new().await;
    for name in ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"] {
        let _case = case(name);
        let config = env.config().with(name, "loud");
        let exit = Function::expect_exit(Binary::MintToken, &config).await;
        assert!(!exit.status.success(), "{exit}");
        assert_eq!(exit.lines().len(), 1, "{exit}");
        assert!(exit.lines()[0].contains(name), "{exit}");
    }
}
