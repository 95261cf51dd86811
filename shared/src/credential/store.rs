//! The organization's credential: where it comes from, how long it is good for, and what happens when Airbyte refuses it.
//!
//! The secret is read at start and kept; it is read again when it is older than its time to live, and at once when
//! Airbyte answers 401. So a rotation in Secrets Manager needs no redeploy. If Secrets Manager fails while a value is at
//! hand, that value goes on being used. One lock is held over each refresh: there is never more than one.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::airbyte::token::unverified_expiry;
use crate::airbyte::{Airbyte, AirbyteError, ApplicationTokenRequest};
use crate::credential::secrets_manager::{SecretError, SecretsManager};
use crate::invocation::Invocation;

/// How long a refresh may take while a value is at hand.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a failed refresh is not tried again while a value is at hand.
const REFRESH_COOLDOWN: Duration = Duration::from_secs(30);

/// The pause after the second rejection in a row; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(500);

/// The longest pause after a rejection.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The organization's credential, kept in memory for as long as it is good.
#[derive(Debug)]
pub struct CredentialStore {
    secrets: SecretsManager,
    airbyte: Airbyte,
    secret_ttl: Duration,
    state: Mutex<State>,
}

/// The token that calls for the organization carry.
#[derive(Debug, Clone)]
pub struct OrganizationToken {
    token: SecretString,
    /// Which of the tokens held so far this is, so that a rejection of an old one does not discard its successor.
    generation: u64,
}

impl OrganizationToken {
    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.token
    }
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
    /// The exchange of an application's ID and secret failed for another reason.
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

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// Counts the tokens held.
    generation: u64,
    /// Not to be asked again before this: Secrets Manager just failed.
    refresh_paused_until: Option<Instant>,
    rejections: Rejections,
}

/// A secret's value and when it was read.
#[derive(Debug)]
struct Held {
    credential: Credential,
    read_at: OffsetDateTime,
    /// The token in use: the organization's own, or what an application's was exchanged for.
    token: Option<HeldToken>,
}

#[derive(Debug)]
struct HeldToken {
    token: OrganizationToken,
    /// When to get another one, and when this one ends. A plain organization token has neither.
    lifetime: Option<Lifetime>,
}

#[derive(Debug, Clone, Copy)]
struct Lifetime {
    refresh_at: OffsetDateTime,
    ends_at: OffsetDateTime,
}

/// What the secret holds.
#[derive(Debug)]
enum Credential {
    /// An organization token.
    Token(SecretString),
    /// An Airbyte application.
    Application {
        client_id: String,
        client_secret: SecretString,
    },
}

impl CredentialStore {
    /// The credential in the secret that `secrets` reads.
    #[must_use]
    pub fn new(secrets: SecretsManager, airbyte: Airbyte, secret_ttl: Duration) -> Self {
        Self {
            secrets,
            airbyte,
            secret_ttl,
            state: Mutex::default(),
        }
    }

    /// The token to use now.
    pub async fn token(
        &self,
        invocation: &Invocation,
    ) -> Result<OrganizationToken, CredentialError> {
        let mut state = self.state.lock().await;
        state.rejections.check(Instant::now())?;
        let read_now = self.refresh_if_old(&mut state, invocation).await?;
        self.current(&mut state, read_now, invocation).await
    }

    /// Another token, after Airbyte answered that it does not accept `rejected`: the secret is read anew.
    ///
    /// It may be the same one, if nobody changed the secret. Only one call per rejection: if Airbyte does not accept this
    /// one either, that is to be [noted](Self::record_rejected).
    pub async fn refreshed_token(
        &self,
        rejected: &OrganizationToken,
        invocation: &Invocation,
    ) -> Result<OrganizationToken, CredentialError> {
        let mut state = self.state.lock().await;
        if state.generation == rejected.generation {
            if let Some(held) = &mut state.held {
                held.token = None;
            }
            self.read(&mut state, invocation.deadline(), invocation)
                .await?;
        }
        self.current(&mut state, true, invocation).await
    }

    /// Airbyte does not accept the credential although it was just read. From the second time in a row on, there is a
    /// pause in which nobody is asked.
    pub async fn record_rejected(&self) {
        self.state.lock().await.rejections.add(Instant::now());
    }

    /// Airbyte accepts the credential.
    pub async fn record_accepted(&self) {
        self.state.lock().await.rejections = Rejections::default();
    }

    /// Reads the secret if there is none or it is too old. `true` if it was read.
    async fn refresh_if_old(
        &self,
        state: &mut State,
        invocation: &Invocation,
    ) -> Result<bool, CredentialError> {
        let Some(held) = &state.held else {
            self.read(state, invocation.deadline(), invocation).await?;
            return Ok(true);
        };
        // By the wall clock: the monotonic one may stand still while Lambda freezes the process. A clock that was set
        // back makes the value old, not new.
        let age = OffsetDateTime::now_utc() - held.read_at;
        let fresh = (time::Duration::ZERO
            ..self.secret_ttl.try_into().unwrap_or(time::Duration::MAX))
            .contains(&age);
        let now = Instant::now();
        if fresh || state.refresh_paused_until.is_some_and(|until| now < until) {
            return Ok(false);
        }
        let limit = invocation.deadline().min(now + REFRESH_TIMEOUT);
        let read = self.read(state, limit, invocation).await;
        if read.is_err() {
            state.refresh_paused_until =
                Some(Instant::now() + REFRESH_COOLDOWN.min(self.secret_ttl));
        }
        Ok(read.is_ok())
    }

    /// Reads the secret. An unchanged one keeps its token.
    async fn read(
        &self,
        state: &mut State,
        deadline: Instant,
        invocation: &Invocation,
    ) -> Result<(), CredentialError> {
        let read = match self.secrets.read(deadline).await {
            Ok(value) => Credential::parse(value.expose_secret()),
            Err(error) => Err(error),
        };
        let credential = read.map_err(|error| {
            invocation.record_secret_refresh_failed();
            let still_usable = state.held.is_some();
            warn!(reason = %error, still_usable, "the organization's secret cannot be read");
            CredentialError::Secret(error)
        })?;
        let read_at = OffsetDateTime::now_utc();
        state.refresh_paused_until = None;
        match &mut state.held {
            Some(held) if held.credential.same_as(&credential) => held.read_at = read_at,
            held => {
                if held.is_some() {
                    info!("the organization's secret has changed");
                }
                *held = Some(Held {
                    credential,
                    read_at,
                    token: None,
                });
                state.rejections = Rejections::default();
            }
        }
        Ok(())
    }

    /// The token of the credential that is held, exchanged anew where its time is nearly over.
    async fn current(
        &self,
        state: &mut State,
        mut just_read: bool,
        invocation: &Invocation,
    ) -> Result<OrganizationToken, CredentialError> {
        loop {
            let State {
                held: Some(held),
                generation,
                ..
            } = state
            else {
                return Err(CredentialError::Secret(SecretError::Connect));
            };
            let now = OffsetDateTime::now_utc();
            if let Some(current) = &held.token
                && current
                    .lifetime
                    .is_none_or(|lifetime| now < lifetime.refresh_at)
            {
                return Ok(current.token.clone());
            }
            let (token, lifetime) = match &held.credential {
                Credential::Token(token) => (token.clone(), None),
                Credential::Application {
                    client_id,
                    client_secret,
                } => {
                    let request = ApplicationTokenRequest {
                        client_id,
                        client_secret: client_secret.expose_secret(),
                    };
                    match self.airbyte.application_token(&request, invocation).await {
                        Ok(answer) => {
                            let lifetime = Lifetime::of(&answer.token, answer.expires_in, now)
                                .ok_or(CredentialError::Exchange(AirbyteError::InvalidResponse))?;
                            (answer.token, Some(lifetime))
                        }
                        Err(error) if matches!(error.status(), Some(401 | 403)) => {
                            if just_read {
                                state.rejections.add(Instant::now());
                                return Err(CredentialError::Rejected);
                            }
                            self.read(state, invocation.deadline(), invocation).await?;
                            just_read = true;
                            continue;
                        }
                        Err(error) => {
                            // The last one has a little time left: better than nothing.
                            return match &held.token {
                                Some(last)
                                    if last
                                        .lifetime
                                        .is_some_and(|lifetime| now < lifetime.ends_at) =>
                                {
                                    warn!(
                                        "the application's token cannot be renewed; the last one is still good"
                                    );
                                    Ok(last.token.clone())
                                }
                                _ => Err(CredentialError::Exchange(error)),
                            };
                        }
                    }
                }
            };
            *generation += 1;
            let token = OrganizationToken {
                token,
                generation: *generation,
            };
            held.token = Some(HeldToken {
                token: token.clone(),
                lifetime,
            });
            return Ok(token);
        }
    }
}

impl Lifetime {
    /// By the JWT's own `exp`, else by what the answer says; `None` if neither tells.
    fn of(token: &SecretString, expires_in: Option<Duration>, now: OffsetDateTime) -> Option<Self> {
        let ends_at = unverified_expiry(token.expose_secret())
            .or_else(|| now.checked_add(time::Duration::try_from(expires_in?).ok()?))?;
        // A minute ahead, so that no call is under way when it ends; a quarter of a short life.
        let quarter: time::Duration = (ends_at - now) / 4;
        let margin = quarter.clamp(time::Duration::ZERO, time::Duration::MINUTE);
        Some(Self {
            refresh_at: ends_at - margin,
            ends_at,
        })
    }
}

impl Credential {
    /// Reads one of the three formats.
    fn parse(value: &str) -> Result<Self, SecretError> {
        const FORMATS: &str = "it must be an organization token, {\"organization_token\": \"…\"}, or \
                               {\"client_id\": \"…\", \"client_secret\": \"…\"}";
        const TEXTS: &str =
            "organization_token, client_id and client_secret must be strings without white space";
        const EITHER: &str =
            "it holds an organization_token and a client_id or client_secret: keep one of the two";
        let value = value.trim();
        if !value.starts_with(['{', '[', '"']) {
            return token(value)
                .map(Self::Token)
                .ok_or(SecretError::Malformed(FORMATS));
        }
        let Ok(Value::Object(members)) = serde_json::from_str::<Value>(value) else {
            return Err(SecretError::Malformed(FORMATS));
        };
        let member = |name: &str| members.get(name);
        match (
            member("organization_token"),
            member("client_id"),
            member("client_secret"),
        ) {
            (Some(text), None, None) => text
                .as_str()
                .and_then(token)
                .map(Self::Token)
                .ok_or(SecretError::Malformed(TEXTS)),
            (None, Some(id), Some(secret)) => {
                match (id.as_str().and_then(token), secret.as_str().and_then(token)) {
                    (Some(id), Some(client_secret)) => Ok(Self::Application {
                        client_id: id.expose_secret().to_owned(),
                        client_secret,
                    }),
                    _ => Err(SecretError::Malformed(TEXTS)),
                }
            }
            (Some(_), _, _) => Err(SecretError::Malformed(EITHER)),
            _ => Err(SecretError::Malformed(FORMATS)),
        }
    }

    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(one), Self::Token(other)) => one.expose_secret() == other.expose_secret(),
            (
                Self::Application {
                    client_id: one_id,
                    client_secret: one,
                },
                Self::Application {
                    client_id: other_id,
                    client_secret: other,
                },
            ) => one_id == other_id && one.expose_secret() == other.expose_secret(),
            _ => false,
        }
    }
}

/// What a secret's value is, if it is one of the three formats: for a check of the secret before a deployment. Neither the
/// words nor the error repeat anything of the value.
pub fn describe(value: &SecretString) -> Result<&'static str, SecretError> {
    Credential::parse(value.expose_secret()).map(|credential| match credential {
        Credential::Token(_) => "an organization token",
        Credential::Application { .. } => "an Airbyte application",
    })
}

/// What can be an HTTP header's value: visible ASCII.
fn token(text: &str) -> Option<SecretString> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()))
        .then(|| SecretString::from(text))
}

/// Rejections in a row, and until when nobody is asked again.
#[derive(Debug, Default)]
struct Rejections {
    count: u32,
    until: Option<Instant>,
}

impl Rejections {
    fn check(&self, now: Instant) -> Result<(), CredentialError> {
        if self.until.is_some_and(|until| now < until) {
            Err(CredentialError::Rejected)
        } else {
            Ok(())
        }
    }

    /// The first one may be a mistake of Airbyte's: the next request asks again. After that the pauses grow.
    fn add(&mut self, now: Instant) {
        self.count = self.count.saturating_add(1);
        let pause = match self.count {
            1 => Duration::ZERO,
            count => INITIAL_BACKOFF
                .saturating_mul(1 << (count - 2).min(10))
                .min(MAX_BACKOFF),
        };
        self.until = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn shown(value: &str) -> String {
        match Credential::parse(value) {
            Ok(Credential::Token(token)) => format!("token {}", token.expose_secret()),
            Ok(Credential::Application {
                client_id,
                client_secret,
            }) => {
                format!("application {client_id} {}", client_secret.expose_secret())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_three_formats_are_read() {
        assert_eq!(shown("abc.def-1"), "token abc.def-1");
        assert_eq!(shown("  abc\n"), "token abc");
        assert_eq!(shown(r#"{"organization_token": "abc"}"#), "token abc");
        assert_eq!(
            shown(r#"{"organization_token": "abc", "note": 1}"#),
            "token abc"
        );
        assert_eq!(
            shown(r#"{"client_id": "id", "client_secret": "s"}"#),
            "application id s"
        );
    }

    #[test]
    fn other_values_are_refused_without_being_shown() {
        for value in [
            "",
            " ",
            "canary with blanks",
            "canary\u{e9}",
            "\"canary\"",
            "{canary",
            "{}",
            "[\"canary\"]",
            r#"{"organization_token": ""}"#,
            r#"{"organization_token": 7}"#,
            r#"{"organization_token": "canary canary"}"#,
            r#"{"organization_token": "canary", "client_id": "canary"}"#,
            r#"{"client_id": "canary"}"#,
            r#"{"client_id": "canary", "client_secret": null}"#,
            r#"{"token": "canary"}"#,
        ] {
            let message = shown(value);
            assert!(
                message.starts_with("the secret's value cannot be used: "),
                "{value}: {message}"
            );
            assert!(!message.contains("canary"), "{message}");
        }
    }

    #[test]
    fn the_jwts_own_expiry_counts_and_is_met_with_a_margin() {
        let now = OffsetDateTime::from_unix_timestamp(1_000_000).unwrap();
        let jwt = |seconds: i64| {
            let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, 1_000_000 + seconds));
            SecretString::from(format!("e30.{payload}.c2ln"))
        };
        let lifetime = |token: &SecretString, expires_in| {
            Lifetime::of(token, expires_in, now).map(|lifetime| {
                (
                    (lifetime.refresh_at - now).whole_seconds(),
                    (lifetime.ends_at - now).whole_seconds(),
                )
            })
        };
        let quarter_hour = Some(Duration::from_secs(900));
        assert_eq!(lifetime(&jwt(180), quarter_hour), Some((135, 180)));
        assert_eq!(lifetime(&jwt(900), None), Some((840, 900)));
        assert_eq!(
            lifetime(&SecretString::from("opaque"), quarter_hour),
            Some((840, 900))
        );
        assert_eq!(lifetime(&jwt(-5), None), Some((-5, -5)));
        assert_eq!(lifetime(&SecretString::from("opaque"), None), None);
    }

    #[test]
    fn rejections_in_a_row_make_growing_pauses() {
        let start = Instant::now();
        let mut rejections = Rejections::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            rejections.add(start);
            pauses.push((rejections.until.unwrap() - start).as_millis());
        }
        assert_eq!(
            pauses,
            [
                0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        assert!(rejections.check(start).is_err());
        assert!(rejections.check(start + MAX_BACKOFF).is_ok());
    }
}
