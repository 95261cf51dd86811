//! Whether API Gateway would find the keys of the issuer of the callers' tokens.

use std::time::Duration;

use local_stack::template::JwtAuthorizer;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::http_client;

use crate::parameters::Planned;
use crate::report::Finding;

/// The parameters that this is about.
const ISSUER: &str = "JwtIssuer";
const AUDIENCE: &str = "JwtAudience";

/// How long each document may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What is read of the discovery document (OpenID Connect Discovery 1.0, section 3).
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

/// Does what API Gateway does when it checks a token for the first time.
pub(crate) async fn check(planned: &Planned) -> Finding {
    let Some(authorizer) = planned.authorizer() else {
        return Finding::Right("none is needed: callers sign with IAM".to_owned());
    };
    for name in [ISSUER, AUDIENCE] {
        match planned.right(name) {
            // The template's rules tell it.
            Some("") | None => return planned.missing(name),
            Some(_) => {}
        }
    }
    // Right where AWS, too, is a stand-in on this machine.
    if authorizer.issuer.starts_with("http://") && std::env::var_os("AWS_ENDPOINT_URL").is_none() {
        return Finding::wrong(
            format!(
                "{} is on this machine, where API Gateway cannot reach it",
                authorizer.issuer
            ),
            format!("give the https:// URL of your OpenID Connect provider as {ISSUER}"),
        );
    }
    match keys(authorizer).await {
        Ok(keys) => Finding::Right(format!("{}, with {keys} RSA key(s)", authorizer.issuer)),
        Err(wrong) => wrong,
    }
}

/// How many of the issuer's keys can be used.
async fn keys(authorizer: &JwtAuthorizer) -> Result<usize, Finding> {
    let issuer = &authorizer.issuer;
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let discovery: Discovery = get(&url).await.map_err(|problem| {
        Finding::wrong(
            format!("{url} {problem}"),
            format!("{ISSUER} must be the issuer of an OpenID Connect provider that serves this document on the internet"),
        )
    })?;
    if discovery.issuer != *issuer {
        return Err(Finding::wrong(
            format!("{url} says that the issuer is {}", discovery.issuer),
            format!(
                "give exactly that as {ISSUER}: tokens carry it as `iss`, with or without a slash at its end"
            ),
        ));
    }
    let set: KeySet = get(&discovery.jwks_uri).await.map_err(|problem| {
        Finding::wrong(
            format!("{}, the jwks_uri of {url}, {problem}", discovery.jwks_uri),
            "mend it at the provider: API Gateway reads the keys there",
        )
    })?;
    let usable = |key: &&Key| {
        key.kty == "RSA"
            && key.kid.is_some()
            && key.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
    };
    match set.keys.iter().filter(usable).count() {
        0 => Err(Finding::wrong(
            format!(
                "{} has no RSA key for signatures (with a kid)",
                discovery.jwks_uri
            ),
            "have the provider sign with RS256: API Gateway verifies RSA signatures only",
        )),
        count => Ok(count),
    }
}

/// Reads a JSON document; the error goes on from its address.
async fn get<T: DeserializeOwned>(url: &str) -> Result<T, String> {
    let http = http_client::build(None).map_err(|error| error.to_string())?;
    let answer = http.get(url).timeout(LIMIT).send().await;
    let answer = answer.map_err(|error| {
        if error.is_timeout() {
            "does not answer in time".to_owned()
        } else {
            format!("cannot be reached ({})", cause(&error))
        }
    })?;
    if answer.status() != 200 {
        return Err(format!("answers with status {}", answer.status().as_u16()));
    }
    let body = http_client::read_body(answer)
        .await
        .map_err(|_| "breaks off, or is too large".to_owned())?;
    serde_json::from_slice(&body).map_err(|error| format!("is not what it should be: {error}"))
}

/// The innermost cause: the others say no more than that there is one.
fn cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
