//! JSON Web Tokens signed with HMAC-SHA-256 (RFC 7519, RFC 7515).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use uuid::Uuid;

/// The header of every token: no `typ`, as in Airbyte's.
const HEADER: &str = r#"{"alg":"HS256"}"#;

/// A random signing key.
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Generates a key.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        bytes[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        Self(bytes)
    }

    /// Returns a signed token with `claims`, in their order.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> serde_json::Result<String> {
        let claims = serde_json::to_vec(claims)?;
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(HEADER),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self.mac(&signed).finalize().into_bytes();
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Returns the claims of `token` if this key signed it with HMAC-SHA-256 and they are a `C`.
    ///
    /// Does not check the expiry.
    pub(crate) fn verify<C: DeserializeOwned>(&self, token: &str) -> Option<C> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        // The only algorithm, so that a token cannot choose a weaker one.
        if URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.mac(signed).verify_slice(&signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::new_from_slice(&self.0).expect("a key of any length");
        mac.update(signed.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn verifies_with_signing_key_only() {
        let key = Key::random();
        let token = key.sign(&json!({"sub": "alice"})).unwrap();

        assert_eq!(key.verify::<Value>(&token), Some(json!({"sub": "alice"})));
        assert_eq!(Key::random().verify::<Value>(&token), None);
    }

    #[test]
    fn rejects_changed_claims() {
        let key = Key::random();
        let token = key.sign(&json!({"sub": "alice"})).unwrap();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"mallory"}"#);
        let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!("three parts: {token}")
        };

        assert_eq!(
            key.verify::<Value>(&format!("{header}.{claims}.{signature}")),
            None
        );
    }

    #[test]
    fn rejects_unsigned_tokens() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"mallory"}"#);

        for token in [
            format!("{header}.{claims}."),
            format!("{header}.{claims}"),
            "..".to_owned(),
            String::new(),
        ] {
            assert_eq!(Key::random().verify::<Value>(&token), None, "{token}");
        }
    }

    #[test]
    fn signs_as_rfc_4231_specifies() {
        // RFC 4231's second test case, through the same code path as a token's signature.
        let mut key = Key([0; 32]);
        key.0[..4].copy_from_slice(b"Jefe");
        let signature = key
            .mac("what do ya want for nothing?")
            .finalize()
            .into_bytes();

        assert_eq!(signature[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
