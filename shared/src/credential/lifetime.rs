//! The lifetime of an application's token.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use crate::airbyte::token::unverified_expiry;

/// The maximum time between the replacement of a token and its expiry. The margin keeps tokens from expiring during a call.
const MAX_MARGIN: time::Duration = time::Duration::MINUTE;

/// The time from which a token is replaced, and the time at which it expires.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime {
    refresh_at: OffsetDateTime,
    expires_at: OffsetDateTime,
}

impl Lifetime {
    /// Returns the lifetime of a token that was issued at `now`; `None` if it is unknown. The claim `exp` of the token takes
    /// precedence over `expires_in`, because Airbyte has returned a wrong `expires_in`.
    pub(super) fn new(
        token: &SecretString,
        expires_in: Option<Duration>,
        now: OffsetDateTime,
    ) -> Option<Self> {
        let expires_at = unverified_expiry(token.expose_secret())
            .or_else(|| now.checked_add(time::Duration::try_from(expires_in?).ok()?))?;
        let quarter: time::Duration = (expires_at - now) / 4;
        let margin = quarter.clamp(time::Duration::ZERO, MAX_MARGIN);
        Some(Self {
            refresh_at: expires_at - margin,
            expires_at,
        })
    }

    /// Whether the token must be replaced.
    pub(super) fn is_due_at(&self, now: OffsetDateTime) -> bool {
        now >= self.refresh_at
    }

    /// Whether the token has expired.
    pub(super) fn is_expired_at(&self, now: OffsetDateTime) -> bool {
        now >= self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    #[test]
    fn prefers_token_expiry_with_margin() {
        let now = OffsetDateTime::from_unix_timestamp(1_000_000).unwrap();
        let jwt = |seconds: i64| {
            let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, 1_000_000 + seconds));
            format!("e30.{payload}.c2ln")
        };
        let opaque = || "opaque".to_owned();
        for (name, token, expires_in, expected) in [
            (
                "JWT against expires_in",
                jwt(180),
                Some(900),
                Some((135, 180)),
            ),
            ("JWT alone", jwt(900), None, Some((840, 900))),
            ("expires_in alone", opaque(), Some(900), Some((840, 900))),
            ("expired JWT", jwt(-5), None, Some((-5, -5))),
            ("neither", opaque(), None, None),
            ("expires_in out of range", opaque(), Some(u64::MAX), None),
        ] {
            let expires_in = expires_in.map(Duration::from_secs);

            let lifetime = Lifetime::new(&SecretString::from(token), expires_in, now);

            let seconds = lifetime.map(|lifetime| {
                [lifetime.refresh_at, lifetime.expires_at].map(|at| (at - now).whole_seconds())
            });
            assert_eq!(
                seconds.map(|[due, expired]| (due, expired)),
                expected,
                "{name}"
            );
        }
    }
}
