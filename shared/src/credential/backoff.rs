//! The backoff after rejections of the credential.

use time::{Duration, OffsetDateTime};

/// The pause after the second consecutive rejection; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::milliseconds(500);

/// The maximum pause after a rejection.
const MAX_BACKOFF: Duration = Duration::seconds(30);

/// An exponential backoff after consecutive rejections.
///
/// It uses the wall clock, because the monotonic clock may stop while Lambda freezes the process between two requests.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    rejections: u32,
    until: Option<OffsetDateTime>,
}

impl Backoff {
    /// Whether the pause after the last rejection lasts at `now`. If the clock was set back since, the pause is over.
    pub(super) fn is_active(&self, now: OffsetDateTime) -> bool {
        self.until
            .is_some_and(|until| now < until && until - now <= MAX_BACKOFF)
    }

    /// Records a rejection. The first one has no pause, because the next request may already succeed.
    pub(super) fn record(&mut self, now: OffsetDateTime) {
        let pause = match self.rejections {
            0 => Duration::ZERO,
            earlier => (INITIAL_BACKOFF * (1_i32 << (earlier - 1).min(10))).min(MAX_BACKOFF),
        };
        self.rejections = self.rejections.saturating_add(1);
        self.until = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_pause_up_to_maximum() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10)
            .map(|_| {
                backoff.record(start);
                (backoff.until.unwrap() - start).whole_milliseconds()
            })
            .collect();

        assert_eq!(
            pauses,
            [
                0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        assert!(backoff.is_active(start));
        assert!(!backoff.is_active(start + MAX_BACKOFF));
        assert!(
            !backoff.is_active(start - Duration::HOUR),
            "the clock was set back"
        );
    }

    #[test]
    fn never_overflows() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut backoff = Backoff {
            rejections: u32::MAX,
            until: None,
        };

        backoff.record(start);

        assert_eq!(backoff.until, Some(start + MAX_BACKOFF));
    }
}
