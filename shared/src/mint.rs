//! A user-scoped token from Airbyte, with the organization's credential, whatever state that is in.

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
    organization: CredentialStore,
    organization_id: Uuid,
}

/// A token as Airbyte gave it, and what is in it.
#[derive(Debug, Clone)]
pub struct MintedToken {
    /// The opaque token, byte for byte.
    pub opaque: OpaqueToken,
    /// What it says about itself.
    pub decoded: UnverifiedToken,
}

/// An error returned by [`Minter::mint`].
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// There is no usable credential.
    #[error("no usable credential")]
    Credential(#[source] CredentialError),
    /// The call failed.
    #[error("failed to mint")]
    Airbyte(#[source] AirbyteError),
    /// Airbyte returned a token that cannot be used.
    #[error("invalid token")]
    Token(#[source] DecodeError),
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
    /// Mints for one Airbyte organization.
    #[must_use]
    pub fn new(airbyte: Airbyte, organization: CredentialStore, organization_id: Uuid) -> Self {
        Self {
            airbyte,
            organization,
            organization_id,
        }
    }

    /// Reads the credential, so that the first request finds it. A failure is no matter: the first request tries again.
    pub async fn warm_up(&self, invocation: &Invocation) {
        // What is wrong has been logged where it was found.
        let _ = self.organization.token(invocation).await;
    }

    /// A token for this user's workspace, bound to this origin.
    ///
    /// A credential that Airbyte refuses is read again from Secrets Manager and tried once more.
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
        let organization_token = self
            .organization
            .token(invocation)
            .await
            .map_err(MintError::Credential)?;
        let mut answer = self
            .airbyte
            .widget_token(organization_token.secret(), &request, invocation)
            .await;
        if is_rejection(&answer) {
            let organization_token = self
                .organization
                .refreshed_token(&organization_token, invocation)
                .await
                .map_err(MintError::Credential)?;
            answer = self
                .airbyte
                .widget_token(organization_token.secret(), &request, invocation)
                .await;
            if is_rejection(&answer) {
                self.organization.record_rejected().await;
                return Err(MintError::Credential(CredentialError::Rejected));
            }
        }
        let opaque = answer.map_err(MintError::Airbyte)?;
        self.organization.record_accepted().await;
        let decoded = opaque.decode_unverified().map_err(MintError::Token)?;
        Ok(MintedToken { opaque, decoded })
    }
}

/// 401, and 403 too: the organization's token lacks the rights of an administrator, or the organization the entitlement.
fn is_rejection<T>(answer: &Result<T, AirbyteError>) -> bool {
    answer
        .as_ref()
        .err()
        .and_then(AirbyteError::status)
        .is_some_and(|status| matches!(status, 401 | 403))
}
