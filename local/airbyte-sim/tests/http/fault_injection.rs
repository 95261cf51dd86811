//! Fault injection, as a client sees it.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use airbyte_sim::{Airbyte, CannedResponse, Fault, FaultKind, Outcome, Route};
use serde_json::json;

use crate::client::{Connection, Reply, Request};
use crate::{FAKER, ORGANIZATION, Session, airbyte, widget_token_request};

/// Returns the status and outcome of the last exchange.
fn last(airbyte: &Airbyte) -> (Option<u16>, Outcome) {
    let exchange = airbyte.requests().pop().unwrap();
    (exchange.status, exchange.outcome)
}

/// Waits until the last exchange has ended.
async fn ended(airbyte: &Airbyte) -> (Option<u16>, Outcome) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while last(airbyte).1 == Outcome::Pending {
        assert!(Instant::now() < deadline, "the exchange does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    last(airbyte)
}

fn create(session: &Session) -> Request {
    session.create(FAKER, r#"{"count": 1}"#)
}

#[tokio::test]
async fn sends_canned_response_verbatim() {
    let airbyte = airbyte().await;
    let three_mebibytes = vec![b'x'; 3 << 20];
    for response in [
        CannedResponse::new(503).header("Retry-After", "1"),
        CannedResponse::new(429)
            .header("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")
            .json(&json!({"detail": "slow down"})),
        CannedResponse::new(302).header("location", "http://127.0.0.1:9/elsewhere"),
        CannedResponse::new(418)
            .header("content-type", "text/html")
            .body("<h1>no</h1>"),
        CannedResponse::new(200)
            .header("content-type", "application/json")
            .body(r#"{"token": "#),
        CannedResponse::new(200)
            .header("content-type", "image/png")
            .body(r#"{"token": "e30="}"#),
        CannedResponse::new(200)
            .header("content-type", "application/json")
            .body([b'"', 0xff, b'"']),
        CannedResponse::new(200).body(three_mebibytes),
        CannedResponse::new(200),
    ] {
        airbyte
            .inject(Fault::new(Route::WidgetToken, FaultKind::Respond(response.clone())).times(1));

        let reply = widget_token_request("alice").send(&airbyte).await;

        assert_eq!(reply.status, response.status);
        for (name, value) in &response.headers {
            assert_eq!(&reply.headers[&name.to_ascii_lowercase()], value);
        }
        assert!(
            reply.body == response.body,
            "{} bytes for {}",
            reply.body.len(),
            response.body.len()
        );
        assert_eq!(last(&airbyte), (Some(response.status), Outcome::Completed));
    }
    assert_eq!(airbyte.workspace_of(ORGANIZATION, "alice"), None);
}

#[tokio::test]
async fn keeps_connection_after_canned_response() {
    let airbyte = airbyte().await;
    airbyte.inject(
        Fault::new(
            Route::WidgetToken,
            FaultKind::Respond(CannedResponse::new(503)),
        )
        .times(2),
    );
    let mut connection = Connection::open(&airbyte).await.unwrap();

    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(connection.send(&widget_token_request("alice")).await.status);
    }

    assert_eq!(statuses, [503, 503, 200]);
    assert_eq!(airbyte.connections(), 1);
}

#[tokio::test]
async fn responds_with_error_after_processing() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    airbyte.inject(Fault::new(
        Route::Sources,
        FaultKind::RespondAfterProcessing(CannedResponse::new(502)),
    ));

    assert_eq!(create(&alice).status(&airbyte).await, 502);

    assert_eq!(airbyte.sources().len(), 1);
    assert_eq!(last(&airbyte), (Some(502), Outcome::Completed));
}

#[tokio::test]
async fn resets_before_processing() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    airbyte.inject(Fault::new(Route::Sources, FaultKind::ResetBeforeResponse));

    let received = create(&alice).receive(&airbyte).await;

    assert_eq!(
        (received.bytes, received.end),
        (Vec::new(), Err(ErrorKind::ConnectionReset))
    );
    assert!(airbyte.sources().is_empty());
    assert_eq!(last(&airbyte), (None, Outcome::Reset));
}

#[tokio::test]
async fn resets_after_half_of_response() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    airbyte.inject(Fault::new(Route::Sources, FaultKind::ResetMidResponse));

    let received = create(&alice).receive(&airbyte).await;

    assert_eq!(received.end, Err(ErrorKind::ConnectionReset));
    let half = Reply::parse(&received.bytes);
    assert_eq!(half.status, 201);
    let head = received.bytes.len() - half.body.len();
    let whole = head + half.headers["content-length"].parse::<usize>().unwrap();
    assert_eq!(received.bytes.len(), whole / 2);
    assert_eq!(airbyte.sources().len(), 1);
    assert_eq!(last(&airbyte), (Some(201), Outcome::Reset));
}

#[tokio::test]
async fn closes_before_processing() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    airbyte.inject(Fault::new(Route::Sources, FaultKind::CloseBeforeResponse));

    let received = create(&alice).receive(&airbyte).await;

    assert_eq!((received.bytes, received.end), (Vec::new(), Ok(())));
    assert!(airbyte.sources().is_empty());
    assert_eq!(last(&airbyte), (None, Outcome::Closed));
}

#[tokio::test]
async fn hangs_until_client_closes() {
    let airbyte = airbyte().await;
    airbyte.inject(Fault::new(Route::Any, FaultKind::Hang));
    let mut connection = Connection::open(&airbyte).await.unwrap();
    connection.write(&widget_token_request("alice")).await;

    let silence = tokio::time::timeout(Duration::from_millis(300), connection.read_some()).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(last(&airbyte), (None, Outcome::Pending));

    drop(connection);
    assert_eq!(ended(&airbyte).await, (None, Outcome::Abandoned));
    assert_eq!(airbyte.workspace_of(ORGANIZATION, "alice"), None);
}

#[tokio::test]
async fn drips_response() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    let tick = Duration::from_millis(20);
    airbyte.inject(Fault::new(
        Route::Sources,
        FaultKind::Drip {
            bytes_per_tick: 50,
            tick,
        },
    ));
    let start = Instant::now();

    let reply = create(&alice).send(&airbyte).await;

    let pieces = u32::try_from(reply.body.len() / 50).unwrap();
    assert!(
        start.elapsed() >= tick * pieces,
        "{:?} for more than {pieces} pieces",
        start.elapsed()
    );
    assert_eq!(reply.json()["id"], json!(airbyte.sources()[0].id));
    assert_eq!(last(&airbyte), (Some(201), Outcome::Completed));
}

#[tokio::test]
async fn stops_dripping_when_client_closes() {
    let airbyte = airbyte().await;
    let hour = Duration::from_hours(1);
    airbyte.inject(Fault::new(
        Route::Any,
        FaultKind::Drip {
            bytes_per_tick: 1,
            tick: hour,
        },
    ));
    let mut connection = Connection::open(&airbyte).await.unwrap();
    connection.write(&widget_token_request("alice")).await;
    assert_eq!(connection.read_some().await, b"H");

    drop(connection);

    assert_eq!(ended(&airbyte).await, (Some(200), Outcome::Abandoned));
}

#[tokio::test]
async fn delays_response() {
    let airbyte = airbyte().await;
    let delay = Duration::from_millis(100);
    airbyte.inject(Fault::new(Route::WidgetToken, FaultKind::Delay(delay)));
    let start = Instant::now();

    let reply = widget_token_request("alice").send(&airbyte).await;

    assert_eq!(reply.status, 200);
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn drops_delayed_request_when_client_closes() {
    let airbyte = airbyte().await;
    airbyte.inject(Fault::new(
        Route::WidgetToken,
        FaultKind::Delay(Duration::from_hours(1)),
    ));
    let mut connection = Connection::open(&airbyte).await.unwrap();
    connection.write(&widget_token_request("alice")).await;
    while airbyte.requests().is_empty() {
        tokio::task::yield_now().await;
    }

    drop(connection);

    assert_eq!(ended(&airbyte).await, (None, Outcome::Abandoned));
    assert_eq!(airbyte.workspace_of(ORGANIZATION, "alice"), None);
}

#[tokio::test]
async fn counts_and_clears_faults() {
    let airbyte = airbyte().await;
    let status = async || widget_token_request("alice").status(&airbyte).await;
    airbyte.inject(
        Fault::new(
            Route::WidgetToken,
            FaultKind::Respond(CannedResponse::new(503)),
        )
        .skip(1)
        .times(1),
    );

    assert_eq!(
        [status().await, status().await, status().await],
        [200, 503, 200]
    );

    airbyte.inject(Fault::new(
        Route::Any,
        FaultKind::Respond(CannedResponse::new(500)),
    ));
    assert_eq!([status().await, status().await], [500, 500]);
    airbyte.clear_faults();
    assert_eq!(status().await, 200);
}
