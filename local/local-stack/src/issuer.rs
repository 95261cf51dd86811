//! The development issuer: OpenID Connect discovery, signing keys, and a token for any subject.
//!
//! It replaces the OpenID Connect provider of a deployment, and signs in anyone as anyone.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use percent_encoding::percent_decode_str;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::server::Server;

/// The default audience of tokens.
pub const DEFAULT_AUDIENCE: &str = "airbyte-embedded-dev";

/// The default lifetime of tokens, in seconds.
const DEFAULT_LIFETIME: i64 = 3600;

const KEY_BITS: usize = 2048;

/// A running issuer with its own key. It stops when dropped.
#[derive(Debug)]
pub struct Issuer {
    signer: Arc<Signer>,
    _server: Server,
}

struct Signer {
    url: String,
    key_id: String,
    key: EncodingKey,
    public: RsaPublicKey,
}

impl Issuer {
    /// Starts an issuer on a loopback address, with a new key. Its URL is the address.
    ///
    /// # Errors
    /// If the address is not on loopback, or in use.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        Self::start_as(address, |address| format!("http://{address}")).await
    }

    /// Starts an issuer with another URL, such as one with a host name. Tokens carry it as `iss`.
    ///
    /// # Errors
    /// If the address is not on loopback, or in use.
    pub async fn start_as(
        address: SocketAddr,
        url: impl FnOnce(SocketAddr) -> String,
    ) -> io::Result<Self> {
        let bound = Server::bind(address).await?;
        let url = url(bound.1);
        // Generating the key takes a second of CPU time or more.
        let signer = tokio::task::spawn_blocking(move || Signer::generate(url))
            .await
            .map_err(io::Error::other)??;
        let signer = Arc::new(signer);
        let server = Server::serve(bound, routes(Arc::clone(&signer)));
        Ok(Self {
            signer,
            _server: server,
        })
    }

    /// Returns the issuer's URL, as in `iss`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.signer.url
    }

    /// Returns the `kid` of its key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.signer.key_id
    }

    /// Returns its public key in PEM.
    ///
    /// # Panics
    /// Never, because a generated key can be encoded.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a key that was generated can be encoded"
    )]
    pub fn public_key_pem(&self) -> String {
        self.signer
            .public
            .to_public_key_pem(LineEnding::LF)
            .expect("an encodable key")
    }

    /// Returns the default claims of a token for `subject`: one hour, the default audience.
    #[must_use]
    pub fn claims(&self, subject: &str) -> Map<String, Value> {
        self.signer
            .claims(subject, DEFAULT_AUDIENCE, DEFAULT_LIFETIME)
    }

    /// Signs exactly these claims.
    #[must_use]
    pub fn token(&self, claims: &Map<String, Value>) -> String {
        self.sign(&self.signer.header(), claims)
    }

    /// Signs exactly these claims under this header, whose algorithm must be an RSA one.
    ///
    /// # Panics
    /// If the algorithm is not an RSA one.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "documented; claims and header are valid JSON"
    )]
    pub fn sign(&self, header: &Header, claims: &Map<String, Value>) -> String {
        jsonwebtoken::encode(header, claims, &self.signer.key).expect("an RSA algorithm")
    }
}

impl Signer {
    fn generate(url: String) -> io::Result<Self> {
        let private =
            RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS).map_err(io::Error::other)?;
        let der = private.to_pkcs1_der().map_err(io::Error::other)?;
        let key = EncodingKey::from_rsa_der(der.as_bytes());
        let key_id = format!("{:016x}", fastrand::u64(..));
        Ok(Self {
            url,
            key_id,
            key,
            public: private.to_public_key(),
        })
    }

    fn header(&self) -> Header {
        Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::RS256)
        }
    }

    fn claims(&self, subject: &str, audience: &str, lifetime: i64) -> Map<String, Value> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let claims = [
            ("iss", json!(self.url)),
            ("sub", json!(subject)),
            ("aud", json!(audience)),
            ("iat", json!(now)),
            ("exp", json!(now.saturating_add(lifetime))),
        ];
        claims
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }

    fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "n": URL_SAFE_NO_PAD.encode(self.public.n().to_bytes_be()),
            "e": URL_SAFE_NO_PAD.encode(self.public.e().to_bytes_be()),
        }]})
    }

    fn discovery(&self) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": format!("{}/.well-known/jwks.json", self.url),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("url", &self.url)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

fn routes(signer: Arc<Signer>) -> Router {
    // Any page may request a token, because nothing here is secret.
    let cors = (
        HeaderName::from_static("access-control-allow-origin"),
        HeaderValue::from_static("*"),
    );
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(async |State(signer): State<Arc<Signer>>| Json(signer.discovery())),
        )
        .route(
            "/.well-known/jwks.json",
            get(async |State(signer): State<Arc<Signer>>| Json(signer.jwks())),
        )
        .route("/token", get(token))
        .layer(SetResponseHeaderLayer::overriding(cors.0, cors.1))
        .layer(SetResponseHeaderLayer::overriding(no_store.0, no_store.1))
        .with_state(signer)
}

/// `GET /token?sub=alice`, and optionally `aud`, `exp` (seconds from now, may be negative) and `claims` (a JSON object
/// whose keys replace the others; a null removes one).
async fn token(
    State(signer): State<Arc<Signer>>,
    RawQuery(query): RawQuery,
) -> Result<String, impl IntoResponse> {
    parameters(query.as_deref().unwrap_or_default())
        .and_then(|parameters| requested_token(&signer, parameters))
        .map_err(|problem| (StatusCode::BAD_REQUEST, format!("{problem}\n")))
}

/// Decodes a query. A `+` is a plus sign, as in an e-mail address that is typed into a URL; only a form uses it for a
/// space.
fn parameters(query: &str) -> Result<BTreeMap<String, String>, String> {
    let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err("the query is not valid UTF-8".to_owned()),
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn requested_token(signer: &Signer, mut query: BTreeMap<String, String>) -> Result<String, String> {
    let subject = query.remove("sub").filter(|subject| !subject.is_empty());
    let subject = subject.ok_or("`sub` is required, as in /token?sub=alice")?;
    let audience = query
        .remove("aud")
        .unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned());
    let lifetime = match query.remove("exp") {
        Some(seconds) => seconds
            .parse()
            .map_err(|_| "`exp` must be a number of seconds from now")?,
        None => DEFAULT_LIFETIME,
    };
    let mut claims = signer.claims(&subject, &audience, lifetime);
    if let Some(more) = query.remove("claims") {
        let more: Map<String, Value> = serde_json::from_str(&more)
            .map_err(|error| format!("`claims` must be a JSON object: {error}"))?;
        for (name, value) in more {
            if value.is_null() {
                claims.remove(&name);
            } else {
                claims.insert(name, value);
            }
        }
    }
    if let Some(unknown) = query.keys().next() {
        return Err(format!(
            "unknown parameter `{unknown}`, expected `sub`, `aud`, `exp` or `claims`"
        ));
    }
    jsonwebtoken::encode(&signer.header(), &claims, &signer.key).map_err(|error| error.to_string())
}
