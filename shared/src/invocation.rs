//! One invocation: how much time it has, and what it did upstream.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// What is kept back from Lambda's own deadline, so that the caller gets an answer from us and not a time-out of
/// Lambda's.
pub const RESPONSE_RESERVE: Duration = Duration::from_millis(500);

/// A deadline that passed so long before the invocation began is none.
const NO_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The time that an invocation without a deadline has: what the template gives it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(28);

/// One invocation's identifiers, deadline, and what happened upstream on its behalf.
///
/// The counters are plain cells: an invocation is handled by one task on one thread.
#[derive(Debug)]
pub struct Invocation {
    /// Lambda's id of the invocation; callers see it as `requestId`.
    pub request_id: String,
    /// The X-Ray trace header that Lambda hands in, if any.
    pub trace_id: Option<String>,
    deadline: Instant,
    started: Instant,
    upstream: Cell<Upstream>,
    secret_refresh_failed: Cell<bool>,
    user: Cell<Option<u32>>,
}

/// What the calls to Airbyte of one invocation came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Upstream {
    /// Requests sent, repeated ones included.
    pub attempts: u32,
    /// Time spent on them, waits between them not included.
    pub time: Duration,
    /// The status of the last one that was answered.
    pub status: Option<u16>,
}

impl Invocation {
    /// An invocation that Lambda ends at `lambda_deadline`.
    #[must_use]
    pub fn new(request_id: String, trace_id: Option<String>, lambda_deadline: SystemTime) -> Self {
        let left = match lambda_deadline.duration_since(SystemTime::now()) {
            Ok(left) => left,
            // `cargo lambda watch` says ten minutes after 1970, always.
            Err(late) if late.duration() > NO_DEADLINE => DEFAULT_TIMEOUT,
            Err(_) => Duration::ZERO,
        };
        Self::ending_in(left.saturating_sub(RESPONSE_RESERVE), request_id, trace_id)
    }

    /// The time before the first invocation (Lambda's init phase), which may take up to `limit`.
    #[must_use]
    pub fn for_init(limit: Duration) -> Self {
        Self::ending_in(limit, String::new(), None)
    }

    fn ending_in(left: Duration, request_id: String, trace_id: Option<String>) -> Self {
        let started = Instant::now();
        Self {
            request_id,
            trace_id,
            deadline: started + left,
            started,
            upstream: Cell::default(),
            secret_refresh_failed: Cell::new(false),
            user: Cell::new(None),
        }
    }

    /// When every upstream call must have ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left until the [deadline](Self::deadline).
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Time since the invocation began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes one request to Airbyte: how long it took, and the status if there was an answer.
    pub fn record_upstream(&self, took: Duration, status: Option<u16>) {
        let mut upstream = self.upstream.get();
        upstream.attempts += 1;
        upstream.time += took;
        upstream.status = status.or(upstream.status);
        self.upstream.set(upstream);
    }

    /// What the requests to Airbyte came to so far.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        self.upstream.get()
    }

    /// Notes who the request is for, as a [hash](crate::telemetry::user_hash).
    pub fn record_user(&self, hash: u32) {
        self.user.set(Some(hash));
    }

    /// Who the request is for, as a [hash](crate::telemetry::user_hash).
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        self.user.get()
    }

    /// Notes that Secrets Manager could not be read.
    pub fn record_secret_refresh_failed(&self) {
        self.secret_refresh_failed.set(true);
    }

    /// Whether Secrets Manager could not be read.
    #[must_use]
    pub fn secret_refresh_failed(&self) -> bool {
        self.secret_refresh_failed.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_is_kept_back_from_lambdas_deadline() {
        let invocation = Invocation::new(
            "r".into(),
            None,
            SystemTime::now() + Duration::from_secs(10),
        );
        let left = invocation.time_left();
        assert!(
            left <= Duration::from_millis(9_500) && left > Duration::from_secs(9),
            "{left:?}"
        );
    }

    #[test]
    fn a_deadline_that_has_just_passed_leaves_nothing() {
        let deadline = SystemTime::now() - Duration::from_secs(1);
        let invocation = Invocation::new("r".into(), None, deadline);
        assert_eq!(invocation.time_left(), Duration::ZERO);
    }

    #[test]
    fn the_constant_of_cargo_lambda_watch_is_no_deadline() {
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        let invocation = Invocation::new("r".into(), None, deadline);
        assert!(invocation.time_left() > Duration::from_secs(20));
    }
}
