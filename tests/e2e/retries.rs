//! Retries: which calls to Airbyte are retried, how often, and after which wait.

use std::time::Duration;

use airbyte_sim::{CannedResponse, FaultKind, Route};
use e2e::{Binary, Event, Function, Generation, TestEnv, case};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::faults::http_date;

e2e::test_each_generation!(
    retries_mint_up_to_three_attempts,
    retries_mint_within_create,
    does_not_retry_mint_after_final_status,
    does_not_retry_create_of_unknown_outcome,
    retries_create_after_429,
    retries_after_refused_connection,
    retries_after_connect_timeout,
    recovers_from_closed_idle_connection,
    reuses_connections,
    honors_retry_after_within_deadline,
    reads_retry_after_date,
    forwards_retry_after_beyond_maximum_wait,
    adds_retry_after_when_airbyte_sends_none,
);

fn status(status: u16) -> FaultKind {
    FaultKind::Respond(CannedResponse::new(status))
}

fn retry_after(status: u16, value: impl Into<String>) -> FaultKind {
    FaultKind::Respond(CannedResponse::new(status).header("retry-after", value))
}

const LOST_CONNECTIONS: [FaultKind; 3] = [
    FaultKind::ResetBeforeResponse,
    FaultKind::ResetMidResponse,
    FaultKind::CloseBeforeResponse,
];

async fn retries_mint_up_to_three_attempts(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    let mut faults: Vec<_> = [429, 502, 503, 504].map(status).into();
    faults.extend(LOST_CONNECTIONS);
    // Processed requests are retried too, because a mint is idempotent.
    faults.push(FaultKind::RespondAfterProcessing(CannedResponse::new(503)));
    for fault in faults {
        let _case = case(format_args!("{fault:?}"));
        env.airbyte.clear_requests();
        env.inject_times(2, Route::WidgetToken, fault.clone());
        function.invoke(Event::mint()).await.expect_success(200);
        assert_eq!(env.routes().len(), 3);

        env.airbyte.clear_requests();
        env.inject(Route::WidgetToken, fault);
        let response = function.invoke(Event::mint()).await;
        assert!(matches!(response.status, 429 | 502), "{response:?}");
        assert_eq!(env.routes().len(), 3);
    }
}

async fn retries_mint_within_create(generation: Generation) {
    let env = TestEnv::of(generation).await;
    env.inject_times(2, Route::WidgetToken, status(503));
    let function = env.create_source().await;

    function.invoke(Event::create()).await.expect_success(201);

    assert_eq!(env.requests(Route::WidgetToken).len(), 3);
    assert_eq!(env.requests(Route::Sources).len(), 1);
}

async fn does_not_retry_mint_after_final_status(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    for code in [400, 404, 408, 409, 418, 422, 500, 501, 505] {
        let _case = case(code);
        env.airbyte.clear_requests();
        env.inject(Route::WidgetToken, status(code));
        let response = function.invoke(Event::mint()).await;
        response.expect_problem(502, "upstream-error");
        assert_eq!(env.routes(), [Route::WidgetToken]);
    }
}

async fn does_not_retry_create_of_unknown_outcome(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.create_source().await;
    let mut faults: Vec<_> = [500, 502, 503, 504].map(status).into();
    faults.extend(
        [500, 502, 503, 504]
            .map(|status| FaultKind::RespondAfterProcessing(CannedResponse::new(status))),
    );
    faults.extend(LOST_CONNECTIONS);
    for fault in faults {
        let _case = case(format_args!("{fault:?}"));
        env.airbyte.clear_requests();
        env.inject(Route::Sources, fault);

        let response = function.invoke(Event::create()).await;

        let problem = response.expect_problem(502, "upstream-error");
        let advice = "The source may have been created. Check before retrying.";
        assert!(problem.detail.ends_with(advice), "{problem:?}");
        assert_eq!(env.requests(Route::Sources).len(), 1);
    }
}

async fn retries_create_after_429(generation: Generation) {
    let env = TestEnv::of(generation).await;
    env.inject_times(2, Route::Sources, status(429));
    let function = env.create_source().await;

    function.invoke(Event::create()).await.expect_success(201);

    assert_eq!(env.requests(Route::Sources).len(), 3);
    assert_eq!(env.airbyte.sources().len(), 1);
}

async fn retries_after_refused_connection(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let (mint, create) = (env.mint_token().await, env.create_source().await);
    create.invoke(Event::create()).await.expect_success(201);
    env.airbyte.refuse_connections().await.unwrap();

    for (function, event) in [(&mint, Event::mint()), (&create, Event::create())] {
        let response = function.invoke(event).await;
        response.expect_problem(502, "upstream-error");
        let logs = function.logs();
        assert_eq!(logs.last().unwrap()["attempts"], 3, "{logs:?}");
    }

    env.airbyte.accept_connections().await.unwrap();
    mint.invoke(Event::mint()).await.expect_success(200);
    create.invoke(Event::create()).await.expect_success(201);
    assert_eq!(env.airbyte.sources().len(), 2);
}

/// A port that neither accepts nor refuses connections, like one behind a firewall that drops packets.
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
        // Nothing accepts connections, so that the backlog fills up, and further ones get no reply.
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

async fn retries_after_connect_timeout(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let minted = env.mint_token().await.invoke(Event::mint()).await;
    let token = minted.expect_success(200)["token"].clone();
    let silent = SilentPort::new().await;
    let config = env.config().with("AIRBYTE_API_URL", &silent.url);
    let (mint, create) = tokio::join!(
        Function::start(Binary::MintToken, &config),
        Function::start(Binary::CreateSource, &config),
    );

    let timeout = Duration::from_secs(25);
    let (minted, created) = tokio::join!(
        mint.invoke_with_timeout(Event::mint(), timeout),
        create.invoke_with_timeout(Event::create().field("token", token), timeout),
    );

    // Three attempts of two seconds each, with short pauses, on a busy machine.
    let expected = Duration::from_secs(6)..Duration::from_secs(12);
    for response in [&minted, &created] {
        assert!(expected.contains(&response.elapsed), "{response:?}");
    }
    let problem = minted.expect_problem(504, "upstream-timeout");
    assert_eq!(problem.detail, "Airbyte did not respond in time. Retry.");
    let problem = created.expect_problem(504, "upstream-timeout");
    assert_eq!(
        problem.detail,
        "Airbyte did not respond in time. The request was not sent. Retry."
    );
}

async fn recovers_from_closed_idle_connection(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let (mint, create) = (env.mint_token().await, env.create_source().await);
    for _ in 0..3 {
        mint.invoke(Event::mint()).await.expect_success(200);
        create.invoke(Event::create()).await.expect_success(201);
        // Closes the open connections.
        env.airbyte.refuse_connections().await.unwrap();
        env.airbyte.accept_connections().await.unwrap();
    }
    assert_eq!(env.airbyte.sources().len(), 3);
}

async fn reuses_connections(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    for user in ["alice", "bob", "carol", "dave"] {
        let response = function.invoke(Event::mint_token(user)).await;
        response.expect_success(200);
    }
    let connections = env.airbyte.connections();
    assert!(connections <= 2, "{connections} connections");
}

async fn honors_retry_after_within_deadline(generation: Generation) {
    let env = TestEnv::of(generation).await;
    for status in [429, 503] {
        let _case = case(status);
        env.airbyte.clear_requests();
        env.inject_times(1, Route::WidgetToken, retry_after(status, "1"));
        let function = env.mint_token().await;

        let response = function
            .invoke_with_timeout(Event::mint(), Duration::from_secs(5))
            .await;

        response.expect_success(200);
        let requests = env.requests(Route::WidgetToken);
        let sent: Vec<_> = requests.iter().map(|request| request.at).collect();
        assert_eq!(sent.len(), 2);
        assert!(sent[1] - sent[0] >= 1000, "{sent:?}");
    }
}

async fn reads_retry_after_date(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    let date = |seconds| http_date(OffsetDateTime::now_utc() + time::Duration::seconds(seconds));

    // Too late to wait for: forwarded immediately, in seconds.
    env.inject_times(1, Route::WidgetToken, retry_after(429, date(90)));
    let response = function.invoke(Event::mint()).await;
    response.expect_problem(429, "rate-limited");
    assert!((85..=90).contains(&response.retry_after()), "{response:?}");
    assert!(response.elapsed < Duration::from_secs(1), "{response:?}");

    // In the past: no wait.
    env.inject_times(1, Route::WidgetToken, retry_after(429, date(-90)));
    let response = function.invoke(Event::mint()).await;
    response.expect_success(200);
    assert!(response.elapsed < Duration::from_secs(1), "{response:?}");
}

async fn forwards_retry_after_beyond_maximum_wait(generation: Generation) {
    let env = TestEnv::of(generation).await;
    env.inject(Route::Any, retry_after(429, "3"));
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        env.airbyte.clear_requests();

        let response = function
            .invoke_with_timeout(Event::valid(binary), Duration::from_secs(3))
            .await;

        let problem = response.expect_problem(429, "rate-limited");
        assert_eq!(
            problem.detail,
            "Airbyte is rate limiting requests. Retry in 3 seconds."
        );
        assert_eq!(response.retry_after(), 3);
        assert!(response.elapsed < Duration::from_secs(1), "{response:?}");
        assert_eq!(env.routes(), [Route::WidgetToken]);
    }
}

async fn adds_retry_after_when_airbyte_sends_none(generation: Generation) {
    let env = TestEnv::of(generation).await;
    env.inject(Route::WidgetToken, status(429));
    let function = env.mint_token().await;

    let response = function.invoke(Event::mint()).await;

    response.expect_problem(429, "rate-limited");
    assert_eq!(response.retry_after(), 5);
}
