//! A cache of the scoped tokens that the function minted for callers who sent none: one per user.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use shared::airbyte::token::UnverifiedToken;
use shared::request::caller::ExternalUserId;
use time::{Duration, OffsetDateTime};

/// The maximum number of cached tokens, of about 1.5 KiB each. The least recently used one is evicted.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// The time before its expiry from which a token is not used, because it could expire during the call.
const MARGIN: Duration = Duration::MINUTE;

/// The cached tokens, by user.
#[derive(Debug)]
pub struct ScopedTokens(Mutex<LruCache<ExternalUserId, UnverifiedToken>>);

impl Default for ScopedTokens {
    fn default() -> Self {
        // `new` would allocate the whole capacity.
        let mut tokens = LruCache::unbounded();
        tokens.resize(CAPACITY);
        Self(Mutex::new(tokens))
    }
}

impl ScopedTokens {
    /// Returns the user's token, if it is valid for a call at `now`.
    #[must_use]
    pub fn get(&self, user: &ExternalUserId, now: OffsetDateTime) -> Option<UnverifiedToken> {
        let mut tokens = self.lock();
        let token = tokens.get(user)?;
        if token.is_expired_at(now + MARGIN) {
            tokens.pop(user);
            return None;
        }
        Some(token.clone())
    }

    /// Caches a user's token, unless it expires within the margin.
    pub fn put(&self, user: ExternalUserId, token: UnverifiedToken, now: OffsetDateTime) {
        if !token.is_expired_at(now + MARGIN) {
            self.lock().put(user, token);
        }
    }

    /// Removes a user's token.
    pub fn remove(&self, user: &ExternalUserId) {
        self.lock().pop(user);
    }

    /// A panic while the lock is held leaves the cache consistent.
    fn lock(&self) -> MutexGuard<'_, LruCache<ExternalUserId, UnverifiedToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn user(id: &str) -> ExternalUserId {
        ExternalUserId::parse(id).unwrap()
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
    }

    fn token(workspace: u128, lifetime: Duration) -> UnverifiedToken {
        UnverifiedToken {
            scoped_token: "jwt".into(),
            widget_url: "https://cloud.airbyte.com".into(),
            workspace_id: Uuid::from_u128(workspace),
            expires_at: now() + lifetime,
        }
    }

    #[test]
    fn caches_one_token_per_user() {
        let tokens = ScopedTokens::default();
        tokens.put(user("alice"), token(1, Duration::HOUR), now());
        tokens.put(user("bob"), token(2, Duration::HOUR), now());
        let workspace = |id| {
            tokens
                .get(&user(id), now())
                .map(|token| token.workspace_id.as_u128())
        };
        assert_eq!(
            (workspace("alice"), workspace("bob"), workspace("carol")),
            (Some(1), Some(2), None)
        );
        tokens.remove(&user("alice"));
        assert!(tokens.get(&user("alice"), now()).is_none());
        assert!(tokens.get(&user("bob"), now()).is_some());
    }

    #[test]
    fn ignores_token_in_last_minute() {
        let tokens = ScopedTokens::default();
        tokens.put(user("alice"), token(1, Duration::minutes(5)), now());
        assert!(
            tokens
                .get(&user("alice"), now() + Duration::seconds(239))
                .is_some()
        );
        assert!(
            tokens
                .get(&user("alice"), now() + Duration::seconds(240))
                .is_none()
        );
        tokens.put(user("bob"), token(1, Duration::minutes(1)), now());
        assert!(tokens.get(&user("bob"), now()).is_none());
    }

    #[test]
    fn evicts_least_recently_used_token() {
        let tokens = ScopedTokens::default();
        for n in 0..=CAPACITY.get() as u128 {
            tokens.put(user(&format!("user-{n}")), token(n, Duration::HOUR), now());
            assert!(tokens.get(&user("user-0"), now()).is_some());
        }
        assert!(tokens.get(&user("user-1"), now()).is_none());
        assert_eq!(tokens.lock().len(), CAPACITY.get());
    }
}
