//! The contents of a request: the verified caller, the page's origin, the idempotency key, and the JSON body.
//!
//! The modules read from [`lambda_http::Request`]. [`crate::problem`] maps their errors to responses.

pub mod body;
pub mod caller;
pub mod idempotency_key;
pub mod origin;

use body::BodyError;
use caller::UserIdError;

use crate::field_error::FieldErrors;

/// A request whose body is invalid, or whose user cannot be identified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is invalid.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The user cannot be identified.
    #[error(transparent)]
    UserId(UserIdError),
}

impl From<FieldErrors> for RequestError {
    fn from(errors: FieldErrors) -> Self {
        Self::Body(BodyError::Invalid(errors))
    }
}

impl From<UserIdError> for RequestError {
    /// Converts an error in the body's `externalUserId` to a field error.
    fn from(error: UserIdError) -> Self {
        match error.field_error() {
            Some(error) => FieldErrors::from_iter([error]).into(),
            None => Self::UserId(error),
        }
    }
}
