//! Waiting for a condition instead of for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a condition that is bound to come true may take on a busy machine.
const BOUND: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within ten seconds; `what` says what was waited for.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < BOUND,
            "waited {BOUND:?} in vain: {what}"
        );
        sleep(Duration::from_millis(5)).await;
    }
}
