//! What the functions print: JSON, one object a line, on standard output.
//!
//! One line per request ([`request`]), which CloudWatch also reads as metrics (embedded metric format: no API calls), and
//! warnings through `tracing`. Never in any of them: tokens, secrets, connection configurations, claims, headers. The
//! user is a short hash.

use std::io::Write as _;
use std::sync::OnceLock;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use uuid::Uuid;

use crate::caller::ExternalUserId;
use crate::invocation::Invocation;
use crate::problem::Kind;
use crate::respond::Outcome;

/// The CloudWatch namespace of the metrics.
const NAMESPACE: &str = "AirbyteEmbedded";

/// Whose log lines are printed. Libraries print nothing below a warning and the AWS SDK nothing at all: at lower levels
/// they log requests, with all that is in them.
const OURS: [&str; 3] = ["create_source", "mint_token", "shared"];

static FUNCTION_NAME: OnceLock<String> = OnceLock::new();

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none.
    #[error("{0} is not valid: it must be error, warn, info, debug or trace")]
    Level(&'static str),
    /// Something else has taken the place.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up logging by `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`, else at `info`, and keeps panics from printing what they
/// panicked about.
pub fn init(lookup: impl Fn(&str) -> Option<String>) -> Result<(), TelemetryError> {
    let _ = FUNCTION_NAME.set(lookup("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default());
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(
            location,
            "a panic; its message is withheld, for it may hold anything"
        );
    }));
    // A wrong level must not keep the line that says so from being printed.
    let level = level(lookup);
    let shown = *level.as_ref().unwrap_or(&LevelFilter::INFO);
    let targets = Targets::new()
        .with_targets(OURS.map(|target| (target, shown)))
        .with_target("lambda_runtime", LevelFilter::WARN.min(shown));
    let json = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stdout);
    tracing_subscriber::registry()
        .with(json)
        .with(targets)
        .try_init()?;
    level.map(drop)
}

fn level(lookup: impl Fn(&str) -> Option<String>) -> Result<LevelFilter, TelemetryError> {
    let given = ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"]
        .into_iter()
        .find_map(|name| {
            lookup(name)
                .filter(|level| !level.trim().is_empty())
                .map(|level| (name, level))
        });
    let Some((name, level)) = given else {
        return Ok(LevelFilter::INFO);
    };
    match level.trim() {
        // Lambda's own word for the highest level.
        level if level.eq_ignore_ascii_case("fatal") => Ok(LevelFilter::ERROR),
        level => level.parse().map_err(|_| TelemetryError::Level(name)),
    }
}

/// A user as logs show them: equal for equal users of one Airbyte organization, and of no use to find out who it is
/// without guessing.
#[must_use]
pub fn user_hash(organization_id: Uuid, user: &ExternalUserId) -> u32 {
    let digest = Sha256::new()
        .chain_update(organization_id.as_bytes())
        .chain_update(user.as_str())
        .finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// One request, as its line tells it.
#[derive(Debug)]
pub struct Request<'a> {
    /// As in `POST /token`.
    pub route: &'static str,
    /// What it came to.
    pub outcome: Outcome,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Whether it was the process's first.
    pub cold_start: bool,
    /// API Gateway's id of it.
    pub api_request_id: Option<&'a str>,
    /// Everything else.
    pub invocation: &'a Invocation,
}

/// Prints the line of one request. It is printed at every log level: metrics are read from it.
pub fn request(request: &Request<'_>) {
    let function = FUNCTION_NAME.get().map_or("", String::as_str);
    if let Ok(mut line) =
        serde_json::to_vec(&Line::new(request, function, OffsetDateTime::now_utc()))
    {
        line.push(b'\n');
        // Nobody could be told if this failed.
        let _ = std::io::stdout().lock().write_all(&line);
    }
}

/// A request's line, in CloudWatch's embedded metric format
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    message: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_request_id: Option<&'a str>,
    route: &'static str,
    outcome: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    upstream_ms: f64,
    attempts: u32,
    duration_ms: f64,
    cold_start: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(rename = "Function")]
    function: &'a str,
    #[serde(flatten)]
    metrics: Metrics,
    // At the end, so that who reads the line can stop before it: `make dev` shows what is in front.
    #[serde(rename = "_aws")]
    aws: Metadata,
}

/// The metrics' values. What did not happen is not sent: a metric that is never sent costs nothing.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metrics {
    requests: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_errors: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_errors: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_minted: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sources_created: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_rejected: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_unavailable: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_refresh_failed: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_latency: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "ColdStarts")]
    cold_starts: Option<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    timestamp: i64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: [&'static [&'static str]; 1],
    metrics: Vec<Definition>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: &'static str,
}

impl<'a> Line<'a> {
    fn new(request: &Request<'a>, function: &'a str, now: OffsetDateTime) -> Self {
        let invocation = request.invocation;
        let upstream = invocation.upstream();
        let metrics = Metrics::new(request);
        Self {
            timestamp: now.format(&Rfc3339).unwrap_or_default(),
            level: if request.status >= 500 {
                "ERROR"
            } else {
                "INFO"
            },
            message: "request",
            request_id: &invocation.request_id,
            trace_id: invocation.trace_id.as_deref(),
            api_request_id: request.api_request_id,
            route: request.route,
            outcome: request.outcome.name(),
            status: request.status,
            upstream_status: upstream.status,
            upstream_ms: milliseconds(upstream.time),
            attempts: upstream.attempts,
            duration_ms: milliseconds(invocation.elapsed()),
            cold_start: request.cold_start,
            user: invocation.user().map(|hash| format!("{hash:08x}")),
            function,
            aws: Metadata {
                timestamp: now.unix_timestamp() * 1_000 + i64::from(now.millisecond()),
                cloud_watch_metrics: metrics.directives(),
            },
            metrics,
        }
    }
}

impl Metrics {
    fn new(request: &Request<'_>) -> Self {
        let one = |happened: bool| happened.then_some(1);
        let upstream = request.invocation.upstream();
        let kind = match request.outcome {
            Outcome::Problem(kind) => Some(kind),
            _ => None,
        };
        Self {
            requests: 1,
            client_errors: one((400..500).contains(&request.status)),
            server_errors: one(request.status >= 500),
            problems: one(kind.is_some()),
            tokens_minted: one(request.outcome == Outcome::TokenMinted),
            sources_created: one(request.outcome == Outcome::SourceCreated),
            credential_rejected: one(kind == Some(Kind::CredentialRejected)),
            credential_unavailable: one(kind == Some(Kind::CredentialUnavailable)),
            secret_refresh_failed: one(request.invocation.secret_refresh_failed()),
            upstream_latency: (upstream.attempts > 0).then(|| milliseconds(upstream.time)),
            upstream_attempts: (upstream.attempts > 0).then_some(upstream.attempts),
            cold_starts: one(request.cold_start),
        }
    }

    /// Which of the line's members are metrics. One dimension keeps their number, and so their price, small; only
    /// problems are also counted by their kind.
    fn directives(&self) -> Vec<Directive> {
        let mut metrics = vec![Definition {
            name: "Requests",
            unit: "Count",
        }];
        let mut add = |name, unit, is_there| {
            if is_there {
                metrics.push(Definition { name, unit });
            }
        };
        add("ClientErrors", "Count", self.client_errors.is_some());
        add("ServerErrors", "Count", self.server_errors.is_some());
        add("TokensMinted", "Count", self.tokens_minted.is_some());
        add("SourcesCreated", "Count", self.sources_created.is_some());
        add(
            "CredentialRejected",
            "Count",
            self.credential_rejected.is_some(),
        );
        add(
            "CredentialUnavailable",
            "Count",
            self.credential_unavailable.is_some(),
        );
        add(
            "SecretRefreshFailed",
            "Count",
            self.secret_refresh_failed.is_some(),
        );
        add(
            "UpstreamLatency",
            "Milliseconds",
            self.upstream_latency.is_some(),
        );
        add(
            "UpstreamAttempts",
            "Count",
            self.upstream_attempts.is_some(),
        );
        add("ColdStarts", "Count", self.cold_starts.is_some());
        let directive = |dimensions: &'static [&'static str], metrics| Directive {
            namespace: NAMESPACE,
            dimensions: [dimensions],
            metrics,
        };
        let mut directives = vec![directive(&["Function"], metrics)];
        if self.problems.is_some() {
            let problems = vec![Definition {
                name: "Problems",
                unit: "Count",
            }];
            directives.push(directive(&["Function", "outcome"], problems));
        }
        directives
    }
}

impl Outcome {
    /// As logs name it: what was done, or the problem's type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenMinted => "token-minted",
            Self::SourceCreated => "source-created",
            Self::Problem(kind) => kind.name(),
        }
    }
}

/// With three decimals: microseconds are as fine as it gets.
fn milliseconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::time::{Duration, SystemTime};

    fn text(outcome: Outcome, status: u16, invocation: &Invocation) -> String {
        let request = Request {
            route: "POST /token",
            outcome,
            status,
            cold_start: true,
            api_request_id: Some("J="),
            invocation,
        };
        serde_json::to_string(&Line::new(&request, "mint", OffsetDateTime::UNIX_EPOCH)).unwrap()
    }

    fn line(outcome: Outcome, status: u16, invocation: &Invocation) -> Value {
        serde_json::from_str(&text(outcome, status, invocation)).unwrap()
    }

    fn invocation() -> Invocation {
        Invocation::new("r-1".into(), Some("Root=1-a".into()), SystemTime::now())
    }

    #[test]
    fn a_requests_line_tells_what_it_came_to() {
        let invocation = invocation();
        invocation.note_upstream(Duration::from_micros(1_500), Some(503));
        invocation.note_upstream(Duration::from_micros(500), Some(200));
        let line = line(Outcome::TokenMinted, 200, &invocation);
        for (name, value) in [
            ("timestamp", json!("1970-01-01T00:00:00Z")),
            ("level", json!("INFO")),
            ("requestId", json!("r-1")),
            ("traceId", json!("Root=1-a")),
            ("apiRequestId", json!("J=")),
            ("route", json!("POST /token")),
            ("outcome", json!("token-minted")),
            ("status", json!(200)),
            ("upstreamStatus", json!(200)),
            ("upstreamMs", json!(2.0)),
            ("attempts", json!(2)),
            ("coldStart", json!(true)),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
    }

    #[test]
    fn what_cloudwatch_alone_reads_comes_last() {
        let text = text(Outcome::TokenMinted, 200, &invocation());
        let (told, _) = text.split_once(r#","_aws":"#).unwrap();
        let mut rest: Value = serde_json::from_str(&format!("{told}}}")).unwrap();
        let whole: Value = serde_json::from_str(&text).unwrap();
        rest["_aws"] = whole["_aws"].clone();
        assert_eq!(rest, whole);
    }

    #[test]
    fn every_metric_that_is_declared_has_a_value_and_a_dimension() {
        let invocation = invocation();
        invocation.note_upstream(Duration::from_millis(1), None);
        invocation.note_secret_refresh_failed();
        for (outcome, status) in [
            (Outcome::TokenMinted, 200),
            (Outcome::SourceCreated, 201),
            (Outcome::Problem(Kind::CredentialRejected), 502),
            (Outcome::Problem(Kind::CredentialUnavailable), 503),
            (Outcome::Problem(Kind::InvalidRequest), 400),
        ] {
            let line = line(outcome, status, &invocation);
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                assert_eq!(directive["Namespace"], NAMESPACE);
                for metric in directive["Metrics"].as_array().unwrap() {
                    let name = metric["Name"].as_str().unwrap();
                    assert!(line[name].is_number(), "{name} in {line}");
                }
                for dimension in directive["Dimensions"][0].as_array().unwrap() {
                    assert!(
                        line[dimension.as_str().unwrap()].is_string(),
                        "{dimension} in {line}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_did_not_happen_is_no_metric() {
        let line = line(Outcome::Problem(Kind::Unauthenticated), 401, &invocation());
        for name in [
            "ServerErrors",
            "TokensMinted",
            "UpstreamLatency",
            "CredentialRejected",
            "user",
        ] {
            assert!(line.get(name).is_none(), "{name} in {line}");
        }
        assert_eq!(
            (&line["ClientErrors"], &line["Problems"]),
            (&json!(1), &json!(1))
        );
    }

    #[test]
    fn the_level_is_rust_logs_before_lambdas() {
        let level = |variables: &[(&str, &str)]| {
            level(|name| {
                variables
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(level(&[]).unwrap(), LevelFilter::INFO);
        assert_eq!(
            level(&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG")]).unwrap(),
            LevelFilter::DEBUG
        );
        assert_eq!(
            level(&[("AWS_LAMBDA_LOG_LEVEL", "FATAL")]).unwrap(),
            LevelFilter::ERROR
        );
        assert_eq!(
            level(&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG"), ("RUST_LOG", "warn")]).unwrap(),
            LevelFilter::WARN
        );
        assert_eq!(
            level(&[("RUST_LOG", "loud")]).unwrap_err().to_string(),
            "RUST_LOG is not valid: it must be error, warn, info, debug or trace"
        );
    }

    #[test]
    fn equal_users_of_one_organization_have_equal_hashes() {
        let user = |id: &str| ExternalUserId::parse(id).unwrap();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(
            user_hash(one, &user("alice")),
            user_hash(one, &user("alice"))
        );
        assert_ne!(user_hash(one, &user("alice")), user_hash(one, &user("bob")));
        assert_ne!(
            user_hash(one, &user("alice")),
            user_hash(other, &user("alice"))
        );
    }
}
