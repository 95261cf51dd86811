//! Every failure of every upstream: the table in `faults.md`, and deadlines, redirects and proxies.

use std::time::Duration;

use airbyte_sim::{Airbyte, CannedResponse, FaultKind, Options, Route};
use e2e::tls::BrokenTls;
use e2e::{Binary, Event, Function, Gate, Generation, Response, SecretsManager, TestEnv, token};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

const TABLE: &str = include_str!("faults.md");

/// Timeout of an invocation: enough for three attempts, of the functions and of the AWS SDK.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The minimum time between a response and the deadline. The functions reserve 500 ms; the difference is for a busy machine.
const MIN_RESERVE: Duration = Duration::from_millis(100);

/// Limit of the time to a response if the upstream does not respond.
const MAX_WAITING_TIME: Duration = TIMEOUT.saturating_sub(MIN_RESERVE);

/// Limit of the time to a response in all other cases, which includes the pauses between attempts.
const MAX_RESPONSE_TIME: Duration = Duration::from_millis(2500);

const CONCURRENT_CELLS: usize = 6;

e2e::test_each_generation!(
    matches_application_token_column,
    matches_widget_token_column,
    matches_source_column,
    never_follows_redirects,
    responds_before_any_deadline,
);

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    Secret,
    CachedSecret,
    ApplicationToken,
    WidgetToken,
    Source,
}

/// A failure of an upstream.
enum Failure {
    None,
    ConnectionRefused,
    TlsPlainText,
    TlsUntrusted,
    Injected(FaultKind),
}

/// The outcome of one request.
struct Outcome {
    /// In the format of the table.
    cell: String,
    elapsed: Duration,
}

impl Upstream {
    const ALL: [(Upstream, &str); 5] = [
        (Upstream::Secret, "secret"),
        (Upstream::CachedSecret, "cached secret"),
        (Upstream::ApplicationToken, "application token"),
        (Upstream::WidgetToken, "widget token"),
        (Upstream::Source, "source"),
    ];

    /// Returns a valid response of this upstream.
    fn valid_body(self) -> Value {
        match self {
            Upstream::Secret | Upstream::CachedSecret => json!({
                "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf",
                "Name": "a",
                "SecretString": TestEnv::ORGANIZATION_TOKEN,
                "VersionId": Uuid::new_v4(),
                "CreatedDate": 1_750_000_000.5,
            }),
            Upstream::ApplicationToken => {
                let expiry = token::in_an_hour().unix_timestamp();
                let token = token::jwt(&json!({ "exp": expiry, "sub": "application" }));
                json!({ "access_token": token, "token_type": "Bearer", "expires_in": 900 })
            }
            Upstream::WidgetToken => json!({ "token": token::opaque_for(Uuid::new_v4(), "alice") }),
            Upstream::Source => json!({ "id": Uuid::new_v4() }),
        }
    }

    /// Returns a response with values of the wrong types.
    fn mistyped_body(self) -> Value {
        match self {
            Upstream::Secret | Upstream::CachedSecret => {
                json!({ "SecretString": { "organization_token": 17 } })
            }
            Upstream::ApplicationToken => json!({ "access_token": 17, "expires_in": "soon" }),
            Upstream::WidgetToken => json!({ "token": ["a"] }),
            Upstream::Source => json!([17]),
        }
    }
}

impl Failure {
    /// Parses a failure of the table; redirects lead to `redirect_target`.
    fn parse(name: &str, upstream: Upstream, redirect_target: &str) -> Failure {
        let json = |body: Vec<u8>| {
            CannedResponse::new(200)
                .header("content-type", "application/json")
                .body(body)
        };
        let valid = upstream.valid_body().to_string();
        let response = match name {
            "none" => return Failure::None,
            "delay of 500 ms" => {
                return Failure::Injected(FaultKind::Delay(Duration::from_millis(500)));
            }
            "connection refused" => return Failure::ConnectionRefused,
            "TLS: plain-text response" => return Failure::TlsPlainText,
            "TLS: untrusted certificate" => return Failure::TlsUntrusted,
            "reset before the response" => {
                return Failure::Injected(FaultKind::ResetBeforeResponse);
            }
            "reset within the response" => return Failure::Injected(FaultKind::ResetMidResponse),
            "closed before the response" => {
                return Failure::Injected(FaultKind::CloseBeforeResponse);
            }
            "hang" => return Failure::Injected(FaultKind::Hang),
            "drip" => {
                return Failure::Injected(FaultKind::Drip {
                    bytes_per_tick: 1,
                    tick: Duration::from_millis(100),
                });
            }
            "429, retry-after seconds" => error_response(429).header("retry-after", "30"),
            "429, retry-after date" => error_response(429).header(
                "retry-after",
                http_date(OffsetDateTime::now_utc() + Duration::from_secs(30)),
            ),
            "503, retry-after seconds" => error_response(503).header("retry-after", "30"),
            "empty" => json(Vec::new()),
            "HTML" => json(b"<!doctype html><title>Sign in</title>".to_vec()),
            "truncated JSON" => json(valid.as_bytes()[..valid.len() / 2].to_vec()),
            "wrong types" => json(upstream.mistyped_body().to_string().into_bytes()),
            "invalid UTF-8" => json([b"{\"\xc3\x28\":1,", &valid.as_bytes()[1..]].concat()),
            "3 MiB" => json(format!("{valid}{}", " ".repeat(3 * 1024 * 1024)).into_bytes()),
            "wrong content type" => CannedResponse::new(200)
                .header("content-type", "text/html")
                .body(valid),
            status => {
                let (status, is_redirect) = match status.strip_suffix(" redirect") {
                    Some(status) => (status, true),
                    None => (status, false),
                };
                let status = status
                    .parse()
                    .unwrap_or_else(|_| panic!("unknown failure in faults.md: {name}"));
                if is_redirect {
                    CannedResponse::new(status).header("location", redirect_target)
                } else {
                    error_response(status)
                }
            }
        };
        Failure::Injected(FaultKind::Respond(response))
    }

    /// Starts the server of a TLS failure.
    async fn broken_tls(&self) -> Option<BrokenTls> {
        match self {
            Failure::TlsPlainText => Some(BrokenTls::plain_text().await),
            Failure::TlsUntrusted => Some(BrokenTls::untrusted().await),
            _ => None,
        }
    }
}

/// Creates an error response that both Airbyte and Secrets Manager could send.
fn error_response(status: u16) -> CannedResponse {
    CannedResponse::new(status)
        .json(&json!({ "detail": "no", "__type": "SomeException", "Message": "no" }))
}

/// Formats a time for `Retry-After`.
pub(crate) fn http_date(time: OffsetDateTime) -> String {
    let format =
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT";
    let format = time::format_description::parse_borrowed::<2>(format).unwrap();
    time.format(&format).unwrap()
}

/// Returns the rows of the table: a failure and its cells, in the order of [`Upstream::ALL`].
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut lines = TABLE
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let failure = cells.remove(0);
            (failure, cells)
        });
    let (_, header) = lines.next().expect("a header");
    assert_eq!(header, Upstream::ALL.map(|(_, name)| name));
    lines.skip(1).collect()
}

/// Injects every failure of a column and compares the outcomes.
async fn expect_column(upstream: Upstream, generation: Generation) {
    let index = Upstream::ALL
        .iter()
        .position(|(known, _)| *known == upstream)
        .expect("a column");
    let cells = rows()
        .into_iter()
        .map(|(failure, cells)| (failure, cells[index]))
        .filter(|(_, cell)| *cell != "—");
    let mismatches: Vec<String> = stream::iter(cells)
        .map(async |(failure, expected)| {
            let outcome = outcome_of(failure, upstream, generation).await;
            let limit = match failure {
                "hang" | "drip" => MAX_WAITING_TIME,
                _ => MAX_RESPONSE_TIME,
            };
            let is_expected = outcome.cell == expected && outcome.elapsed < limit;
            (!is_expected).then(|| {
                format!(
                    "{failure}: expected {expected} within {limit:?}, got {} after {:?}",
                    outcome.cell, outcome.elapsed
                )
            })
        })
        .buffer_unordered(CONCURRENT_CELLS)
        .filter_map(async |mismatch| mismatch)
        .collect()
        .await;
    assert!(
        mismatches.is_empty(),
        "{upstream:?}\n{}",
        mismatches.join("\n")
    );
}

async fn outcome_of(failure: &str, upstream: Upstream, generation: Generation) -> Outcome {
    let elsewhere = Airbyte::start(Options::default())
        .await
        .expect("a free port");
    let redirect_target = format!("{}{}", elsewhere.url(), generation.names().mint_path);
    let parsed = Failure::parse(failure, upstream, &redirect_target);
    let outcome = match upstream {
        Upstream::Secret => fail_secret(&parsed).await,
        Upstream::CachedSecret => fail_cached_secret(&parsed).await,
        Upstream::ApplicationToken => {
            let env = TestEnv::with_application().await.generation(generation);
            fail_airbyte(&env, Route::ApplicationToken, parsed).await
        }
        Upstream::WidgetToken => {
            let env = TestEnv::of(generation).await;
            fail_airbyte(&env, Route::WidgetToken, parsed).await
        }
        Upstream::Source => {
            let env = TestEnv::of(generation).await;
            fail_airbyte(&env, Route::Sources, parsed).await
        }
    };
    assert_eq!(
        elsewhere.connections(),
        0,
        "{upstream:?}, {failure}: followed a redirect"
    );
    outcome
}

/// Returns the status, the problem's type and the number of requests that the upstream received.
fn cell(response: &Response, requests: Option<usize>) -> String {
    let mut cell = response.status.to_string();
    if response.status >= 400 {
        let problem_type = response.body["type"].as_str().unwrap_or("no type");
        response.expect_problem(response.status, problem_type);
        cell = format!("{cell} {problem_type}");
    }
    match requests {
        Some(requests) => format!("{cell} ×{requests}"),
        None => cell,
    }
}

/// Fails reads of the secret while none is cached.
async fn fail_secret(failure: &Failure) -> Outcome {
    let env = TestEnv::new().await;
    let gate = Gate::opened(&env.secrets_manager.url());
    let tls = failure.broken_tls().await;
    let url = tls.as_ref().map_or_else(|| gate.url(), BrokenTls::url);
    // The read during init fails quickly, whatever the failure.
    env.secrets_manager
        .inject(SecretsManager::error(400, "ResourceNotFoundException"));
    let config = env.config().with("AWS_ENDPOINT_URL_SECRETS_MANAGER", &url);
    let function = Function::start(Binary::MintToken, &config).await;
    env.secrets_manager.clear_faults();
    inject_into_secrets_manager(failure, &env, &gate).await;

    let reads = env.secrets_manager.reads();
    let response = function.invoke_with_timeout(Event::mint(), TIMEOUT).await;

    assert!(env.secrets_manager.reads() - reads <= 3);
    assert_eq!(env.airbyte.requests().is_empty(), response.status != 200);
    if let Some(tls) = tls {
        expect_nothing_sent(&tls);
        function
            .invoke_with_timeout(Event::mint(), TIMEOUT)
            .await
            .expect_problem(503, "credential-unavailable");
    } else {
        env.secrets_manager.clear_faults();
        if matches!(failure, Failure::ConnectionRefused) {
            gate.open();
        }
        function
            .invoke_with_timeout(Event::mint(), TIMEOUT)
            .await
            .expect_success(200);
    }
    Outcome {
        cell: cell(&response, None),
        elapsed: response.elapsed,
    }
}

/// Fails reads of the secret after the cached value's time to live.
async fn fail_cached_secret(failure: &Failure) -> Outcome {
    let env = TestEnv::new().await;
    let gate = Gate::opened(&env.secrets_manager.url());
    let config = env
        .config()
        .with("AWS_ENDPOINT_URL_SECRETS_MANAGER", &gate.url())
        .with("SECRET_TTL_SECONDS", "1");
    let started = Instant::now();
    let function = Function::start(Binary::MintToken, &config).await;
    let expired = Instant::now() + Duration::from_millis(1100);
    assert_eq!(env.secrets_manager.reads(), 1, "{:?}", started.elapsed());
    inject_into_secrets_manager(failure, &env, &gate).await;
    sleep_until(expired).await;

    let response = function.invoke_with_timeout(Event::mint(), TIMEOUT).await;

    if !matches!(failure, Failure::ConnectionRefused) {
        assert!(
            (2..=4).contains(&env.secrets_manager.reads()),
            "{} reads",
            env.secrets_manager.reads()
        );
    }
    let has_warning = function.logs().iter().any(|line| line["level"] != "INFO");
    assert_eq!(
        has_warning,
        prevents_read(failure),
        "a failed read must be logged as a warning, and nothing else: {}",
        function.output()
    );
    Outcome {
        cell: cell(&response, None),
        elapsed: response.elapsed,
    }
}

async fn inject_into_secrets_manager(failure: &Failure, env: &TestEnv, gate: &Gate) {
    match failure {
        Failure::ConnectionRefused => gate.close().await,
        Failure::Injected(kind) => env.secrets_manager.inject(kind.clone()),
        Failure::None | Failure::TlsPlainText | Failure::TlsUntrusted => {}
    }
}

/// Returns whether a failure prevents a read of the secret.
fn prevents_read(failure: &Failure) -> bool {
    match failure {
        Failure::None | Failure::Injected(FaultKind::Delay(_)) => false,
        Failure::Injected(FaultKind::Respond(response)) => {
            let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
            let is_valid = body["SecretString"].is_string() && response.body.len() < 1024 * 1024;
            response.status != 200 || !is_valid
        }
        _ => true,
    }
}

/// Fails a route of Airbyte.
async fn fail_airbyte(env: &TestEnv, route: Route, failure: Failure) -> Outcome {
    let (binary, event) = match route {
        Route::Sources => {
            let token = token::mint(&env.airbyte, "alice").await;
            (Binary::CreateSource, Event::create().field("token", token))
        }
        _ => (Binary::MintToken, Event::mint()),
    };
    let tls = failure.broken_tls().await;
    let config = match &tls {
        Some(tls) => env.config().with("AIRBYTE_API_URL", &tls.url()),
        None => env.config(),
    };
    // An exchange during init fails quickly, so that the request has to make one.
    env.respond(Route::ApplicationToken, CannedResponse::new(400));
    let function = Function::start(binary, &config).await;
    env.airbyte.clear_faults();
    accept_injected_token(env, &failure);
    let is_refused = matches!(failure, Failure::ConnectionRefused);
    match failure {
        Failure::ConnectionRefused => env.airbyte.refuse_connections().await.unwrap(),
        Failure::Injected(kind) => env.inject(route, kind),
        Failure::None | Failure::TlsPlainText | Failure::TlsUntrusted => {}
    }
    env.airbyte.clear_requests();

    let response = function.invoke_with_timeout(&event, TIMEOUT).await;

    let outcome = Outcome {
        cell: cell(&response, Some(env.requests(route).len())),
        elapsed: response.elapsed,
    };
    if let Some(tls) = tls {
        expect_nothing_sent(&tls);
        // One connection ahead of any request, one for an exchange during init, and one for the request.
        assert!(
            tls.connections() <= 3,
            "retried a TLS handshake: {} connections",
            tls.connections()
        );
        let is_logged = function.logs().iter().any(|line| {
            line["message"] == "TLS handshake with Airbyte failed" && line["error"].is_string()
        });
        assert!(is_logged, "the cause is not logged: {}", function.output());
        function
            .invoke_with_timeout(&event, TIMEOUT)
            .await
            .expect_problem(502, "upstream-error");
    } else {
        env.airbyte.clear_faults();
        if is_refused {
            env.airbyte.accept_connections().await.unwrap();
        }
        function
            .invoke_with_timeout(&event, TIMEOUT)
            .await
            .expect_success(binary.success());
    }
    outcome
}

fn expect_nothing_sent(tls: &BrokenTls) {
    assert_eq!(tls.requests(), 0, "sent data to an untrusted server");
}

/// Makes the simulator accept the application token of an injected response.
fn accept_injected_token(env: &TestEnv, failure: &Failure) {
    let Failure::Injected(FaultKind::Respond(response)) = failure else {
        return;
    };
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if let Some(token) = body["access_token"].as_str() {
        env.airbyte.set_organization_tokens(vec![
            token.to_owned(),
            TestEnv::ORGANIZATION_TOKEN.to_owned(),
        ]);
    }
}

#[tokio::test]
async fn matches_secret_column() {
    expect_column(Upstream::Secret, Generation::Embedded).await;
}

#[tokio::test]
async fn matches_cached_secret_column() {
    expect_column(Upstream::CachedSecret, Generation::Embedded).await;
}

async fn matches_application_token_column(generation: Generation) {
    expect_column(Upstream::ApplicationToken, generation).await;
}

async fn matches_widget_token_column(generation: Generation) {
    expect_column(Upstream::WidgetToken, generation).await;
}

async fn matches_source_column(generation: Generation) {
    expect_column(Upstream::Source, generation).await;
}

async fn responds_before_any_deadline(generation: Generation) {
    let env = TestEnv::of(generation).await;
    env.inject(Route::Any, FaultKind::Hang);
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for millis in [600, 800, 1000, 2000] {
            let timeout = Duration::from_millis(millis);
            let response = function
                .invoke_with_timeout(Event::valid(binary), timeout)
                .await;
            response.expect_problem(504, "upstream-timeout");
            assert!(
                response.elapsed + MIN_RESERVE < timeout,
                "{timeout:?}: {response:?}"
            );
        }
    }
}

#[tokio::test]
async fn responds_when_deadline_is_close() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    function
        .invoke_with_timeout(Event::mint(), Duration::from_millis(400))
        .await
        .expect_problem(504, "upstream-timeout");
    function.invoke(Event::mint()).await.expect_success(200);
}

/// The table covers single calls; this covers a whole create, whose redirects would carry a credential.
async fn never_follows_redirects(generation: Generation) {
    let elsewhere = Airbyte::start(Options::default()).await.unwrap();
    let names = generation.names();
    for path in [
        "/api/v1/account/applications/token",
        names.mint_path,
        names.create_path,
    ] {
        let env = TestEnv::with_application().await.generation(generation);
        let function = env.create_source().await;
        let location = format!("{}{path}", elsewhere.url());
        for status in [301, 302, 303, 307, 308] {
            let redirect = CannedResponse::new(status).header("location", location.clone());
            env.respond(Route::Any, redirect);
            function
                .invoke(Event::create())
                .await
                .expect_problem(502, "upstream-error");
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn ignores_proxy_variables() {
    let env = TestEnv::new().await;
    let proxy = Airbyte::start(Options::default()).await.unwrap();
    let mut config = env.config();
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
    function.invoke(Event::mint()).await.expect_success(200);
    assert_eq!(proxy.connections(), 0);
}
