//! What is too large or too often, and where the gateway listens.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use local_stack::gateway::{Gateway, MAX_BODY_BYTES, MAX_HEAD_BYTES, Options};
use local_stack::issuer::Issuer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Changes, NOWHERE, World, authority, message, soon, template};

#[tokio::test]
async fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
    let world = World::open().await;
    let post = async |length: usize| {
        let request = Request::post(world.url("/open")).header("content-type", "text/plain");
        world
            .send(request.body(Full::from(vec![b'a'; length])).unwrap())
            .await
    };
    assert_eq!(post(MAX_BODY_BYTES).await.status(), 200);
    let response = post(MAX_BODY_BYTES + 1).await;
    assert_eq!(
        (response.status().as_u16(), message(&response)),
        (413, "Request Entity Too Large".to_owned())
    );
    let [event] = &world.lambda.events()[..] else {
        panic!("not one event")
    };
    assert_eq!(event["body"].as_str().unwrap().len(), MAX_BODY_BYTES);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_limited_as_well() {
    let world = World::open().await;
    let chunk = Bytes::from(vec![b'a'; 1024 * 1024]);
    let chunks = (0..11).map(move |_| Ok::<_, std::io::Error>(Frame::data(chunk.clone())));
    let body = StreamBody::new(futures_util::stream::iter(chunks));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client
        .request(Request::post(world.url("/open")).body(body).unwrap())
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    let response = http::Response::from_parts(head, body.collect().await.unwrap().to_bytes());
    assert_eq!(
        (response.status().as_u16(), message(&response)),
        (413, "Request Entity Too Large".to_owned())
    );
    assert!(world.lambda.events().is_empty());
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_before_it_sends() {
    let world = World::open().await;
    let mut stream = TcpStream::connect(authority(&world)).await.unwrap();
    let head = format!(
        "POST /open HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        MAX_BODY_BYTES + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    soon("an answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_refused_request_with_a_large_body_leaves_the_connection_open() {
    let world = World::start().await;
    let body = vec![b'a'; 8 * 1024 * 1024];
    let mut stream = TcpStream::connect(authority(&world)).await.unwrap();
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..2 {
        stream.write_all(head.as_bytes()).await.unwrap();
        soon("the end of the body", stream.write_all(&body))
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(br#"{"message":"Unauthorized"}"#) {
            answer.push(soon("an answer", stream.read_u8()).await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 401"));
    }
}

/// The answer to a request of so many bytes of request line and headers, to its end.
async fn head_of(world: &World, length: usize) -> String {
    let before = "POST /open HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-long: ";
    let after = "\r\ncontent-length: 0\r\n";
    let filler = "a".repeat(length - before.len() - after.len());
    let mut stream = TcpStream::connect(authority(world)).await.unwrap();
    stream
        .write_all(format!("{before}{filler}{after}\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

#[tokio::test]
async fn a_head_of_the_limit_passes_and_one_byte_more_does_not() {
    let world = World::open().await;
    let passes = head_of(&world, MAX_HEAD_BYTES).await;
    assert!(passes.starts_with("HTTP/1.1 200"), "{passes}");
    let refused = head_of(&world, MAX_HEAD_BYTES + 1).await;
    assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
    assert!(
        refused.ends_with(r#"{"message":"Request Header Fields Too Large"}"#),
        "{refused}"
    );
    assert_eq!(world.lambda.events().len(), 1);
}

#[tokio::test]
async fn calls_over_a_routes_limit_are_throttled_and_other_routes_are_not() {
    // One call in a thousand seconds, after a burst of two.
    let limits = "POST /open: {ThrottlingRateLimit: 0.001, ThrottlingBurstLimit: 2}";
    let world = World::start_with(Changes {
        limits,
        ..Changes::default()
    })
    .await;
    for _ in 0..2 {
        assert_eq!(world.post("/open", &[]).await.status(), 200);
    }
    let response = world.post("/open", &[]).await;
    assert_eq!(
        (response.status().as_u16(), message(&response)),
        (429, "Too Many Requests".to_owned())
    );
    let bearer = world.bearer("alice");
    assert_eq!(
        world
            .post("/token", &[("authorization", &bearer)])
            .await
            .status(),
        200
    );
    assert_eq!(world.lambda.events().len(), 3);
}

#[tokio::test]
async fn nothing_listens_on_an_address_that_others_can_reach() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let problem =
        "0.0.0.0:0 is not a loopback address, and the local stack listens on nothing else";
    let gateway = Gateway::start(Options {
        address: everywhere,
        template: template(NOWHERE, &Changes::default()),
        functions: [("mint-token".to_owned(), "http://127.0.0.1:9/".to_owned())].into(),
        console: Arc::new(|_| {}),
    });
    assert_eq!(gateway.await.unwrap_err().to_string(), problem);
    assert_eq!(
        Issuer::start(everywhere).await.unwrap_err().to_string(),
        problem
    );
}

#[tokio::test]
async fn a_dropped_gateway_closes_its_port_and_connections() {
    let world = World::open().await;
    let address = authority(&world);
    let mut open = TcpStream::connect(&address).await.unwrap();
    open.write_all(b"POST /open HTTP/1.1\r\n").await.unwrap();
    drop(world);
    let mut rest = Vec::new();
    // Ended or reset, but not left open.
    let _ended = soon("the connection's end", open.read_to_end(&mut rest)).await;
    soon("the port's end", async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
