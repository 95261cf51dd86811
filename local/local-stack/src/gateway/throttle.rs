//! Throttling by a token bucket.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use template::Throttling;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    limits: Throttling,
    level: Mutex<Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(limits: Throttling, now: Instant) -> Self {
        Self {
            limits,
            level: Mutex::new(Level {
                tokens: limits.burst,
                at: now,
            }),
        }
    }

    /// Takes a token, and returns whether there was one.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = now.saturating_duration_since(level.at).as_secs_f64() * self.limits.rate;
        let tokens = (level.tokens + refill).min(self.limits.burst);
        let passes = tokens >= 1.0;
        *level = Level {
            tokens: if passes { tokens - 1.0 } else { tokens },
            at: now,
        };
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn passed(bucket: &Bucket, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| bucket.take(now)).count()
    }

    #[test]
    fn allows_burst_then_rate() {
        let start = Instant::now();
        let bucket = Bucket::full(
            Throttling {
                rate: 2.0,
                burst: 5.0,
            },
            start,
        );
        assert_eq!(passed(&bucket, 10, start), 5);
        assert_eq!(passed(&bucket, 10, start + Duration::from_millis(400)), 0);
        assert_eq!(passed(&bucket, 10, start + Duration::from_millis(500)), 1);
        assert_eq!(passed(&bucket, 10, start + Duration::from_millis(1500)), 2);
    }

    #[test]
    fn refills_up_to_burst() {
        let start = Instant::now();
        let bucket = Bucket::full(
            Throttling {
                rate: 100.0,
                burst: 3.0,
            },
            start,
        );
        assert_eq!(passed(&bucket, 10, start + Duration::from_secs(3600)), 3);
    }
}
