//! The current time, in the formats of Airbyte's messages.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Returns the whole seconds since the Unix epoch, as in a JWT's `exp`.
pub(crate) fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

/// Returns the milliseconds since the Unix epoch.
pub(crate) fn unix_milliseconds() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time in RFC 3339 and UTC, as in a source's `created_at`.
pub(crate) fn rfc3339() -> String {
    // The year is within RFC 3339's four digits for as long as the system clock is.
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}

fn since_epoch() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
