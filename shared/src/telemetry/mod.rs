//! The output of the functions: one JSON object per line, on standard output.
//!
//! [`log_request`] prints one line per request. CloudWatch extracts metrics from it (embedded metric format), so the functions
//! make no API calls for metrics. Warnings and errors are logged with `tracing`. No line contains a token, a secret, a connection configuration, a
//! claim or a header. The user appears as a short hash.

mod emf;
mod request_line;

use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

pub use request_line::RequestRecord;

/// The targets that are logged at the configured level. Libraries log warnings at most and the AWS SDK nothing at all,
/// because at lower levels they log whole requests.
const OWN_TARGETS: [&str; 3] = ["create_source", "mint_token", "shared"];

static FUNCTION_NAME: OnceLock<String> = OnceLock::new();

/// An error returned by [`init`].
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log level is invalid.
    #[error("{0} is not valid: it must be error, warn, info, debug or trace")]
    InvalidLevel(&'static str),
    /// A global subscriber is already set.
    #[error("logging is already initialized")]
    AlreadyInitialized(#[from] TryInitError),
}

/// Initializes logging at the level of `RUST_LOG`, else of `AWS_LAMBDA_LOG_LEVEL`, else at `info`, and replaces panic
/// messages by their location.
pub fn init(lookup: impl Fn(&str) -> Option<String>) -> Result<(), TelemetryError> {
    let _ = FUNCTION_NAME.set(lookup("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default());
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(
            location,
            "handler panicked (message omitted: it may contain secrets)"
        );
    }));
    // An invalid level must not suppress the line that reports it.
    let level = level(lookup);
    let effective = *level.as_ref().unwrap_or(&LevelFilter::INFO);
    let targets = Targets::new()
        .with_targets(OWN_TARGETS.map(|target| (target, effective)))
        .with_target("lambda_runtime", LevelFilter::WARN.min(effective));
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
    let configured = ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"]
        .into_iter()
        .find_map(|name| {
            lookup(name)
                .filter(|level| !level.trim().is_empty())
                .map(|level| (name, level))
        });
    let Some((name, level)) = configured else {
        return Ok(LevelFilter::INFO);
    };
    match level.trim() {
        // Lambda's name for its highest level.
        level if level.eq_ignore_ascii_case("fatal") => Ok(LevelFilter::ERROR),
        level => level
            .parse()
            .map_err(|_| TelemetryError::InvalidLevel(name)),
    }
}

/// Prints the line of one request, at every log level, because metrics are read from it.
pub fn log_request(record: &RequestRecord<'_>) {
    request_line::print(record, FUNCTION_NAME.get().map_or("", String::as_str));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_rust_log_over_lambdas_level() {
        for (variables, expected) in [
            (&[][..], Ok(LevelFilter::INFO)),
            (&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG")], Ok(LevelFilter::DEBUG)),
            (&[("AWS_LAMBDA_LOG_LEVEL", "FATAL")], Ok(LevelFilter::ERROR)),
            (
                &[("AWS_LAMBDA_LOG_LEVEL", "DEBUG"), ("RUST_LOG", "warn")],
                Ok(LevelFilter::WARN),
            ),
            (
                &[("RUST_LOG", "loud")],
                Err("RUST_LOG is not valid: it must be error, warn, info, debug or trace"),
            ),
        ] {
            let level = level(|name| {
                let variable = variables.iter().find(|(n, _)| *n == name);
                variable.map(|(_, value)| (*value).to_owned())
            });
            let level = level.map_err(|error| error.to_string());
            assert_eq!(level, expected.map_err(str::to_owned), "{variables:?}");
        }
    }
}
