//! What is sent again, and what never is.

use std::time::Duration;

use airbyte_sim::{CannedResponse, FaultKind, Route};
use e2e::{Binary, Event, Function, TestEnv, faker_source};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::exchange::{SOURCES, WIDGET_TOKEN, calls, paths};

fn answer(status: u16) -> FaultKind {
    FaultKind::Respond(CannedResponse::new(status))
}

/// What a get-or-create may be repeated after.
fn passing_faults() -> Vec<FaultKind> {
    let mut faults: Vec<_> = [429, 502, 503, 504].map(answer).to_vec();
    faults.extend([
        FaultKind::ResetBeforeResponse,
        FaultKind::ResetMidResponse,
        FaultKind::CloseBeforeResponse,
    ]);
    faults.push(FaultKind::RespondAfterProcessing(CannedResponse::new(503)));
    faults
}

#[tokio::test]
async fn retries_mint_up_to_three_attempts() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for fault in passing_faults() {
        env.airbyte.clear_requests();
        env.inject_times(2, Route::WidgetToken, fault.clone());
        let response = function.invoke(Event::mint_token("alice")).await;
        assert_eq!(response.status, 200, "{fault:?}: {response:?}");
        assert_eq!(calls(&env.airbyte, WIDGET_TOKEN).len(), 3, "{fault:?}");

        env.airbyte.clear_requests();
        env.inject(Route::WidgetToken, fault.clone());
        let response = function.invoke(Event::mint_token("alice")).await;
        assert!(
            matches!(response.status, 429 | 502),
            "{fault:?}: {response:?}"
        );
        assert_eq!(calls(&env.airbyte, WIDGET_TOKEN).len(), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn retries_mint_within_create() {
    let env = TestEnv::new().await;
    env.inject_times(2, Route::WidgetToken, answer(503));
    let response = env
        .create_source()
        .await
        .invoke(Event::create_source("alice", &faker_source()))
        .await;

    response.expect_success(201);
    assert_eq!(
        paths(&env.airbyte),
        [WIDGET_TOKEN, WIDGET_TOKEN, WIDGET_TOKEN, SOURCES]
    );
}

#[tokio::test]
async fn does_not_retry_mint_after_final_status() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for status in [400, 404, 408, 409, 418, 422, 500, 501, 505] {
        env.airbyte.clear_requests();
        env.inject(Route::WidgetToken, answer(status));
        let response = function.invoke(Event::mint_token("alice")).await;

        response.expect_problem(502, "upstream-error");
        assert_eq!(calls(&env.airbyte, WIDGET_TOKEN).len(), 1, "{status}");
    }
}

#[tokio::test]
async fn does_not_retry_create_of_unknown_outcome() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let mut faults: Vec<_> = [500, 502, 503, 504].map(answer).to_vec();
    faults.extend(
        [500, 502, 503, 504]
            .map(|status| FaultKind::RespondAfterProcessing(CannedResponse::new(status))),
    );
    faults.extend([
        FaultKind::ResetBeforeResponse,
        FaultKind::ResetMidResponse,
        FaultKind::CloseBeforeResponse,
    ]);
    for fault in faults {
        env.airbyte.clear_requests();
        env.inject(Route::Sources, fault.clone());
        let response = function
            .invoke(Event::create_source("alice", &faker_source()))
            .await;

        let problem = response.expect_problem(502, "upstream-error");
        assert_eq!(calls(&env.airbyte, SOURCES).len(), 1, "{fault:?}");
        assert!(
            problem.detail.contains("may"),
            "the source may exist all the same, {fault:?}: {problem:?}"
        );
    }
}

#[tokio::test]
async fn retries_create_after_429() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    env.inject_times(2, Route::Sources, answer(429));
    let response = function
        .invoke(Event::create_source("alice", &faker_source()))
        .await;

    response.expect_success(201);
    assert_eq!(calls(&env.airbyte, SOURCES).len(), 3);
    assert_eq!(env.airbyte.sources().len(), 1);
}

#[tokio::test]
async fn retries_after_refused_connection() {
    let env = TestEnv::new().await;
    let (mint, create) = (env.mint_token().await, env.create_source().await);
    create
        .invoke(Event::create_source("alice", &faker_source()))
        .await
        .expect_success(201);
    env.airbyte.refuse_connections().await.unwrap();

    // Airbyte comes back while the functions are trying.
    let again = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        env.airbyte.accept_connections().await.unwrap();
    };
    let (minted, created, ()) = tokio::join!(
        mint.invoke(Event::mint_token("alice")),
        create.invoke(Event::create_source("alice", &faker_source())),
        again
    );
    for (response, success) in [(minted, 200), (created, 201)] {
        // Three tries with random pauses may be over before that; what may not happen is a source too many.
        assert!(
            response.status == success || response.status == 502,
            "{response:?}"
        );
    }
    assert!(env.airbyte.sources().len() <= 2);
}

/// A port on which a connection is neither opened nor refused, as behind a wall that drops what it does not like.
struct SilentPort {
    url: String,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl SilentPort {
    async fn new() -> SilentPort {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts: who finds the queue full gets no answer.
        let mut queue = Vec::new();
        while let Ok(stream) =
            timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            queue.push(stream.unwrap());
        }
        SilentPort {
            url: format!("http://{address}"),
            _listener: listener,
            _queue: queue,
        }
    }
}

#[tokio::test]
async fn retries_after_connect_timeout() {
    let env = TestEnv::new().await;
    let minted = env
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;
    let mut source = faker_source();
    source["token"] = minted.expect_success(200)["token"].clone();
    let silent = SilentPort::new().await;
    let config = env.config().with("AIRBYTE_API_URL", &silent.url);
    let (mint, create) = tokio::join!(
        Function::start(Binary::MintToken, &config),
        Function::start(Binary::CreateSource, &config),
    );

    let deadline = Duration::from_secs(25);
    let (minted, created) = tokio::join!(
        mint.invoke_with_timeout(Event::mint_token("alice"), deadline),
        create.invoke_with_timeout(Event::create_source("alice", &source), deadline),
    );
    // Three times two seconds, short pauses, and what a busy machine takes.
    let (least, most) = (Duration::from_secs(6), Duration::from_secs(12));
    for response in [&minted, &created] {
        assert!((least..most).contains(&response.elapsed), "{response:?}");
    }
    minted.expect_problem(504, "upstream-timeout");
    let problem = created.expect_problem(504, "upstream-timeout");
    assert_eq!(
        problem.detail,
        "Airbyte did not respond in time. The request was not sent. Retry."
    );
}

#[tokio::test]
async fn recovers_from_closed_idle_connection() {
    let env = TestEnv::new().await;
    let (mint, create) = (env.mint_token().await, env.create_source().await);
    for _ in 0..3 {
        mint.invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
        create
            .invoke(Event::create_source("alice", &faker_source()))
            .await
            .expect_success(201);
        // Closes what is open.
        env.airbyte.refuse_connections().await.unwrap();
        env.airbyte.accept_connections().await.unwrap();
    }
    assert_eq!(env.airbyte.sources().len(), 3);
}

#[tokio::test]
async fn reuses_connections() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for user in ["alice", "bob", "carol", "dave"] {
        function
            .invoke(Event::mint_token(user))
            .await
            .expect_success(200);
    }
    assert!(
        env.airbyte.connections() <= 2,
        "{} connections",
        env.airbyte.connections()
    );
}

#[tokio::test]
async fn honors_retry_after_within_deadline() {
    let env = TestEnv::new().await;
    for status in [429, 503] {
        env.airbyte.clear_requests();
        let limited = CannedResponse::new(status).header("retry-after", "1");
        env.inject_times(1, Route::WidgetToken, FaultKind::Respond(limited));
        let function = env.mint_token().await;
        let response = function
            .invoke_with_timeout(Event::mint_token("alice"), Duration::from_secs(5))
            .await;

        response.expect_success(200);
        let sent: Vec<_> = calls(&env.airbyte, WIDGET_TOKEN)
            .iter()
            .map(|call| call.at)
            .collect();
        assert_eq!(sent.len(), 2);
        assert!(sent[1] - sent[0] >= 1000, "{sent:?}");
    }
}

#[tokio::test]
async fn reads_retry_after_date() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let date = |wait: time::Duration| {
        let format = time::format_description::parse_borrowed::<2>(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT",
        )
        .unwrap();
        (time::OffsetDateTime::now_utc() + wait)
            .format(&format)
            .unwrap()
    };
    // Too far away to wait for: told at once, in seconds.
    let limited = CannedResponse::new(429).header("retry-after", date(time::Duration::seconds(90)));
    env.inject_times(1, Route::WidgetToken, FaultKind::Respond(limited));
    let response = function.invoke(Event::mint_token("alice")).await;
    response.expect_problem(429, "rate-limited");
    assert!((85..=90).contains(&response.retry_after()), "{response:?}");
    assert!(response.elapsed < Duration::from_secs(1), "{response:?}");

    // In the past: no wait at all.
    let limited =
        CannedResponse::new(429).header("retry-after", date(time::Duration::seconds(-90)));
    env.inject_times(1, Route::WidgetToken, FaultKind::Respond(limited));
    let response = function.invoke(Event::mint_token("alice")).await;
    response.expect_success(200);
    assert!(response.elapsed < Duration::from_secs(1), "{response:?}");
}

#[tokio::test]
async fn forwards_retry_after_beyond_deadline() {
    let env = TestEnv::new().await;
    let limited = FaultKind::Respond(CannedResponse::new(429).header("retry-after", "3"));
    env.inject(Route::Any, limited);
    let deadline = Duration::from_secs(3);
    let minted = env
        .mint_token()
        .await
        .invoke_with_timeout(Event::mint_token("alice"), deadline)
        .await;
    let event = Event::create_source("alice", &faker_source());
    let created = env
        .create_source()
        .await
        .invoke_with_timeout(event, deadline)
        .await;

    for response in [minted, created] {
        response.expect_problem(429, "rate-limited");
        assert_eq!(response.retry_after(), 3);
        assert!(response.elapsed < Duration::from_secs(1), "{response:?}");
    }
    assert_eq!(paths(&env.airbyte), [WIDGET_TOKEN, WIDGET_TOKEN]);
}

#[tokio::test]
async fn adds_retry_after_when_airbyte_sends_none() {
    let env = TestEnv::new().await;
    env.inject(Route::WidgetToken, answer(429));
    let response = env
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    response.expect_problem(429, "rate-limited");
    assert!(response.retry_after() >= 1, "{response:?}");
}
