//! Throttling by token bucket.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::template::Throttling;

/// Lets calls through at a rate, and a burst of them at once.
#[derive(Debug)]
pub(super) struct Bucket {
    measures: Throttling,
    level: Mutex<Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(measures: Throttling, now: Instant) -> Self {
        Self {
            measures,
            level: Mutex::new(Level {
                tokens: measures.burst,
                at: now,
            }),
        }
    }

    /// Whether a call may pass now.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = now.saturating_duration_since(level.at).as_secs_f64() * self.measures.rate;
        let tokens = (level.tokens + refill).min(self.measures.burst);
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
    fn a_burst_passes_and_then_the_rate() {
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
    fn a_rest_fills_it_up_to_the_burst_and_no_further() {
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
