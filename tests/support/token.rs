//! Airbyte's tokens, made by hand where a test needs one that the simulator would not issue.

use airbyte_sim::Airbyte;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Environment;

/// A JWT with these claims and a signature that nobody made.
#[must_use]
pub fn jwt(claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "alg": "HS256" });
    format!(
        "{}.{}.{}",
        part(&header),
        part(claims),
        BASE64_URL_SAFE_NO_PAD.encode([0x5a; 32])
    )
}

/// The claims of a user-scoped token, as the vendor's page shows them.
#[must_use]
pub fn scoped_claims(workspace: Uuid, user: &str, expiry: OffsetDateTime) -> Value {
    json!({
        "aud": "airbyte-server",
        "sub": "e60d81a5-93df-4f9a-8013-bbbf793cf0a2",
        "io.airbyte.auth.workspace_scope": { "workspaceId": workspace },
        "act": { "sub": user },
        "roles": ["EMBEDDED_END_USER"],
        "iss": "https://cloud.airbyte.com",
        "typ": "io.airbyte.auth.embedded_v1",
        "exp": expiry.unix_timestamp(),
    })
}

/// What `/embedded/widget_token` puts into `token`: base64 of a JSON object.
#[must_use]
pub fn opaque(scoped_token: &str, widget_url: &str) -> String {
    BASE64_STANDARD.encode(json!({ "token": scoped_token, "widgetUrl": widget_url }).to_string())
}

/// A whole opaque token that expires in an hour.
#[must_use]
pub fn opaque_for(workspace: Uuid, user: &str) -> String {
    let expiry = OffsetDateTime::now_utc() + time::Duration::HOUR;
    opaque(
        &jwt(&scoped_claims(workspace, user, expiry)),
        "https://cloud.airbyte.com/embedded-widget",
    )
}

/// An opaque token that the simulator issued.
///
/// # Panics
/// When it does not issue one.
pub async fn mint(airbyte: &Airbyte, user: &str) -> String {
    let body = json!({
        "externalUserId": user,
        "organizationId": Environment::ORGANIZATION,
        "allowedOrigin": Environment::ORIGIN,
    });
    let request = Request::post(format!("{}/api/v1/embedded/widget_token", airbyte.url()))
        .header("authorization", "Bearer dev-organization-token")
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .expect("a well-formed request");
    let response = crate::http::send(request)
        .await
        .expect("the simulator responds");
    let answer: Value = serde_json::from_slice(response.body()).expect("JSON");
    answer["token"]
        .as_str()
        .unwrap_or_else(|| panic!("no token: {answer}"))
        .to_owned()
}

/// The JSON inside an opaque token in the standard alphabet.
///
/// # Panics
/// When it is not that.
#[must_use]
pub fn open(opaque: &str) -> Value {
    let bytes = BASE64_STANDARD
        .decode(opaque)
        .expect("standard base64 with padding");
    serde_json::from_slice(&bytes).expect("JSON inside of base64")
}

/// The claims of a JWT, unverified.
///
/// # Panics
/// When it is not a JWT.
#[must_use]
pub fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).expect("three parts");
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(payload)
        .expect("URL-safe base64 without padding");
    serde_json::from_slice(&bytes).expect("JSON claims")
}
