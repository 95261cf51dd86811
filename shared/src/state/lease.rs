//! The workspace lease: one first mint per user at a time.
//!
//! Airbyte creates a user's workspace at the first mint, without a lock: two concurrent first mints create two workspaces,
//! after which all mints of that user fail. So a mint for a user who is not known to have a workspace holds a lease, and other
//! mints for the user wait for it. A lease ends with its mint. If the process of the holder dies, the lease ends when Lambda has
//! certainly ended the invocation.
//!
//! If the table fails, the mint continues without a lease, because a possible second workspace is a smaller failure than no
//! tokens.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lru::LruCache;
use tokio::time::{Instant, sleep};

use super::table::{Item, ItemKey, Put, Replace, StateTable, TIMEOUT};
use crate::invocation::Invocation;
use crate::request::caller::ExternalUserId;

/// The purpose in the items' keys.
const PURPOSE: &str = "workspace";

/// The state of an item whose invocation mints.
const LEASED: &str = "leased";

/// The state of a user who has a workspace.
const KNOWN: &str = "known";

/// The time for which a user is known. The next mint after that needs a lease again, which is two calls.
const KNOWN_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The time after which DynamoDB may delete a lease. It has ended long before.
const LEASE_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The maximum number of users in memory, of some 100 bytes each.
const MAX_USERS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// The upper bound of the first wait for another holder. It doubles with each further one.
const INITIAL_WAIT: Duration = Duration::from_millis(50);

/// The upper bound of a wait.
const MAX_WAIT: Duration = Duration::from_millis(400);

/// The leases of all users' workspaces, and the users that are known to have one.
#[derive(Debug)]
pub struct WorkspaceLeases {
    table: StateTable,
    known: Mutex<LruCache<ItemKey, ()>>,
}

/// The right to mint for a user. Call [`end`](Self::end) after the mint.
#[derive(Debug)]
#[must_use = "a lease that is not ended lasts until its invocation's deadline"]
pub struct Lease<'a> {
    leases: &'a WorkspaceLeases,
    key: ItemKey,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The user is known to have a workspace.
    NotNeeded,
    /// The table has the lease. Acquiring it took this long, without waits.
    Held(Duration),
    /// The table failed.
    Unavailable,
}

/// Another invocation holds the lease, and did not end it before this invocation's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out waiting for the workspace lease")]
pub struct LeaseTimeout;

impl WorkspaceLeases {
    /// Creates the leases in `table`.
    #[must_use]
    pub fn new(table: StateTable) -> Self {
        // Not `new`, which allocates the capacity at once.
        let mut known = LruCache::unbounded();
        known.resize(MAX_USERS);
        Self {
            table,
            known: Mutex::new(known),
        }
    }

    /// Returns the lease of a user's workspace. It makes no call to the table for a user whom this instance knows, and one call
    /// for a user whom only the table knows. If another invocation holds the lease, it waits until that lease ends.
    ///
    /// # Errors
    ///
    /// Fails if the other lease does not end before the invocation's deadline. A failure of the table is not an error.
    pub async fn acquire(
        &self,
        user: &ExternalUserId,
        invocation: &Invocation,
    ) -> Result<Lease<'_>, LeaseTimeout> {
        let key = self.table.key(PURPOSE, user, &[]);
        let lease = |kind| Lease {
            leases: self,
            key,
            kind,
        };
        if self.known().get(&key).is_some() {
            return Ok(lease(Kind::NotNeeded));
        }
        let mut wait = INITIAL_WAIT;
        loop {
            let started = Instant::now();
            let now = SystemTime::now();
            let put = self.table.put_new(
                &key,
                Item::new(LEASED, LEASE_LIFETIME, now).held_by(invocation),
                Replace::ExpiredOrAbandoned,
                invocation,
                invocation.deadline().min(started + TIMEOUT),
            );
            match put.await {
                Ok(Put::Done) => return Ok(lease(Kind::Held(started.elapsed()))),
                Ok(Put::Exists(item)) => match item.state() {
                    Some(KNOWN) => {
                        self.known().put(key, ());
                        return Ok(lease(Kind::NotNeeded));
                    }
                    Some(LEASED) => {}
                    _ => {
                        let error = super::StateError::InvalidResponse;
                        error.report("acquire a workspace lease", invocation);
                        return Ok(lease(Kind::Unavailable));
                    }
                },
                Err(error) => {
                    error.report("acquire a workspace lease", invocation);
                    return Ok(lease(Kind::Unavailable));
                }
            }
            let jittered = wait.mul_f64(0.5 + fastrand::f64() / 2.0);
            let is_too_late = jittered >= invocation.time_left();
            let jittered = jittered.min(invocation.time_left());
            invocation.record_lease_wait(jittered);
            sleep(jittered).await;
            if is_too_late {
                return Err(LeaseTimeout);
            }
            wait = (wait * 2).min(MAX_WAIT);
        }
    }

    /// A panic elsewhere leaves nothing half done here.
    fn known(&self) -> MutexGuard<'_, LruCache<ItemKey, ()>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// Ends the lease: after a mint, the user is known; after a failure, another invocation may mint.
    pub async fn end(self, is_minted: bool, invocation: &Invocation) {
        let Self { leases, key, kind } = self;
        if is_minted && kind != Kind::NotNeeded {
            leases.known().put(key, ());
        }
        let Kind::Held(took) = kind else { return };
        let left = TIMEOUT.saturating_sub(took).min(invocation.time_left());
        if left.is_zero() {
            // The lease ends with this invocation.
            return;
        }
        let deadline = Instant::now() + left;
        let table = &leases.table;
        let (action, result) = if is_minted {
            let item = Item::new(KNOWN, KNOWN_LIFETIME, SystemTime::now());
            let result = table.put_always(&key, item, deadline).await;
            ("record a user's workspace", result)
        } else {
            let result = table.delete_held(&key, invocation, deadline).await;
            ("release a workspace lease", result)
        };
        if let Err(error) = result {
            error.report(action, invocation);
        }
    }
}
