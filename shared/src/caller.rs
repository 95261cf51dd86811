//! Who calls, as API Gateway verified it.
//!
//! Nothing of a caller's identity is ever taken from the body alone. A web app's user comes with a JWT that the API's
//! authorizer verified; a trusted backend comes with an IAM signature that API Gateway verified, and names the user.
//! Anything else is nobody.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::problem::{Fault, pointer};

/// The member of a body that names the user.
pub const NAMED_USER: &str = "externalUserId";

/// The longest external user id, in characters.
pub const MAX_LENGTH: usize = 256;

/// The user, as the web app knows them; Airbyte keeps one workspace for each.
///
/// 1 to [`MAX_LENGTH`] characters, none of them a control character, no white space at either end. It is personal data:
/// it has no `Display`, and `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ExternalUserId(String);

impl ExternalUserId {
    /// `None` if the text breaks the rule above.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.chars().count() <= MAX_LENGTH
            && text.trim() == text
            && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// The id itself, for the request that carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ExternalUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalUserId(…)")
    }
}

/// A caller that API Gateway verified.
#[derive(Debug)]
pub enum Caller<'a> {
    /// A user with a JWT: its claims, whose values arrive as strings.
    Jwt(&'a Map<String, Value>),
    /// A backend with an IAM signature; it names the user in the body.
    Backend,
}

/// API Gateway verified nobody, or not in a way that is trusted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTrusted {
    /// There is no verified caller.
    Nobody,
    /// The signature is that of a Cognito identity pool: an end user's, who could name anybody in the body.
    EndUserSignature,
}

/// Why the user's id cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserRefused {
    /// The JWT lacks the configured claim, or the claim breaks the rule for [`ExternalUserId`].
    Claim,
    /// The body of a JWT caller names somebody else.
    SomebodyElse,
    /// The body of a backend names nobody.
    Missing,
    /// The body's id breaks the rule for [`ExternalUserId`].
    Malformed,
}

impl UserRefused {
    /// The fault of the body that this is, if it is one.
    #[must_use]
    pub fn fault(self) -> Option<Fault> {
        let detail: Cow<'static, str> = match self {
            Self::Missing => "is required of callers with an IAM signature".into(),
            Self::Malformed => format!(
                "must be 1 to {MAX_LENGTH} characters, without control characters, without white space at the ends"
            )
            .into(),
            Self::Claim | Self::SomebodyElse => return None,
        };
        Some(Fault::new(pointer([NAMED_USER]), detail))
    }
}

impl<'a> Caller<'a> {
    /// Reads `requestContext.authorizer` of an HTTP API event (payload format 2.0).
    ///
    /// Both kinds at once do not occur, and are not guessed about: nobody.
    pub fn from_authorizer(authorizer: &'a Value) -> Result<Self, NotTrusted> {
        let jwt = authorizer.get("jwt").filter(|jwt| !jwt.is_null());
        let iam = authorizer.get("iam").filter(|iam| !iam.is_null());
        match (jwt, iam) {
            (Some(jwt), None) => jwt
                .get("claims")
                .and_then(Value::as_object)
                .map(Caller::Jwt)
                .ok_or(NotTrusted::Nobody),
            (None, Some(iam)) if iam.as_object().is_some_and(|iam| !iam.is_empty()) => {
                match iam.get("cognitoIdentity") {
                    None | Some(Value::Null) => Ok(Caller::Backend),
                    Some(_) => Err(NotTrusted::EndUserSignature),
                }
            }
            _ => Err(NotTrusted::Nobody),
        }
    }

    /// The user that this caller acts as; `named` is the body's `externalUserId`.
    pub fn external_user_id(
        &self,
        claim: &str,
        named: Option<&str>,
    ) -> Result<ExternalUserId, UserRefused> {
        match self {
            Caller::Jwt(claims) => {
                let user = claims
                    .get(claim)
                    .and_then(Value::as_str)
                    .and_then(ExternalUserId::parse)
                    .ok_or(UserRefused::Claim)?;
                match named {
                    Some(named) if named != user.as_str() => Err(UserRefused::SomebodyElse),
                    _ => Ok(user),
                }
            }
            Caller::Backend => {
                let named = named.ok_or(UserRefused::Missing)?;
                ExternalUserId::parse(named).ok_or(UserRefused::Malformed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn user(authorizer: &Value, named: Option<&str>) -> Result<String, String> {
        let caller = Caller::from_authorizer(authorizer).map_err(|error| format!("{error:?}"))?;
        caller
            .external_user_id("sub", named)
            .map(|user| user.as_str().to_owned())
            .map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_jwt_callers_id_is_the_claim() {
        let jwt = |claims: Value| json!({"jwt": {"claims": claims, "scopes": null}});
        assert_eq!(
            user(&jwt(json!({"sub": "alice"})), None),
            Ok("alice".into())
        );
        assert_eq!(
            user(&jwt(json!({"sub": "alice"})), Some("alice")),
            Ok("alice".into())
        );
        assert_eq!(
            user(&jwt(json!({"sub": "alice"})), Some("bob")),
            Err("SomebodyElse".into())
        );
        for claims in [
            json!({}),
            json!({"email": "a@example.com"}),
            json!({"sub": ""}),
            json!({"sub": "  "}),
            json!({"sub": " alice"}),
            json!({"sub": "alice\n"}),
            json!({"sub": "al\u{0}ice"}),
            json!({"sub": "a".repeat(257)}),
            json!({"sub": "a".repeat(10 * 1024)}),
            json!({"sub": 7}),
            json!({"sub": null}),
            json!({"sub": ["alice"]}),
        ] {
            assert_eq!(
                user(&jwt(claims.clone()), None),
                Err("Claim".into()),
                "of {claims}"
            );
        }
        assert!(user(&jwt(json!({"sub": "ü".repeat(256)})), None).is_ok());
    }

    #[test]
    fn a_backend_names_the_user() {
        let iam = json!({"iam": {"userArn": "arn:aws:iam::111122223333:user/backend", "cognitoIdentity": null}});
        assert_eq!(user(&iam, Some("alice")), Ok("alice".into()));
        assert_eq!(user(&iam, None), Err("Missing".into()));
        assert_eq!(user(&iam, Some("")), Err("Malformed".into()));
    }

    #[test]
    fn a_cognito_identity_is_an_end_user_and_may_name_nobody() {
        let iam =
            json!({"iam": {"userArn": "arn:…", "cognitoIdentity": {"identityId": "us-east-1:…"}}});
        assert_eq!(user(&iam, Some("alice")), Err("EndUserSignature".into()));
    }

    #[test]
    fn everybody_else_is_nobody() {
        for authorizer in [
            json!(null),
            json!({}),
            json!("alice"),
            json!([]),
            json!({"jwt": null}),
            json!({"jwt": null, "iam": null}),
            json!({"jwt": {}}),
            json!({"jwt": {"claims": null}}),
            json!({"jwt": {"claims": "sub=alice"}}),
            json!({"iam": {}}),
            json!({"iam": "yes"}),
            json!({"lambda": {"sub": "alice"}}),
            json!({"principalId": "alice"}),
            json!({"claims": {"sub": "alice"}}),
            json!({"jwt": {"claims": {"sub": "alice"}}, "iam": {"userArn": "arn:…"}}),
        ] {
            assert_eq!(
                user(&authorizer, Some("alice")),
                Err("Nobody".into()),
                "of {authorizer}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_id_is_what_was_said_or_refused(said in any::<String>(), named in any::<String>()) {
            let fits = (1..=MAX_LENGTH).contains(&said.chars().count())
                && !said.starts_with(char::is_whitespace)
                && !said.ends_with(char::is_whitespace)
                && !said.contains(char::is_control);
            let jwt = json!({"jwt": {"claims": {"sub": said}}});
            let iam = json!({"iam": {"userArn": "arn:…"}});
            let expected = |refused: &str| if fits { Ok(said.clone()) } else { Err(refused.to_owned()) };
            prop_assert_eq!(user(&jwt, None), expected("Claim"));
            prop_assert_eq!(user(&iam, Some(&said)), expected("Malformed"));
            if fits && named != said {
                prop_assert_eq!(user(&jwt, Some(&named)), Err("SomebodyElse".into()));
            }
        }
    }
}
