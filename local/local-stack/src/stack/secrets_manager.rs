//! AWS's APIs, simulated by moto, with the development secret in Secrets Manager and the state table in DynamoDB.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};
use template::python;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::error::{REBUILD_TOOLS, StackError};
use super::processes::Processes;
use crate::client::Client;

const SCRIPT: &str = "local/moto_server.py";

/// The name of the development secret.
pub(super) const SECRET_NAME: &str = "airbyte/organization-token";

/// Timeout for the start of moto, which compiles its modules the first time.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Timeout of a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A running Secrets Manager.
pub(super) struct SecretsManager {
    /// The value for `AWS_ENDPOINT_URL`.
    pub(super) url: String,
    /// The ARN of the development secret.
    pub(super) secret_arn: String,
}

/// Starts moto and creates the secret.
pub(super) async fn start(
    processes: &Processes,
    project: &Path,
    organization_token: &str,
) -> Result<SecretsManager, StackError> {
    let mut command = Command::from(python::command(project, python::DEV, SCRIPT));
    command.arg("0").stdout(Stdio::piped());
    let output = processes
        .start("moto", command)
        .map_err(|error| StackError::new(error.to_string(), REBUILD_TOOLS))?;

    let stdout = output
        .stdout
        .ok_or_else(|| "moto has no standard output".to_owned())?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(START_TIMEOUT, lines.next_line())
        .await
        .map_err(|_| format!("moto did not start within {START_TIMEOUT:?}"))?
        .map_err(|error| format!("failed to read the output of moto: {error}"))?;
    let line =
        line.ok_or_else(|| StackError::new("moto ended before it listened", REBUILD_TOOLS))?;
    let url = line
        .strip_prefix("listening on ")
        .ok_or_else(|| format!("moto printed {line:?}"))?
        .to_owned();
    let secret_arn = create_secret(&url, organization_token).await?;
    Ok(SecretsManager { url, secret_arn })
}

/// Calls `CreateSecret`, and returns the secret's ARN.
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
    let response = call(url, "secretsmanager", "secretsmanager.CreateSecret", &body).await?;
    serde_json::from_slice(&response)
        .map(|created: Created| created.arn)
        .map_err(|error| format!("CreateSecret: {error}"))
}

/// Creates the state table, with the keys of the template's.
pub(super) async fn create_table(url: &str, name: &str) -> Result<(), String> {
    let body = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    });
    call(url, "dynamodb", "DynamoDB_20120810.CreateTable", &body)
        .await
        .map(drop)
}

/// Calls an action of a service of moto.
async fn call(url: &str, service: &str, target: &str, body: &Value) -> Result<Bytes, String> {
    let request = Request::post(url)
        // moto reads the service from the credential's scope, and verifies no signature.
        .header(
            header::AUTHORIZATION,
            format!(
                "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
            ),
        )
        .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(Full::from(body.to_string()))
        .map_err(|error| error.to_string())?;
    let response = Client::new()
        .call(request, CALL_TIMEOUT)
        .await
        .map_err(|error| format!("{target}: {error}"))?;
    if response.status() != StatusCode::OK {
        return Err(format!(
            "{target}: moto responded with status {}",
            response.status()
        ));
    }
    Ok(response.into_body())
}
