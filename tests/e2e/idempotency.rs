//! `Idempotency-Key`: one source per user and key, whatever happens to the requests.

use std::time::{Duration, Instant};

use airbyte_sim::{CannedResponse, FaultKind, Route};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use e2e::{
    Binary, Config, Event, Function, Generation, POSTGRES, Response, StateTable, TestEnv, case,
    eventually, faker_source, token,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::sleep;
use uuid::Uuid;

e2e::test_each_generation!(
    replays_created_source,
    frees_key_if_nothing_was_created,
    reports_unknown_outcome,
    creates_one_source_per_key,
);

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

/// Timeout of an invocation whose response is awaited.
const TIMEOUT: Duration = Duration::from_secs(4);

struct Fixture {
    env: TestEnv,
    table: StateTable,
    function: Function,
}

impl Fixture {
    async fn new() -> Fixture {
        Fixture::of(Generation::Embedded).await
    }

    async fn of(generation: Generation) -> Fixture {
        let env = TestEnv::of(generation).await;
        let table = StateTable::create().await;
        let function = start(&env, &table).await;
        Fixture {
            env,
            table,
            function,
        }
    }

    async fn invoke(&self, event: Event) -> Response {
        self.function.invoke_with_timeout(event, TIMEOUT).await
    }
}

async fn start(env: &TestEnv, table: &StateTable) -> Function {
    Function::start(Binary::CreateSource, &table.configure(&env.config())).await
}

fn create_with(key: &str) -> Event {
    Event::create().header("idempotency-key", key)
}

fn create() -> Event {
    create_with(KEY)
}

fn expect_created(response: &Response) -> Value {
    let body = response.expect_success(201).clone();
    assert_eq!(response.header("idempotent-replayed"), None, "{response:?}");
    body
}

fn expect_replayed(response: &Response, source: &Value) {
    let body = response.expect_success(201);
    assert_eq!(
        response.header("idempotent-replayed"),
        Some("true"),
        "{response:?}"
    );
    let object = body.as_object().unwrap();
    assert_eq!(object.len(), 2, "{response:?}");
    assert_eq!(object["id"], source["id"]);
    assert!(object["workspace_id"].is_string(), "{response:?}");
}

fn outcome(response: &Response) -> String {
    match response.body["type"].as_str() {
        Some(problem) => problem.to_owned(),
        None => response.status.to_string(),
    }
}

async fn replays_created_source(generation: Generation) {
    let Fixture {
        env,
        table,
        function,
    } = Fixture::of(generation).await;
    let source = expect_created(&function.invoke(create()).await);
    env.airbyte.clear_requests();
    let other = start(&env, &table).await;
    let backend = Event::fixture("create-source-iam.json")
        .json(&faker_source())
        .field("externalUserId", "alice")
        .header("idempotency-key", KEY);
    for (name, function, event) in [
        ("same process", &function, create()),
        ("other process", &other, create()),
        ("quoted key", &other, create_with(&format!("\"{KEY}\""))),
        ("backend for the same user", &other, backend),
        ("unusable token", &other, {
            let expired = OffsetDateTime::now_utc() - time::Duration::HOUR;
            let claims = token::scoped_claims(Uuid::new_v4(), "alice", expired);
            create().field("token", token::opaque_with_claims(&claims))
        }),
    ] {
        let _case = case(name);
        let response = function.invoke(event.no_origin()).await;
        expect_replayed(&response, &source);
        let workspace = env.workspace_of("alice").to_string();
        assert_eq!(response.body["workspace_id"], workspace.as_str());
    }

    assert!(env.airbyte.requests().is_empty());
    assert_eq!(env.airbyte.sources().len(), 1);
    let logs = other.logs();
    let line = logs.last().unwrap();
    assert_eq!(line["outcome"], "source-replayed", "{line}");
    assert_eq!(line["SourcesReplayed"], 1, "{line}");
    assert!(line.get("SourcesCreated").is_none(), "{line}");
}

#[tokio::test]
async fn keys_are_per_user() {
    let fixture = Fixture::new().await;
    for user in ["alice", "bob"] {
        let event = Event::create_source(user, &faker_source()).header("idempotency-key", KEY);
        expect_created(&fixture.invoke(event).await);
    }
    expect_created(&fixture.invoke(create_with("another")).await);

    assert_eq!(fixture.env.airbyte.sources().len(), 3);
}

#[tokio::test]
async fn creates_as_before_without_key() {
    let fixture = Fixture::new().await;
    for _ in 0..2 {
        expect_created(&fixture.invoke(Event::create()).await);
    }
    assert_eq!(fixture.env.airbyte.sources().len(), 2);
    let items = fixture.table.items().await;
    assert_eq!(items.len(), 1, "the workspace only: {items:?}");
}

#[tokio::test]
async fn rejects_key_used_with_other_body() {
    let fixture = Fixture::new().await;
    expect_created(&fixture.invoke(create()).await);
    fixture.env.airbyte.clear_requests();
    let workspace = fixture.env.workspace_of("alice").to_string();
    for (field, value) in [
        ("source_config_template_id", json!(POSTGRES)),
        ("connection_configuration", json!({ "count": 11 })),
        ("workspace_id", json!(workspace)),
    ] {
        let _case = case(field);
        let response = fixture.invoke(create().field(field, value)).await;
        let problem = response.expect_problem(422, "idempotency-key-reused");
        assert_eq!(
            problem.detail,
            "This `Idempotency-Key` was used with another request body. Nothing was sent. Use a new key for a new source."
        );
    }
    assert!(fixture.env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_malformed_keys() {
    let fixture = Fixture::new().await;
    let too_long = "k".repeat(256);
    let malformed = "must be 1 to 255 visible ASCII characters without quotation marks, optionally in double quotes";
    let repeated = "must occur once; a key with a comma must be in double quotes";
    for (name, key, reason) in [
        ("empty", "", malformed),
        ("empty in quotes", "\"\"", malformed),
        ("too long", too_long.as_str(), malformed),
        ("space", "a b", malformed),
        ("not ASCII", "schlüssel", malformed),
        ("control character", "a\tb", malformed),
        ("quote in the middle", "a\"b", malformed),
        ("one quote", "\"ab", malformed),
        ("twice", "a,b", repeated),
        ("twice, quoted", "\"a\", \"b\"", repeated),
    ] {
        let _case = case(name);
        let problem = fixture
            .invoke(create_with(key))
            .await
            .expect_problem(400, "invalid-request");
        assert_eq!(
            problem.detail,
            format!("The `Idempotency-Key` header {reason}. Nothing was sent.")
        );
        assert_eq!(
            problem.messages(),
            [format!(" header `Idempotency-Key` {reason}")]
        );
    }
    assert!(fixture.env.airbyte.requests().is_empty());
    assert!(fixture.table.actions().is_empty());
}

#[tokio::test]
async fn rejects_key_without_table() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;

    let response = function.invoke(create()).await;

    let problem = response.expect_problem(400, "invalid-request");
    assert_eq!(
        problem.detail,
        "The `Idempotency-Key` header is not supported, because this deployment has no state table; omit it. Nothing was \
         sent."
    );
    assert_eq!(problem.pointers(), [""]);
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn records_no_invalid_request() {
    let fixture = Fixture::new().await;
    for event in [
        create().field("connection_configuration", 7),
        create().field("token", "x"),
        create().no_authorizer(),
        create().origin("https://elsewhere.example"),
    ] {
        assert!(fixture.invoke(event).await.status < 500);
    }
    assert!(fixture.table.actions().is_empty());
}

async fn frees_key_if_nothing_was_created(generation: Generation) {
    let fixture = Fixture::of(generation).await;
    let env = &fixture.env;
    let respond = |status| FaultKind::Respond(CannedResponse::new(status).body("{}"));
    for (status, expected) in [
        (400, "source-rejected"),
        (403, "upstream-error"),
        (404, "source-rejected"),
        (409, "source-rejected"),
        (422, "source-rejected"),
        (429, "rate-limited"),
    ] {
        let _case = case(status);
        env.inject(Route::Sources, respond(status));
        let response = fixture.invoke(create_with(&status.to_string())).await;
        assert_eq!(outcome(&response), expected);
        env.airbyte.clear_faults();
        expect_created(&fixture.invoke(create_with(&status.to_string())).await);
    }

    let carol =
        |key: &str| Event::create_source("carol", &faker_source()).header("idempotency-key", key);
    env.inject(Route::WidgetToken, respond(500));
    let response = fixture.invoke(carol("mint")).await;
    response.expect_problem(502, "upstream-error");
    env.airbyte.clear_faults();
    let source = expect_created(&fixture.invoke(carol("mint")).await);

    let elsewhere = carol("workspace").field("workspace_id", Uuid::new_v4().to_string());
    for _ in 0..2 {
        let response = fixture.invoke(elsewhere.clone()).await;
        response.expect_problem(403, "forbidden");
    }
    expect_created(&fixture.invoke(carol("workspace")).await);

    let an_hour_ago = OffsetDateTime::now_utc() - time::Duration::HOUR;
    let claims = token::scoped_claims(env.workspace_of("carol"), "carol", an_hour_ago);
    let expired = carol("token").field("token", token::opaque_with_claims(&claims));
    for _ in 0..2 {
        let response = fixture.invoke(expired.clone()).await;
        response.expect_problem(401, "token-expired");
    }
    expect_created(&fixture.invoke(carol("token")).await);

    env.airbyte.refuse_connections().await.unwrap();
    let response = fixture.invoke(carol("connect")).await;
    response.expect_problem(502, "upstream-error");
    env.airbyte.accept_connections().await.unwrap();
    expect_created(&fixture.invoke(carol("connect")).await);
    expect_replayed(&fixture.invoke(carol("mint")).await, &source);
}

async fn reports_unknown_outcome(generation: Generation) {
    let fixture = Fixture::of(generation).await;
    let env = &fixture.env;
    expect_created(&fixture.invoke(Event::create()).await);
    let respond = |status, body: &str| {
        FaultKind::RespondAfterProcessing(CannedResponse::new(status).body(body))
    };
    for (name, fault, expected) in [
        ("500", respond(500, "{}"), "upstream-error"),
        ("503", respond(503, "{}"), "upstream-error"),
        ("302", respond(302, ""), "upstream-error"),
        ("408", respond(408, "{}"), "upstream-error"),
        ("reset", FaultKind::ResetMidResponse, "upstream-error"),
        ("closed", FaultKind::CloseBeforeResponse, "upstream-error"),
        ("hang", FaultKind::Hang, "upstream-timeout"),
        ("not JSON", respond(201, "<html>"), "upstream-error"),
        ("no id", respond(201, "{}"), "201"),
        ("invalid id", respond(201, "{\"id\": \"a b\"}"), "201"),
    ] {
        let _case = case(name);
        env.inject(Route::Sources, fault);
        let event = create_with(&name.replace(' ', "-"));
        let response = fixture.invoke(event.clone()).await;
        assert_eq!(outcome(&response), expected);
        env.airbyte.clear_faults();
        env.airbyte.clear_requests();

        let problem = fixture
            .invoke(event)
            .await
            .expect_problem(409, "create-outcome-unknown");

        assert_eq!(
            problem.detail,
            "An earlier request with this `Idempotency-Key` ended without a response from Airbyte. The source may have \
             been created. Check before retrying with a new key."
        );
        assert!(env.airbyte.requests().is_empty());
    }
}

#[tokio::test]
async fn reports_create_in_progress() {
    let Fixture {
        env,
        table,
        function,
    } = Fixture::new().await;
    let other = start(&env, &table).await;
    let delay = Duration::from_millis(500);
    env.inject_times(1, Route::Sources, FaultKind::Delay(delay));

    let repeat = async {
        eventually("the create is sent", || {
            !env.requests(Route::Sources).is_empty()
        })
        .await;
        other.invoke(create()).await
    };
    let (first, second) = tokio::join!(function.invoke(create()), repeat);

    let source = expect_created(&first);
    let problem = second.expect_problem(409, "create-in-progress");
    assert_eq!(
        problem.detail,
        "A request with this `Idempotency-Key` is creating the source. Retry with the same key."
    );
    assert_eq!(second.retry_after(), 2);
    expect_replayed(&other.invoke(create()).await, &source);
    assert_eq!(env.airbyte.sources().len(), 1);
}

async fn creates_one_source_per_key(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let table = StateTable::create().await;
    let processes = join_all((0..8).map(|_| start(&env, &table))).await;

    for round in 0..5 {
        let key = format!("{KEY}-{round}");
        let _case = case(&key);
        let responses = join_all(processes.iter().map(async |process| {
            loop {
                let response = process.invoke(create_with(&key)).await;
                if response.status != 409 {
                    return response;
                }
                response.expect_problem(409, "create-in-progress");
                sleep(Duration::from_millis(20)).await;
            }
        }))
        .await;

        let is_first = |response: &&Response| response.header("idempotent-replayed").is_none();
        let first: Vec<_> = responses.iter().filter(is_first).collect();
        assert_eq!(first.len(), 1, "{responses:?}");
        let source = expect_created(first[0]);
        for response in responses.iter().filter(|response| !is_first(response)) {
            expect_replayed(response, &source);
        }
        assert_eq!(env.airbyte.sources().len(), round + 1);
    }
}

/// Invokes a process that is killed as soon as `condition` holds.
async fn kill(function: Function, lifetime: Duration, name: &str, condition: impl FnMut() -> bool) {
    tokio::select! {
        result = function.try_invoke(create(), lifetime) => panic!("{result:?}"),
        () = eventually(name, condition) => {}
    }
    let process_id = function.process_id();
    drop(function);
    eventually("the process has ended", || {
        !std::path::Path::new(&format!("/proc/{process_id}/stat")).exists()
    })
    .await;
}

/// Sends the request until the killed one is over. Returns all outcomes, without repetitions, and the time that it took.
async fn retry_until_settled(function: &Function) -> (Vec<String>, Duration) {
    let started = Instant::now();
    let mut outcomes = Vec::new();
    loop {
        let response = function.invoke(create()).await;
        let outcome = outcome(&response);
        let is_settled = outcome != "create-in-progress";
        outcomes.push(outcome);
        outcomes.dedup();
        if is_settled {
            return (outcomes, started.elapsed());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The lifetime of an invocation that is killed: no key may be in progress for longer.
const LIFETIME: Duration = Duration::from_secs(3);

#[tokio::test]
async fn key_is_free_if_killed_before_record() {
    let Fixture {
        env,
        table,
        function,
    } = Fixture::new().await;
    let killed = start(&env, &table).await;
    table.api.inject(FaultKind::Hang);
    kill(killed, LIFETIME, "the record is sent", || {
        !table.actions().is_empty()
    })
    .await;
    table.api.clear_faults();

    let (outcomes, _) = retry_until_settled(&function).await;

    assert_eq!(outcomes, ["201"]);
    assert_eq!(env.airbyte.sources().len(), 1);
}

#[tokio::test]
async fn outcome_is_unknown_if_killed_after_record() {
    let Fixture {
        env,
        table,
        function,
    } = Fixture::new().await;
    let killed = start(&env, &table).await;
    env.inject(Route::WidgetToken, FaultKind::Hang);
    kill(killed, LIFETIME, "the mint is sent", || {
        !env.requests(Route::WidgetToken).is_empty()
    })
    .await;
    env.airbyte.clear_faults();

    expect_unknown_after_lifetime(&env, &function, 0).await;
}

#[tokio::test]
async fn outcome_is_unknown_if_killed_after_send() {
    let Fixture {
        env,
        table,
        function,
    } = Fixture::new().await;
    let killed = start(&env, &table).await;
    let drip = FaultKind::Drip {
        bytes_per_tick: 1,
        tick: Duration::from_secs(1),
    };
    env.inject(Route::Sources, drip);
    kill(killed, LIFETIME, "the source is created", || {
        !env.airbyte.sources().is_empty()
    })
    .await;
    env.airbyte.clear_faults();

    expect_unknown_after_lifetime(&env, &function, 1).await;
}

#[tokio::test]
async fn outcome_is_unknown_if_killed_after_response() {
    let Fixture {
        env,
        table,
        function,
    } = Fixture::new().await;
    let killed = start(&env, &table).await;
    env.inject(Route::Sources, FaultKind::Delay(Duration::from_millis(300)));
    let mut actions = None;
    kill(killed, LIFETIME, "the record is settled", || {
        if actions.is_none() && !env.requests(Route::Sources).is_empty() {
            table.api.inject(FaultKind::Hang);
            actions = Some(table.actions().len());
        }
        actions.is_some_and(|actions| table.actions().len() > actions)
    })
    .await;
    env.airbyte.clear_faults();
    table.api.clear_faults();

    expect_unknown_after_lifetime(&env, &function, 1).await;
}

async fn expect_unknown_after_lifetime(env: &TestEnv, function: &Function, sources: usize) {
    let (outcomes, elapsed) = retry_until_settled(function).await;
    assert_eq!(outcomes, ["create-in-progress", "create-outcome-unknown"]);
    assert!(elapsed < LIFETIME + Duration::from_secs(1), "{elapsed:?}");
    let response = function.invoke(create()).await;
    response.expect_problem(409, "create-outcome-unknown");
    assert_eq!(env.airbyte.sources().len(), sources);
    expect_created(&function.invoke(create_with("another")).await);
}

#[tokio::test]
async fn settles_record_before_deadline() {
    let fixture = Fixture::new().await;
    expect_created(&fixture.invoke(Event::create()).await);
    fixture.env.inject(Route::Sources, FaultKind::Hang);

    let response = fixture.invoke(create()).await;

    response.expect_problem(504, "upstream-timeout");
    assert!(
        response.elapsed < TIMEOUT.saturating_sub(Duration::from_millis(500)),
        "{response:?}"
    );
    let items = fixture.table.items().await;
    let states: Vec<_> = items.iter().map(|item| &item["state"]["S"]).collect();
    assert!(states.contains(&&json!("unknown")), "{items:?}");
}

#[tokio::test]
async fn forgets_keys_after_a_day() {
    let fixture = Fixture::new().await;
    let source = expect_created(&fixture.invoke(create()).await);
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let items = fixture.table.items().await;
    let mut item = items
        .into_iter()
        .find(|item| item["state"]["S"] == "created")
        .unwrap();
    let expires_at: i64 = item["expires_at"]["N"].as_str().unwrap().parse().unwrap();
    let a_day = 24 * 3_600;
    assert!((a_day - 60..=a_day).contains(&(expires_at - now)));
    expect_replayed(&fixture.invoke(create()).await, &source);

    item["expires_at"] = json!({ "N": (now - 1).to_string() });
    fixture.table.put(&item).await;

    expect_created(&fixture.invoke(create()).await);
    assert_eq!(fixture.env.airbyte.sources().len(), 2);
}

#[tokio::test]
async fn mint_token_ignores_key() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let event = Event::mint().header("idempotency-key", "a,b");
    function.invoke(event).await.expect_success(200);
}

/// The table has hashes, states, times, and the IDs of the source and the workspace.
#[tokio::test]
async fn table_contains_no_secrets() {
    const USER: &str = "canary-user-31fe@example.com";
    const SECRET_KEY: &str = "canary-key-5ac1";
    const PASSWORD: &str = "canary-password-8e94";
    let Fixture {
        env,
        table,
        function,
    } = Fixture::new().await;
    let configuration = json!({
        "host": PASSWORD, "database": PASSWORD, "username": PASSWORD, "password": PASSWORD,
    });
    let body = json!({
        "source_config_template_id": POSTGRES, "connection_configuration": configuration,
    });
    let event = |key: &str| {
        Event::create_source(USER, &body)
            .claims(&json!({ "sub": USER, "email": PASSWORD }))
            .header("authorization", PASSWORD)
            .header("idempotency-key", &format!("{SECRET_KEY}-{key}"))
    };
    let mut items = Vec::new();
    for (name, route, fault) in [
        ("success", Route::Any, None),
        (
            "unknown",
            Route::Sources,
            Some(FaultKind::CloseBeforeResponse),
        ),
        ("in-progress", Route::Sources, Some(FaultKind::Hang)),
    ] {
        env.airbyte.clear_faults();
        if let Some(fault) = fault {
            env.inject(route, fault);
        }
        let during = async {
            eventually("the create is sent", || {
                !env.requests(Route::Sources).is_empty()
            })
            .await;
            table.items().await
        };
        env.airbyte.clear_requests();
        let (_, during) = tokio::join!(function.invoke_with_timeout(event(name), TIMEOUT), during);
        items.extend(during);
        items.extend(table.items().await);
    }

    let text = json!(items).to_string();
    let mut secrets = vec![
        USER.to_owned(),
        SECRET_KEY.to_owned(),
        PASSWORD.to_owned(),
        TestEnv::ORGANIZATION_TOKEN.to_owned(),
        Config::ORGANIZATION_ID.to_owned(),
        POSTGRES.to_string(),
    ];
    secrets.extend(env.airbyte.requests().iter().filter_map(|request| {
        let authorization = request.header("authorization")?;
        Some(authorization.strip_prefix("Bearer ")?.to_owned())
    }));
    for secret in secrets {
        for form in [BASE64_STANDARD.encode(&secret), secret] {
            assert!(!text.contains(&form), "{form} occurs in {text}");
        }
    }
    let attributes = [
        "pk",
        "state",
        "expires_at",
        "holder",
        "held_until",
        "fingerprint",
        "source_id",
        "workspace_id",
    ];
    for item in &items {
        for name in item.as_object().unwrap().keys() {
            assert!(attributes.contains(&name.as_str()), "{name} in {item}");
        }
    }
}
