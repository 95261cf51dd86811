//! Check of the issuer: API Gateway must find its signing keys.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::http_client;
use template::JwtAuthorizer;

use crate::plan::DeploymentPlan;
use crate::report::CheckResult;

/// The parameters of the issuer.
const ISSUER: &str = "JwtIssuer";
const AUDIENCE: &str = "JwtAudience";

/// Timeout of each document.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The used fields of the discovery document (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A set of keys (RFC 7517, section 5).
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
}

/// Fetches the documents that API Gateway fetches to verify its first token.
pub(crate) async fn check(plan: &DeploymentPlan) -> CheckResult {
    let Some(authorizer) = plan.authorizer() else {
        return CheckResult::Pass("not needed: callers sign with IAM".to_owned());
    };
    for name in [ISSUER, AUDIENCE] {
        match plan.valid(name) {
            // Reported by the template's rules.
            Some("") | None => return plan.skipped(name),
            Some(_) => {}
        }
    }
    // Allowed where AWS is simulated on this machine too.
    if authorizer.issuer.starts_with("http://") && std::env::var_os("AWS_ENDPOINT_URL").is_none() {
        return CheckResult::fail(
            format!(
                "API Gateway cannot reach {}, which is on this machine",
                authorizer.issuer
            ),
            format!("set {ISSUER} to the https:// URL of your OpenID Connect provider"),
        );
    }
    match keys(authorizer).await {
        Ok(keys) => CheckResult::Pass(format!("{}, with {keys} RSA key(s)", authorizer.issuer)),
        Err(failure) => failure,
    }
}

/// Counts the issuer's usable keys.
async fn keys(authorizer: &JwtAuthorizer) -> Result<usize, CheckResult> {
    let issuer = &authorizer.issuer;
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let discovery: Discovery = get(&url).await.map_err(|problem| {
        CheckResult::fail(
            format!("{url} {problem}"),
            format!("set {ISSUER} to the issuer of an OpenID Connect provider that serves this document on the internet"),
        )
    })?;
    if discovery.issuer != *issuer {
        return Err(CheckResult::fail(
            format!("{url} has the issuer {}", discovery.issuer),
            format!(
                "set {ISSUER} to exactly that, with or without the trailing slash: tokens carry it as `iss`"
            ),
        ));
    }
    let set: KeySet = get(&discovery.jwks_uri).await.map_err(|problem| {
        CheckResult::fail(
            format!("{}, the jwks_uri of {url}, {problem}", discovery.jwks_uri),
            "fix it at the identity provider: API Gateway reads the keys there",
        )
    })?;
    let usable = |key: &&Key| {
        key.kty == "RSA"
            && key.kid.is_some()
            && key.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
    };
    match set.keys.iter().filter(usable).count() {
        0 => Err(CheckResult::fail(
            format!(
                "{} has no RSA key for signatures (with a kid)",
                discovery.jwks_uri
            ),
            "configure the provider to sign with RS256: API Gateway verifies RSA signatures only",
        )),
        count => Ok(count),
    }
}

/// Reads a JSON document. The error completes a sentence that begins with the URL.
async fn get<T: DeserializeOwned>(url: &str) -> Result<T, String> {
    let http = http_client::build(None).map_err(|error| error.to_string())?;
    let response = http.get(url).timeout(TIMEOUT).send().await;
    let response = response.map_err(|error| {
        if error.is_timeout() {
            "does not respond in time".to_owned()
        } else {
            format!("cannot be reached ({})", cause(&error))
        }
    })?;
    if response.status() != 200 {
        return Err(format!("returns status {}", response.status().as_u16()));
    }
    let body = http_client::read_body(response)
        .await
        .map_err(|_| "is incomplete or too large".to_owned())?;
    serde_json::from_slice(&body).map_err(|error| format!("is not the expected document: {error}"))
}

/// The innermost cause, because the others only say that there is one.
fn cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
