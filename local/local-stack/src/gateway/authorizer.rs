//! The JWT authorizer: whose tokens are accepted, by API Gateway's rules.
//!
//! Unverified on AWS, and decided here: a token without `exp` is refused, times are compared without leeway, and keys
//! are kept for two hours without a second look for an unknown `kid`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, Uri};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::refusal::Refusal;
use crate::client::Client;
use crate::template::JwtAuthorizer;

/// How long the issuer may take for each of its two answers.
const FETCH_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long keys are used without asking for them again.
const KEY_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// Checks callers' tokens for a route.
#[derive(Debug)]
pub(super) struct Authorizer {
    rules: JwtAuthorizer,
    keys: Arc<Keys>,
}

/// A token that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verified {
    pub(super) claims: Map<String, Value>,
    /// The token's scopes; `None` if the route asks for none.
    pub(super) scopes: Option<Vec<String>>,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// There is none.
    Missing,
    /// What is wrong with it.
    Invalid(&'static str),
    /// The issuer's keys cannot be had, so that nothing can be checked. The text is for the console.
    NoKeys(String),
    /// It is good, but has none of the route's scopes.
    Scope,
}

impl From<&Denied> for Refusal {
    fn from(denied: &Denied) -> Self {
        let invalid = |problem: &str| {
            format!(r#"Bearer scope="" error="invalid_token" error_description="{problem}""#)
        };
        match denied {
            Denied::Missing => Self::Unauthorized("Bearer".to_owned()),
            Denied::Invalid(problem) => Self::Unauthorized(invalid(problem)),
            Denied::NoKeys(_) => {
                Self::Unauthorized(invalid("OIDC discovery endpoint communication error"))
            }
            Denied::Scope => Self::Forbidden,
        }
    }
}

impl Authorizer {
    pub(super) fn new(rules: JwtAuthorizer, keys: Arc<Keys>) -> Self {
        Self { rules, keys }
    }

    /// Checks the token of a request.
    pub(super) async fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<Verified, Denied> {
        let source = self
            .rules
            .identity_source
            .iter()
            .find_map(|source| identity(source, headers, uri));
        let token = source.ok_or(Denied::Missing)?;
        let token = token.strip_prefix("Bearer ").unwrap_or(&token).trim();
        if token.is_empty() {
            return Err(Denied::Missing);
        }

        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| Denied::Invalid("the token cannot be read"))?;
        let algorithm = header.alg;
        if !matches!(
            algorithm,
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512
        ) {
            return Err(Denied::Invalid("the token's algorithm is not supported"));
        }
        let key_id = header
            .kid
            .ok_or(Denied::Invalid("the token names no key"))?;
        let key = self.keys.find(&key_id).await?;
        let claims = signed_claims(token, algorithm, &key)?;

        check_claims(&claims, &self.rules, OffsetDateTime::now_utc())?;
        let scopes = check_scopes(&claims, &self.rules.scopes)?;
        Ok(Verified { claims, scopes })
    }
}

/// The value of an identity source such as `$request.header.Authorization`.
fn identity(source: &str, headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if let Some(name) = source.strip_prefix("$request.header.") {
        headers.get(name)?.to_str().ok().map(str::to_owned)
    } else {
        let name = source.strip_prefix("$request.querystring.")?;
        let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// The claims of a token whose signature is right. Nothing else of it has been looked at.
fn signed_claims(
    token: &str,
    algorithm: Algorithm,
    key: &Jwk,
) -> Result<Map<String, Value>, Denied> {
    let mut signature_only = Validation::new(algorithm);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    let key = DecodingKey::from_jwk(key)
        .map_err(|_| Denied::Invalid("the token's key cannot be used"))?;
    let decoded = jsonwebtoken::decode(token, &key, &signature_only);
    decoded
        .map(|token| token.claims)
        .map_err(|_| Denied::Invalid("the token's signature is invalid"))
}

fn check_claims(
    claims: &Map<String, Value>,
    rules: &JwtAuthorizer,
    now: OffsetDateTime,
) -> Result<(), Denied> {
    if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
        return Err(Denied::Invalid("the token does not have a valid issuer"));
    }
    // client_id counts only where there is no aud.
    let audiences = strings(claims.get("aud").or_else(|| claims.get("client_id")));
    if !audiences
        .iter()
        .any(|audience| rules.audience.iter().any(|known| known == audience))
    {
        return Err(Denied::Invalid("the token does not have a valid audience"));
    }

    let now = (now - OffsetDateTime::UNIX_EPOCH).as_seconds_f64();
    let time = |name: &str| match claims.get(name) {
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or(Denied::Invalid("the token's times are not numbers")),
        None => Ok(None),
    };
    let expires = time("exp")?.ok_or(Denied::Invalid("the token does not expire"))?;
    if expires <= now {
        return Err(Denied::Invalid("the token has expired"));
    }
    if time("nbf")?.is_some_and(|not_before| not_before > now) {
        return Err(Denied::Invalid("the token is not yet valid"));
    }
    if time("iat")?.is_some_and(|issued| issued > now) {
        return Err(Denied::Invalid("the token was issued in the future"));
    }
    Ok(())
}

/// The token's scopes, of which the route's needs one.
fn check_scopes(
    claims: &Map<String, Value>,
    required: &[String],
) -> Result<Option<Vec<String>>, Denied> {
    if required.is_empty() {
        return Ok(None);
    }
    let scopes: Vec<String> = strings(claims.get("scope").or_else(|| claims.get("scp")))
        .iter()
        .flat_map(|text| text.split_whitespace())
        .map(str::to_owned)
        .collect();
    if scopes.iter().any(|scope| required.contains(scope)) {
        Ok(Some(scopes))
    } else {
        Err(Denied::Scope)
    }
}

/// The texts of a claim that is one, or a list of them.
fn strings(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// An issuer's keys, asked for when first needed.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    client: Client,
    fetched: Mutex<Option<(Instant, JwkSet)>>,
}

impl Keys {
    pub(super) fn new(issuer: String, client: Client) -> Self {
        Self {
            issuer,
            client,
            fetched: Mutex::new(None),
        }
    }

    /// The RSA key of this name.
    async fn find(&self, key_id: &str) -> Result<Jwk, Denied> {
        let mut fetched = self.fetched.lock().await;
        let keys = match fetched.take().filter(|(at, _)| at.elapsed() < KEY_LIFETIME) {
            Some(fresh) => fetched.insert(fresh),
            None => fetched.insert((Instant::now(), self.fetch().await.map_err(Denied::NoKeys)?)),
        };
        keys.1
            .find(key_id)
            .filter(|key| matches!(key.algorithm, AlgorithmParameters::RSA(_)))
            .cloned()
            .ok_or(Denied::Invalid("the token's key is not known"))
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        #[derive(serde::Deserialize)]
        struct Discovery {
            jwks_uri: String,
        }
        let issuer = self.issuer.trim_end_matches('/');
        let discovery: Discovery = self
            .fetch_json(&format!("{issuer}/.well-known/openid-configuration"))
            .await?;
        self.fetch_json(&discovery.jwks_uri).await
    }

    async fn fetch_json<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        if !url.starts_with("http://") {
            return Err(format!(
                "{url}: the local gateway asks http:// issuers on this machine only"
            ));
        }
        let answer = self
            .client
            .get(url, FETCH_TIMEOUT)
            .await
            .map_err(|error| format!("{url}: {error}"))?;
        if answer.status() != StatusCode::OK {
            return Err(format!(
                "{url}: answered with status {}",
                answer.status().as_u16()
            ));
        }
        serde_json::from_slice(answer.body()).map_err(|error| format!("{url}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn checked(claims: Value) -> Result<(), Denied> {
        let rules = JwtAuthorizer {
            issuer: "https://issuer.example".to_owned(),
            audience: vec!["app".to_owned(), "other".to_owned()],
            identity_source: vec![],
            scopes: vec![],
        };
        let Value::Object(changes) = claims else {
            panic!("not an object")
        };
        let mut claims =
            json!({"iss": "https://issuer.example", "aud": "app", "exp": NOW + 1, "iat": NOW});
        claims.as_object_mut().unwrap().extend(changes);
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        check_claims(
            claims.as_object().unwrap(),
            &rules,
            OffsetDateTime::from_unix_timestamp(NOW).unwrap(),
        )
    }

    #[test]
    fn right_claims_pass() {
        let cases = [
            json!({}),
            json!({"aud": ["someone", "other"]}),
            json!({"aud": null, "client_id": "app"}),
            json!({"iat": null}),
            json!({"nbf": NOW}),
            json!({"exp": 1_700_000_000.5}),
        ];
        for claims in cases {
            assert_eq!(checked(claims.clone()), Ok(()), "{claims}");
        }
    }

    #[test]
    fn wrong_claims_are_told_apart() {
        let cases = [
            (
                json!({"iss": "https://issuer.example/"}),
                "the token does not have a valid issuer",
            ),
            (
                json!({"iss": null}),
                "the token does not have a valid issuer",
            ),
            (
                json!({"aud": "someone"}),
                "the token does not have a valid audience",
            ),
            (
                json!({"aud": "someone", "client_id": "app"}),
                "the token does not have a valid audience",
            ),
            (
                json!({"aud": null}),
                "the token does not have a valid audience",
            ),
            (json!({"exp": NOW}), "the token has expired"),
            (json!({"exp": null}), "the token does not expire"),
            (json!({"exp": "soon"}), "the token's times are not numbers"),
            (json!({"nbf": NOW + 1}), "the token is not yet valid"),
            (
                json!({"iat": NOW + 1}),
                "the token was issued in the future",
            ),
        ];
        for (claims, problem) in cases {
            assert_eq!(
                checked(claims.clone()),
                Err(Denied::Invalid(problem)),
                "{claims}"
            );
        }
    }

    #[test]
    fn one_of_the_routes_scopes_is_enough() {
        let scopes = |claims: Value, required: &[&str]| {
            let required: Vec<_> = required.iter().map(|&scope| scope.to_owned()).collect();
            check_scopes(claims.as_object().unwrap(), &required)
        };
        let some = |scopes: &[&str]| {
            Ok(Some(
                scopes
                    .iter()
                    .map(|&scope| scope.to_owned())
                    .collect::<Vec<_>>(),
            ))
        };
        assert_eq!(scopes(json!({"scope": "a b"}), &[]), Ok(None));
        assert_eq!(
            scopes(json!({"scope": "a b"}), &["b", "c"]),
            some(&["a", "b"])
        );
        assert_eq!(
            scopes(json!({"scp": ["a", "b"]}), &["b"]),
            some(&["a", "b"])
        );
        assert_eq!(scopes(json!({"scope": "ab"}), &["a"]), Err(Denied::Scope));
        assert_eq!(scopes(json!({}), &["a"]), Err(Denied::Scope));
    }

    #[test]
    fn tokens_are_found_where_the_template_says() {
        let headers =
            HeaderMap::from_iter([(http::header::AUTHORIZATION, "Bearer x".parse().unwrap())]);
        let uri: Uri = "/token?a=1&auth=y%20z".parse().unwrap();
        assert_eq!(
            identity("$request.header.Authorization", &headers, &uri).as_deref(),
            Some("Bearer x")
        );
        assert_eq!(
            identity("$request.querystring.auth", &headers, &uri).as_deref(),
            Some("y z")
        );
        assert_eq!(identity("$request.querystring.other", &headers, &uri), None);
        assert_eq!(identity("$context.other", &headers, &uri), None);
    }
}
