//! Hostile events and bodies: malformed, mutated and large ones. None fails an invocation, costs more than its size allows,
//! reaches an upstream, or affects the next request.

use std::time::Duration;

use airbyte_sim::{CannedResponse, Route};
use e2e::{Binary, Config, Event, FAKER, Function, Generation, TestEnv, case, token};
use serde_json::{Value, json};
use uuid::Uuid;

e2e::test_each_generation!(handles_mutated_events_as_same_user,);

/// Limit of the time to a response, for an unoptimized build on a busy machine.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(5);

const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Returns a valid event with a body.
fn valid(binary: Binary) -> Event {
    match binary {
        Binary::MintToken => Event::mint().body("{}"),
        Binary::CreateSource => Event::create(),
    }
}

async fn expect_works(function: &Function, binary: Binary) {
    let response = function.invoke(valid(binary)).await;
    response.expect_success(binary.success());
}

/// Checks that an event is rejected with a 4xx, in time and with a short response.
async fn expect_rejected(function: &Function, event: &str) {
    let _case = case(format_args!("{event:.300}"));
    let response = function.invoke(event).await;
    let problem_type = response.body["type"].as_str().unwrap_or_default();
    response.expect_problem(response.status, problem_type);
    assert!((400..500).contains(&response.status), "{response:?}");
    assert!(
        response.elapsed < MAX_RESPONSE_TIME,
        "{:?}",
        response.elapsed
    );
    assert!(
        response.text.len() < MAX_RESPONSE_BYTES,
        "{} bytes",
        response.text.len()
    );
}

/// Returns a valid event, as text, whose value at `pointer` is replaced by `json`.
fn replace(binary: Binary, pointer: &str, json: &str) -> String {
    let mut event = valid(binary).into_json();
    *event.pointer_mut(pointer).expect("a value of the event") = json!("\u{1}");
    event.to_string().replace(r#""\u0001""#, json)
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
            expect_rejected(&function, event).await;
        }
        assert!(env.airbyte.requests().is_empty());
        expect_works(&function, binary).await;
        env.airbyte.clear_requests();
    }
}

#[tokio::test]
async fn rejects_event_fields_of_wrong_type() {
    let values = [
        "17",
        "true",
        "[]",
        "{}",
        r#"["a"]"#,
        r#""\ud800""#,
        r#"{"a":"\udfff"}"#,
        "1e999",
    ];
    let parsed = [
        "/body",
        "/requestContext",
        "/requestContext/authorizer",
        "/requestContext/authorizer/jwt",
        "/requestContext/authorizer/jwt/claims/sub",
    ];
    // Fields that the functions do not use, and headers, which may be lists, may be rejected or ignored.
    let ignored = [
        "/headers/origin",
        "/headers/user-agent",
        "/requestContext/http",
        "/rawPath",
        "/version",
        "/isBase64Encoded",
    ];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for value in values {
            for pointer in parsed {
                let _case = case(format_args!("{pointer}: {value}"));
                expect_rejected(&function, &replace(binary, pointer, value)).await;
            }
            for pointer in ignored {
                let _case = case(format_args!("{pointer}: {value}"));
                let response = function.invoke(replace(binary, pointer, value)).await;
                assert!(response.status < 500, "{response:?}");
            }
        }
        expect_works(&function, binary).await;
    }
    for request in env.airbyte.requests() {
        let body = request.json().unwrap();
        let user = body.get(env.names().user);
        assert!(user.is_none_or(|user| user == "alice"), "{body}");
    }
}

/// Bodies of up to 1 MiB that could cost more than their size.
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
        ("one long fraction with an exponent", source(format!("{{\"a\":0.{}1e-9999}}x", "0".repeat(SIZE - 1000)))),
        ("duplicate keys", source(format!("{{{}\"z\":1}}", fill("\"a\":1,")))),
        ("many keys", source(format!("{{{}\"z\":1e999}}", numbered(|number| format!("\"name{number}\":1,"))))),
        ("unpaired surrogates", source(format!("{{\"a\":[{}0]}}", fill(r#""\ud800","#)))),
        ("many escapes", source(format!("{{\"a\":\"{}\\ud800\"}}", fill(r"\u0041")))),
        ("unknown fields", format!("{{{}\"z\":1}}", numbered(|number| format!("\"name{number}\":1,")))),
        ("one long key", format!("{{\"{}\":1}}", fill("n"))),
        ("one long key in a configuration", source(format!("{{\"{}\":1e999}}", fill("n")))),
        ("errors at deep paths", source(format!("{}{}{}", "{\"aaaaaaaaaa\":".repeat(60), format_args!("[{}0]", fill("1e999,")), "}".repeat(60)))),
        ("whitespace", format!("{}x", fill(" "))),
        ("one long string", format!("\"{}\"", fill("\\\\"))),
        ("one long token", json!({ "token": fill("A"), "source_config_template_id": FAKER, "connection_configuration": {} }).to_string()),
        (
            "token of open brackets",
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
        let _case = case(name);
        assert!(
            body.len() <= 1024 * 1024 && body.len() > 512 * 1024,
            "{} bytes",
            body.len()
        );
        let event = Event::create().body(body);
        expect_rejected(&function, &event.to_string()).await;
    }
    assert!(env.airbyte.requests().is_empty());
    let peak = function.memory_kib("VmHWM");
    assert!(peak < 100 * 1024, "peak memory of {peak} KiB");
    expect_works(&function, Binary::CreateSource).await;
}

/// Airbyte's strings are compared with what was sent, which must not cost more than sending it.
#[tokio::test]
async fn bounds_cost_of_rejected_configurations() {
    let secrets: Vec<_> = (0..18_000)
        .map(|number| format!("{}-{number:x}-hunter2%2541secret", number * 7919))
        .collect();
    let configuration = json!({ "count": 10, "secrets": secrets });
    let event = || Event::create().field("connection_configuration", configuration.clone());
    let detail: Vec<_> = (0..500)
        .map(|number| {
            json!({
                "loc": ["body", "connection_configuration", "secrets", number],
                "msg": format!("value {} is invalid ({})", secrets[number], "x".repeat(500)),
                "type": "value_error",
            })
        })
        .collect();
    let rejected = CannedResponse::new(422).json(&json!({ "detail": detail }));
    let accepted = CannedResponse::new(201).json(&json!({ "id": Uuid::new_v4() }));
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    function.invoke(Event::create()).await.expect_success(201);

    let mut times = [Duration::ZERO; 2];
    for _ in 0..3 {
        for (time, response, status) in [(0, &accepted, 201), (1, &rejected, 422)] {
            env.respond(Route::Sources, response.clone());
            let before = function.cpu_time();
            assert_eq!(function.invoke(event()).await.status, status);
            times[time] += function.cpu_time().saturating_sub(before);
        }
    }

    let [accepting, rejecting] = times;
    assert!(
        rejecting < 3 * accepting,
        "rejected in {rejecting:?}, accepted in {accepting:?}"
    );
}

#[tokio::test]
async fn rejects_events_of_maximum_size() {
    // 6 MB, of which base64 leaves three quarters.
    let text = "{\"a\":".repeat(1_100_000);
    let bytes = &text.as_bytes()[..4_100_000];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for event in [valid(binary).body(&text), valid(binary).base64_body(bytes)] {
            let response = function.invoke(event).await;
            response.expect_problem(413, "payload-too-large");
        }
        expect_works(&function, binary).await;
    }
}

#[tokio::test]
async fn prevents_header_injection_through_tokens() {
    let env = TestEnv::new().await;
    let function = env.create_source().await;
    let claims = token::scoped_claims(Uuid::new_v4(), "alice", token::in_an_hour());
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
        let _case = case(format_args!("{injected:?}"));
        for scoped_token in [
            format!("{jwt}{injected}"),
            format!("{injected}{jwt}"),
            jwt.replacen('.', &format!("{injected}."), 1),
        ] {
            let token = token::opaque(&scoped_token, token::WIDGET_URL);
            let response = function.invoke(Event::create().field("token", token)).await;
            response.expect_problem(400, "invalid-token");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

/// A pseudo-random sequence (`SplitMix64`): a seed reproduces a failure.
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
        Value::Object(fields) => fields.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if children == 0 || random.next(4) == 0 {
        *value = serde_json::from_str(random.pick(&REPLACEMENTS)).expect("JSON");
        return;
    }
    let child = random.next(children);
    match value {
        Value::Object(fields) => {
            let name = fields.keys().nth(child).expect("a field").clone();
            if random.next(6) == 0 {
                fields.remove(&name);
            } else {
                mutate(&mut fields[&name], random);
            }
        }
        Value::Array(items) => mutate(&mut items[child], random),
        _ => {}
    }
}

async fn handles_mutated_events_as_same_user(generation: Generation) {
    const EVENTS: u64 = 400;
    let env = TestEnv::of(generation).await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let fixtures =
            ["jwt", "iam", "base64-body"].map(|kind| format!("{}-{kind}.json", binary.name()));
        let fixtures = fixtures.each_ref().map(String::as_str);
        for seed in 0..EVENTS {
            let _case = case(format_args!("seed {seed}"));
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
                "{event}\n{response:?}"
            );
        }
        expect_works(&function, binary).await;
    }
    for request in env.airbyte.requests() {
        let body = request.json().unwrap();
        let Some(user) = body.get(env.names().user) else {
            continue;
        };
        // "x" and the URL are replacements, by which a mutation can name a user in a claim or a backend's body.
        assert!(
            user == "alice" || user == "x" || user == "https://evil.example",
            "{body}"
        );
        if Route::WidgetToken.covers(&request.method, &request.path) {
            assert_eq!(body[env.names().origin], Config::ORIGIN, "{body}");
        }
    }
}
