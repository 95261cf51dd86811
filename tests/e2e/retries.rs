//! What is sent again, and what never is.

use std::time::Duration;

use airbyte_sim::{CannedResponse, Fault, FaultKind, Route};
use e2e::{Binary, Event, Function, World, faker_source};
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
async fn a_mint_is_tried_three_times() {
    let world = World::new().await;
    let function = world.mint_token().await;
    for fault in passing_faults() {
        world.airbyte.clear_requests();
        world
            .airbyte
            .inject(Fault::new(Route::WidgetToken, fault.clone()).times(2));
        let answer = function.invoke(Event::mint_token("alice")).await;
        assert_eq!(answer.status, 200, "{fault:?}: {answer:?}");
        assert_eq!(calls(&world.airbyte, WIDGET_TOKEN).len(), 3, "{fault:?}");

        world.airbyte.clear_requests();
        world
            .airbyte
            .inject(Fault::new(Route::WidgetToken, fault.clone()));
        let answer = function.invoke(Event::mint_token("alice")).await;
        assert!(matches!(answer.status, 429 | 502), "{fault:?}: {answer:?}");
        assert_eq!(calls(&world.airbyte, WIDGET_TOKEN).len(), 3, "{fault:?}");
        world.airbyte.clear_faults();
    }
}

#[tokio::test]
async fn the_mint_inside_of_a_create_is_tried_three_times_too() {
    let world = World::new().await;
    world
        .airbyte
        .inject(Fault::new(Route::WidgetToken, answer(503)).times(2));
    let answer = world
        .create_source()
        .await
        .invoke(Event::create_source("alice", &faker_source()))
        .await;

    let _ = answer.success(201);
    assert_eq!(
        paths(&world.airbyte),
        [WIDGET_TOKEN, WIDGET_TOKEN, WIDGET_TOKEN, SOURCES]
    );
}

#[tokio::test]
async fn a_mint_is_not_repeated_after_an_answer_that_would_come_again() {
    let world = World::new().await;
    let function = world.mint_token().await;
    for status in [400, 404, 408, 409, 418, 422, 500, 501, 505] {
        world.airbyte.clear_faults();
        world.airbyte.clear_requests();
        world
            .airbyte
            .inject(Fault::new(Route::WidgetToken, answer(status)));
        let answer = function.invoke(Event::mint_token("alice")).await;

        let _ = answer.problem(502, "upstream-error");
        assert_eq!(calls(&world.airbyte, WIDGET_TOKEN).len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_create_is_never_sent_twice_when_it_may_have_been_done() {
    let world = World::new().await;
    let function = world.create_source().await;
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
        world.airbyte.clear_faults();
        world.airbyte.clear_requests();
        world
            .airbyte
            .inject(Fault::new(Route::Sources, fault.clone()));
        let answer = function
            .invoke(Event::create_source("alice", &faker_source()))
            .await;

        let problem = answer.problem(502, "upstream-error");
        assert_eq!(calls(&world.airbyte, SOURCES).len(), 1, "{fault:?}");
        assert!(
            problem.detail.contains("may"),
            "the source may exist all the same, {fault:?}: {problem:?}"
        );
    }
}

#[tokio::test]
async fn a_create_that_was_refused_unprocessed_is_sent_again() {
    let world = World::new().await;
    let function = world.create_source().await;
    world
        .airbyte
        .inject(Fault::new(Route::Sources, answer(429)).times(2));
    let answer = function
        .invoke(Event::create_source("alice", &faker_source()))
        .await;

    let _ = answer.success(201);
    assert_eq!(calls(&world.airbyte, SOURCES).len(), 3);
    assert_eq!(world.airbyte.sources().len(), 1);
}

#[tokio::test]
async fn a_request_that_never_reached_airbyte_is_sent_again() {
    let world = World::new().await;
    let (mint, create) = (world.mint_token().await, world.create_source().await);
    let _ = create
        .invoke(Event::create_source("alice", &faker_source()))
        .await
        .success(201);
    world.airbyte.refuse_connections().await.unwrap();

    // Airbyte comes back while the functions are trying.
    let again = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.airbyte.accept_connections().await.unwrap();
    };
    let (minted, created, ()) = tokio::join!(
        mint.invoke(Event::mint_token("alice")),
        create.invoke(Event::create_source("alice", &faker_source())),
        again
    );
    for (answer, success) in [(minted, 200), (created, 201)] {
        // Three tries with random pauses may be over before that; what may not happen is a source too many.
        assert!(
            answer.status == success || answer.status == 502,
            "{answer:?}"
        );
    }
    assert!(world.airbyte.sources().len() <= 2);
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
async fn a_connection_that_does_not_open_is_given_up_after_two_seconds_and_tried_again() {
    let world = World::new().await;
    let minted = world
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;
    let mut source = faker_source();
    source["token"] = minted.success(200)["token"].clone();
    let silent = SilentPort::new().await;
    let environment = world.environment().with("AIRBYTE_API_URL", &silent.url);
    let (mint, create) = tokio::join!(
        Function::start(Binary::MintToken, &environment),
        Function::start(Binary::CreateSource, &environment),
    );

    let deadline = Duration::from_secs(25);
    let (minted, created) = tokio::join!(
        mint.invoke_with_deadline(Event::mint_token("alice"), deadline),
        create.invoke_with_deadline(Event::create_source("alice", &source), deadline),
    );
    // Three times two seconds, short pauses, and what a busy machine takes.
    let (least, most) = (Duration::from_secs(6), Duration::from_secs(12));
    for answer in [&minted, &created] {
        assert!((least..most).contains(&answer.took), "{answer:?}");
    }
    let _ = minted.problem(504, "upstream-timeout");
    let problem = created.problem(504, "upstream-timeout");
    assert!(
        problem.detail.contains("nothing was sent"),
        "the source cannot exist: {problem:?}"
    );
}

#[tokio::test]
async fn a_kept_connection_that_airbyte_has_closed_costs_no_request() {
    let world = World::new().await;
    let (mint, create) = (world.mint_token().await, world.create_source().await);
    for _ in 0..3 {
        let _ = mint.invoke(Event::mint_token("alice")).await.success(200);
        let _ = create
            .invoke(Event::create_source("alice", &faker_source()))
            .await
            .success(201);
        // Closes what is open.
        world.airbyte.refuse_connections().await.unwrap();
        world.airbyte.accept_connections().await.unwrap();
    }
    assert_eq!(world.airbyte.sources().len(), 3);
}

#[tokio::test]
async fn connections_are_kept_from_one_request_to_the_next() {
    let world = World::new().await;
    let function = world.mint_token().await;
    for user in ["alice", "bob", "carol", "dave"] {
        let _ = function.invoke(Event::mint_token(user)).await.success(200);
    }
    assert!(
        world.airbyte.connections() <= 2,
        "{} connections",
        world.airbyte.connections()
    );
}

#[tokio::test]
async fn a_wait_that_airbyte_asks_for_is_kept_where_it_fits_the_deadline() {
    let world = World::new().await;
    for status in [429, 503] {
        world.airbyte.clear_requests();
        let limited = CannedResponse::new(status).header("retry-after", "1");
        world
            .airbyte
            .inject(Fault::new(Route::WidgetToken, FaultKind::Respond(limited)).times(1));
        let function = world.mint_token().await;
        let answer = function
            .invoke_with_deadline(Event::mint_token("alice"), Duration::from_secs(5))
            .await;

        let _ = answer.success(200);
        let sent: Vec<_> = calls(&world.airbyte, WIDGET_TOKEN)
            .iter()
            .map(|call| call.at)
            .collect();
        assert_eq!(sent.len(), 2);
        assert!(sent[1] - sent[0] >= 1000, "{sent:?}");
    }
}

#[tokio::test]
async fn a_wait_may_be_given_as_a_date() {
    let world = World::new().await;
    let function = world.mint_token().await;
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
    world
        .airbyte
        .inject(Fault::new(Route::WidgetToken, FaultKind::Respond(limited)).times(1));
    let answer = function.invoke(Event::mint_token("alice")).await;
    let _ = answer.problem(429, "rate-limited");
    assert!((85..=90).contains(&answer.retry_after()), "{answer:?}");
    assert!(answer.took < Duration::from_secs(1), "{answer:?}");

    // In the past: no wait at all.
    let limited =
        CannedResponse::new(429).header("retry-after", date(time::Duration::seconds(-90)));
    world
        .airbyte
        .inject(Fault::new(Route::WidgetToken, FaultKind::Respond(limited)).times(1));
    let answer = function.invoke(Event::mint_token("alice")).await;
    let _ = answer.success(200);
    assert!(answer.took < Duration::from_secs(1), "{answer:?}");
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_passed_on_at_once() {
    let world = World::new().await;
    let limited = FaultKind::Respond(CannedResponse::new(429).header("retry-after", "3"));
    world.airbyte.inject(Fault::new(Route::Any, limited));
    let deadline = Duration::from_secs(3);
    let minted = world
        .mint_token()
        .await
        .invoke_with_deadline(Event::mint_token("alice"), deadline)
        .await;
    let event = Event::create_source("alice", &faker_source());
    let created = world
        .create_source()
        .await
        .invoke_with_deadline(event, deadline)
        .await;

    for answer in [minted, created] {
        let _ = answer.problem(429, "rate-limited");
        assert_eq!(answer.retry_after(), 3);
        assert!(answer.took < Duration::from_secs(1), "{answer:?}");
    }
    assert_eq!(paths(&world.airbyte), [WIDGET_TOKEN, WIDGET_TOKEN]);
}

#[tokio::test]
async fn a_rate_limit_without_a_wait_still_tells_the_caller_one() {
    let world = World::new().await;
    world
        .airbyte
        .inject(Fault::new(Route::WidgetToken, answer(429)));
    let answer = world
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    let _ = answer.problem(429, "rate-limited");
    assert!(answer.retry_after() >= 1, "{answer:?}");
}
