//! Check of the issuer: API Gateway must find its signing keys.

use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::http_client;
use template::JwtAuthorizer;

use crate::http;
use crate::plan::DeploymentPlan;
use crate::report::CheckResult;

/// The parameters of the issuer.
const ISSUER: &str = "JwtIssuer";
const AUDIENCE: &str = "JwtAudience";

/// API Gateway's timeout of each document. That of [`http`] is longer, because this machine's network may be slower.
const GATEWAY_TIMEOUT: Duration = Duration::from_millis(1500);

/// API Gateway's limit for the set of keys.
const MAX_KEY_SET_BYTES: usize = 150_000;

/// API Gateway's limit for audiences.
const MAX_AUDIENCES: usize = 50;

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

/// A document with the properties that API Gateway limits.
struct Document<T> {
    content: T,
    bytes: usize,
    took: Duration,
}

/// Fetches the documents that API Gateway fetches to verify its first token.
pub(crate) async fn check(plan: &DeploymentPlan<'_>) -> CheckResult {
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
    if authorizer.audience.len() > MAX_AUDIENCES {
        return CheckResult::fail(
            format!("{} audiences", authorizer.audience.len()),
            format!("set {AUDIENCE} to at most {MAX_AUDIENCES} audiences, API Gateway's limit"),
        );
    }
    match fetched(authorizer).await {
        Ok(result) | Err(result) => result,
    }
}

async fn fetched(authorizer: &JwtAuthorizer) -> Result<CheckResult, CheckResult> {
    let client = http::client(Policy::default());
    let client = client.map_err(|error| CheckResult::Skipped(error.to_string()))?;
    let issuer = &authorizer.issuer;
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let discovery: Document<Discovery> = get(&client, &url).await.map_err(|problem| {
        CheckResult::fail(
            format!("{url} {problem}"),
            format!("set {ISSUER} to the issuer of an OpenID Connect provider that serves this document on the internet"),
        )
    })?;
    let Discovery {
        issuer: found,
        jwks_uri,
    } = discovery.content;
    if found != *issuer {
        return Err(CheckResult::fail(
            format!("{url} has the issuer {found}"),
            format!(
                "set {ISSUER} to exactly that, with or without the trailing slash: tokens carry it as `iss`"
            ),
        ));
    }
    let set: Document<KeySet> = get(&client, &jwks_uri).await.map_err(|problem| {
        CheckResult::fail(
            format!("{jwks_uri}, the jwks_uri of {url}, {problem}"),
            "fix it at the identity provider: API Gateway reads the keys there",
        )
    })?;
    if set.bytes > MAX_KEY_SET_BYTES {
        return Err(CheckResult::fail(
            format!("{jwks_uri} has {} bytes", set.bytes),
            format!(
                "remove keys at the identity provider: API Gateway accepts {MAX_KEY_SET_BYTES} bytes"
            ),
        ));
    }
    let is_usable = |key: &&Key| {
        key.kty == "RSA"
            && key.kid.is_some()
            && key.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
    };
    let count = set.content.keys.iter().filter(is_usable).count();
    if count == 0 {
        return Err(CheckResult::fail(
            format!("{jwks_uri} has no RSA key for signatures (with a kid)"),
            "configure the provider to sign with RS256: API Gateway verifies RSA signatures only",
        ));
    }
    let took = discovery.took.max(set.took);
    if took > GATEWAY_TIMEOUT {
        return Ok(CheckResult::Skipped(format!(
            "{issuer} took {:.1} s to respond to this machine; API Gateway waits {:.1} s",
            took.as_secs_f64(),
            GATEWAY_TIMEOUT.as_secs_f64()
        )));
    }
    Ok(CheckResult::Pass(format!(
        "{issuer}, with {count} RSA key(s)"
    )))
}

/// Reads a JSON document. The error completes a sentence that begins with the URL.
async fn get<T: DeserializeOwned>(client: &Client, url: &str) -> Result<Document<T>, String> {
    let since = Instant::now();
    let response = client.get(url).send().await;
    let response = response.map_err(|error| http::failure(&error))?;
    if response.status() != 200 {
        return Err(format!("returns status {}", response.status().as_u16()));
    }
    let body = http_client::read_body(response)
        .await
        .map_err(|_| "is incomplete or too large".to_owned())?;
    let took = since.elapsed();
    let content = serde_json::from_slice(&body)
        .map_err(|error| format!("is not the expected document: {error}"))?;
    Ok(Document {
        content,
        bytes: body.len(),
        took,
    })
}
