//! The record of an `Idempotency-Key`: one source per user and key, for a day.
//!
//! The record is written before the source is created, and settled with the outcome afterwards. While its invocation runs, the
//! create is in progress. If the invocation ends without settling the record, the outcome is unknown. So a process that dies
//! never frees a key.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::table::{Item, ItemKey, Put, Replace, StateError, StateTable, TIMEOUT};
use crate::invocation::Invocation;
use crate::request::caller::ExternalUserId;
use crate::request::idempotency_key::IdempotencyKey;

/// The purpose in the items' keys.
const PURPOSE: &str = "idempotency";

/// The time for which a key is remembered.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of a record whose source is being created, or, if its invocation has ended, may have been.
const STARTED: &str = "started";

/// The state of a record whose source was created.
const CREATED: &str = "created";

/// The state of a record whose source may have been created.
const UNKNOWN: &str = "unknown";

const FINGERPRINT: &str = "fingerprint";
const SOURCE_ID: &str = "source_id";
const WORKSPACE_ID: &str = "workspace_id";

/// The records of all keys.
#[derive(Debug)]
pub struct IdempotencyRecords {
    table: StateTable,
}

/// A source that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSource {
    /// Its ID.
    pub id: String,
    /// The ID of its workspace.
    pub workspace_id: String,
}

/// A request with a key that may be processed, or that was processed before.
#[derive(Debug)]
pub enum Begun<'a> {
    /// The key is new. The record must be settled.
    New(Record<'a>),
    /// The same request created this source.
    Replay(CreatedSource),
}

/// The record of a create that is in progress. Call one of its methods when the create has ended.
#[derive(Debug)]
#[must_use = "the outcome of a record that is not settled is unknown"]
pub struct Record<'a> {
    table: &'a StateTable,
    key: ItemKey,
    fingerprint: String,
}

/// A request with a key that must not be processed. Nothing was sent to Airbyte.
#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    /// The key was used with another body.
    #[error("key used with another body")]
    KeyReused,
    /// A create with the key is in progress.
    #[error("create in progress")]
    InProgress,
    /// A create with the key has ended, and may have created a source.
    #[error("outcome unknown")]
    OutcomeUnknown,
    /// The key cannot be recorded.
    #[error("failed to record the key")]
    Unavailable(#[source] StateError),
}

impl IdempotencyRecords {
    /// Creates the records in `table`.
    #[must_use]
    pub fn new(table: StateTable) -> Self {
        Self { table }
    }

    /// Begins a request with a key. `fingerprint` contains the values that must be equal in a repeated request; the table
    /// contains a hash of them.
    ///
    /// Reserves time before the invocation's deadline for settling the record.
    pub async fn begin(
        &self,
        user: &ExternalUserId,
        key: &IdempotencyKey,
        fingerprint: &[&[u8]],
        invocation: &Invocation,
    ) -> Result<Begun<'_>, IdempotencyError> {
        let key = self.table.key(PURPOSE, user, &[key.as_str()]);
        let fingerprint = key.hash(fingerprint);
        invocation.reserve(TIMEOUT);
        let deadline = Instant::now() + TIMEOUT.min(invocation.time_left());
        let now = SystemTime::now();
        let item = Item::new(STARTED, LIFETIME, now)
            .with(FINGERPRINT, &fingerprint)
            .held_by(invocation);
        let put = self
            .table
            .put_new(&key, item, Replace::Expired, invocation, deadline)
            .await;
        match put {
            Ok(Put::Done) => Ok(Begun::New(Record {
                table: &self.table,
                key,
                fingerprint,
            })),
            Ok(Put::Exists(item)) => existing(&item, &fingerprint, now).inspect_err(|error| {
                if let IdempotencyError::Unavailable(error) = error {
                    error.report("read an idempotency record", invocation);
                }
            }),
            Err(error) => {
                error.report("write an idempotency record", invocation);
                // It may have been written although there was no response, or an error.
                if Instant::now() < deadline
                    && let Err(error) = self.table.delete_held(&key, invocation, deadline).await
                {
                    error.report("free an idempotency key", invocation);
                }
                Err(IdempotencyError::Unavailable(error))
            }
        }
    }
}

/// Interprets the record of an earlier request.
fn existing<'a>(
    item: &Item,
    fingerprint: &str,
    now: SystemTime,
) -> Result<Begun<'a>, IdempotencyError> {
    let invalid = IdempotencyError::Unavailable(StateError::InvalidResponse);
    match item.get(FINGERPRINT) {
        None => return Err(invalid),
        Some(other) if other != fingerprint => return Err(IdempotencyError::KeyReused),
        Some(_) => {}
    }
    match item.state() {
        Some(STARTED) if item.is_held_at(now) => Err(IdempotencyError::InProgress),
        Some(STARTED | UNKNOWN) => Err(IdempotencyError::OutcomeUnknown),
        Some(CREATED) => match (item.get(SOURCE_ID), item.get(WORKSPACE_ID)) {
            (Some(id), Some(workspace_id)) => Ok(Begun::Replay(CreatedSource {
                id: id.to_owned(),
                workspace_id: workspace_id.to_owned(),
            })),
            _ => Err(invalid),
        },
        _ => Err(invalid),
    }
}

impl Record<'_> {
    /// Settles the record: the source was created, and is the response to a repeated request.
    pub async fn settle_created(self, source: &CreatedSource, invocation: &Invocation) {
        let item = Item::new(CREATED, LIFETIME, SystemTime::now())
            .with(SOURCE_ID, &source.id)
            .with(WORKSPACE_ID, &source.workspace_id);
        self.settle(item, invocation).await;
    }

    /// Settles the record: the source may have been created.
    pub async fn settle_unknown(self, invocation: &Invocation) {
        let item = Item::new(UNKNOWN, LIFETIME, SystemTime::now());
        self.settle(item, invocation).await;
    }

    /// Frees the key, because certainly no source was created.
    pub async fn free(self, invocation: &Invocation) {
        let deadline = Instant::now() + TIMEOUT;
        let result = self
            .table
            .delete_held(&self.key, invocation, deadline)
            .await;
        if let Err(error) = result {
            error.report("free an idempotency key", invocation);
        }
    }

    async fn settle(self, item: Item, invocation: &Invocation) {
        let item = item.with(FINGERPRINT, &self.fingerprint);
        let deadline = Instant::now() + TIMEOUT;
        if let Err(error) = self.table.put_always(&self.key, item, deadline).await {
            error.report("settle an idempotency record", invocation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(item: &Item, now: SystemTime) -> String {
        match existing(item, "f", now) {
            Ok(Begun::Replay(source)) => format!("{} in {}", source.id, source.workspace_id),
            Ok(Begun::New(_)) => "new".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn interprets_record_of_earlier_request() {
        let now = SystemTime::now();
        let invocation = Invocation::new("r".into(), None, now + Duration::from_secs(10));
        let item = |state| Item::new(state, LIFETIME, now).with(FINGERPRINT, "f");
        let started = || item(STARTED).held_by(&invocation);
        let created = || item(CREATED).with(SOURCE_ID, "s").with(WORKSPACE_ID, "w");
        for (name, item, expected) in [
            ("started", started(), "create in progress"),
            ("unknown", item(UNKNOWN), "outcome unknown"),
            ("created", created(), "s in w"),
            ("started without holder", item(STARTED), "outcome unknown"),
            (
                "created with other body",
                created().with(FINGERPRINT, "g"),
                "key used with another body",
            ),
            (
                "started with other body",
                started().with(FINGERPRINT, "g"),
                "key used with another body",
            ),
            ("garbage", Item::default(), "failed to record the key"),
            ("other state", item("x"), "failed to record the key"),
            (
                "created without source",
                item(CREATED),
                "failed to record the key",
            ),
        ] {
            assert_eq!(outcome(&item, now), expected, "{name}");
        }
        let later = now + Duration::from_secs(11);
        assert_eq!(outcome(&started(), later), "outcome unknown");
    }
}
