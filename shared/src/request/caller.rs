//! The caller that API Gateway verified.
//!
//! The body alone never identifies the user. A web app's user is identified by a JWT that the API's authorizer verified. A
//! trusted backend is identified by an IAM signature that API Gateway verified, and names the user in the body. Any other
//! request is unauthenticated.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::field_error::{FieldError, json_pointer};

/// The key of the body's field that names the user.
pub const EXTERNAL_USER_ID: &str = "externalUserId";

/// The maximum length of an external user ID, in characters.
pub const MAX_LENGTH: usize = 256;

/// The user's ID in the web app. Airbyte has one workspace for each user.
///
/// It has 1 to [`MAX_LENGTH`] characters without control characters. Leading and trailing whitespace and invisible characters
/// are not allowed, because two different IDs could look alike. The ID is personal data: it has no `Display`, and its `Debug`
/// does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ExternalUserId(String);

impl ExternalUserId {
    /// Parses an ID; `None` if it is invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = !text.is_empty()
            && text.chars().count() <= MAX_LENGTH
            && !text.starts_with(is_blank)
            && !text.ends_with(is_blank)
            && !text.chars().any(char::is_control);
        is_valid.then(|| Self(text.to_owned()))
    }

    /// The ID itself, for the request that carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the ID for logs: a hash, equal for the same user of one Airbyte organization. It can only be reversed by
    /// hashing possible IDs.
    #[must_use]
    pub fn log_id(&self, organization_id: Uuid) -> u32 {
        let digest = Sha256::new()
            .chain_update(organization_id.as_bytes())
            .chain_update(&self.0)
            .finalize();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl fmt::Debug for ExternalUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalUserId(…)")
    }
}

/// Whether a character is invisible: whitespace, or a default ignorable code point (UAX #44), such as a zero-width space or a
/// direction mark.
fn is_blank(char: char) -> bool {
    char.is_whitespace() || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(char)
}

/// Whether a claim is a list or a map, which API Gateway passes as `[a b]` and `map[a:b]`. It may contain several IDs, in an
/// order that may change.
fn is_list_or_map(claim: &str) -> bool {
    claim.ends_with(']') && (claim.starts_with('[') || claim.starts_with("map["))
}

/// A caller that API Gateway verified. No `Debug`, because claims are personal data.
pub enum Caller<'a> {
    /// A user with a JWT: its claims, whose values arrive as strings.
    Jwt(&'a HashMap<String, String>),
    /// A backend with an IAM signature; it names the user in the body.
    Backend,
}

/// A request without a caller that is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// API Gateway verified no caller.
    #[error("no verified caller")]
    Unauthenticated,
    /// The signature belongs to a Cognito identity pool: to an end user, who could name any user in the body.
    #[error("signed by an end user")]
    CognitoIdentity,
}

/// A caller whose user cannot be identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// The JWT lacks the configured claim, or the claim violates the rule for [`ExternalUserId`].
    #[error("the JWT has no valid user ID")]
    InvalidClaim,
    /// The configured claim is a list or a map, not a string.
    #[error("the JWT's user ID is a list or a map")]
    ClaimNotString,
    /// The body of a JWT caller names another user.
    #[error("the body names another user")]
    Mismatch,
    /// The body of a backend names no user.
    #[error("the body names no user")]
    Missing,
    /// The body's ID violates the rule for [`ExternalUserId`].
    #[error("the body's user ID is malformed")]
    Malformed,
}

impl UserIdError {
    /// Returns the field error, if the error is in the body.
    #[must_use]
    pub fn field_error(self) -> Option<FieldError> {
        let detail: Cow<'static, str> = match self {
            Self::Missing => "is required for callers with an IAM signature".into(),
            Self::Malformed => format!(
                "must be 1 to {MAX_LENGTH} characters, without control characters, without leading or trailing \
                 whitespace or invisible characters"
            )
            .into(),
            Self::InvalidClaim | Self::ClaimNotString | Self::Mismatch => return None,
        };
        Some(FieldError::new(json_pointer([EXTERNAL_USER_ID]), detail))
    }
}

impl<'a> Caller<'a> {
    /// Returns the caller that API Gateway's authorizer verified (payload format 2.0, `requestContext.authorizer`).
    ///
    /// A request with both a JWT and an IAM signature does not occur, and is rejected as unauthenticated.
    pub fn from_request(request: &'a Request) -> Result<Self, CallerError> {
        let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
            return Err(CallerError::Unauthenticated);
        };
        let authorizer = context
            .authorizer
            .as_ref()
            .ok_or(CallerError::Unauthenticated)?;
        match (&authorizer.jwt, &authorizer.iam) {
            (Some(jwt), None) if !jwt.claims.is_empty() => Ok(Caller::Jwt(&jwt.claims)),
            (None, Some(iam)) if iam.cognito_identity.is_some() => {
                Err(CallerError::CognitoIdentity)
            }
            (None, Some(iam)) if iam.user_arn.is_some() => Ok(Caller::Backend),
            _ => Err(CallerError::Unauthenticated),
        }
    }

    /// Returns the user that this caller acts for; `named` is the body's `externalUserId`.
    pub fn external_user_id(
        &self,
        claim: &str,
        named: Option<&str>,
    ) -> Result<ExternalUserId, UserIdError> {
        match self {
            Caller::Jwt(claims) => {
                let id = claims.get(claim).ok_or(UserIdError::InvalidClaim)?;
                if is_list_or_map(id) {
                    return Err(UserIdError::ClaimNotString);
                }
                let user = ExternalUserId::parse(id).ok_or(UserIdError::InvalidClaim)?;
                match named {
                    Some(named) if named != user.as_str() => Err(UserIdError::Mismatch),
                    _ => Ok(user),
                }
            }
            Caller::Backend => {
                let named = named.ok_or(UserIdError::Missing)?;
                ExternalUserId::parse(named).ok_or(UserIdError::Malformed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_http::Body;
    use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn request(authorizer: &Value) -> Request {
        let context = json!({"http": {"method": "POST"}, "authorizer": authorizer});
        let context: ApiGatewayV2httpRequestContext = serde_json::from_value(context).unwrap();
        Request::new(Body::Empty).with_request_context(RequestContext::ApiGatewayV2(context))
    }

    fn user(authorizer: &Value, named: Option<&str>) -> Result<String, String> {
        let request = request(authorizer);
        let caller = Caller::from_request(&request).map_err(|error| format!("{error:?}"))?;
        caller
            .external_user_id("sub", named)
            .map(|user| user.as_str().to_owned())
            .map_err(|error| format!("{error:?}"))
    }

    fn jwt(claims: &Value) -> Value {
        json!({"jwt": {"claims": claims, "scopes": null}})
    }

    #[test]
    fn takes_user_of_jwt_from_claim() {
        let alice = jwt(&json!({"sub": "alice"}));
        assert_eq!(user(&alice, None), Ok("alice".into()));
        assert_eq!(user(&alice, Some("alice")), Ok("alice".into()));
        assert_eq!(user(&alice, Some("bob")), Err("Mismatch".into()));
        assert!(user(&jwt(&json!({"sub": "ü".repeat(256)})), None).is_ok());
    }

    #[test]
    fn rejects_invalid_claim() {
        for claims in [
            json!({"email": "a@example.com"}),
            json!({"sub": ""}),
            json!({"sub": "  "}),
            json!({"sub": " alice"}),
            json!({"sub": "alice\n"}),
            json!({"sub": "al\u{0}ice"}),
            json!({"sub": "alice\u{200b}"}),
            json!({"sub": "\u{feff}alice"}),
            json!({"sub": "alice\u{202e}"}),
            json!({"sub": "alice\u{3164}"}),
            json!({"sub": "alice\u{e0020}"}),
            json!({"sub": "a".repeat(257)}),
            json!({"sub": "a".repeat(10 * 1024)}),
        ] {
            assert_eq!(
                user(&jwt(&claims), None),
                Err("InvalidClaim".into()),
                "{claims}"
            );
        }
    }

    #[test]
    fn rejects_printed_lists_and_maps() {
        for claim in ["[a@x b@x]", "[a@x]", "[]", "map[id:alice]", "map[]"] {
            let claims = jwt(&json!({"sub": claim}));
            assert_eq!(user(&claims, None), Err("ClaimNotString".into()), "{claim}");
        }
        for claim in ["[a", "a]", "map", "a[b]", "{a}", "map:[a]"] {
            assert_eq!(user(&jwt(&json!({"sub": claim})), None), Ok(claim.into()));
        }
    }

    #[test]
    fn keeps_invisible_characters_inside_id() {
        for id in ["al\u{200d}ice", "مي\u{200c}خواهم", "al ice"] {
            assert_eq!(user(&jwt(&json!({"sub": id})), None), Ok(id.into()));
        }
    }

    #[test]
    fn takes_user_of_backend_from_body() {
        let iam = json!({"iam": {"userArn": "arn:aws:iam::111122223333:user/backend", "cognitoIdentity": null}});
        assert_eq!(user(&iam, Some("alice")), Ok("alice".into()));
        assert_eq!(user(&iam, None), Err("Missing".into()));
        assert_eq!(user(&iam, Some("")), Err("Malformed".into()));
    }

    #[test]
    fn rejects_cognito_identity() {
        let iam = json!({"iam": {"userArn": "arn:…", "cognitoIdentity": {"amr": ["authenticated"], "identityId": "us-east-1:…"}}});
        assert_eq!(user(&iam, Some("alice")), Err("CognitoIdentity".into()));
    }

    #[test]
    fn rejects_unverified_callers() {
        for authorizer in [
            json!(null),
            json!({}),
            json!({"jwt": null}),
            json!({"jwt": null, "iam": null}),
            json!({"jwt": {}}),
            json!({"jwt": {"claims": null}}),
            json!({"jwt": {"claims": {}}}),
            json!({"iam": {}}),
            json!({"lambda": {"sub": "alice"}}),
            json!({"principalId": "alice"}),
            json!({"claims": {"sub": "alice"}}),
            json!({"jwt": {"claims": {"sub": "alice"}}, "iam": {"userArn": "arn:…"}}),
        ] {
            assert_eq!(
                user(&authorizer, Some("alice")),
                Err("Unauthenticated".into()),
                "{authorizer}"
            );
        }
        let without_context = Request::new(Body::Empty);
        let error = Caller::from_request(&without_context).err();
        assert_eq!(error, Some(CallerError::Unauthenticated));
    }

    #[test]
    fn log_id_depends_on_user_and_organization() {
        let alice = ExternalUserId::parse("alice").unwrap();
        let bob = ExternalUserId::parse("bob").unwrap();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(alice.log_id(one), alice.clone().log_id(one));
        assert_ne!(alice.log_id(one), bob.log_id(one));
        assert_ne!(alice.log_id(one), alice.log_id(other));
    }

    proptest! {
        #[test]
        fn accepts_valid_ids_only(id in any::<String>(), named in any::<String>()) {
            let is_valid = (1..=MAX_LENGTH).contains(&id.chars().count())
                && id.trim_matches(is_blank) == id
                && !id.contains(char::is_control);
            let jwt = jwt(&json!({"sub": id}));
            let iam = json!({"iam": {"userArn": "arn:…"}});
            let expected = |error: &str| if is_valid { Ok(id.clone()) } else { Err(error.to_owned()) };
            prop_assert_eq!(user(&iam, Some(&id)), expected("Malformed"));
            prop_assume!(!is_list_or_map(&id));
            prop_assert_eq!(user(&jwt, None), expected("InvalidClaim"));
            if is_valid && named != id {
                prop_assert_eq!(user(&jwt, Some(&named)), Err("Mismatch".into()));
            }
        }
    }
}
