//! The log line of one request.

use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::emf::{Dimensions, Metadata, Metric, Value, Values};
use crate::invocation::Invocation;
use crate::outcome::{Outcome, ProblemType};

/// The log record of one request.
#[derive(Debug)]
pub struct RequestRecord<'a> {
    /// The route, as in `POST /token`.
    pub route: &'static str,
    /// The outcome.
    pub outcome: Outcome,
    /// The HTTP status of the response.
    pub status: u16,
    /// The cause of a failure that is not the caller's. docs/operations.md lists all causes.
    pub cause: Option<&'static str>,
    /// Whether this was the process's first request.
    pub cold_start: bool,
    /// API Gateway's ID of the request.
    pub api_request_id: Option<&'a str>,
    /// The invocation, with its records of upstream calls.
    pub invocation: &'a Invocation,
}

/// Prints the line of a request that `function` handled.
pub(super) fn print(record: &RequestRecord<'_>, function: &str) {
    if let Ok(mut line) = to_json(record, function, OffsetDateTime::now_utc()) {
        line.push(b'\n');
        // A failure is ignored, because it could only be reported on standard output.
        let _ = std::io::stdout().lock().write_all(&line);
    }
}

fn to_json(
    record: &RequestRecord<'_>,
    function: &str,
    now: OffsetDateTime,
) -> serde_json::Result<Vec<u8>> {
    let invocation = record.invocation;
    let upstream = invocation.upstream();
    let metrics = metrics(record);
    let is_server_error = record.status >= 500;
    serde_json::to_vec(&LogLine {
        timestamp: now.format(&Rfc3339).unwrap_or_default(),
        level: if is_server_error { "ERROR" } else { "INFO" },
        message: "request",
        request_id: &invocation.request_id,
        trace_id: invocation.trace_id.as_deref(),
        api_request_id: record.api_request_id,
        route: record.route,
        outcome: record.outcome.as_str(),
        status: record.status,
        cause: record.cause.filter(|_| is_server_error),
        upstream_status: upstream.status,
        upstream_ms: milliseconds(upstream.time),
        attempts: upstream.attempts,
        lease_wait_ms: Some(invocation.lease_wait())
            .filter(|wait| !wait.is_zero())
            .map(milliseconds),
        duration_ms: milliseconds(invocation.elapsed()),
        cold_start: record.cold_start,
        user: invocation.user().map(|hash| format!("{hash:08x}")),
        supplied_token_workspace: invocation.supplied_token_workspace(),
        function,
        metrics: Values(&metrics),
        aws: Metadata {
            metrics: &metrics,
            timestamp: now,
        },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogLine<'a> {
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
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    upstream_ms: f64,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_wait_ms: Option<f64>,
    duration_ms: f64,
    cold_start: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplied_token_workspace: Option<Uuid>,
    #[serde(rename = "Function")]
    function: &'a str,
    #[serde(flatten)]
    metrics: Values<'a>,
    // The last field, because `make dev` prints only the fields before it.
    #[serde(rename = "_aws")]
    aws: Metadata<'a>,
}

/// Returns the metrics of a request. A count of zero is left out, because a metric that is never sent costs nothing.
fn metrics(record: &RequestRecord<'_>) -> Vec<Metric> {
    let upstream = record.invocation.upstream();
    let was_called = upstream.attempts > 0;
    let is_problem = |problem| record.outcome == Outcome::Problem(problem);
    let one = |happened: bool| happened.then_some(Value::Count(1));
    let by_function = [
        ("Requests", one(true)),
        ("ClientErrors", one((400..500).contains(&record.status))),
        ("ServerErrors", one(record.status >= 500)),
        ("TokensMinted", one(record.outcome == Outcome::TokenMinted)),
        (
            "SourcesCreated",
            one(record.outcome == Outcome::SourceCreated),
        ),
        (
            "CredentialRejected",
            one(is_problem(ProblemType::CredentialRejected)),
        ),
        (
            "CredentialUnavailable",
            one(is_problem(ProblemType::CredentialUnavailable)),
        ),
        (
            "SecretRefreshFailed",
            one(record.invocation.secret_refresh_failed()),
        ),
        (
            "SourcesReplayed",
            one(record.outcome == Outcome::SourceReplayed),
        ),
        ("LeaseWaits", one(!record.invocation.lease_wait().is_zero())),
        ("StateFailures", one(record.invocation.state_failed())),
        (
            "UpstreamLatency",
            was_called.then(|| Value::Milliseconds(milliseconds(upstream.time))),
        ),
        (
            "UpstreamAttempts",
            was_called.then_some(Value::Count(upstream.attempts)),
        ),
        ("ColdStarts", one(record.cold_start)),
    ];
    let by_outcome = [(
        "Problems",
        one(matches!(record.outcome, Outcome::Problem(_))),
    )];
    let metric = |dimensions| {
        move |(name, value): (&'static str, Option<Value>)| {
            value.map(|value| Metric {
                name,
                value,
                dimensions,
            })
        }
    };
    by_function
        .into_iter()
        .filter_map(metric(Dimensions::Function))
        .chain(
            by_outcome
                .into_iter()
                .filter_map(metric(Dimensions::FunctionAndOutcome)),
        )
        .collect()
}

/// Converts to milliseconds with three decimals.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::SystemTime;

    fn text(
        outcome: Outcome,
        status: u16,
        cause: Option<&'static str>,
        invocation: &Invocation,
    ) -> String {
        let record = RequestRecord {
            route: "POST /token",
            outcome,
            status,
            cause,
            cold_start: true,
            api_request_id: Some("J="),
            invocation,
        };
        String::from_utf8(to_json(&record, "mint", OffsetDateTime::UNIX_EPOCH).unwrap()).unwrap()
    }

    fn line(outcome: Outcome, status: u16, invocation: &Invocation) -> serde_json::Value {
        serde_json::from_str(&text(outcome, status, Some("connect"), invocation)).unwrap()
    }

    fn invocation() -> Invocation {
        Invocation::new("r-1".into(), Some("Root=1-a".into()), SystemTime::now())
    }

    #[test]
    fn logs_request_with_upstream_counters() {
        let invocation = invocation();
        invocation.record_upstream(Duration::from_micros(1_500), Some(503));
        invocation.record_upstream(Duration::from_micros(500), Some(200));

        let line = line(Outcome::TokenMinted, 200, &invocation);

        for (field, value) in [
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
            ("UpstreamLatency", json!(2.0)),
            ("UpstreamAttempts", json!(2)),
        ] {
            assert_eq!(line[field], value, "{field}");
        }
    }

    #[test]
    fn logs_cause_of_server_errors_only() {
        let problem = Outcome::Problem(ProblemType::UpstreamError);
        assert_eq!(line(problem, 502, &invocation())["cause"], "connect");
        let rate_limited = Outcome::Problem(ProblemType::RateLimited);
        assert!(
            line(rate_limited, 429, &invocation())
                .get("cause")
                .is_none()
        );
    }

    #[test]
    fn puts_metric_metadata_last() {
        let text = text(Outcome::TokenMinted, 200, None, &invocation());
        let (before, _) = text.split_once(r#","_aws":"#).unwrap();
        let mut line: serde_json::Value = serde_json::from_str(&format!("{before}}}")).unwrap();
        let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
        line["_aws"] = whole["_aws"].clone();
        assert_eq!(line, whole);
    }

    #[test]
    fn dimensions_are_fields_of_line() {
        let problem = Outcome::Problem(ProblemType::CredentialRejected);
        let line = line(problem, 502, &invocation());
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            for dimension in directive["Dimensions"][0].as_array().unwrap() {
                let field = dimension.as_str().unwrap();
                assert!(line[field].is_string(), "{field} in {line}");
            }
        }
    }

    #[test]
    fn leaves_out_counts_of_zero() {
        let problem = Outcome::Problem(ProblemType::Unauthenticated);
        let line = line(problem, 401, &invocation());
        for field in [
            "ServerErrors",
            "TokensMinted",
            "UpstreamLatency",
            "CredentialRejected",
            "user",
        ] {
            assert!(line.get(field).is_none(), "{field} in {line}");
        }
        assert_eq!(
            (&line["ClientErrors"], &line["Problems"]),
            (&json!(1), &json!(1))
        );
    }
}
