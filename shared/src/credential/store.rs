//! The cached credential, and the calls that carry the organization's token.
//!
//! The secret is read during init. It is read again when it is older than its time to live, and immediately when Airbyte
//! rejects the credential, so that a rotation needs no new deployment. While Secrets Manager fails, the cached value is used.
//! After a rotation, the old token is used while the exchange of the new application fails. A lock is held during each
//! refresh, so that there is only one at a time.
//!
//! Meaning of an error response:
//!
//! - 401: Airbyte rejects the credential. Exception: if the application's token expired during the call, Airbyte rejects the
//!   token only.
//! - 403 to a mint: Airbyte rejects the credential if it has never accepted it. After that, the 403 is about the request,
//!   for example about its user.
//! - 403 to a create: it is always about the request, for example about its template.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::lifetime::Lifetime;
use super::secret::Credential;
use super::secrets_manager::{SecretError, SecretsManager};
use crate::airbyte::{Airbyte, AirbyteError};
use crate::invocation::Invocation;

/// The timeout of reading the secret, if a value is cached.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);

/// The time between a failed read of the secret and the next one, if a value is cached.
const REFRESH_COOLDOWN: Duration = Duration::from_secs(30);

/// The organization's credential, cached for as long as it is valid.
#[derive(Debug)]
pub struct CredentialStore {
    secrets: SecretsManager,
    airbyte: Airbyte,
    secret_ttl: Duration,
    cache: Mutex<Cache>,
}

/// An error returned by [`CredentialStore`].
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The secret cannot be read or used, and no value is cached.
    #[error("failed to read the secret")]
    Secret(#[source] SecretError),
    /// Airbyte rejects the credential, even after a fresh read of the secret.
    #[error("credential rejected")]
    Rejected,
    /// The exchange of an application's ID and secret failed, but Airbyte did not reject the application.
    #[error("failed to exchange the application's secret")]
    Exchange(#[source] AirbyteError),
}

impl CredentialError {
    /// Returns the cause for the log. docs/operations.md lists all causes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Secret(error) => error.cause(),
            Self::Rejected => "credential_rejected",
            Self::Exchange(error) => error.cause(),
        }
    }
}

/// The possible reasons of a 403 to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The credential, until Airbyte has accepted it once. After that, only the request.
    CredentialOrRequest,
    /// Only the request.
    Request,
}

/// The organization's token. Tokens are compared by identity: a clone is the same token, and a new token is another one even
/// if its value is equal.
#[derive(Debug, Clone)]
struct OrganizationToken(Arc<SecretString>);

impl OrganizationToken {
    fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Debug, Default)]
struct Cache {
    secret: Option<CachedSecret>,
    /// The time of the last read that failed, by the wall clock. A successful read clears it.
    failed_at: Option<OffsetDateTime>,
    /// While it is active, requests fail without a call to Airbyte.
    unauthorized: Backoff,
    /// While it is active, a 403 does not cause a read of the secret. Calls are still made, because other users may be
    /// allowed.
    forbidden: Backoff,
}

/// A credential and its token.
#[derive(Debug)]
struct CachedSecret {
    credential: Credential,
    read_at: OffsetDateTime,
    token: Option<CachedToken>,
    /// The token of the credential before the rotation, until there is a token of this one.
    old_token: Option<CachedToken>,
    /// Whether Airbyte has accepted the credential, and has not returned 401 since.
    is_accepted: bool,
}

#[derive(Debug)]
struct CachedToken {
    token: OrganizationToken,
    /// `None` for an organization token that the secret contains: its lifetime is unknown.
    lifetime: Option<Lifetime>,
}

/// An error response of Airbyte that rejects the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rejection {
    Unauthorized,
    Forbidden,
}

impl CredentialStore {
    /// Creates a store for the credential in the secret that `secrets` reads.
    #[must_use]
    pub fn new(secrets: SecretsManager, airbyte: Airbyte, secret_ttl: Duration) -> Self {
        Self {
            secrets,
            airbyte,
            secret_ttl,
            cache: Mutex::default(),
        }
    }

    /// Reads the secret, and exchanges an application, so that the token is cached before the first request.
    ///
    /// # Errors
    ///
    /// Fails if there is no usable token. The first request tries again.
    pub async fn warm_up(&self, invocation: &Invocation) -> Result<(), CredentialError> {
        self.current_token(invocation).await.map(drop)
    }

    /// Makes a call to Airbyte with the organization's token. `denial` states the possible reasons of a 403.
    ///
    /// If Airbyte rejects the credential, the secret is read again, and the call is retried once, because a call with a
    /// rejected credential was not processed. If the token expired during the call, it is replaced before that, and the call
    /// is retried with the new token.
    ///
    /// # Errors
    ///
    /// Fails with a [`CredentialError`] if there is no usable credential, and otherwise with the [`AirbyteError`] of the
    /// call. An [`AirbyteError`] with status 403 is about this request, not about the credential.
    pub async fn call<T, E>(
        &self,
        denial: Denial,
        invocation: &Invocation,
        call: impl AsyncFn(&SecretString) -> Result<T, AirbyteError>,
    ) -> Result<T, E>
    where
        E: From<CredentialError> + From<AirbyteError>,
    {
        let mut token = self.current_token(invocation).await?;
        let mut is_renewed = false;
        let mut is_retry = false;
        loop {
            let result = call(&token.0).await;
            let mut cache = self.cache.lock().await;
            let error = match result {
                Ok(value) => {
                    cache.record_accepted(&token);
                    return Ok(value);
                }
                Err(error) => error,
            };
            if error.status() == Some(401)
                && !is_renewed
                && cache.has_expired(&token, OffsetDateTime::now_utc())
            {
                token = self.token(&mut cache, false, invocation).await?;
                is_renewed = true;
                continue;
            }
            let Some(rejection) = cache.rejection(&token, error.status(), denial) else {
                return Err(error.into());
            };
            if is_retry {
                cache.record_rejected(rejection);
                return Err(CredentialError::Rejected.into());
            }
            token = self
                .refreshed_token(&mut cache, &token, rejection, invocation)
                .await?;
            is_retry = true;
        }
    }

    /// Returns the token for a new call.
    async fn current_token(
        &self,
        invocation: &Invocation,
    ) -> Result<OrganizationToken, CredentialError> {
        let mut cache = self.cache.lock().await;
        if cache.unauthorized.is_active(OffsetDateTime::now_utc()) {
            return Err(CredentialError::Rejected);
        }
        let is_fresh = self.refresh_if_old(&mut cache, invocation).await;
        self.token(&mut cache, is_fresh, invocation).await
    }

    /// Returns the token for the retry of a call, after Airbyte rejected the token `rejected`. The secret is read again, unless
    /// another call has already replaced that token.
    async fn refreshed_token(
        &self,
        cache: &mut Cache,
        rejected: &OrganizationToken,
        rejection: Rejection,
        invocation: &Invocation,
    ) -> Result<OrganizationToken, CredentialError> {
        if !cache.is_replaced(rejected) {
            if rejection == Rejection::Forbidden
                && cache.forbidden.is_active(OffsetDateTime::now_utc())
            {
                return Err(CredentialError::Rejected);
            }
            if let Some(secret) = &mut cache.secret {
                secret.token = None;
                secret.old_token = None;
            }
            self.read(cache, invocation.deadline(), invocation).await?;
        }
        self.token(cache, true, invocation).await
    }

    /// Reads the secret again if it is older than its time to live, and returns whether it was read. If reading fails, the
    /// cached value stays in use.
    async fn refresh_if_old(&self, cache: &mut Cache, invocation: &Invocation) -> bool {
        let cooldown = REFRESH_COOLDOWN.min(self.secret_ttl);
        if !cache.has_old_secret(self.secret_ttl) || cache.is_cooling_down(cooldown) {
            return false;
        }
        let deadline = invocation.deadline().min(Instant::now() + REFRESH_TIMEOUT);
        let is_read = self.read(cache, deadline, invocation).await.is_ok();
        if !is_read {
            cache.failed_at = Some(OffsetDateTime::now_utc());
        }
        is_read
    }

    /// Reads the secret into the cache.
    async fn read(
        &self,
        cache: &mut Cache,
        deadline: Instant,
        invocation: &Invocation,
    ) -> Result<(), CredentialError> {
        let value = self.secrets.read(deadline).await;
        match value.and_then(|value| Credential::parse(&value)) {
            Ok(credential) => {
                cache.put(credential, OffsetDateTime::now_utc());
                Ok(())
            }
            Err(error) => {
                invocation.record_secret_refresh_failed();
                warn!(
                    reason = error.with_advice(),
                    still_usable = cache.secret.is_some(),
                    "failed to read the secret"
                );
                Err(CredentialError::Secret(error))
            }
        }
    }

    /// Returns the cached token, or a new one. The secret is read if none is cached. It is also read, once, if Airbyte rejects
    /// the application; `is_fresh` means that it was just read.
    async fn token(
        &self,
        cache: &mut Cache,
        mut is_fresh: bool,
        invocation: &Invocation,
    ) -> Result<OrganizationToken, CredentialError> {
        loop {
            if let Some(secret) = &mut cache.secret {
                match self.token_of(secret, invocation).await {
                    Err(CredentialError::Rejected) if !is_fresh => {}
                    Err(CredentialError::Rejected) => {
                        cache.record_rejected(Rejection::Unauthorized);
                        return Err(CredentialError::Rejected);
                    }
                    result => return result,
                }
            }
            self.read(cache, invocation.deadline(), invocation).await?;
            is_fresh = true;
        }
    }

    /// Returns the cached token of a secret, or a new one if there is none or it is due for replacement.
    async fn token_of(
        &self,
        secret: &mut CachedSecret,
        invocation: &Invocation,
    ) -> Result<OrganizationToken, CredentialError> {
        let now = OffsetDateTime::now_utc();
        if let Some(cached) = &secret.token
            && !cached
                .lifetime
                .is_some_and(|lifetime| lifetime.is_due_at(now))
        {
            return Ok(cached.token.clone());
        }
        let (value, lifetime) = match &secret.credential {
            Credential::Token(token) => (token.clone(), None),
            Credential::Application {
                client_id,
                client_secret,
            } => match self.exchange(client_id, client_secret, invocation).await {
                Ok((token, lifetime)) => (token, Some(lifetime)),
                Err(error) => return secret.token_without_exchange(error, now),
            },
        };
        let token = OrganizationToken(Arc::new(value));
        secret.token = Some(CachedToken {
            token: token.clone(),
            lifetime,
        });
        secret.old_token = None;
        Ok(token)
    }

    /// Exchanges an application's ID and secret for a token.
    async fn exchange(
        &self,
        client_id: &SecretString,
        client_secret: &SecretString,
        invocation: &Invocation,
    ) -> Result<(SecretString, Lifetime), AirbyteError> {
        let now = OffsetDateTime::now_utc();
        let response = self
            .airbyte
            .application_token(client_id, client_secret, invocation)
            .await?;
        let lifetime = Lifetime::new(&response.token, response.expires_in, now)
            .ok_or(AirbyteError::InvalidResponse)?;
        Ok((response.token, lifetime))
    }
}

impl Cache {
    /// Whether there is a secret, and it is older than its time to live.
    fn has_old_secret(&self, ttl: Duration) -> bool {
        let ttl = ttl.try_into().unwrap_or(time::Duration::MAX);
        self.secret.as_ref().is_some_and(|secret| {
            // The wall clock, because the monotonic clock may stop while Lambda freezes the process. If the clock was set back,
            // the secret counts as old.
            let age = OffsetDateTime::now_utc() - secret.read_at;
            !(time::Duration::ZERO..ttl).contains(&age)
        })
    }

    /// Whether a read failed within the cooldown. If the clock was set back since, the cooldown is over.
    fn is_cooling_down(&self, cooldown: Duration) -> bool {
        let cooldown = cooldown.try_into().unwrap_or(time::Duration::MAX);
        self.failed_at.is_some_and(|failed_at| {
            let age = OffsetDateTime::now_utc() - failed_at;
            (time::Duration::ZERO..cooldown).contains(&age)
        })
    }

    /// Caches a credential that was just read. If it has not changed, its token and its acceptance are kept.
    fn put(&mut self, credential: Credential, read_at: OffsetDateTime) {
        self.failed_at = None;
        match &mut self.secret {
            Some(secret) if secret.credential.is_same_as(&credential) => secret.read_at = read_at,
            secret => {
                if secret.is_some() {
                    info!("the organization's secret has changed");
                }
                let old_token = secret.take().and_then(|old| old.token.or(old.old_token));
                *secret = Some(CachedSecret {
                    credential,
                    read_at,
                    token: None,
                    old_token,
                    is_accepted: false,
                });
                self.unauthorized = Backoff::default();
                self.forbidden = Backoff::default();
            }
        }
    }

    /// Returns the secret of this token; `None` if the token has been replaced.
    fn secret_of(&mut self, token: &OrganizationToken) -> Option<&mut CachedSecret> {
        self.secret.as_mut().filter(|secret| {
            let cached = secret.token.as_ref();
            cached.is_some_and(|cached| cached.token.is_same_as(token))
        })
    }

    /// Whether another token is cached in place of this one.
    fn is_replaced(&self, token: &OrganizationToken) -> bool {
        let cached = self
            .secret
            .as_ref()
            .and_then(|secret| secret.token.as_ref());
        cached.is_some_and(|cached| !cached.token.is_same_as(token))
    }

    /// Whether this token has expired; `false` if it has been replaced.
    fn has_expired(&mut self, token: &OrganizationToken, now: OffsetDateTime) -> bool {
        let secret = self.secret_of(token);
        let cached = secret.and_then(|secret| secret.token.as_ref());
        let lifetime = cached.and_then(|cached| cached.lifetime);
        lifetime.is_some_and(|lifetime| lifetime.is_expired_at(now))
    }

    /// Returns how a call that failed with this status rejects the credential; `None` if the failure is not about the
    /// credential. A 401 ends the acceptance of the credential.
    fn rejection(
        &mut self,
        token: &OrganizationToken,
        status: Option<u16>,
        denial: Denial,
    ) -> Option<Rejection> {
        let secret = self.secret_of(token);
        match status? {
            401 => {
                if let Some(secret) = secret {
                    secret.is_accepted = false;
                }
                Some(Rejection::Unauthorized)
            }
            403 if denial == Denial::CredentialOrRequest
                && !secret.is_some_and(|secret| secret.is_accepted) =>
            {
                Some(Rejection::Forbidden)
            }
            _ => None,
        }
    }

    /// Records that Airbyte accepted a call with this token.
    fn record_accepted(&mut self, token: &OrganizationToken) {
        self.unauthorized = Backoff::default();
        self.forbidden = Backoff::default();
        if let Some(secret) = self.secret_of(token) {
            secret.is_accepted = true;
        }
    }

    /// Records that Airbyte rejected the credential although the secret was just read.
    fn record_rejected(&mut self, rejection: Rejection) {
        match rejection {
            Rejection::Unauthorized => self.unauthorized.record(OffsetDateTime::now_utc()),
            Rejection::Forbidden => self.forbidden.record(OffsetDateTime::now_utc()),
        }
    }
}

impl CachedSecret {
    /// Returns the token to use after a failed exchange: the cached one, or that of the credential before the rotation, until
    /// it expires.
    ///
    /// # Errors
    ///
    /// Fails with [`CredentialError::Rejected`] if Airbyte rejects the application, and with [`CredentialError::Exchange`]
    /// if there is no token that is still valid.
    fn token_without_exchange(
        &self,
        error: AirbyteError,
        now: OffsetDateTime,
    ) -> Result<OrganizationToken, CredentialError> {
        let may_be_transient = error.status() == Some(403) && self.is_accepted;
        if error.rejects_client() && !may_be_transient {
            return Err(CredentialError::Rejected);
        }
        match self.token.as_ref().or(self.old_token.as_ref()) {
            Some(cached)
                if !cached
                    .lifetime
                    .is_some_and(|lifetime| lifetime.is_expired_at(now)) =>
            {
                warn!(
                    reason = error.cause(),
                    "failed to refresh the application token; using the cached token"
                );
                Ok(cached.token.clone())
            }
            _ => Err(CredentialError::Exchange(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(token: &str) -> Credential {
        Credential::Token(token.into())
    }

    /// Caches a token for the secret, as [`CredentialStore::token`] does.
    fn cache_token(cache: &mut Cache) -> OrganizationToken {
        let token = OrganizationToken(Arc::new("token".into()));
        cache.secret.as_mut().unwrap().token = Some(CachedToken {
            token: token.clone(),
            lifetime: None,
        });
        token
    }

    fn rejection(
        cache: &mut Cache,
        token: &OrganizationToken,
        status: Option<u16>,
    ) -> Option<Rejection> {
        cache.rejection(token, status, Denial::CredentialOrRequest)
    }

    fn cache() -> (Cache, OrganizationToken) {
        let mut cache = Cache::default();
        cache.put(credential("a"), OffsetDateTime::now_utc());
        let token = cache_token(&mut cache);
        (cache, token)
    }

    #[test]
    fn attributes_403_to_credential_until_accepted() {
        let (mut cache, token) = cache();
        assert_eq!(
            rejection(&mut cache, &token, Some(403)),
            Some(Rejection::Forbidden)
        );

        cache.record_accepted(&token);

        assert_eq!(rejection(&mut cache, &token, Some(403)), None);
    }

    #[test]
    fn never_attributes_403_on_create_to_credential() {
        let (mut cache, token) = cache();

        assert_eq!(cache.rejection(&token, Some(403), Denial::Request), None);
        assert_eq!(
            cache.rejection(&token, Some(401), Denial::Request),
            Some(Rejection::Unauthorized)
        );
    }

    #[test]
    fn keeps_acceptance_of_unchanged_secret() {
        let (mut cache, token) = cache();
        cache.record_accepted(&token);

        cache.put(credential("a"), OffsetDateTime::now_utc());
        assert_eq!(rejection(&mut cache, &token, Some(403)), None);
        let exchanged_again = cache_token(&mut cache);
        assert_eq!(rejection(&mut cache, &exchanged_again, Some(403)), None);
    }

    #[test]
    fn forgets_acceptance_of_changed_secret() {
        let (mut cache, token) = cache();
        cache.record_accepted(&token);

        cache.put(credential("b"), OffsetDateTime::now_utc());
        // A call with the old token ends after the new secret was read.
        cache.record_accepted(&token);
        let new_token = cache_token(&mut cache);

        assert_eq!(
            rejection(&mut cache, &new_token, Some(403)),
            Some(Rejection::Forbidden)
        );
    }

    #[test]
    fn forgets_acceptance_on_401() {
        let (mut cache, token) = cache();
        cache.record_accepted(&token);

        assert_eq!(
            rejection(&mut cache, &token, Some(401)),
            Some(Rejection::Unauthorized)
        );
        assert_eq!(
            rejection(&mut cache, &token, Some(403)),
            Some(Rejection::Forbidden)
        );
    }

    #[test]
    fn attributes_other_failures_to_request() {
        let (mut cache, token) = cache();
        for status in [None, Some(400), Some(404), Some(422), Some(429), Some(500)] {
            assert_eq!(rejection(&mut cache, &token, status), None, "{status:?}");
        }
    }

    #[test]
    fn backs_off_calls_on_401_only() {
        let (mut cache, _) = cache();
        for _ in 0..3 {
            cache.record_rejected(Rejection::Forbidden);
        }
        assert!(!cache.unauthorized.is_active(OffsetDateTime::now_utc()));
        assert!(cache.forbidden.is_active(OffsetDateTime::now_utc()));
    }

    #[test]
    fn is_old_after_ttl_or_clock_change() {
        let now = OffsetDateTime::now_utc();
        for (name, read_at, expected) in [
            ("fresh", now, false),
            ("old", now - Duration::from_secs(61), true),
            ("clock set back", now + Duration::from_secs(10), true),
        ] {
            let mut cache = Cache::default();
            cache.put(credential("a"), read_at);
            assert_eq!(
                cache.has_old_secret(Duration::from_secs(60)),
                expected,
                "{name}"
            );
        }
        assert!(!Cache::default().has_old_secret(Duration::ZERO));
    }
}
