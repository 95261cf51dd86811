//! The calls with the organization's credential: mints of user-scoped tokens, and creates of sources if
//! `AIRBYTE_SOURCES_BEARER` is `organization`.

use crate::airbyte::token::{DecodeError, OpaqueToken, UnverifiedToken};
use crate::airbyte::{Airbyte, AirbyteError, NewSource};
use crate::credential::{CredentialError, CredentialStore, Denial};
use crate::invocation::Invocation;
use crate::request::caller::ExternalUserId;
use crate::request::origin::Origin;
use crate::state::lease::{LeaseTimeout, WorkspaceLeases};

/// Mints user-scoped tokens, and creates sources with the organization's credential.
#[derive(Debug)]
pub struct Minter {
    airbyte: Airbyte,
    credentials: CredentialStore,
    leases: Option<WorkspaceLeases>,
}

/// A token from Airbyte, and its contents.
#[derive(Debug, Clone)]
pub struct MintedToken {
    /// The opaque token, byte for byte.
    pub opaque: OpaqueToken,
    /// Its contents.
    pub decoded: UnverifiedToken,
}

/// An error returned by [`Minter`].
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// There is no usable credential.
    #[error("no usable credential")]
    Credential(#[from] CredentialError),
    /// The call failed. A 403 is about this user, not about the credential.
    #[error("call to Airbyte failed")]
    Airbyte(#[from] AirbyteError),
    /// Another invocation creates the user's workspace. Nothing was sent.
    #[error(transparent)]
    Lease(#[from] LeaseTimeout),
    /// Airbyte returned a token that cannot be used.
    #[error("invalid token")]
    Token(#[from] DecodeError),
}

impl MintError {
    /// Returns the cause for the log. docs/operations.md lists all causes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Credential(error) => error.cause(),
            Self::Airbyte(error) => error.cause(),
            Self::Lease(LeaseTimeout) => "lease_timeout",
            Self::Token(error) => error.cause(),
        }
    }
}

impl Minter {
    /// Creates a minter for the organization of `airbyte`. Without `leases`, first mints of one user may run at once.
    #[must_use]
    pub fn new(
        airbyte: Airbyte,
        credentials: CredentialStore,
        leases: Option<WorkspaceLeases>,
    ) -> Self {
        Self {
            airbyte,
            credentials,
            leases,
        }
    }

    /// Reads the credential, so that the first request finds it cached. Failure is not an error here, because the first
    /// request reads it again.
    pub async fn warm_up(&self, invocation: &Invocation) {
        // The credential store has logged the error.
        let _ = self.credentials.warm_up(invocation).await;
    }

    /// Mints a token for this user's workspace, bound to this origin. The first mint for a user holds the workspace lease.
    pub async fn mint(
        &self,
        user: &ExternalUserId,
        origin: &Origin,
        invocation: &Invocation,
    ) -> Result<MintedToken, MintError> {
        let Some(leases) = &self.leases else {
            return self.mint_now(user, origin, invocation).await;
        };
        let lease = leases.acquire(user, invocation).await?;
        let minted = self.mint_now(user, origin, invocation).await;
        lease.end(minted.is_ok(), invocation).await;
        minted
    }

    async fn mint_now(
        &self,
        user: &ExternalUserId,
        origin: &Origin,
        invocation: &Invocation,
    ) -> Result<MintedToken, MintError> {
        let mint = async |token: &_| self.airbyte.mint(token, user, origin, invocation).await;
        let opaque: OpaqueToken = self
            .credentials
            .call::<_, MintError>(Denial::CredentialOrRequest, invocation, mint)
            .await?;
        let decoded = opaque.decode_unverified()?;
        Ok(MintedToken { opaque, decoded })
    }

    /// Creates a source with the organization's token instead of the user's, and returns Airbyte's response.
    pub async fn create_source(
        &self,
        source: &NewSource<'_>,
        invocation: &Invocation,
    ) -> Result<String, MintError> {
        let create = async |token: &_| self.airbyte.create_source(token, source, invocation).await;
        self.credentials
            .call(Denial::Request, invocation, create)
            .await
    }
}
