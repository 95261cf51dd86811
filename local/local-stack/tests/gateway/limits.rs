//! Size limits, throttling, and the address that the gateway listens on.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use local_stack::gateway::{
    Gateway, MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_INVOCATION_BYTES, Options,
};
use local_stack::issuer::Issuer;
use template::Throttling;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Changes, NOWHERE, World, authority, message, soon, template};

#[tokio::test]
async fn limits_body_and_event() {
    let world = World::open().await;
    let post = async |content_type: &str, length: usize| {
        let request = Request::post(world.url("/open")).header("content-type", content_type);
        let body = Full::from(vec![b'a'; length]);
        world.send(request.body(body).unwrap()).await
    };
    // The rest of the event is smaller than this.
    let largest = MAX_INVOCATION_BYTES - 10_000;
    let largest_in_base64 = largest / 4 * 3;

    for (content_type, length) in [
        ("text/plain", largest),
        ("application/octet-stream", largest_in_base64),
    ] {
        let response = post(content_type, length).await;
        assert_eq!(response.status(), 200, "{content_type}");
    }
    for (content_type, length) in [
        ("text/plain", MAX_INVOCATION_BYTES),
        ("application/octet-stream", largest),
        ("text/plain", MAX_BODY_BYTES + 1),
    ] {
        let response = post(content_type, length).await;
        assert_eq!(
            (response.status().as_u16(), message(&response)),
            (413, "Request Entity Too Large".to_owned()),
            "{content_type}"
        );
    }

    assert_eq!(world.lambda.events().len(), 2);
    let [first, second] = &world.console()[..] else {
        panic!("{:?}", world.console())
    };
    for line in [first, second] {
        assert!(line.starts_with("mint-token: the event has "), "{line}");
        assert!(line.ends_with("and Lambda accepts 6291556"), "{line}");
    }
}

#[tokio::test]
async fn limits_body_of_unknown_length() {
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
async fn rejects_announced_body_before_it_is_sent() {
    let world = World::open().await;
    let mut stream = TcpStream::connect(authority(&world)).await.unwrap();
    let head = format!(
        "POST /open HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        MAX_BODY_BYTES + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = [0; 12];
    soon("a response", stream.read_exact(&mut response))
        .await
        .unwrap();
    assert_eq!(&response, b"HTTP/1.1 413");
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
        let mut response = Vec::new();
        while !response.ends_with(br#"{"message":"Unauthorized"}"#) {
            response.push(soon("a response", stream.read_u8()).await.unwrap());
        }
        assert!(response.starts_with(b"HTTP/1.1 401"));
    }
}

/// The whole response to a request with this many bytes of request line and headers.
async fn head_of(world: &World, length: usize) -> String {
    let before = "POST /open HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-long: ";
    let after = "\r\ncontent-length: 0\r\n";
    let filler = "a".repeat(length - before.len() - after.len());
    let mut stream = TcpStream::connect(authority(world)).await.unwrap();
    stream
        .write_all(format!("{before}{filler}{after}\r\n").as_bytes())
        .await
        .unwrap();
    let mut response = String::new();
    soon("a response", stream.read_to_string(&mut response))
        .await
        .unwrap();
    response
}

#[tokio::test]
async fn limits_head() {
    let world = World::open().await;
    let passes = head_of(&world, MAX_HEAD_BYTES).await;
    assert!(passes.starts_with("HTTP/1.1 200"), "{passes}");
    let rejected = head_of(&world, MAX_HEAD_BYTES + 1).await;
    assert!(rejected.starts_with("HTTP/1.1 431"), "{rejected}");
    assert!(
        rejected.ends_with(r#"{"message":"Request Header Fields Too Large"}"#),
        "{rejected}"
    );
    assert_eq!(world.lambda.events().len(), 1);
}

#[tokio::test]
async fn throttles_per_route() {
    // One call in a thousand seconds, after a burst of two.
    let throttling = Some(Throttling {
        rate: 0.001,
        burst: 2.0,
    });
    let world = World::start_with(Changes {
        throttling,
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
async fn rejects_addresses_beyond_loopback() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let problem = "0.0.0.0:0 is not a loopback address";
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
async fn closes_port_and_connections_when_dropped() {
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
