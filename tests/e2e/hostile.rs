//! Input that nobody sends by mistake: strange events, strange bodies, large ones. None fails an invocation, none costs
//! more than its size, none reaches an upstream, and the next request finds the function as it was.

use std::time::Duration;

use e2e::{Binary, Config, Event, FAKER, Function, TestEnv, faker_source, token};
use serde_json::{Value, json};
use uuid::Uuid;

/// What may pass between taking a hostile event and its answer, in an unoptimized build on a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn good(binary: Binary) -> Event {
    match binary {
        Binary::MintToken => Event::mint_token("alice").body("{}"),
        Binary::CreateSource => Event::create_source("alice", &faker_source()),
    }
}

async fn assert_works(function: &Function, binary: Binary) {
    let response = function.invoke(good(binary)).await;
    assert!(response.status < 300, "{response:?}");
}

/// Checks that an event is refused as a client's mistake, and soon.
async fn assert_refused(function: &Function, event: &str) {
    let response = function.invoke(event).await;
    assert!(
        (400..500).contains(&response.status),
        "{event:.300}: {response:?}"
    );
    response.expect_problem(
        response.status,
        response.body["type"].as_str().unwrap_or_default(),
    );
    assert!(
        response.elapsed < SOON,
        "{event:.300}: {:?}",
        response.elapsed
    );
    assert!(
        response.text.len() < 64 * 1024,
        "{event:.300}: {} bytes of response",
        response.text.len()
    );
}

/// A good event with one part of it replaced, as text.
fn with(binary: Binary, pointer: &str, value: &str) -> String {
    let mut event = good(binary).into_json();
    *event.pointer_mut(pointer).expect("a part of the event") = json!("\u{1}");
    event.to_string().replace(r#""\u0001""#, value)
}

#[tokio::test]
async fn rejects_events_of_other_kinds() {
    let events = [
        "null",
        "true",
        "17",
        "1e400",
        "\"POST /token\"",
        r#""\ud800""#,
        "[]",
        "[{}]",
        "{}",
        r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#,
        r#"{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}"#,
        r#"{"version":"1.0","httpMethod":"POST","path":"/token","requestContext":{"authorizer":{"claims":{"sub":"alice"}}}}"#,
        r#"{"version":"2.0","routeKey":"POST /token"}"#,
        r#"{"requestContext":null,"headers":null,"body":null,"isBase64Encoded":null}"#,
        r#"{"requestContext":[],"headers":[],"body":[],"isBase64Encoded":[]}"#,
        r#"{"requestContext":{"authorizer":"\ud800"}}"#,
        r#"{"requestContext":{},"requestContext":{}}"#,
    ];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for event in events {
            assert_refused(&function, event).await;
        }
        assert!(env.airbyte.requests().is_empty());
        assert_works(&function, binary).await;
        env.airbyte.clear_requests();
    }
}

#[tokio::test]
async fn rejects_event_fields_of_wrong_type() {
    let strange = [
        "17",
        "true",
        "[]",
        "{}",
        r#"["a"]"#,
        r#""\ud800""#,
        r#"{"a":"\udfff"}"#,
        "1e999",
    ];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for value in strange {
            for pointer in ["/body", "/requestContext", "/requestContext/authorizer"] {
                assert_refused(&function, &with(binary, pointer, value)).await;
            }
            for pointer in [
                "/requestContext/authorizer/jwt",
                "/requestContext/authorizer/jwt/claims/sub",
            ] {
                assert_refused(&function, &with(binary, pointer, value)).await;
            }
            // A header may be a list, and some fields are not read: any response, but no failed invocation.
            for pointer in [
                "/headers/origin",
                "/headers/user-agent",
                "/requestContext/http",
                "/rawPath",
                "/version",
                "/isBase64Encoded",
            ] {
                let response = function.invoke(with(binary, pointer, value)).await;
                assert!(response.status < 500, "{pointer} {value}: {response:?}");
            }
        }
        assert_works(&function, binary).await;
    }
    // Those of the last kind may have been served; nobody was who they are not.
    for exchange in env.airbyte.requests() {
        let body = exchange.json().unwrap();
        assert!(
            body.get("externalUserId")
                .is_none_or(|user| user == "alice"),
            "{body}"
        );
    }
}

/// Bodies of up to a mebibyte that cost a careless reader more than their size.
fn costly_bodies() -> Vec<(&'static str, String)> {
    const SIZE: usize = 1024 * 1024;
    let fill = |piece: &str| piece.repeat((SIZE - 1000) / piece.len());
    let source = |configuration: String| {
        format!(
            r#"{{"source_config_template_id":"{FAKER}","connection_configuration":{configuration}}}"#
        )
    };
    let numbered = |piece: fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let next = piece(number);
            if text.len() + next.len() > SIZE - 1000 {
                return text;
            }
            text.push_str(&next);
        }
        text
    };
    vec![
        ("open brackets", fill("[")),
        ("open braces", fill("{\"a\":")),
        ("nested in a configuration", source(fill("{\"a\":"))),
        ("nested and closed", source(format!("{{\"a\":{}{}}}", "[".repeat(400_000), "]".repeat(400_000)))),
        ("one long number", source(format!("{{\"a\":{}}}", "9".repeat(SIZE - 1000)))),
        ("a long fraction with a small exponent", source(format!("{{\"a\":0.{}1e-9999}}x", "0".repeat(SIZE - 1000)))),
        ("many equal names", source(format!("{{{}\"z\":1}}", fill("\"a\":1,")))),
        ("many names", source(format!("{{{}\"z\":1e999}}", numbered(|number| format!("\"name{number}\":1,"))))),
        ("many lone surrogates", source(format!("{{\"a\":[{}0]}}", fill(r#""\ud800","#)))),
        ("many escapes", source(format!("{{\"a\":\"{}\\ud800\"}}", fill(r"\u0041")))),
        ("many unknown members", format!("{{{}\"z\":1}}", numbered(|number| format!("\"name{number}\":1,")))),
        ("one long name", format!("{{\"{}\":1}}", fill("n"))),
        ("a long name inside", source(format!("{{\"{}\":1e999}}", fill("n")))),
        ("deep places", source(format!("{}{}{}", "{\"aaaaaaaaaa\":".repeat(60), format_args!("[{}0]", fill("1e999,")), "}".repeat(60)))),
        ("white space", format!("{}x", fill(" "))),
        ("one long string", format!("\"{}\"", fill("\\\\"))),
        ("a long token", json!({ "token": fill("A"), "source_config_template_id": FAKER, "connection_configuration": {} }).to_string()),
        (
            "a token of brackets",
            {
                use base64::Engine;
                let token = base64::prelude::BASE64_STANDARD.encode("[".repeat(SIZE / 2));
                json!({ "token": token, "source_config_template_id": FAKER, "connection_configuration": {} }).to_string()
            },
        ),
    ]
}

#[tokio::test]
async fn bounds_cost_of_hostile_bodies() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    for (name, body) in costly_bodies() {
        assert!(
            body.len() <= 1024 * 1024 && body.len() > 512 * 1024,
            "{name}: {} bytes",
            body.len()
        );
        let event = Event::create_source("alice", &json!({})).body(body);
        assert_refused(&function, &event.to_string()).await;
    }
    assert!(env.airbyte.requests().is_empty());
    let peak = peak_memory(&function);
    assert!(peak < 100 * 1024, "{peak} KiB of memory at the peak");
    assert_works(&function, Binary::CreateSource).await;
}

#[tokio::test]
async fn rejects_events_of_maximum_size() {
    // 6 MB, of which base64 is three quarters.
    let text = "{\"a\":".repeat(1_100_000);
    let bytes = &text.as_bytes()[..4_100_000];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for event in [good(binary).body(&text), good(binary).base64_body(bytes)] {
            let response = function.invoke(event).await;
            response.expect_problem(413, "payload-too-large");
        }
        assert_works(&function, binary).await;
    }
}

/// The most memory that the process has had, in KiB.
fn peak_memory(function: &Function) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", function.process_id()))
        .expect("a running process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("a peak");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

#[tokio::test]
async fn prevents_header_injection_through_tokens() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let claims = token::scoped_claims(
        Uuid::new_v4(),
        "alice",
        time::OffsetDateTime::now_utc() + time::Duration::HOUR,
    );
    let jwt = token::jwt(&claims);
    for injected in [
        "\r\nx-injected: 1",
        "\nx-injected: 1",
        "\r",
        "\0",
        "\u{7f}",
        "é",
        " x",
        "\t",
    ] {
        for scoped in [
            format!("{jwt}{injected}"),
            format!("{injected}{jwt}"),
            jwt.replacen('.', &format!("{injected}."), 1),
        ] {
            let mut body = faker_source();
            body["token"] = json!(token::opaque(&scoped, "https://cloud.airbyte.com"));
            let response = function.invoke(Event::create_source("alice", &body)).await;
            assert_eq!(response.status, 400, "{injected:?}: {response:?}");
            response.expect_problem(400, "invalid-token");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

/// A pseudo-random sequence (`SplitMix64`), so that a failure can be repeated by its number.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).expect("below a usize")
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.next(items.len())]
    }
}

/// Replaces one value somewhere in a JSON document.
fn mutate(value: &mut Value, random: &mut Random) {
    const REPLACEMENTS: [&str; 16] = [
        "null",
        "true",
        "0",
        "-1",
        "1e308",
        "\"\"",
        "\" \"",
        "\"x\"",
        "[]",
        "{}",
        "[[[[[[]]]]]]",
        "{\"a\":{\"a\":{}}}",
        "\"https://evil.example\"",
        "\"\\u0000\"",
        "\"\\r\\n\"",
        "18446744073709551616",
    ];
    let children = match value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if children == 0 || random.next(4) == 0 {
        *value = serde_json::from_str(random.pick(&REPLACEMENTS)).expect("JSON");
        return;
    }
    let child = random.next(children);
    match value {
        Value::Object(members) => {
            let name = members.keys().nth(child).expect("a member").clone();
            if random.next(6) == 0 {
                members.remove(&name);
            } else {
                mutate(&mut members[&name], random);
            }
        }
        Value::Array(items) => mutate(&mut items[child], random),
        _ => {}
    }
}

#[tokio::test]
async fn answers_mutated_events_as_same_user() {
    const EVENTS: u64 = 400;
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let fixtures = match binary {
            Binary::MintToken => [
                "mint-token-jwt.json",
                "mint-token-iam.json",
                "mint-token-base64-body.json",
            ],
            Binary::CreateSource => [
                "create-source-jwt.json",
                "create-source-iam.json",
                "create-source-base64-body.json",
            ],
        };
        for seed in 0..EVENTS {
            let mut random = Random(seed);
            let mut event = Event::fixture(random.pick(&fixtures))
                .origin(Config::ORIGIN)
                .into_json();
            for _ in 0..=random.next(3) {
                mutate(&mut event, &mut random);
            }
            let response = function.invoke(&event).await;
            assert!(
                response.status < 500 || response.status == 502,
                "seed {seed}: {event}\n{response:?}"
            );
        }
        assert_works(&function, binary).await;
    }
    for exchange in env.airbyte.requests() {
        let body = exchange.json().unwrap();
        let Some(user) = body.get("externalUserId") else {
            continue;
        };
        assert!(
            user == "alice" || user == "x" || user == "https://evil.example",
            "{body}"
        );
        assert_eq!(body["allowedOrigin"], Config::ORIGIN, "{body}");
    }
}
