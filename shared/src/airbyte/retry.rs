//! The retry policy: which failed calls are retried, and the wait before each retry.

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, RETRY_AFTER};
use tokio::time::sleep;

use super::error::AirbyteError;
use crate::invocation::Invocation;

/// The maximum number of requests for one call: the first one and two retries.
const MAX_ATTEMPTS: u32 = 3;

/// The upper bound of the wait before the first retry. The wait is random (full jitter), and its bound doubles with each
/// retry.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);

/// The maximum total wait of one invocation, over all of its calls. Lambda bills the time of a wait, and the instance serves
/// no other request meanwhile.
const MAX_TOTAL_WAIT: Duration = Duration::from_secs(2);

/// The minimum time between the end of a wait and the deadline. With less, the retry would probably time out.
const MIN_TIME_FOR_RETRY: Duration = Duration::from_millis(250);

/// The kind of a call, which determines the errors after which it may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryPolicy {
    /// Idempotent: retrying has no further effect.
    Idempotent,
    /// Not idempotent: retried only if the request was certainly not processed.
    NonIdempotent,
}

impl RetryPolicy {
    /// Whether a request that failed with `error` may be retried, and a retry can succeed.
    fn is_retryable(self, error: &AirbyteError) -> bool {
        match (error, self) {
            (AirbyteError::Connect(_) | AirbyteError::ConnectTimeout, _)
            | (AirbyteError::ConnectionLost(_), Self::Idempotent) => true,
            (AirbyteError::Status(response), Self::Idempotent) => {
                matches!(response.status, 429 | 502..=504)
            }
            (AirbyteError::Status(response), Self::NonIdempotent) => response.status == 429,
            // Not after a TLS error, because an invalid certificate does not become valid within a second.
            (AirbyteError::ConnectionLost(_), Self::NonIdempotent)
            | (
                AirbyteError::InvalidRequest
                | AirbyteError::Tls(_)
                | AirbyteError::Timeout
                | AirbyteError::InvalidResponse,
                _,
            ) => false,
        }
    }
}

/// The state of the retries of one call.
pub(super) struct Attempts {
    policy: RetryPolicy,
    count: u32,
    backoff: Duration,
}

impl Attempts {
    /// Creates the state for the first attempt.
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            count: 1,
            backoff: INITIAL_BACKOFF,
        }
    }

    /// Waits before the next attempt: for the time in `Retry-After`, or else for a random backoff.
    ///
    /// # Errors
    ///
    /// Returns `error` without waiting if the call must not be retried: the policy does not allow it, all attempts are used
    /// up, or the wait exceeds [`MAX_TOTAL_WAIT`] or leaves less than [`MIN_TIME_FOR_RETRY`].
    pub(super) async fn next(
        &mut self,
        error: AirbyteError,
        invocation: &Invocation,
    ) -> Result<(), AirbyteError> {
        let wait = error
            .retry_after()
            .unwrap_or_else(|| self.backoff.mul_f64(fastrand::f64()));
        if self.count == MAX_ATTEMPTS
            || !self.policy.is_retryable(&error)
            || invocation.waited().saturating_add(wait) > MAX_TOTAL_WAIT
            || wait + MIN_TIME_FOR_RETRY > invocation.time_left()
        {
            return Err(error);
        }
        invocation.record_wait(wait);
        sleep(wait).await;
        self.count += 1;
        self.backoff *= 2;
        Ok(())
    }
}

/// Parses the header `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3). A date in the past results in
/// a wait of zero.
pub(super) fn parse_retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::error::ErrorResponse;
    use super::super::rejection::ErrorBody;
    use super::*;
    use http::HeaderValue;

    #[test]
    fn parses_retry_after_seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (text, seconds) in [
            ("3", Some(3)),
            (" 0 ", Some(0)),
            ("Sun, 09 Sep 2001 01:46:45 GMT", Some(5)),
            ("Sun, 09 Sep 2001 01:46:00 GMT", Some(0)),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("99999999999", None),
        ] {
            let headers =
                HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(parse_retry_after(&headers, now), expected, "{text:?}");
        }
    }

    fn status(status: u16) -> AirbyteError {
        let response = ErrorResponse::new(status, None, ErrorBody::default());
        AirbyteError::Status(Box::new(response))
    }

    #[tokio::test(start_paused = true)]
    async fn waits_two_seconds_per_invocation_at_most() {
        let limited = |retry_after: f64| {
            let retry_after = Some(Duration::from_secs_f64(retry_after));
            let response = ErrorResponse::new(429, retry_after, ErrorBody::default());
            AirbyteError::Status(Box::new(response))
        };
        for (name, waits, expected) in [
            ("one wait", vec![vec![2.0]], vec![true]),
            ("too long", vec![vec![2.1]], vec![false]),
            ("hours", vec![vec![12.0 * 3600.0]], vec![false]),
            ("two of one call", vec![vec![1.2, 0.7]], vec![true, true]),
            (
                "two of one call, too long",
                vec![vec![1.2, 1.2]],
                vec![true, false],
            ),
            (
                "of two calls",
                vec![vec![1.2], vec![1.2]],
                vec![true, false],
            ),
            (
                "too many attempts",
                vec![vec![0.1, 0.1, 0.1]],
                vec![true, true, false],
            ),
        ] {
            let invocation = Invocation::for_init(Duration::from_secs(25));
            let started = tokio::time::Instant::now();
            let mut retried = Vec::new();
            for call in waits {
                let mut attempts = Attempts::new(RetryPolicy::NonIdempotent);
                for wait in call {
                    retried.push(attempts.next(limited(wait), &invocation).await.is_ok());
                }
            }
            assert_eq!(retried, expected, "{name}");
            assert!(started.elapsed() <= MAX_TOTAL_WAIT, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_wait_beyond_deadline() {
        let invocation = Invocation::for_init(Duration::from_millis(300));
        let mut attempts = Attempts::new(RetryPolicy::Idempotent);
        let response =
            ErrorResponse::new(503, Some(Duration::from_millis(60)), ErrorBody::default());
        let error = AirbyteError::Status(Box::new(response));
        assert!(attempts.next(error, &invocation).await.is_err());
    }

    #[test]
    fn create_is_retried_only_if_not_processed() {
        let tls = rustls::Error::DecryptError;
        let both = (true, true);
        let idempotent_only = (true, false);
        let neither = (false, false);
        let mut cases = vec![
            (AirbyteError::Connect("x".into()), both),
            (AirbyteError::ConnectTimeout, both),
            (status(429), both),
            (AirbyteError::ConnectionLost("x".into()), idempotent_only),
            (AirbyteError::InvalidRequest, neither),
            (AirbyteError::Tls(tls), neither),
            (AirbyteError::Timeout, neither),
            (AirbyteError::InvalidResponse, neither),
        ];
        cases.extend([502, 503, 504].map(|code| (status(code), idempotent_only)));
        cases.extend(
            [302, 400, 401, 403, 404, 409, 422, 500, 501].map(|code| (status(code), neither)),
        );
        for (error, expected) in cases {
            let retryable = (
                RetryPolicy::Idempotent.is_retryable(&error),
                RetryPolicy::NonIdempotent.is_retryable(&error),
            );
            assert_eq!(retryable, expected, "{error}");
        }
    }
}
