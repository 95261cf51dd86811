//! One invocation of a function: its identifiers, its deadline, and the records for its log line.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use uuid::Uuid;

/// Time reserved before the Lambda deadline for sending a response, so that the caller gets one instead of Lambda's
/// timeout.
pub const RESPONSE_RESERVE: Duration = Duration::from_millis(500);

/// A deadline further in the past than this is treated as missing.
const NO_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The timeout of an invocation without a deadline, equal to the timeout in the template.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(28);

/// The identifiers and the deadline of one invocation, and the records for its log line.
///
/// The counters are plain cells: an invocation is handled by one task on one thread.
#[derive(Debug)]
pub struct Invocation {
    /// Lambda's ID of the invocation; callers see it as `requestId`.
    pub request_id: String,
    /// The X-Ray trace header from Lambda, if any.
    pub trace_id: Option<String>,
    /// When Lambda ends the process.
    lambda_deadline: Instant,
    deadline: Cell<Instant>,
    started: Instant,
    upstream: Cell<Upstream>,
    waited: Cell<Duration>,
    secret_refresh_failed: Cell<bool>,
    lease_wait: Cell<Duration>,
    state_failed: Cell<bool>,
    is_replay: Cell<bool>,
    user: Cell<Option<u32>>,
    supplied_token_workspace: Cell<Option<Uuid>>,
}

/// The calls to Airbyte of one invocation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Upstream {
    /// Requests sent, retries included.
    pub attempts: u32,
    /// Time spent on them, without the backoff between them.
    pub time: Duration,
    /// The status of the last response.
    pub status: Option<u16>,
}

impl Invocation {
    /// Creates an invocation that Lambda ends at `lambda_deadline`.
    #[must_use]
    pub fn new(request_id: String, trace_id: Option<String>, lambda_deadline: SystemTime) -> Self {
        let left = match lambda_deadline.duration_since(SystemTime::now()) {
            Ok(left) => left,
            // `cargo lambda watch` always sends ten minutes after 1970.
            Err(late) if late.duration() > NO_DEADLINE => DEFAULT_TIMEOUT,
            Err(_) => Duration::ZERO,
        };
        Self::ending_in(left.saturating_sub(RESPONSE_RESERVE), request_id, trace_id)
    }

    /// Creates an invocation for Lambda's init phase, which ends after `timeout`.
    #[must_use]
    pub fn for_init(timeout: Duration) -> Self {
        Self::ending_in(timeout, String::new(), None)
    }

    fn ending_in(left: Duration, request_id: String, trace_id: Option<String>) -> Self {
        let started = Instant::now();
        Self {
            request_id,
            trace_id,
            lambda_deadline: started + left + RESPONSE_RESERVE,
            deadline: Cell::new(started + left),
            started,
            upstream: Cell::default(),
            waited: Cell::new(Duration::ZERO),
            secret_refresh_failed: Cell::new(false),
            lease_wait: Cell::new(Duration::ZERO),
            state_failed: Cell::new(false),
            is_replay: Cell::new(false),
            user: Cell::new(None),
            supplied_token_workspace: Cell::new(None),
        }
    }

    /// The time by which every upstream call must end.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline.get()
    }

    /// Reserves `time`, or a quarter of what is left if that is less, for what must be done after the last upstream call.
    /// The deadline is that much earlier.
    pub fn reserve(&self, time: Duration) {
        let time = time.min(self.time_left() / 4);
        self.deadline.set(self.deadline.get() - time);
    }

    /// Returns the time at which Lambda certainly ends this invocation, by the wall clock.
    #[must_use]
    pub fn lambda_deadline(&self) -> SystemTime {
        SystemTime::now()
            + self
                .lambda_deadline
                .saturating_duration_since(Instant::now())
    }

    /// Returns the time until the [deadline](Self::deadline).
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }

    /// Returns the time since the invocation began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Records one request to Airbyte: its duration, and the status if there was a response.
    pub fn record_upstream(&self, took: Duration, status: Option<u16>) {
        let mut upstream = self.upstream.get();
        upstream.attempts += 1;
        upstream.time += took;
        upstream.status = status.or(upstream.status);
        self.upstream.set(upstream);
    }

    /// Returns the calls to Airbyte so far.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        self.upstream.get()
    }

    /// Records a wait between two requests to Airbyte.
    pub fn record_wait(&self, wait: Duration) {
        self.waited.set(self.waited.get() + wait);
    }

    /// Returns the time that the invocation has waited between requests to Airbyte.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited.get()
    }

    /// Records the user, as the ID for logs.
    pub fn record_user(&self, hash: u32) {
        self.user.set(Some(hash));
    }

    /// Returns the user, as the ID for logs.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        self.user.get()
    }

    /// Records that the caller supplied a token, and the workspace that it is for.
    pub fn record_supplied_token(&self, workspace_id: Uuid) {
        self.supplied_token_workspace.set(Some(workspace_id));
    }

    /// Returns the workspace of the token that the caller supplied, if they did.
    #[must_use]
    pub fn supplied_token_workspace(&self) -> Option<Uuid> {
        self.supplied_token_workspace.get()
    }

    /// Records that the secret could not be read.
    pub fn record_secret_refresh_failed(&self) {
        self.secret_refresh_failed.set(true);
    }

    /// Records a wait for another invocation's workspace lease.
    pub fn record_lease_wait(&self, wait: Duration) {
        self.lease_wait.set(self.lease_wait.get() + wait);
    }

    /// Returns the time that the invocation has waited for another one's workspace lease.
    #[must_use]
    pub fn lease_wait(&self) -> Duration {
        self.lease_wait.get()
    }

    /// Records that the state table failed.
    pub fn record_state_failure(&self) {
        self.state_failed.set(true);
    }

    /// Whether the state table failed.
    #[must_use]
    pub fn state_failed(&self) -> bool {
        self.state_failed.get()
    }

    /// Records that the response is that of an earlier request.
    pub fn record_replay(&self) {
        self.is_replay.set(true);
    }

    /// Whether the response is that of an earlier request.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.is_replay.get()
    }

    /// Whether the secret could not be read.
    #[must_use]
    pub fn secret_refresh_failed(&self) -> bool {
        self.secret_refresh_failed.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserves_time_before_lambda_deadline() {
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
    fn has_no_time_left_after_deadline() {
        let deadline = SystemTime::now() - Duration::from_secs(1);
        let invocation = Invocation::new("r".into(), None, deadline);
        assert_eq!(invocation.time_left(), Duration::ZERO);
    }

    #[test]
    fn ignores_deadline_of_cargo_lambda_watch() {
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        let invocation = Invocation::new("r".into(), None, deadline);
        assert!(invocation.time_left() > Duration::from_secs(20));
    }
}
