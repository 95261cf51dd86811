//! Every upstream × every fault, as `faults.md` tells it.

use std::time::Duration;

use airbyte_sim::{Airbyte, CannedResponse, Fault, FaultKind, Options, Route};
use e2e::tls::BrokenTls;
use e2e::{
    Binary, Config, Event, Function, Gate, Secret, SecretsManager, TestEnv, faker_source, token,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::exchange::{APPLICATION_TOKEN, SOURCES, WIDGET_TOKEN, calls};

const TABLE: &str = include_str!("faults.md");

/// Lambda's deadline in these tests: long enough for three tries of ours and of the SDK's.
const DEADLINE: Duration = Duration::from_secs(4);

/// What the functions keep back from it. Half of that may go by on a busy machine.
const RESERVE: Duration = Duration::from_millis(500);

/// How long an answer may take whose upstream keeps the function waiting.
const IN_TIME: Duration = DEADLINE.saturating_sub(Duration::from_millis(250));

/// How long an answer may take that waits for nothing but its own pauses between tries.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// How many cells are brought about at the same time.
const AT_A_TIME: usize = 6;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    Secret,
    SecretHeld,
    ApplicationToken,
    WidgetToken,
    Source,
}

/// How an upstream fails.
enum Trouble {
    None,
    Refused,
    TlsPlainText,
    TlsUntrusted,
    Kind(FaultKind),
}

/// What became of one request.
struct Seen {
    /// As in the table.
    cell: String,
    took: Duration,
}

impl Upstream {
    const ALL: [(Upstream, &str); 5] = [
        (Upstream::Secret, "secret"),
        (Upstream::SecretHeld, "secret, held"),
        (Upstream::ApplicationToken, "application token"),
        (Upstream::WidgetToken, "widget token"),
        (Upstream::Source, "source"),
    ];

    fn path(self) -> Option<&'static str> {
        match self {
            Upstream::Secret | Upstream::SecretHeld => None,
            Upstream::ApplicationToken => Some(APPLICATION_TOKEN),
            Upstream::WidgetToken => Some(WIDGET_TOKEN),
            Upstream::Source => Some(SOURCES),
        }
    }

    /// A right answer of this upstream's.
    fn right_answer(self) -> Value {
        match self {
            Upstream::Secret | Upstream::SecretHeld => json!({
                "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf",
                "Name": "a",
                "SecretString": "dev-organization-token",
                "VersionId": Uuid::new_v4(),
                "CreatedDate": 1_750_000_000.5,
            }),
            Upstream::ApplicationToken => {
                let expiry = OffsetDateTime::now_utc() + time::Duration::HOUR;
                let claims = json!({ "exp": expiry.unix_timestamp(), "sub": "application" });
                json!({ "access_token": token::jwt(&claims), "token_type": "Bearer", "expires_in": 900 })
            }
            Upstream::WidgetToken => json!({ "token": token::opaque_for(Uuid::new_v4(), "alice") }),
            Upstream::Source => json!({ "id": Uuid::new_v4() }),
        }
    }

    /// JSON with the right members, and values of other types.
    fn wrong_types(self) -> Value {
        match self {
            Upstream::Secret | Upstream::SecretHeld => {
                json!({ "SecretString": { "organization_token": 17 } })
            }
            Upstream::ApplicationToken => json!({ "access_token": 17, "expires_in": "soon" }),
            Upstream::WidgetToken => json!({ "token": ["a"] }),
            Upstream::Source => json!([17]),
        }
    }
}

/// What a fault of the table is; `elsewhere` is where redirects lead.
fn trouble(name: &str, upstream: Upstream, elsewhere: &str) -> Trouble {
    let json = |body: Vec<u8>| {
        CannedResponse::new(200)
            .header("content-type", "application/json")
            .body(body)
    };
    let right = upstream.right_answer().to_string();
    let in_half_a_minute = || {
        let format =
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT";
        let format = time::format_description::parse_borrowed::<2>(format).unwrap();
        (OffsetDateTime::now_utc() + Duration::from_secs(30))
            .format(&format)
            .unwrap()
    };
    let response = match name {
        "none" => return Trouble::None,
        "half a second late" => return Trouble::Kind(FaultKind::Delay(Duration::from_millis(500))),
        "connection refused" => return Trouble::Refused,
        "TLS: answers in the clear" => return Trouble::TlsPlainText,
        "TLS: nobody vouches for it" => return Trouble::TlsUntrusted,
        "reset before the response" => return Trouble::Kind(FaultKind::ResetBeforeResponse),
        "reset amid the response" => return Trouble::Kind(FaultKind::ResetMidResponse),
        "closed before the response" => return Trouble::Kind(FaultKind::CloseBeforeResponse),
        "hang" => return Trouble::Kind(FaultKind::Hang),
        "drip" => {
            return Trouble::Kind(FaultKind::Drip {
                bytes_per_tick: 1,
                tick: Duration::from_millis(100),
            });
        }
        "429, retry-after seconds" => refusal(429).header("retry-after", "30"),
        "429, retry-after date" => refusal(429).header("retry-after", in_half_a_minute()),
        "503, retry-after seconds" => refusal(503).header("retry-after", "30"),
        "empty" => json(Vec::new()),
        "HTML" => json(b"<!doctype html><title>Sign in</title>".to_vec()),
        "truncated JSON" => json(right.as_bytes()[..right.len() / 2].to_vec()),
        "wrong types" => json(upstream.wrong_types().to_string().into_bytes()),
        "invalid UTF-8" => json([b"{\"\xc3\x28\":1,", &right.as_bytes()[1..]].concat()),
        "3 MiB" => json(format!("{right}{}", " ".repeat(3 * 1024 * 1024)).into_bytes()),
        "lying content type" => CannedResponse::new(200)
            .header("content-type", "text/html")
            .body(right),
        status => match status.split_once(' ') {
            Some((status, "elsewhere")) => {
                CannedResponse::new(status.parse().expect("a status")).header("location", elsewhere)
            }
            _ => refusal(
                status
                    .parse()
                    .unwrap_or_else(|_| panic!("nobody knows the fault {name:?}")),
            ),
        },
    };
    Trouble::Kind(FaultKind::Respond(response))
}

/// A refusal that says why, in Airbyte's words and in Secrets Manager's.
fn refusal(status: u16) -> CannedResponse {
    CannedResponse::new(status)
        .json(&json!({ "detail": "no", "__type": "SomeException", "Message": "no" }))
}

/// A row of the table: the fault and its cells, in the order of [`Upstream::ALL`].
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut lines = TABLE
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let fault = cells.remove(0);
            (fault, cells)
        });
    let (_, header) = lines.next().expect("a header");
    assert_eq!(header, Upstream::ALL.map(|(_, name)| name));
    lines.skip(1).collect()
}

/// Brings about every cell of a column and compares.
async fn column(upstream: Upstream) {
    let index = Upstream::ALL
        .iter()
        .position(|(known, _)| *known == upstream)
        .expect("a column");
    let cells = rows()
        .into_iter()
        .map(|(fault, cells)| (fault, cells[index]))
        .filter(|(_, cell)| *cell != "—");
    let differences: Vec<String> = stream::iter(cells)
        .map(async |(fault, expected)| {
            let seen = bring_about(upstream, fault).await;
            let waits = matches!(fault, "hang" | "drip");
            let bound = if waits { IN_TIME } else { AT_ONCE };
            if seen.cell == expected && seen.took < bound {
                None
            } else {
                Some(format!(
                    "{fault}: expected {expected} within {bound:?}, seen {} after {:?}",
                    seen.cell, seen.took
                ))
            }
        })
        .buffer_unordered(AT_A_TIME)
        .filter_map(async |difference| difference)
        .collect()
        .await;
    assert!(
        differences.is_empty(),
        "{upstream:?}\n{}",
        differences.join("\n")
    );
}

async fn bring_about(upstream: Upstream, fault: &str) -> Seen {
    let elsewhere = Airbyte::start(Options::default())
        .await
        .expect("a free port");
    let trouble = trouble(
        fault,
        upstream,
        &format!("{}{WIDGET_TOKEN}", elsewhere.url()),
    );
    let seen = match upstream {
        Upstream::Secret => secret(&trouble).await,
        Upstream::SecretHeld => secret_held(&trouble).await,
        Upstream::ApplicationToken | Upstream::WidgetToken | Upstream::Source => {
            airbyte(upstream, trouble).await
        }
    };
    assert_eq!(
        elsewhere.connections(),
        0,
        "{upstream:?}, {fault}: a redirect was followed"
    );
    seen
}

/// The status, the problem's type and how often the upstream was called.
fn cell(response: &e2e::Response, calls: Option<usize>) -> String {
    let mut cell = response.status.to_string();
    if response.status >= 400 {
        let kind = response.body["type"].as_str().unwrap_or("no type");
        response.expect_problem(response.status, kind);
        cell = format!("{cell} {kind}");
    }
    match calls {
        Some(calls) => format!("{cell} ×{calls}"),
        None => cell,
    }
}

fn mint() -> Event {
    Event::mint_token("alice")
}

/// Secrets Manager fails from the start.
async fn secret(trouble: &Trouble) -> Seen {
    let env = TestEnv::new().await;
    let gate = Gate::opened(&env.secrets_manager.url());
    let tls = match trouble {
        Trouble::TlsPlainText => Some(BrokenTls::plain_text().await),
        Trouble::TlsUntrusted => Some(BrokenTls::untrusted().await),
        _ => None,
    };
    let url = tls.as_ref().map_or_else(|| gate.url(), BrokenTls::url);
    // The read at start-up fails quickly, whatever the fault.
    env.secrets_manager
        .inject(SecretsManager::error(400, "ResourceNotFoundException"));
    let config = env.config().with("AWS_ENDPOINT_URL_SECRETS_MANAGER", &url);
    let function = Function::start(Binary::MintToken, &config).await;
    env.secrets_manager.clear_faults();
    match trouble {
        Trouble::Refused => gate.close().await,
        Trouble::Kind(kind) => env.secrets_manager.inject(kind.clone()),
        Trouble::None | Trouble::TlsPlainText | Trouble::TlsUntrusted => {}
    }

    let reads = env.secrets_manager.reads();
    let response = function.invoke_with_timeout(mint(), DEADLINE).await;
    assert!(env.secrets_manager.reads() - reads <= 3);
    assert_eq!(env.airbyte.requests().is_empty(), response.status != 200);

    if let Some(tls) = tls {
        // That does not heal. It does no harm either.
        assert_eq!(
            tls.requests(),
            0,
            "something was sent to whom nobody vouches for"
        );
        function
            .invoke_with_timeout(mint(), DEADLINE)
            .await
            .expect_problem(503, "credential-unavailable");
    } else {
        env.secrets_manager.clear_faults();
        if matches!(trouble, Trouble::Refused) {
            gate.open();
        }
        function
            .invoke_with_timeout(mint(), DEADLINE)
            .await
            .expect_success(200);
    }
    Seen {
        cell: cell(&response, None),
        took: response.elapsed,
    }
}

/// Secrets Manager fails when it is time to read the secret again.
async fn secret_held(trouble: &Trouble) -> Seen {
    let env = TestEnv::new().await;
    let gate = Gate::opened(&env.secrets_manager.url());
    let config = env
        .config()
        .with("AWS_ENDPOINT_URL_SECRETS_MANAGER", &gate.url())
        .with("SECRET_TTL_SECONDS", "1");
    let started = Instant::now();
    let function = Function::start(Binary::MintToken, &config).await;
    let old = Instant::now() + Duration::from_millis(1100);
    assert_eq!(env.secrets_manager.reads(), 1, "{:?}", started.elapsed());
    match trouble {
        Trouble::Refused => gate.close().await,
        Trouble::Kind(kind) => env.secrets_manager.inject(kind.clone()),
        Trouble::None | Trouble::TlsPlainText | Trouble::TlsUntrusted => {}
    }
    // Its time to live has to pass.
    sleep_until(old).await;

    let response = function.invoke_with_timeout(mint(), DEADLINE).await;
    if !matches!(trouble, Trouble::Refused) {
        assert!(
            (2..=4).contains(&env.secrets_manager.reads()),
            "it was not read again, or too often"
        );
    }
    let healthy = function.logs().iter().all(|line| line["level"] == "INFO");
    let harmless = match trouble {
        Trouble::None | Trouble::Kind(FaultKind::Delay(_)) => true,
        Trouble::Kind(FaultKind::Respond(response)) => {
            response.status == 200
                && serde_json::from_slice::<Value>(&response.body)
                    .is_ok_and(|body| body["SecretString"].is_string())
                && response.body.len() < 1024 * 1024
        }
        _ => false,
    };
    assert_eq!(
        healthy,
        harmless,
        "a warning where there is something to warn of: {}",
        function.output()
    );
    Seen {
        cell: cell(&response, None),
        took: response.elapsed,
    }
}

/// One of Airbyte's routes fails.
async fn airbyte(upstream: Upstream, trouble: Trouble) -> Seen {
    let credential = match upstream {
        Upstream::ApplicationToken => {
            r#"{"client_id":"dev-client-id","client_secret":"dev-client-secret"}"#
        }
        _ => "dev-organization-token",
    };
    let env = TestEnv::with_secret(Secret::create(credential).await).await;
    let (binary, event) = match upstream {
        Upstream::Source => {
            let mut body = faker_source();
            body["token"] = json!(token::mint(&env.airbyte, "alice").await);
            (Binary::CreateSource, Event::create_source("alice", &body))
        }
        _ => (Binary::MintToken, mint()),
    };
    let success = if binary == Binary::CreateSource {
        201
    } else {
        200
    };
    let route = match upstream {
        Upstream::ApplicationToken => Route::ApplicationToken,
        Upstream::Source => Route::Sources,
        _ => Route::WidgetToken,
    };
    let tls = match trouble {
        Trouble::TlsPlainText => Some(BrokenTls::plain_text().await),
        Trouble::TlsUntrusted => Some(BrokenTls::untrusted().await),
        _ => None,
    };
    let config = match &tls {
        Some(tls) => env.config().with("AIRBYTE_API_URL", &tls.url()),
        None => env.config(),
    };
    // An exchange at start-up fails quickly, so that there is one to be made in the request.
    env.respond(Route::ApplicationToken, CannedResponse::new(400));
    let function = Function::start(binary, &config).await;
    env.airbyte.clear_faults();
    accept_right_answer(&env, &trouble);
    let refused = matches!(trouble, Trouble::Refused);
    match trouble {
        Trouble::Refused => env.airbyte.refuse_connections().await.unwrap(),
        Trouble::Kind(kind) => env.airbyte.inject(Fault::new(route, kind)),
        Trouble::None | Trouble::TlsPlainText | Trouble::TlsUntrusted => {}
    }
    env.airbyte.clear_requests();

    let response = function.invoke_with_timeout(&event, DEADLINE).await;
    let path = upstream.path().expect("a route of Airbyte's");
    let seen = Seen {
        cell: cell(&response, Some(calls(&env.airbyte, path).len())),
        took: response.elapsed,
    };

    if let Some(tls) = tls {
        // That does not heal. It does no harm either.
        assert_eq!(
            tls.requests(),
            0,
            "something was sent to whom nobody vouches for"
        );
        // One at the start, ahead of any request, one for an exchange there, and one for the request.
        assert!(
            tls.connections() <= 3,
            "it was tried again, in vain: {} connections",
            tls.connections()
        );
        let logs = function.logs();
        assert!(
            logs.iter().any(
                |line| line["message"] == "no TLS connection to Airbyte comes about"
                    && line["reason"].is_string()
            ),
            "the owner is not told why: {}",
            function.output()
        );
        function
            .invoke_with_timeout(&event, DEADLINE)
            .await
            .expect_problem(502, "upstream-error");
    } else {
        env.airbyte.clear_faults();
        if refused {
            env.airbyte.accept_connections().await.unwrap();
        }
        function
            .invoke_with_timeout(&event, DEADLINE)
            .await
            .expect_success(success);
    }
    seen
}

/// Makes the simulator accept the application token in an ordered answer, if there is one.
fn accept_right_answer(env: &TestEnv, trouble: &Trouble) {
    let Trouble::Kind(FaultKind::Respond(response)) = trouble else {
        return;
    };
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if let Some(token) = body["access_token"].as_str() {
        env.airbyte
            .set_organization_tokens(vec![token.to_owned(), "dev-organization-token".to_owned()]);
    }
}

#[tokio::test]
async fn matches_secret_column() {
    column(Upstream::Secret).await;
}

#[tokio::test]
async fn matches_cached_secret_column() {
    column(Upstream::SecretHeld).await;
}

#[tokio::test]
async fn matches_application_token_column() {
    column(Upstream::ApplicationToken).await;
}

#[tokio::test]
async fn matches_widget_token_column() {
    column(Upstream::WidgetToken).await;
}

#[tokio::test]
async fn matches_source_column() {
    column(Upstream::Source).await;
}

#[tokio::test]
async fn responds_before_any_deadline() {
    let env = TestEnv::new().await;
    env.inject(Route::Any, FaultKind::Hang);
    let (mint_token, create_source) = (env.mint_token().await, env.create_source().await);
    for millis in [600, 800, 1000, 2000] {
        let deadline = Duration::from_millis(millis);
        let minted = mint_token.invoke_with_timeout(mint(), deadline).await;
        let created = create_source
            .invoke_with_timeout(Event::create_source("alice", &faker_source()), deadline)
            .await;
        for response in [minted, created] {
            response.expect_problem(504, "upstream-timeout");
            assert!(
                response.elapsed + RESERVE / 2 < deadline,
                "{deadline:?}: {response:?}"
            );
        }
    }
}

#[tokio::test]
async fn responds_when_deadline_is_nearly_over() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let response = function
        .invoke_with_timeout(mint(), Duration::from_millis(400))
        .await;
    response.expect_problem(504, "upstream-timeout");
    function.invoke(mint()).await.expect_success(200);
}

#[tokio::test]
async fn never_follows_redirects() {
    // Redirects that are not followed are in the table; here is what a redirect would carry.
    let elsewhere = Airbyte::start(Options::default()).await.unwrap();
    for path in [WIDGET_TOKEN, SOURCES, APPLICATION_TOKEN] {
        let env = TestEnv::with_secret(
            Secret::create(r#"{"client_id":"dev-client-id","client_secret":"dev-client-secret"}"#)
                .await,
        )
        .await;
        let function = env.create_source().await;
        let location = format!("{}{path}", elsewhere.url());
        for status in [301, 302, 303, 307, 308] {
            let redirect = FaultKind::Respond(
                CannedResponse::new(status).header("location", location.clone()),
            );
            env.inject(Route::Any, redirect);
            let response = function
                .invoke(Event::create_source("alice", &faker_source()))
                .await;
            response.expect_problem(502, "upstream-error");
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn ignores_proxy_variables() {
    let env = TestEnv::new().await;
    let proxy = Airbyte::start(Options::default()).await.unwrap();
    let mut config: Config = env.config();
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        config = config.with(name, &proxy.url());
    }
    let function = Function::start(Binary::MintToken, &config).await;
    function.invoke(mint()).await.expect_success(200);
    assert_eq!(proxy.connections(), 0);
}
