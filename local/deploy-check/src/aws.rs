//! The secret and its key, in Secrets Manager.

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

use crate::parameters::Planned;
use crate::report::Finding;
use crate::settings::Settings;

/// The parameters that this is about.
const SECRET: &str = "OrganizationTokenSecretArn";
const KEY: &str = "SecretKmsKeyArn";

/// How long Secrets Manager may take.
const LIMIT: Duration = Duration::from_secs(15);

/// Looks at the secret and at the key that encrypts it.
pub(crate) async fn check(settings: &Settings, planned: &Planned) -> [(String, Finding); 2] {
    let (secret, key) = match config(settings, planned) {
        Ok(config) => tokio::join!(secret(&config), key(&config, planned.right(KEY))),
        Err(finding) => (finding.clone(), finding),
    };
    [
        ("secret".to_owned(), secret),
        ("secret's key".to_owned(), key),
    ]
}

/// What the functions would be told, but with the credentials of whoever runs this.
fn config(settings: &Settings, planned: &Planned) -> Result<Config, Finding> {
    let unknown = |why: &str| Finding::Unknown(format!("not looked at: {why}"));
    let credentials = settings
        .credentials()
        .ok_or_else(|| unknown("there are no AWS credentials"))?;
    let region = settings
        .region_name()
        .ok_or_else(|| unknown("there is no region"))?;
    let arn = planned
        .right(SECRET)
        .ok_or_else(|| planned.missing(SECRET))?;
    // arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME
    if let Some(elsewhere) = arn
        .split(':')
        .nth(3)
        .filter(|of_secret| *of_secret != region)
    {
        return Err(Finding::wrong(
            format!("the secret is in {elsewhere}, and the stack would be in {region}"),
            format!("put the secret into {region} as well, or deploy to {elsewhere}"),
        ));
    }
    let environment = planned
        .environment()
        .ok_or_else(|| planned.missing(SECRET))?;
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

/// Whether the secret can be read, and holds one of the three formats. Its value is never shown.
async fn secret(config: &Config) -> Finding {
    let http = match http_client::build(None) {
        Ok(http) => SdkConnector(http),
        Err(error) => return Finding::Unknown(format!("not looked at: {error}")),
    };
    let manager = SecretsManager::new(&config.aws, config.secret_id.clone(), http);
    let read = match manager.read(Instant::now() + LIMIT).await {
        Ok(value) => credential::describe(&value),
        Err(error) => Err(error),
    };
    match read {
        Ok(description) => Finding::Right(format!("it holds {description}")),
        Err(error) => Finding::wrong(error.to_string(), remedy(&error, &config.secret_id)),
    }
}

fn remedy(error: &SecretError, secret_id: &str) -> String {
    let put_value = |value: &str| {
        format!(
            "put {value} into it: `aws secretsmanager put-secret-value --secret-id {secret_id} …`"
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
            "create it with `aws secretsmanager create-secret`, and give the full ARN that this prints as {SECRET}"
        ),
        ServiceErrorReason::NoValue => put_value("a value"),
        ServiceErrorReason::NotAllowed => {
            "the functions' role will be allowed to read it; to have it looked at here, use credentials that may \
             secretsmanager:GetSecretValue and, for a key of its own, kms:Decrypt"
                .to_owned()
        }
        ServiceErrorReason::KeyNotAllowed => {
            format!("use credentials that the key's policy allows to kms:Decrypt; the functions use the key in {KEY}")
        }
        ServiceErrorReason::KeyOfOtherAccount => format!(
            "encrypt it with a customer managed key whose policy allows this account, and give the key's ARN as {KEY}"
        ),
        ServiceErrorReason::KeyUnusable => {
            "check that the key is enabled and not marked for deletion".to_owned()
        }
        ServiceErrorReason::MarkedForDeletion => format!(
            "if it was deleted, bring it back: `aws secretsmanager restore-secret --secret-id {secret_id}`"
        ),
        ServiceErrorReason::InvalidCredentials => "renew your AWS credentials".to_owned(),
        ServiceErrorReason::InvalidName => format!("give the secret's full ARN as {SECRET}"),
        ServiceErrorReason::Other => {
            "see what this code means in the documentation of GetSecretValue".to_owned()
        }
    }
}

/// Whether the functions' role will be allowed to use the key that encrypts the secret.
async fn key(config: &Config, given: Option<&str>) -> Finding {
    let given = given.filter(|arn| !arn.is_empty());
    let used = match used_key(&config.aws, &config.secret_id).await {
        Ok(used) => used,
        Err(error) => return Finding::Unknown(format!("not looked at: {error}")),
    };
    match (used, given) {
        (None, None) => Finding::Right("the AWS managed one".to_owned()),
        (None, Some(_)) => Finding::wrong(
            format!("the secret is encrypted with the AWS managed key, not with {KEY}"),
            format!("leave {KEY} out, or encrypt the secret with it"),
        ),
        (Some(used), None) => Finding::wrong(
            format!(
                "the secret is encrypted with {used}, which the functions would not be allowed to use"
            ),
            format!("give the key's ARN as {KEY}"),
        ),
        // Given to Secrets Manager as an ARN or as an id. Where an alias leads cannot be seen from here.
        (Some(used), Some(given)) if used == given || given.ends_with(&format!("/{used}")) => {
            Finding::Right(given.to_owned())
        }
        (Some(used), Some(_)) if used.contains("alias/") => Finding::Unknown(format!(
            "not looked at: the secret is encrypted with {used}; make sure that this is {KEY}"
        )),
        (Some(used), Some(_)) => Finding::wrong(
            format!("the secret is encrypted with {used}, not with {KEY}"),
            format!("give that key's ARN as {KEY}"),
        ),
    }
}

/// The key that encrypts the secret, as it was named to Secrets Manager; `None` for the AWS managed one.
async fn used_key(
    aws: &AwsConfig,
    secret_id: &str,
) -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
    let http = SdkConnector(http_client::build(None)?);
    let described = secrets_manager::client(aws, http)
        .describe_secret()
        .secret_id(secret_id)
        .send();
    let described = tokio::time::timeout(LIMIT, described)
        .await
        .map_err(|_| "Secrets Manager did not answer in time")?
        .map_err(|error| error.into_service_error().to_string())?;
    Ok(described
        .kms_key_id
        .filter(|key| !key.ends_with("alias/aws/secretsmanager")))
}
