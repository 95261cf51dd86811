//! What strangers, and Airbyte, send costs no more than time in proportion to its length: eight times the text may take
//! little more than eight times the processor time. (Quadratic would be 64 times.)
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cpu_time::ThreadTime;
use create_source::request::SourceRequest;
use serde_json::json;
use shared::airbyte::rejection::Rejection;
use shared::airbyte::token::{self, decode_unverified};
use shared::lambda::event;
use shared::request::body;
use shared::request::caller::Caller;
use shared::request::origin::{AllowedOrigins, Origin};

const FACTOR: usize = 8;

/// As many as leave a clear distance to quadratic for caches, page faults and hash tables that grow.
const MOST: u32 = 24;

/// Compares the time that `work` takes with an input of `length` bytes, and of an eighth of it.
fn assert_linear<T>(what: &str, length: usize, input: impl Fn(usize) -> T, work: impl Fn(&T)) {
    let time = |input: &T| {
        let began = ThreadTime::now();
        work(input);
        began.elapsed()
    };
    let (small, large) = (input(length / FACTOR), input(length));
    // The least of several is what the work itself takes.
    let small = (0..5).map(|_| time(&small)).min().unwrap_or_default();
    // A coarse clock must not make nothing of it.
    let limit = small.max(Duration::from_micros(200)) * MOST;
    let fits = (0..3).any(|_| time(&large) <= limit);
    assert!(
        fits,
        "{what}: more than {limit:?} for {length} bytes, {small:?} for an eighth of them"
    );
}

/// As many repetitions as make up the length.
fn repeated(part: &str, length: usize) -> String {
    part.repeat(length / part.len())
}

/// The same with a number that takes the place of each `#`.
fn numbered(part: &str, length: usize) -> String {
    (0..length / (part.len() + 5))
        .map(|n| part.replace('#', &format!("{n:06}")))
        .collect()
}

/// A body of `POST /sources` may have a MiB; a quarter of one shows the same in less time.
const BODY: usize = 256 * 1024;

#[test]
fn parses_bodies_in_linear_time() {
    type Text = fn(usize) -> String;
    let cases: [(&str, Text); 13] = [
        ("arrays in arrays", |n| {
            "[".repeat(n / 2) + &"]".repeat(n / 2)
        }),
        ("objects in objects", |n| {
            repeated("{\"a\":", n) + "1" + &"}".repeat(n / 5)
        }),
        ("equal names", |n| {
            format!("{{{}\"z\":1}}", repeated("\"a\":1,", n))
        }),
        ("unknown names", |n| {
            format!("{{{}\"z\":1}}", numbered("\"#\":1,", n))
        }),
        ("equal names in many objects", |n| {
            format!("{{\"a\":[{}1]}}", repeated("{\"a\":1,\"a\":2},", n))
        }),
        ("long names", |n| {
            format!(
                "{{{}\"z\":1}}",
                numbered(&format!("\"{}#\":1,", "n".repeat(1000)), n)
            )
        }),
        ("one name", |n| format!("{{\"{}\":1}}", "n".repeat(n))),
        ("a string of escapes", |n| {
            format!("{{\"a\":\"{}\"}}", repeated("\\u0041\\n\\\"", n))
        }),
        ("halves of surrogate pairs", |n| {
            format!("{{\"a\":[{}1]}}", repeated("\"\\ud800\",", n))
        }),
        ("digits", |n| format!("{{\"a\":{}}}", "7".repeat(n))),
        ("digits of a fraction", |n| {
            format!("{{\"a\":0.{}1e99999}}", "0".repeat(n))
        }),
        ("numbers beyond doubles", |n| {
            format!("{{\"a\":[{}1]}}", repeated("1e999,", n))
        }),
        ("blanks", |n| {
            format!("{{\"a\":{}1}}", " \n\t\r".repeat(n / 4))
        }),
    ];
    let claims = HashMap::from([("sub".to_owned(), "alice".to_owned())]);
    let caller = Caller::Jwt(&claims);
    for (what, text) in cases {
        let parse = |text: &String| drop(black_box(SourceRequest::parse(text, &caller, "sub")));
        assert_linear(what, BODY, text, parse);
        let inside = |length| {
            format!(
                "{{\"source_config_template_id\": \"6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01\", \"connection_configuration\": {{\"c\": {}}}}}",
                text(length)
            )
        };
        assert_linear(&format!("{what} in the configuration"), BODY, inside, parse);
    }
}

#[test]
fn redacts_error_bodies_in_linear_time() {
    type Pair = fn(usize) -> (String, String);
    let cases: [(&str, Pair); 5] = [
        ("many values", |n| {
            let sent = format!("[{}0]", numbered("\"#\",", n));
            (
                sent,
                json!({ "detail": "x".repeat(n), "title": "0".repeat(n) }).to_string(),
            )
        }),
        ("one value", |n| {
            let fault = json!({ "loc": ["body", "x".repeat(50)], "msg": "a".repeat(n / 50) });
            (
                json!(["a".repeat(n) + "b"]).to_string(),
                json!({ "detail": vec![fault; 50] }).to_string(),
            )
        }),
        ("short values", |n| {
            (
                format!("[{}0]", repeated("\"a\",", n)),
                json!({ "detail": "a".repeat(n) }).to_string(),
            )
        }),
        ("many faults", |n| {
            let fault = json!({ "loc": ["body", 0], "msg": "bad" });
            (
                "{\"a\":1}".to_owned(),
                json!({ "detail": vec![fault; n / 32] }).to_string(),
            )
        }),
        ("a long place", |n| {
            (
                "{\"a\":1}".to_owned(),
                json!({ "detail": [{ "loc": vec!["abc"; n / 6], "msg": "bad" }] }).to_string(),
            )
        }),
    ];
    for (what, pair) in cases {
        assert_linear(what, BODY, pair, |(sent, answer)| {
            let sent = serde_json::from_str(sent).unwrap();
            black_box(Rejection::parse(answer.as_bytes()).redact(sent, &"token".into()));
        });
    }
}

/// Lambda accepts events of 6 MiB.
const EVENT: usize = 1024 * 1024;

#[test]
fn parses_events_in_linear_time() {
    type Text = fn(usize) -> String;
    let cases: [(&str, Text); 5] = [
        ("origins", |n| {
            let headers = repeated("\"origin\":\"https://a.example\",", n);
            event_with(&format!("\"headers\":{{{headers}\"a\":\"b\"}}"), "{}")
        }),
        ("headers", |n| {
            let value = "v".repeat(60);
            let headers = numbered(&format!("\"x-#\":\"{value}\","), n);
            event_with(&format!("\"headers\":{{{headers}\"a\":\"b\"}}"), "{}")
        }),
        ("claims", |n| {
            let claims = numbered("\"#\":\"value\",", n);
            let authorizer = format!("{{\"jwt\":{{\"claims\":{{{claims}\"sub\":\"alice\"}}}}}}");
            event_with("\"headers\":{}", &authorizer)
        }),
        ("a long claim", |n| {
            let claim = "a".repeat(n);
            let authorizer = format!("{{\"jwt\":{{\"claims\":{{\"sub\":\"{claim}\"}}}}}}");
            event_with("\"headers\":{}", &authorizer)
        }),
        ("a body", |n| {
            let body = STANDARD.encode("b".repeat(n));
            event_with(
                &format!("\"body\":\"{body}\",\"isBase64Encoded\":true"),
                "{}",
            )
        }),
    ];
    let allowed = AllowedOrigins::parse("https://a.example").unwrap();
    for (what, text) in cases {
        assert_linear(what, EVENT, text, |text| {
            let event = serde_json::from_str(text).unwrap();
            let Ok(request) = event::parse(event) else {
                panic!("{what} are an HTTP event");
            };
            let _ = black_box(allowed.check_header(&request));
            if let Ok(caller) = Caller::from_request(&request) {
                let _ = black_box(caller.external_user_id("sub", None));
            }
            let _ = black_box(body::text(&request, EVENT));
        });
    }
}

/// An event with these fields and this authorizer.
fn event_with(fields: &str, authorizer: &str) -> String {
    format!(
        "{{{fields},\"requestContext\":{{\"http\":{{\"method\":\"POST\"}},\"authorizer\":{authorizer}}}}}"
    )
}

#[test]
fn parses_origins_in_linear_time() {
    for part in ["a", "a.", "[", "://", "xn--a.", "\u{fc}"] {
        let origin = |length| format!("https://{}", repeated(part, length));
        assert_linear(part, BODY, origin, |text| {
            drop(black_box(Origin::parse(text)));
        });
    }
}

#[test]
fn decodes_tokens_in_linear_time() {
    type Text = fn(usize) -> String;
    let cases: [(&str, Text); 5] = [
        ("base64", |n| "A".repeat(n)),
        ("nesting", |n| STANDARD.encode("[".repeat(n / 4 * 3))),
        ("members", |n| {
            STANDARD.encode(format!("{{{}\"z\":1}}", numbered("\"#\":1,", n / 4 * 3)))
        }),
        ("dots", |n| {
            STANDARD.encode(
                json!({ "token": ".".repeat(n / 4 * 3), "widgetUrl": "https://a.example" })
                    .to_string(),
            )
        }),
        ("an address", |n| {
            let url = format!("https://a.example/{}", repeated("../%", n / 4 * 3));
            STANDARD.encode(json!({ "token": "a.b.c", "widgetUrl": url }).to_string())
        }),
    ];
    for (what, text) in cases {
        assert_linear(what, token::MAX_LENGTH - 200, text, |text| {
            drop(black_box(decode_unverified(text)));
        });
    }
}
