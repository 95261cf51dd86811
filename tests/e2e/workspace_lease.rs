//! The workspace lease: two first mints of one user never run at once, although Airbyte would create two workspaces.

use std::time::{Duration, Instant};

use airbyte_sim::{CannedResponse, Fault, FaultKind, Options, Route};
use e2e::{Binary, Config, Event, Function, Response, StateTable, TestEnv, case, eventually};
use futures_util::future::join_all;
use serde_json::json;
use time::OffsetDateTime;

/// Airbyte takes this long to create a workspace, during which a second first mint creates another one.
const WORKSPACE_CREATION_TIME: Duration = Duration::from_millis(50);

const PROCESSES_PER_FUNCTION: usize = 4;
const USERS: usize = 20;

async fn start() -> (TestEnv, StateTable) {
    let options = Options {
        workspace_creation_time: WORKSPACE_CREATION_TIME,
        ..Options::default()
    };
    (
        TestEnv::with_options(options).await,
        StateTable::create().await,
    )
}

/// Starts processes of both functions.
async fn processes(config: &Config) -> Vec<(Binary, Function)> {
    let each = Binary::ALL
        .into_iter()
        .flat_map(|binary| [binary; PROCESSES_PER_FUNCTION]);
    join_all(each.map(async |binary| (binary, Function::start(binary, config).await))).await
}

fn request(binary: Binary, user: &str) -> Event {
    match binary {
        Binary::MintToken => Event::mint_token(user),
        Binary::CreateSource => Event::create_source(user, &e2e::faker_source()),
    }
}

/// Invokes all processes for one user at one moment.
async fn race(processes: &[(Binary, Function)], user: &str) -> Vec<(Binary, Response)> {
    let invoke = async |(binary, function): &(Binary, Function)| {
        (*binary, function.invoke(request(*binary, user)).await)
    };
    join_all(processes.iter().map(invoke)).await
}

#[tokio::test]
async fn creates_one_workspace_per_user() {
    let (env, table) = start().await;
    let processes = processes(&table.configure(&env.config())).await;

    for number in 0..USERS {
        let user = format!("user-{number}");
        let _case = case(&user);
        for (binary, response) in race(&processes, &user).await {
            response.expect_success(binary.success());
        }
    }

    assert_eq!(env.airbyte.workspaces().len(), USERS);
    let waits = processes
        .iter()
        .flat_map(|(_, function)| function.logs())
        .filter(|line| line["LeaseWaits"] == 1 && line["leaseWaitMs"].as_f64() > Some(0.0))
        .count();
    assert!(waits > 0, "no process has waited for a lease");
}

/// Without a table, the race has the harm that the lease prevents: the test above can fail.
#[tokio::test]
async fn creates_duplicates_without_table() {
    let (env, _) = start().await;
    let processes = processes(&env.config()).await;

    race(&processes, "alice").await;

    assert!(env.airbyte.workspaces().len() > 1);
}

#[tokio::test]
async fn makes_no_call_for_user_in_memory() {
    let (env, table) = start().await;
    let config = table.configure(&env.config());
    let function = Function::start(Binary::MintToken, &config).await;
    assert!(table.actions().is_empty(), "a call during init");

    for _ in 0..3 {
        function.invoke(Event::mint()).await.expect_success(200);
    }

    assert_eq!(table.actions(), ["PutItem", "PutItem"]);
}

#[tokio::test]
async fn makes_one_call_for_user_in_table() {
    let (env, table) = start().await;
    let config = table.configure(&env.config());
    for (binary, actions) in [
        (Binary::MintToken, 2),
        (Binary::MintToken, 3),
        (Binary::CreateSource, 4),
    ] {
        let function = Function::start(binary, &config).await;
        for _ in 0..2 {
            let response = function.invoke(request(binary, "alice")).await;
            response.expect_success(binary.success());
        }
        assert_eq!(table.actions().len(), actions, "{:?}", table.actions());
    }
}

#[tokio::test]
async fn releases_lease_after_failure() {
    let (env, table) = start().await;
    let config = table.configure(&env.config());
    let first = Function::start(Binary::MintToken, &config).await;
    let second = Function::start(Binary::CreateSource, &config).await;
    for (status, expected) in [(500, 502), (429, 429), (200, 502)] {
        let _case = case(status);
        let response = CannedResponse::new(status).header("retry-after", "60");
        env.inject_times(1, Route::WidgetToken, FaultKind::Respond(response));
        let response = first.invoke(Event::mint()).await;
        assert_eq!(response.status, expected, "{response:?}");
        assert!(table.items().await.is_empty());
    }
    env.airbyte.clear_faults();

    let response = second.invoke(Event::create()).await;

    response.expect_success(201);
    assert!(response.elapsed < Duration::from_secs(2), "{response:?}");
}

#[tokio::test]
async fn waits_for_holder() {
    let (env, table) = start().await;
    let config = table.configure(&env.config());
    let holder = Function::start(Binary::MintToken, &config).await;
    let waiter = Function::start(Binary::CreateSource, &config).await;
    let delay = Duration::from_millis(700);
    env.inject_times(1, Route::WidgetToken, FaultKind::Delay(delay));

    let second = async {
        eventually("the holder mints", || {
            !env.requests(Route::WidgetToken).is_empty()
        })
        .await;
        waiter.invoke(Event::create()).await
    };
    let (first, second) = tokio::join!(holder.invoke(Event::mint()), second);

    first.expect_success(200);
    second.expect_success(201);
    assert!(second.elapsed > delay / 2, "{second:?}");
    assert_eq!(env.airbyte.workspaces().len(), 1);
    let logs = waiter.logs();
    let line = logs.last().unwrap();
    assert_eq!(line["LeaseWaits"], 1, "{line}");
}

#[tokio::test]
async fn sends_nothing_if_holder_outlasts_deadline() {
    let (env, table) = start().await;
    let config = table.configure(&env.config());
    let holder = Function::start(Binary::MintToken, &config).await;
    let waiter = Function::start(Binary::CreateSource, &config).await;
    env.inject(Route::WidgetToken, FaultKind::Hang);

    let second = async {
        eventually("the holder mints", || {
            !env.requests(Route::WidgetToken).is_empty()
        })
        .await;
        waiter
            .invoke_with_timeout(Event::create(), Duration::from_secs(2))
            .await
    };
    let first = holder.invoke_with_timeout(Event::mint(), Duration::from_secs(6));
    let (_, second) = tokio::join!(first, second);

    let problem = second.expect_problem(504, "upstream-timeout");
    assert_eq!(
        problem.detail,
        "Another request is creating this user's workspace, and did not finish in time. Nothing was sent. Retry."
    );
    assert_eq!(waiter.logs().last().unwrap()["cause"], "lease_timeout");
    assert_eq!(env.airbyte.requests().len(), 1, "only the holder's mint");
}

#[tokio::test]
async fn takes_lease_of_killed_holder_after_its_deadline() {
    let (env, table) = start().await;
    let config = table.configure(&env.config());
    let waiter = Function::start(Binary::CreateSource, &config).await;
    env.inject_times(1, Route::WidgetToken, FaultKind::Hang);
    let lifetime = Duration::from_secs(3);
    let holder = Function::start(Binary::MintToken, &config).await;
    let started = Instant::now();
    tokio::select! {
        result = holder.try_invoke(Event::mint(), lifetime) => panic!("{result:?}"),
        () = eventually("the holder mints", || env.requests(Route::WidgetToken).len() == 1) => {}
    }
    drop(holder);

    let response = waiter.invoke(Event::create()).await;

    response.expect_success(201);
    let elapsed = started.elapsed();
    assert!(
        elapsed > lifetime * 3 / 4 && elapsed < lifetime * 2,
        "{elapsed:?}"
    );
    assert_eq!(env.airbyte.workspaces().len(), 1);
}

/// DynamoDB deletes old items within days only.
#[tokio::test]
async fn ignores_expired_items() {
    let (env, table) = start().await;
    let config = table.configure(&env.config());
    let function = Function::start(Binary::MintToken, &config).await;
    function.invoke(Event::mint()).await.expect_success(200);
    let mut item = table.items().await.remove(0);
    assert_eq!(item["state"]["S"], "known");
    let an_hour_ago = OffsetDateTime::now_utc().unix_timestamp() - 3_600;
    item["expires_at"] = json!({ "N": an_hour_ago.to_string() });
    table.put(&item).await;
    let actions = table.actions().len();

    let other = Function::start(Binary::MintToken, &config).await;
    other.invoke(Event::mint()).await.expect_success(200);

    assert_eq!(table.actions().len(), actions + 2);
    let expiry = table.items().await[0]["expires_at"]["N"].to_string();
    assert!(expiry.trim_matches('"').parse::<i64>().unwrap() > an_hour_ago);
}

#[tokio::test]
async fn leases_are_per_user_and_organization() {
    let (env, table) = start().await;
    let config = table.configure(&env.config());
    let holder = Function::start(Binary::MintToken, &config).await;
    let other = Function::start(Binary::MintToken, &config).await;
    let elsewhere = Function::start(
        Binary::MintToken,
        &config.with(
            "AIRBYTE_ORGANIZATION_ID",
            "11111111-2222-4333-8444-555555555555",
        ),
    )
    .await;
    let fault = Fault::new(Route::WidgetToken, FaultKind::Delay(Duration::from_secs(2)));
    env.airbyte.inject(fault.times(1));

    let second = async {
        eventually("the holder mints", || {
            !env.requests(Route::WidgetToken).is_empty()
        })
        .await;
        other
            .invoke(Event::mint_token("bob"))
            .await
            .expect_success(200);
        elsewhere.invoke(Event::mint()).await.expect_success(200);
        Instant::now()
    };
    let first = async {
        holder.invoke(Event::mint()).await.expect_success(200);
        Instant::now()
    };
    let (first, second) = tokio::join!(first, second);

    assert!(second < first, "waited for another user's lease");
}
