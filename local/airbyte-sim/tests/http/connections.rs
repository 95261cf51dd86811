//! Listening, the request log, and stopping.

use std::io::ErrorKind;

use airbyte_sim::{Airbyte, Options, Outcome};

use crate::client::{Connection, Request};
use crate::{ORGANIZATION, airbyte, widget_token_request};

#[tokio::test]
async fn listens_on_loopback_only() {
    let options = Options {
        address: ([0, 0, 0, 0], 0).into(),
        ..Options::default()
    };

    let error = Airbyte::start(options).await.err().unwrap();

    assert_eq!(error.to_string(), "0.0.0.0 is not a loopback address");
}

#[tokio::test]
async fn logs_requests_with_their_connection() {
    let airbyte = airbyte().await;
    let mut connection = Connection::open(&airbyte).await.unwrap();
    connection.send(&widget_token_request("alice")).await;
    connection
        .send(&Request::get("/nowhere?a=b").header("X-Test", "Ä"))
        .await;
    Connection::open(&airbyte)
        .await
        .unwrap()
        .send(&Request::get("/nowhere"))
        .await;

    let requests = airbyte.requests();

    let seen: Vec<_> = requests
        .iter()
        .map(|exchange| {
            (
                exchange.connection,
                exchange.method.as_str(),
                exchange.path.as_str(),
                exchange.status,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (1, "POST", "/api/v1/embedded/widget_token", Some(200)),
            (1, "GET", "/nowhere", Some(404)),
            (2, "GET", "/nowhere", Some(404)),
        ]
    );
    assert_eq!(
        requests[0].header("authorization"),
        Some("Bearer dev-organization-token")
    );
    assert_eq!(requests[0].json().unwrap()["organizationId"], ORGANIZATION);
    assert_eq!(requests[1].query.as_deref(), Some("a=b"));
    assert_eq!(requests[1].header("x-test"), Some("Ä"));
    assert!(
        requests
            .iter()
            .all(|exchange| exchange.outcome == Outcome::Completed)
    );
    assert!(requests.is_sorted_by_key(|exchange| exchange.at));
    assert_eq!(airbyte.connections(), 2);

    airbyte.clear_requests();
    assert!(airbyte.requests().is_empty());
}

#[tokio::test]
async fn refuses_and_accepts_connections() {
    let airbyte = airbyte().await;
    let mut open = Connection::open(&airbyte).await.unwrap();
    open.send(&widget_token_request("alice")).await;

    airbyte.refuse_connections().await.unwrap();

    assert!(open.read_to_end().await.bytes.is_empty());
    assert_eq!(
        Connection::open(&airbyte).await.err().unwrap().kind(),
        ErrorKind::ConnectionRefused
    );

    airbyte.accept_connections().await.unwrap();
    assert_eq!(widget_token_request("alice").status(&airbyte).await, 200);
}

#[tokio::test]
async fn refusing_and_accepting_are_idempotent() {
    let airbyte = airbyte().await;

    airbyte.refuse_connections().await.unwrap();
    airbyte.refuse_connections().await.unwrap();
    assert_eq!(
        Connection::open(&airbyte).await.err().unwrap().kind(),
        ErrorKind::ConnectionRefused
    );

    airbyte.accept_connections().await.unwrap();
    airbyte.accept_connections().await.unwrap();
    assert_eq!(widget_token_request("alice").status(&airbyte).await, 200);
}

#[tokio::test]
async fn rejects_tls_clients() {
    let airbyte = airbyte().await;
    let mut connection = Connection::open(&airbyte).await.unwrap();

    // The start of a record with a client hello: a handshake, TLS 1.0, 512 bytes.
    connection
        .write_bytes(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
        .await;

    let received = connection.read_to_end().await;
    assert!(!received.bytes.starts_with(&[0x16]), "{received:?}");
    assert!(airbyte.requests().is_empty());
}

#[tokio::test]
async fn stops_when_dropped() {
    let airbyte = airbyte().await;
    let mut open = Connection::open(&airbyte).await.unwrap();
    open.send(&widget_token_request("alice")).await;

    drop(airbyte);

    assert!(open.read_to_end().await.bytes.is_empty());
}
