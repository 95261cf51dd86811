//! Parsing untrusted input, of callers and of Airbyte, takes linear time: for eight times the input, at most 24 times the
//! CPU time. (Quadratic time would be 64 times.)
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cpu_time::ThreadTime;
use create_source::request::SourceRequest;
use serde_json::{Value, json};
use shared::airbyte::rejection::{ErrorBody, Rejection};
use shared::airbyte::token::{self, decode_unverified};
use shared::airbyte::{Api, NewSource};
use shared::lambda::event;
use shared::request::RequestError;
use shared::request::body;
use shared::request::caller::{Caller, ExternalUserId};
use shared::request::origin::{AllowedOrigins, Origin};
use uuid::Uuid;

const SIZE_FACTOR: usize = 8;

/// Limit of the time ratio: between linear and quadratic, because of caches, page faults and growing hash tables.
const MAX_TIME_FACTOR: u32 = 24;

/// Compares the CPU time of `work` for an input of `length` bytes with that for an eighth of it.
fn assert_linear<T>(case: &str, length: usize, input: impl Fn(usize) -> T, work: impl Fn(&T)) {
    let (small, large) = (input(length / SIZE_FACTOR), input(length));
    let small = shortest_time(|| work(&small));
    // At least 200 µs, because the clock may be coarse.
    let limit = small.max(Duration::from_micros(200)) * MAX_TIME_FACTOR;
    let is_linear = (0..3).any(|_| time(|| work(&large)) <= limit);
    assert!(
        is_linear,
        "{case}: more than {limit:?} for {length} bytes, {small:?} for an eighth of them"
    );
}

fn time(work: impl Fn()) -> Duration {
    let started = ThreadTime::now();
    work();
    started.elapsed()
}

/// Returns the minimum of several times, because everything but the work itself only adds to it.
fn shortest_time(work: impl Fn()) -> Duration {
    (0..5).map(|_| time(&work)).min().unwrap_or_default()
}

/// Repeats a string up to a length.
fn repeated(part: &str, length: usize) -> String {
    part.repeat(length / part.len())
}

/// Repeats a string up to a length, with a number in place of each `#`.
fn numbered(part: &str, length: usize) -> String {
    (0..length / (part.len() + 5))
        .map(|n| part.replace('#', &format!("{n:06}")))
        .collect()
}

/// A quarter of the limit of `POST /sources`, to save time.
const BODY_BYTES: usize = 256 * 1024;

#[test]
fn parses_bodies_in_linear_time() {
    type Text = fn(usize) -> String;
    let cases: [(&str, Text); 13] = [
        ("nested arrays", |n| "[".repeat(n / 2) + &"]".repeat(n / 2)),
        ("nested objects", |n| {
            repeated("{\"a\":", n) + "1" + &"}".repeat(n / 5)
        }),
        ("duplicate keys", |n| {
            format!("{{{}\"z\":1}}", repeated("\"a\":1,", n))
        }),
        ("unknown keys", |n| {
            format!("{{{}\"z\":1}}", numbered("\"#\":1,", n))
        }),
        ("duplicate keys in many objects", |n| {
            format!("{{\"a\":[{}1]}}", repeated("{\"a\":1,\"a\":2},", n))
        }),
        ("long keys", |n| {
            format!(
                "{{{}\"z\":1}}",
                numbered(&format!("\"{}#\":1,", "n".repeat(1000)), n)
            )
        }),
        ("one key", |n| format!("{{\"{}\":1}}", "n".repeat(n))),
        ("escapes", |n| {
            format!("{{\"a\":\"{}\"}}", repeated("\\u0041\\n\\\"", n))
        }),
        ("unpaired surrogates", |n| {
            format!("{{\"a\":[{}1]}}", repeated("\"\\ud800\",", n))
        }),
        ("digits of one number", |n| {
            format!("{{\"a\":{}}}", "7".repeat(n))
        }),
        ("digits of one fraction", |n| {
            format!("{{\"a\":0.{}1e99999}}", "0".repeat(n))
        }),
        ("numbers out of range", |n| {
            format!("{{\"a\":[{}1]}}", repeated("1e999,", n))
        }),
        ("whitespace", |n| {
            format!("{{\"a\":{}1}}", " \n\t\r".repeat(n / 4))
        }),
    ];
    let claims = HashMap::from([("sub".to_owned(), "alice".to_owned())]);
    let caller = Caller::Jwt(&claims);
    for (case, text) in cases {
        let parse = |text: &String| drop(black_box(parse_request(text, &caller)));
        assert_linear(case, BODY_BYTES, text, parse);
        let nested = |length| {
            format!(
                "{{\"source_config_template_id\": \"6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01\", \"connection_configuration\": {{\"c\": {}}}}}",
                text(length)
            )
        };
        assert_linear(
            &format!("{case}, in the configuration"),
            BODY_BYTES,
            nested,
            parse,
        );
    }
}

fn parse_request<'a>(
    text: &'a str,
    caller: &Caller<'_>,
) -> Result<SourceRequest<'a>, RequestError> {
    let api = Api::default();
    SourceRequest::parse(text, caller, "sub", api.optional_source_fields())
}

/// The maximum length of a configuration whose rejection is compared with it.
const CONFIGURATION_BYTES: usize = 60 * 1024;

/// Returns what may be shown of a response to a create.
fn rejection(configuration: &str, response: &str) -> Rejection {
    let user = ExternalUserId::parse("alice").unwrap();
    let source = NewSource {
        user: &user,
        workspace_id: Uuid::nil(),
        template_id: Uuid::nil(),
        configuration: Some(serde_json::from_str(configuration).unwrap()),
        credentials: None,
        environment: None,
        name: None,
    };
    let body = ErrorBody::parse(response.as_bytes());
    Api::default().rejection(&body, &source, &"token".into())
}

#[test]
fn redacts_error_bodies_in_linear_time() {
    type Pair = fn(usize) -> (String, String);
    let cases: [(&str, Pair); 8] = [
        ("many values", |n| {
            let sent = format!("[{}0]", numbered("\"#\",", n));
            let body = json!({ "detail": "x".repeat(4 * n), "title": "0".repeat(4 * n) });
            (sent, body.to_string())
        }),
        ("one value", |n| {
            let error = json!({ "loc": ["body", "x".repeat(50)], "msg": "a".repeat(n / 50) });
            let sent = json!(["a".repeat(n) + "b"]);
            (
                sent.to_string(),
                json!({ "detail": vec![error; 50] }).to_string(),
            )
        }),
        ("short values", |n| {
            let body = json!({ "detail": "a".repeat(4 * n) });
            (format!("[{}0]", repeated("\"a\",", n)), body.to_string())
        }),
        ("encoded values", |n| {
            let sent = format!("[{}0]", repeated("\"%25a&amp;b\\\\u0041\",", n));
            (sent, json!({ "detail": "%2541".repeat(n) }).to_string())
        }),
        ("one encoded value", |n| {
            let sent = json!(["%25a&amp;b\\u0041".repeat(n / 16)]);
            (
                sent.to_string(),
                json!({ "detail": "&amp;#65;".repeat(n) }).to_string(),
            )
        }),
        ("many errors", |n| {
            let error = json!({ "loc": ["body", 0], "msg": "bad" });
            (
                "{\"a\":1}".to_owned(),
                json!({ "detail": vec![error; n / 8] }).to_string(),
            )
        }),
        ("long path", |n| {
            let body = json!({ "detail": [{ "loc": vec!["abc"; n], "msg": "bad" }] });
            ("{\"a\":1}".to_owned(), body.to_string())
        }),
        ("violations of a schema", |n| {
            let body = json!({ "message": format!("Errors: {}", repeated("$.a.b: bad, ", 4 * n)) });
            ("{\"a\":1}".to_owned(), body.to_string())
        }),
    ];
    for (case, pair) in cases {
        assert_linear(case, CONFIGURATION_BYTES, pair, |(sent, response)| {
            black_box(rejection(sent, response));
        });
    }
}

/// No deadline bounds the work after Airbyte's response.
#[test]
fn rejecting_takes_less_time_than_accepting() {
    const MAX_BODY: usize = 1024 * 1024 - 200;
    let body = |length: usize| {
        let fields = numbered("\"key#\":\"value-#-%41\",", length);
        format!("{{{fields}\"last\":1}}")
    };
    let claims = HashMap::from([("sub".to_owned(), "alice".to_owned())]);
    let caller = Caller::Jwt(&claims);
    let longest = body(MAX_BODY);
    let request = format!(
        "{{\"source_config_template_id\": \"6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01\", \"connection_configuration\": {longest}}}"
    );
    let accepting = shortest_time(|| {
        let request = black_box(parse_request(&request, &caller));
        assert!(request.is_ok());
    });
    for configuration in [body(CONFIGURATION_BYTES), longest] {
        // As FastAPI does, with the whole input.
        let input: Value = serde_json::from_str(&configuration).unwrap();
        let error = json!({"loc": ["body", "connection_configuration", "host"], "msg": "Field required", "input": input});
        let response = json!({ "detail": [error] }).to_string();
        let rejecting = shortest_time(|| {
            black_box(rejection(&configuration, &response));
        });
        assert!(
            rejecting < accepting * 2,
            "{} bytes: {rejecting:?} to reject, {accepting:?} to accept the longest",
            configuration.len()
        );
    }
}

/// A sixth of Lambda's limit, to save time.
const EVENT_BYTES: usize = 1024 * 1024;

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
        ("one long claim", |n| {
            let claim = "a".repeat(n);
            let authorizer = format!("{{\"jwt\":{{\"claims\":{{\"sub\":\"{claim}\"}}}}}}");
            event_with("\"headers\":{}", &authorizer)
        }),
        ("one long body", |n| {
            let body = STANDARD.encode("b".repeat(n));
            event_with(
                &format!("\"body\":\"{body}\",\"isBase64Encoded\":true"),
                "{}",
            )
        }),
    ];
    let allowed = AllowedOrigins::parse("https://a.example").unwrap();
    for (case, text) in cases {
        assert_linear(case, EVENT_BYTES, text, |text| {
            let event = serde_json::from_str(text).unwrap();
            let Ok(request) = event::parse(event) else {
                panic!("not an HTTP event: {case}");
            };
            let _ = black_box(allowed.check_header(&request));
            if let Ok(caller) = Caller::from_request(&request) {
                let _ = black_box(caller.external_user_id("sub", None));
            }
            let _ = black_box(body::text(&request, EVENT_BYTES));
        });
    }
}

/// Creates an event with these fields and this authorizer.
fn event_with(fields: &str, authorizer: &str) -> String {
    format!(
        "{{{fields},\"requestContext\":{{\"http\":{{\"method\":\"POST\"}},\"authorizer\":{authorizer}}}}}"
    )
}

#[test]
fn parses_origins_in_linear_time() {
    for part in ["a", "a.", "[", "://", "xn--a.", "\u{fc}"] {
        let origin = |length| format!("https://{}", repeated(part, length));
        assert_linear(part, BODY_BYTES, origin, |text| {
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
        ("fields", |n| {
            STANDARD.encode(format!("{{{}\"z\":1}}", numbered("\"#\":1,", n / 4 * 3)))
        }),
        ("dots", |n| {
            STANDARD.encode(
                json!({ "token": ".".repeat(n / 4 * 3), "widgetUrl": "https://a.example" })
                    .to_string(),
            )
        }),
        ("one long URL", |n| {
            let url = format!("https://a.example/{}", repeated("../%", n / 4 * 3));
            STANDARD.encode(json!({ "token": "a.b.c", "widgetUrl": url }).to_string())
        }),
    ];
    for (case, text) in cases {
        assert_linear(case, token::MAX_LENGTH - 200, text, |text| {
            drop(black_box(decode_unverified(text)));
        });
    }
}
