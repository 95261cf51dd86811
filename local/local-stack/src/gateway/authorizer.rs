//! The JWT authorizer: verification of tokens by API Gateway's rules.
//!
//! Keys are cached for two hours, as API Gateway's documentation says. Unverified on AWS, and decided here: the scheme
//! `Bearer` is matched in any case, as RFC 9110 says of schemes; a token without `exp` is rejected; times are compared
//! without leeway; an unknown `kid` does not cause another fetch of the keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, Uri};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use template::JwtAuthorizer;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::error::GatewayError;
use crate::client::Client;

/// Timeout of each of the two requests to the issuer.
const FETCH_TIMEOUT: Duration = Duration::from_millis(1500);

/// Lifetime of cached keys.
const KEY_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// Verifies the tokens of a route's callers.
#[derive(Debug)]
pub(super) struct Authorizer {
    rules: JwtAuthorizer,
    keys: Arc<Keys>,
}

/// A verified token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verified {
    pub(super) claims: Map<String, Value>,
    /// The token's scopes; `None` if the route requires none.
    pub(super) scopes: Option<Vec<String>>,
}

/// An error of authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AuthError {
    /// The request has no token.
    MissingToken,
    /// The token is invalid. Holds the error description.
    InvalidToken(&'static str),
    /// The issuer's keys could not be fetched. Holds the cause, for the console.
    KeysUnavailable(String),
    /// The token is valid, but has none of the route's scopes.
    MissingScope,
}

impl From<&AuthError> for GatewayError {
    fn from(error: &AuthError) -> Self {
        let invalid = |problem: &str| {
            format!(r#"Bearer scope="" error="invalid_token" error_description="{problem}""#)
        };
        match error {
            AuthError::MissingToken => Self::Unauthorized("Bearer".to_owned()),
            AuthError::InvalidToken(problem) => Self::Unauthorized(invalid(problem)),
            AuthError::KeysUnavailable(_) => {
                Self::Unauthorized(invalid("OIDC discovery endpoint communication error"))
            }
            AuthError::MissingScope => Self::Forbidden,
        }
    }
}

impl Authorizer {
    pub(super) fn new(rules: JwtAuthorizer, keys: Arc<Keys>) -> Self {
        Self { rules, keys }
    }

    /// Verifies the token of a request.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Verified, AuthError> {
        let source = self
            .rules
            .identity_source
            .iter()
            .find_map(|source| identity(source, headers, uri));
        let source = source.ok_or(AuthError::MissingToken)?;
        let token = without_scheme(&source);
        if token.is_empty() {
            return Err(AuthError::MissingToken);
        }

        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| AuthError::InvalidToken("the token is malformed"))?;
        let algorithm = header.alg;
        if !matches!(
            algorithm,
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512
        ) {
            return Err(AuthError::InvalidToken(
                "the token has an unsupported algorithm",
            ));
        }
        let key_id = header
            .kid
            .ok_or(AuthError::InvalidToken("the token has no key ID"))?;
        let key = self.keys.find(&key_id).await?;
        let claims = signed_claims(token, algorithm, &key)?;

        check_claims(&claims, &self.rules, OffsetDateTime::now_utc())?;
        let scopes = check_scopes(&claims, &self.rules.scopes)?;
        Ok(Verified { claims, scopes })
    }
}

/// The token of an `authorization` header, which may stand alone or after the scheme `Bearer`.
fn without_scheme(header: &str) -> &str {
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => token,
        _ => header,
    };
    token.trim()
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

/// The claims of a token whose signature is valid. Nothing else is checked.
fn signed_claims(
    token: &str,
    algorithm: Algorithm,
    key: &Jwk,
) -> Result<Map<String, Value>, AuthError> {
    let mut signature_only = Validation::new(algorithm);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    let key = DecodingKey::from_jwk(key)
        .map_err(|_| AuthError::InvalidToken("the token's key is not usable"))?;
    let decoded = jsonwebtoken::decode(token, &key, &signature_only);
    decoded
        .map(|token| token.claims)
        .map_err(|_| AuthError::InvalidToken("the token has an invalid signature"))
}

fn check_claims(
    claims: &Map<String, Value>,
    rules: &JwtAuthorizer,
    now: OffsetDateTime,
) -> Result<(), AuthError> {
    if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
        return Err(AuthError::InvalidToken(
            "the token does not have a valid issuer",
        ));
    }
    // client_id counts only where there is no aud.
    let audiences = strings(claims.get("aud").or_else(|| claims.get("client_id")));
    if !audiences
        .iter()
        .any(|audience| rules.audience.iter().any(|known| known == audience))
    {
        return Err(AuthError::InvalidToken(
            "the token does not have a valid audience",
        ));
    }

    let now = (now - OffsetDateTime::UNIX_EPOCH).as_seconds_f64();
    let time = |name: &str| match claims.get(name) {
        Some(value) => value.as_f64().map(Some).ok_or(AuthError::InvalidToken(
            "the token has an invalid timestamp",
        )),
        None => Ok(None),
    };
    let expires =
        time("exp")?.ok_or(AuthError::InvalidToken("the token has no expiration time"))?;
    if expires <= now {
        return Err(AuthError::InvalidToken("the token has expired"));
    }
    if time("nbf")?.is_some_and(|not_before| not_before > now) {
        return Err(AuthError::InvalidToken("the token is not yet valid"));
    }
    if time("iat")?.is_some_and(|issued| issued > now) {
        return Err(AuthError::InvalidToken(
            "the token was issued in the future",
        ));
    }
    Ok(())
}

/// The token's scopes, of which one must be among the route's.
fn check_scopes(
    claims: &Map<String, Value>,
    required: &[String],
) -> Result<Option<Vec<String>>, AuthError> {
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
        Err(AuthError::MissingScope)
    }
}

/// The strings of a claim that is a string or a list.
fn strings(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// An issuer's keys, fetched at first use.
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

    /// The RSA key with this ID.
    async fn find(&self, key_id: &str) -> Result<Jwk, AuthError> {
        let mut fetched = self.fetched.lock().await;
        let keys = match fetched.take().filter(|(at, _)| at.elapsed() < KEY_LIFETIME) {
            Some(fresh) => fetched.insert(fresh),
            None => fetched.insert((
                Instant::now(),
                self.fetch().await.map_err(AuthError::KeysUnavailable)?,
            )),
        };
        keys.1
            .find(key_id)
            .filter(|key| matches!(key.algorithm, AlgorithmParameters::RSA(_)))
            .cloned()
            .ok_or(AuthError::InvalidToken("the token has an unknown key ID"))
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
                "{url}: the local gateway supports http:// issuers on this machine only"
            ));
        }
        let response = self
            .client
            .get(url, FETCH_TIMEOUT)
            .await
            .map_err(|error| format!("{url}: {error}"))?;
        if response.status() != StatusCode::OK {
            return Err(format!("{url}: status {}", response.status().as_u16()));
        }
        serde_json::from_slice(response.body()).map_err(|error| format!("{url}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn checked(claims: Value) -> Result<(), AuthError> {
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
    fn accepts_valid_claims() {
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
    fn names_invalid_claim() {
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
            (json!({"exp": null}), "the token has no expiration time"),
            (json!({"exp": "soon"}), "the token has an invalid timestamp"),
            (json!({"nbf": NOW + 1}), "the token is not yet valid"),
            (
                json!({"iat": NOW + 1}),
                "the token was issued in the future",
            ),
        ];
        for (claims, problem) in cases {
            assert_eq!(
                checked(claims.clone()),
                Err(AuthError::InvalidToken(problem)),
                "{claims}"
            );
        }
    }

    #[test]
    fn strips_scheme_in_any_case() {
        for header in ["x.y.z", "Bearer x.y.z", "bearer x.y.z", "BEARER  x.y.z "] {
            assert_eq!(without_scheme(header), "x.y.z", "{header:?}");
        }
        for header in ["Basic x.y.z", "Bearer", "Bearerx.y.z"] {
            assert_eq!(without_scheme(header), header);
        }
    }

    #[test]
    fn requires_one_of_the_scopes() {
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
        assert_eq!(
            scopes(json!({"scope": "ab"}), &["a"]),
            Err(AuthError::MissingScope)
        );
        assert_eq!(scopes(json!({}), &["a"]), Err(AuthError::MissingScope));
    }

    #[test]
    fn reads_token_from_identity_source() {
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
