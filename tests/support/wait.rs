//! Waiting for conditions.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Timeout of a condition; long, for busy machines.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within ten seconds; `condition_name` is part of the message.
pub async fn eventually(condition_name: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < TIMEOUT,
            "not within {TIMEOUT:?}: {condition_name}"
        );
        sleep(Duration::from_millis(5)).await;
    }
}
