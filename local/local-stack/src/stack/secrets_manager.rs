//! Secrets Manager, by moto, with the development secret in it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::children::Children;
use crate::client::Client;

/// The name of the development secret.
pub(super) const SECRET_NAME: &str = "airbyte/organization-token";

/// How long moto may take to listen: its first start compiles its modules.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it may take to answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// moto reads the service's name out of the credential's scope, and checks no signature.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/secretsmanager/aws4_request, \
                             SignedHeaders=host, Signature=0";

/// A running Secrets Manager.
pub(super) struct SecretsManager {
    /// For `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub(super) url: String,
    /// The development secret's.
    pub(super) secret_arn: String,
}

/// Starts moto and puts the secret into it.
pub(super) async fn start(
    children: &Children,
    python: &Path,
    script: &Path,
    organization_token: &str,
) -> Result<SecretsManager, String> {
    let mut command = Command::new(python);
    command.arg(script).arg("0").stdout(Stdio::piped());
    let output = children
        .start("Secrets Manager (moto)", command)
        .map_err(|error| error.to_string())?;

    let stdout = output.stdout.ok_or("moto has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(START_TIMEOUT, lines.next_line())
        .await
        .map_err(|_| format!("moto has not started within {START_TIMEOUT:?}"))?
        .map_err(|error| format!("moto cannot be read: {error}"))?;
    let line = line.ok_or("moto ended before it listened")?;
    let url = line
        .strip_prefix("listening on ")
        .ok_or_else(|| format!("moto said {line:?}"))?
        .to_owned();
    let secret_arn = create_secret(&url, organization_token).await?;
    Ok(SecretsManager { url, secret_arn })
}

/// `CreateSecret`; gives the secret's ARN.
async fn create_secret(url: &str, organization_token: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Created {
        #[serde(rename = "ARN")]
        arn: String,
    }
    let secret = json!({"organization_token": organization_token}).to_string();
    let body = json!({
        "Name": SECRET_NAME,
        "SecretString": secret,
        "ClientRequestToken": format!("{:032x}", fastrand::u128(..)),
    });
    let request = Request::post(url)
        .header(header::AUTHORIZATION, AUTHORIZATION)
        .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("x-amz-target", "secretsmanager.CreateSecret")
        .body(Full::from(body.to_string()))
        .map_err(|error| error.to_string())?;
    let answer = Client::new()
        .call(request, CALL_TIMEOUT)
        .await
        .map_err(|error| format!("CreateSecret: {error}"))?;
    if answer.status() != StatusCode::OK {
        return Err(format!(
            "CreateSecret: moto answered with status {}",
            answer.status()
        ));
    }
    serde_json::from_slice(answer.body())
        .map(|created: Created| created.arn)
        .map_err(|error| format!("CreateSecret: {error}"))
}
