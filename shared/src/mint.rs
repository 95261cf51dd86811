//! User-scoped tokens from Airbyte, minted with the organization's credential.

use uuid::Uuid;

use crate::airbyte::token::{DecodeError, OpaqueToken, UnverifiedToken};
use crate::airbyte::{Airbyte, AirbyteError, WidgetTokenRequest};
use crate::credential::{CredentialError, CredentialStore};
use crate::invocation::Invocation;
use crate::request::caller::ExternalUserId;
use crate::request::origin::Origin;

/// Mints user-scoped tokens.
#[derive(Debug)]
pub struct Minter {
    airbyte: Airbyte,
    credentials: CredentialStore,
    organization_id: Uuid,
}

/// A token from Airbyte, and its contents.
#[derive(Debug, Clone)]
pub struct MintedToken {
    /// The opaque token, byte for byte.
    pub opaque: OpaqueToken,
    /// Its contents.
    pub decoded: UnverifiedToken,
}

/// An error returned by [`Minter::mint`].
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// There is no usable credential.
    #[error("no usable credential")]
    Credential(#[from] CredentialError),
    /// The call failed. A 403 is about this user, not about the credential.
    #[error("failed to mint")]
    Airbyte(#[from] AirbyteError),
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
            Self::Token(error) => error.cause(),
        }
    }
}

impl Minter {
    /// Creates a minter for one Airbyte organization.
    #[must_use]
    pub fn new(airbyte: Airbyte, credentials: CredentialStore, organization_id: Uuid) -> Self {
        Self {
            airbyte,
            credentials,
            organization_id,
        }
    }

    /// Reads the credential, so that the first request finds it cached. Failure is not an error here, because the first
    /// request reads it again.
    pub async fn warm_up(&self, invocation: &Invocation) {
        // The credential store has logged the error.
        let _ = self.credentials.warm_up(invocation).await;
    }

    /// Mints a token for this user's workspace, bound to this origin.
    pub async fn mint(
        &self,
        user: &ExternalUserId,
        origin: &Origin,
        invocation: &Invocation,
    ) -> Result<MintedToken, MintError> {
        let request = WidgetTokenRequest {
            external_user_id: user.as_str(),
            organization_id: self.organization_id,
            allowed_origin: origin.as_str(),
        };
        let mint = async |token: &_| self.airbyte.widget_token(token, &request, invocation).await;
        let opaque: OpaqueToken = self
            .credentials
            .call::<_, MintError>(invocation, mint)
            .await?;
        let decoded = opaque.decode_unverified()?;
        Ok(MintedToken { opaque, decoded })
    }
}
