//! Airbyte's tokens, including ones that the simulator would not issue.

use airbyte_sim::Airbyte;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Config;

/// Creates a JWT with these claims and an invalid signature.
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

/// Creates the claims of a user-scoped token, as Airbyte documents them.
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

/// Creates an opaque token: base64 of a JSON object.
#[must_use]
pub fn opaque(scoped_token: &str, widget_url: &str) -> String {
    BASE64_STANDARD.encode(json!({ "token": scoped_token, "widgetUrl": widget_url }).to_string())
}

/// The widget URL of tokens that the simulator did not issue.
pub const WIDGET_URL: &str = "https://cloud.airbyte.com/embedded-widget";

/// Creates an opaque token with these claims.
#[must_use]
pub fn opaque_with_claims(claims: &Value) -> String {
    opaque(&jwt(claims), WIDGET_URL)
}

/// Creates a valid opaque token that expires in an hour.
#[must_use]
pub fn opaque_for(workspace: Uuid, user: &str) -> String {
    opaque_with_claims(&scoped_claims(workspace, user, in_an_hour()))
}

/// Returns the time in an hour.
#[must_use]
pub fn in_an_hour() -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::HOUR
}

/// Mints an opaque token with the simulator.
///
/// # Panics
/// If that fails.
pub async fn mint(airbyte: &Airbyte, user: &str) -> String {
    let body = json!({
        "externalUserId": user,
        "organizationId": Config::ORGANIZATION_ID,
        "allowedOrigin": Config::ORIGIN,
    });
    let request = Request::post(format!("{}/api/v1/embedded/widget_token", airbyte.url()))
        .header("authorization", "Bearer dev-organization-token")
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .expect("a well-formed request");
    let response = crate::http::send(request)
        .await
        .expect("a response of the simulator");
    let response: Value = serde_json::from_slice(response.body()).expect("JSON");
    response["token"]
        .as_str()
        .unwrap_or_else(|| panic!("no token: {response}"))
        .to_owned()
}

/// Returns the JSON of an opaque token.
///
/// # Panics
/// If it is not JSON in standard base64.
#[must_use]
pub fn decode(opaque: &str) -> Value {
    let bytes = BASE64_STANDARD
        .decode(opaque)
        .expect("standard base64 with padding");
    serde_json::from_slice(&bytes).expect("JSON inside of base64")
}

/// Returns the claims of a JWT, unverified.
///
/// # Panics
/// If it is not a JWT.
#[must_use]
pub fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).expect("three parts");
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(payload)
        .expect("URL-safe base64 without padding");
    serde_json::from_slice(&bytes).expect("JSON claims")
}
