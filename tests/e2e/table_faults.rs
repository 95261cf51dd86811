//! Every failure of the state table: what it means for the workspace lease, and for an `Idempotency-Key`.
//!
//! While the table fails, mints continue without a lease, and creates with a key are not sent. A failure after the mint or
//! after the create changes no response. A failing table costs a second at most.

use std::time::Duration;

use airbyte_sim::{CannedResponse, FaultKind, Route};
use e2e::{
    Binary, Event, Function, Gate, Response, SecretsManager, StateTable, TestEnv, case, eventually,
    token,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

/// Timeout of an invocation.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Limit of the time to a response: the second that a failing table costs, and another one for a busy machine.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(2);

const CONCURRENT_CASES: usize = 4;

/// A failure, with what is expected of each promise.
struct Failure {
    name: &'static str,
    /// `None` closes the port.
    kind: Option<FaultKind>,
    /// Whether the table is usable nevertheless.
    is_harmless: bool,
    /// What a create with a key returns, and what it returns when the table is usable again.
    key: (&'static str, &'static str),
}

const UNAVAILABLE: (&str, &str) = ("503 idempotency-unavailable", "201");

fn failures() -> Vec<Failure> {
    let failure = |name, kind| Failure {
        name,
        kind: Some(kind),
        is_harmless: false,
        key: UNAVAILABLE,
    };
    let response = |status, body: &str| {
        CannedResponse::new(status)
            .header("content-type", "application/x-amz-json-1.0")
            .body(body)
    };
    let conditional = |item: &Value| {
        let mut body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "Message": "The conditional request failed",
        });
        if !item.is_null() {
            body["Item"] = item.clone();
        }
        FaultKind::Respond(response(400, &body.to_string()))
    };
    let aws = SecretsManager::error;
    let processed = |status| {
        FaultKind::RespondAfterProcessing(response(status, r#"{"__type":"InternalServerError"}"#))
    };
    vec![
        Failure {
            name: "none",
            kind: Some(FaultKind::Delay(Duration::ZERO)),
            is_harmless: true,
            key: ("201", "201 replayed"),
        },
        Failure {
            name: "delay of 200 ms",
            kind: Some(FaultKind::Delay(Duration::from_millis(200))),
            is_harmless: true,
            key: ("201", "201 replayed"),
        },
        Failure {
            name: "connection refused",
            kind: None,
            is_harmless: false,
            key: UNAVAILABLE,
        },
        Failure {
            // It is written after the function has given up.
            key: ("503 idempotency-unavailable", "409 create-in-progress"),
            ..failure("delay of 5 s", FaultKind::Delay(Duration::from_secs(5)))
        },
        failure("hang", FaultKind::Hang),
        failure("reset before the response", FaultKind::ResetBeforeResponse),
        failure("reset within the response", FaultKind::ResetMidResponse),
        failure("closed before the response", FaultKind::CloseBeforeResponse),
        failure("500", aws(500, "InternalServerError")),
        failure("500 after processing", processed(500)),
        failure("503", aws(503, "ServiceUnavailable")),
        failure("throttled", aws(400, "ThrottlingException")),
        failure(
            "throughput exceeded",
            aws(400, "ProvisionedThroughputExceededException"),
        ),
        failure("access denied", aws(400, "AccessDeniedException")),
        failure("no table", aws(400, "ResourceNotFoundException")),
        failure("invalid request", aws(400, "ValidationException")),
        failure(
            "invalid credentials",
            aws(400, "UnrecognizedClientException"),
        ),
        failure("HTML", FaultKind::Respond(response(502, "<html>"))),
        failure("not JSON", FaultKind::Respond(response(200, "garbage"))),
        failure(
            "wrong types",
            FaultKind::Respond(response(200, "{\"Attributes\":7}")),
        ),
        failure("condition without item", conditional(&Value::Null)),
        failure("condition with empty item", conditional(&json!({}))),
        failure(
            "condition with garbage",
            conditional(&json!({ "state": { "N": "7" }, "held_until": { "S": "soon" } })),
        ),
        failure(
            "condition with unknown state",
            conditional(&json!({ "state": { "S": "x" }, "fingerprint": { "S": "x" } })),
        ),
    ]
    .into_iter()
    .map(|failure| match failure.name {
        "condition with unknown state" => Failure {
            key: ("422 idempotency-key-reused", "201"),
            ..failure
        },
        _ => failure,
    })
    .collect()
}

struct Fixture {
    env: TestEnv,
    table: StateTable,
    gate: Gate,
}

impl Fixture {
    async fn new() -> Fixture {
        let table = StateTable::create().await;
        Fixture {
            env: TestEnv::new().await,
            gate: Gate::opened(&table.api.url()),
            table,
        }
    }

    async fn start(&self, binary: Binary) -> Function {
        let config = self
            .table
            .configure(&self.env.config())
            .with("AWS_ENDPOINT_URL_DYNAMODB", &self.gate.url());
        Function::start(binary, &config).await
    }

    async fn fail(&self, failure: &Failure) {
        match &failure.kind {
            Some(kind) => self.table.api.inject(kind.clone()),
            None => self.gate.close().await,
        }
    }

    fn recover(&self, failure: &Failure) {
        match &failure.kind {
            Some(_) => self.table.api.clear_faults(),
            None => self.gate.open(),
        }
    }
}

fn shown(response: &Response) -> String {
    let suffix = match response.body["type"].as_str() {
        Some(problem) => format!(" {problem}"),
        None if response.header("idempotent-replayed").is_some() => " replayed".to_owned(),
        None => String::new(),
    };
    format!("{}{suffix}", response.status)
}

/// Checks that a failure is logged as a warning and counted, and that nothing else is.
fn expect_warning(function: &Function, is_expected: bool) {
    let logs = function.logs();
    let warnings = logs
        .iter()
        .filter(|line| line["message"] == "failed to use the state table")
        .count();
    let failures = logs
        .iter()
        .filter(|line| line["StateFailures"] == 1)
        .count();
    assert_eq!(warnings > 0, is_expected, "{logs:#?}");
    assert_eq!(failures, usize::from(is_expected), "{logs:#?}");
}

/// Runs `check` with every failure, some at a time.
async fn for_each_failure(check: impl AsyncFn(&Failure)) {
    stream::iter(failures())
        .for_each_concurrent(CONCURRENT_CASES, async |failure| {
            let _case = case(failure.name);
            check(&failure).await;
        })
        .await;
}

#[tokio::test]
async fn mints_without_lease() {
    for_each_failure(async |failure| {
        let fixture = Fixture::new().await;
        let function = fixture.start(Binary::MintToken).await;
        fixture.fail(failure).await;

        let response = function.invoke_with_timeout(Event::mint(), TIMEOUT).await;

        response.expect_success(200);
        assert!(response.elapsed < MAX_RESPONSE_TIME, "{response:?}");
        expect_warning(&function, !failure.is_harmless);
        // The user is known to this instance.
        let actions = fixture.table.actions().len();
        function.invoke(Event::mint()).await.expect_success(200);
        assert_eq!(fixture.table.actions().len(), actions);
    })
    .await;
}

#[tokio::test]
async fn mints_with_lease_that_cannot_be_ended() {
    for_each_failure(async |failure| {
        let fixture = Fixture::new().await;
        let function = fixture.start(Binary::MintToken).await;
        let delay = Duration::from_millis(200);
        fixture
            .env
            .inject(Route::WidgetToken, FaultKind::Delay(delay));

        let fail = async {
            eventually("the mint is sent", || {
                !fixture.env.requests(Route::WidgetToken).is_empty()
            })
            .await;
            fixture.fail(failure).await;
        };
        let (response, ()) =
            tokio::join!(function.invoke_with_timeout(Event::mint(), TIMEOUT), fail);

        response.expect_success(200);
        assert!(response.elapsed < MAX_RESPONSE_TIME, "{response:?}");
        expect_warning(&function, !failure.is_harmless);
    })
    .await;
}

#[tokio::test]
async fn sends_no_create_without_record() {
    for_each_failure(async |failure| {
        let fixture = Fixture::new().await;
        let function = fixture.start(Binary::CreateSource).await;
        let event = Event::create()
            .field("token", token::mint(&fixture.env.airbyte, "alice").await)
            .header("idempotency-key", "k");
        fixture.env.airbyte.clear_requests();
        fixture.fail(failure).await;

        let response = function.invoke_with_timeout(&event, TIMEOUT).await;

        let (expected, expected_later) = failure.key;
        assert_eq!(shown(&response), expected);
        assert!(response.elapsed < MAX_RESPONSE_TIME, "{response:?}");
        if response.status == 503 {
            let problem = response.expect_problem(503, "idempotency-unavailable");
            assert_eq!(
                problem.detail,
                "The `Idempotency-Key` cannot be recorded. Nothing was sent. Retry later with the same key."
            );
            expect_warning(&function, true);
        }
        let sources = usize::from(response.status == 201);
        assert_eq!(fixture.env.requests(Route::Sources).len(), sources);
        fixture.recover(failure);
        if expected_later == "409 create-in-progress" {
            return;
        }
        let response = function.invoke_with_timeout(&event, TIMEOUT).await;
        assert_eq!(shown(&response), expected_later);
        assert_eq!(fixture.env.airbyte.sources().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn returns_source_whose_record_cannot_be_settled() {
    for_each_failure(async |failure| {
        let fixture = Fixture::new().await;
        let function = fixture.start(Binary::CreateSource).await;
        let event = Event::create()
            .field("token", token::mint(&fixture.env.airbyte, "alice").await)
            .header("idempotency-key", "k");
        let delay = Duration::from_millis(200);
        fixture.env.inject(Route::Sources, FaultKind::Delay(delay));

        let fail = async {
            eventually("the create is sent", || {
                !fixture.env.requests(Route::Sources).is_empty()
            })
            .await;
            fixture.fail(failure).await;
        };
        let (response, ()) = tokio::join!(function.invoke_with_timeout(&event, TIMEOUT), fail);

        response.expect_success(201);
        assert!(response.elapsed < MAX_RESPONSE_TIME, "{response:?}");
        expect_warning(&function, !failure.is_harmless);
        fixture.recover(failure);
        let response = function.invoke_with_timeout(&event, TIMEOUT).await;
        let is_settled = shown(&response) == "201 replayed";
        assert!(
            is_settled || shown(&response) == "409 create-in-progress",
            "{response:?}"
        );
        assert_eq!(fixture.env.airbyte.sources().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn waits_for_lease_until_deadline() {
    let fixture = Fixture::new().await;
    let function = fixture.start(Binary::MintToken).await;
    let far_future = json!({ "N": "99999999999999" });
    let item = json!({
        "state": { "S": "leased" }, "holder": { "S": "other" },
        "held_until": far_future, "expires_at": far_future,
    });
    let body = json!({ "__type": "ConditionalCheckFailedException", "Item": item });
    let response = CannedResponse::new(400).body(body.to_string());
    fixture.table.api.inject(FaultKind::Respond(response));

    let response = function
        .invoke_with_timeout(Event::mint(), Duration::from_secs(2))
        .await;

    response.expect_problem(504, "upstream-timeout");
    assert!(fixture.env.airbyte.requests().is_empty());
    let polls = fixture.table.actions().len();
    assert!((3..=20).contains(&polls), "{polls} polls");
}
