//! A user-scoped token from Airbyte, with the organization's credential, whatever state that is in.

use uuid::Uuid;

use crate::airbyte::wire::WidgetTokenRequest;
use crate::airbyte::{Airbyte, AirbyteError};
use crate::caller::ExternalUserId;
use crate::invocation::Invocation;
use crate::organization::{CredentialError, Organization};
use crate::origin::Origin;
use crate::token::{DecodeError, OpaqueToken, UnverifiedToken};

/// Mints user-scoped tokens.
#[derive(Debug)]
pub struct Mint {
    airbyte: Airbyte,
    organization: Organization,
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

/// Why there is no token.
#[derive(Debug)]
pub enum MintError {
    /// There is no credential to ask with, or Airbyte does not accept it.
    Credential(CredentialError),
    /// The call failed.
    Airbyte(AirbyteError),
    /// The call brought something that is no usable token.
    Token(DecodeError),
}

impl Mint {
    /// Mints for one Airbyte organization.
    #[must_use]
    pub fn new(airbyte: Airbyte, organization: Organization, organization_id: Uuid) -> Self {
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
                .token_after_rejection(&organization_token, invocation)
                .await
                .map_err(MintError::Credential)?;
            answer = self
                .airbyte
                .widget_token(organization_token.secret(), &request, invocation)
                .await;
            if is_rejection(&answer) {
                self.organization.note_rejection().await;
                return Err(MintError::Credential(CredentialError::Rejected));
            }
        }
        let opaque = answer.map_err(MintError::Airbyte)?;
        self.organization.note_acceptance().await;
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
