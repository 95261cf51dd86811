//! Checks of the secret and its key, in Secrets Manager.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use shared::aws::{AwsConfig, SdkConnector};
use shared::config::Config;
use shared::credential;
use shared::credential::secrets_manager::{self, SecretError, SecretsManager, ServiceErrorReason};
use shared::http_client;
use tokio::time::Instant;

use crate::plan::DeploymentPlan;
use crate::report::CheckResult;
use crate::settings::Settings;

/// The parameters of the secret.
const SECRET: &str = "OrganizationTokenSecretArn";
const KEY: &str = "SecretKmsKeyArn";

/// Timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Checks the secret, and the key that encrypts it.
pub(crate) async fn check(
    settings: &Settings,
    plan: &DeploymentPlan,
) -> [(String, CheckResult); 2] {
    let (secret, key) = match config(settings, plan) {
        Ok(config) => tokio::join!(secret(&config), key(&config, plan.valid(KEY))),
        Err(result) => (result.clone(), result),
    };
    [
        ("secret".to_owned(), secret),
        ("secret's key".to_owned(), key),
    ]
}

/// The configuration of the functions, with the credentials of the deployer.
fn config(settings: &Settings, plan: &DeploymentPlan) -> Result<Config, CheckResult> {
    let unknown = |why: &str| CheckResult::Skipped(why.to_owned());
    let credentials = settings
        .credentials()
        .ok_or_else(|| unknown("no AWS credentials"))?;
    let region = settings
        .region_name()
        .ok_or_else(|| unknown("no region configured"))?;
    let arn = plan.valid(SECRET).ok_or_else(|| plan.skipped(SECRET))?;
    // arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME
    if let Some(elsewhere) = arn
        .split(':')
        .nth(3)
        .filter(|of_secret| *of_secret != region)
    {
        return Err(CheckResult::fail(
            format!("the secret is in {elsewhere}, and the stack is in {region}"),
            format!("create the secret in {region} too, or deploy to {elsewhere}"),
        ));
    }
    let environment = plan.environment().ok_or_else(|| plan.skipped(SECRET))?;
    let exposed = |secret: &secrecy::SecretString| secret.expose_secret().to_owned();
    let aws: BTreeMap<&str, String> = [
        ("AWS_REGION", Some(region.to_owned())),
        ("AWS_ACCESS_KEY_ID", Some(credentials.access_key_id.clone())),
        (
            "AWS_SECRET_ACCESS_KEY",
            Some(exposed(&credentials.secret_access_key)),
        ),
        (
            "AWS_SESSION_TOKEN",
            credentials.session_token.as_ref().map(exposed),
        ),
        ("AWS_ENDPOINT_URL", std::env::var("AWS_ENDPOINT_URL").ok()),
        (
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            std::env::var("AWS_ENDPOINT_URL_SECRETS_MANAGER").ok(),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    Config::from_lookup(|name| aws.get(name).or_else(|| environment.get(name)).cloned())
        .map_err(|error| unknown(&error.to_string()))
}

/// Checks that the secret can be read and has one of the three formats. Its value is never printed.
async fn secret(config: &Config) -> CheckResult {
    let http = match http_client::build(None) {
        Ok(http) => SdkConnector(http),
        Err(error) => return CheckResult::Skipped(format!("{error}")),
    };
    let manager = SecretsManager::new(&config.aws, config.secret_id.clone(), http);
    let read = match manager.read(Instant::now() + TIMEOUT).await {
        Ok(value) => credential::describe(&value),
        Err(error) => Err(error),
    };
    match read {
        Ok(description) => CheckResult::Pass(format!("contains {description}")),
        Err(error) => CheckResult::fail(error.to_string(), fix(&error, &config.secret_id)),
    }
}

fn fix(error: &SecretError, secret_id: &str) -> String {
    let put_value = |value: &str| {
        format!(
            "store {value} in it: `aws secretsmanager put-secret-value --secret-id {secret_id} …`"
        )
    };
    let reason = match error {
        SecretError::Timeout | SecretError::Connect(_) => {
            return "check the region, and this machine's network".to_owned();
        }
        SecretError::InvalidResponse(_) => {
            return "check AWS_ENDPOINT_URL, and this machine's network".to_owned();
        }
        SecretError::Malformed(_) => return put_value("a value of one of the formats"),
        SecretError::Service { reason, .. } => reason,
    };
    match reason {
        ServiceErrorReason::NotFound => format!(
            "create it with `aws secretsmanager create-secret`, and set {SECRET} to the full ARN that it prints"
        ),
        ServiceErrorReason::NoValue => put_value("a value"),
        ServiceErrorReason::NotAllowed => {
            "the role of the functions may read it; to check it here, use credentials that may \
             secretsmanager:GetSecretValue and, for your own key, kms:Decrypt"
                .to_owned()
        }
        ServiceErrorReason::KeyNotAllowed => {
            format!("use credentials that the key's policy allows to kms:Decrypt; the functions use the key in {KEY}")
        }
        ServiceErrorReason::KeyOfOtherAccount => format!(
            "encrypt it with a customer managed key whose policy allows this account, and set {KEY} to the key's ARN"
        ),
        ServiceErrorReason::KeyUnusable => {
            "check that the key is enabled and not marked for deletion".to_owned()
        }
        ServiceErrorReason::MarkedForDeletion => format!(
            "if it was deleted, restore it: `aws secretsmanager restore-secret --secret-id {secret_id}`"
        ),
        ServiceErrorReason::InvalidCredentials => "renew your AWS credentials".to_owned(),
        ServiceErrorReason::InvalidName => format!("set {SECRET} to the secret's full ARN"),
        ServiceErrorReason::Other => {
            "look up this error in the documentation of GetSecretValue".to_owned()
        }
    }
}

/// Checks that the role of the functions may use the key that encrypts the secret.
async fn key(config: &Config, parameter: Option<&str>) -> CheckResult {
    let parameter = parameter.filter(|arn| !arn.is_empty());
    let used = match used_key(&config.aws, &config.secret_id).await {
        Ok(used) => used,
        Err(error) => return CheckResult::Skipped(format!("{error}")),
    };
    match (used, parameter) {
        (None, None) => CheckResult::Pass("the AWS managed key".to_owned()),
        (None, Some(_)) => CheckResult::fail(
            format!("the secret is encrypted with the AWS managed key, not with {KEY}"),
            format!("remove {KEY}, or encrypt the secret with it"),
        ),
        (Some(used), None) => CheckResult::fail(
            format!("the secret is encrypted with {used}, which the functions may not use"),
            format!("set {KEY} to the ARN of that key"),
        ),
        // Set in Secrets Manager as an ARN or an ID. The key of an alias is not known here.
        (Some(used), Some(arn)) if used == arn || arn.ends_with(&format!("/{used}")) => {
            CheckResult::Pass(arn.to_owned())
        }
        (Some(used), Some(_)) if used.contains("alias/") => CheckResult::Skipped(format!(
            "the secret is encrypted with {used}; check that this is {KEY}"
        )),
        (Some(used), Some(_)) => CheckResult::fail(
            format!("the secret is encrypted with {used}, not with {KEY}"),
            format!("set {KEY} to the ARN of that key"),
        ),
    }
}

/// The key that encrypts the secret, as set in Secrets Manager; `None` for the AWS managed one.
async fn used_key(
    aws: &AwsConfig,
    secret_id: &str,
) -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
    let http = SdkConnector(http_client::build(None)?);
    let described = secrets_manager::client(aws, http)
        .describe_secret()
        .secret_id(secret_id)
        .send();
    let described = tokio::time::timeout(TIMEOUT, described)
        .await
        .map_err(|_| "Secrets Manager did not respond in time")?
        .map_err(|error| error.into_service_error().to_string())?;
    Ok(described
        .kms_key_id
        .filter(|key| !key.ends_with("alias/aws/secretsmanager")))
}
