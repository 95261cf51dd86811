//! Checks of the secret: that it exists under this ARN, has a value in one of the formats, and that the functions may
//! decrypt it.

use secrecy::SecretString;
use shared::credential::Credential;
use shared::credential::secrets_manager::{SecretError, ServiceErrorReason};

use crate::facts::{Facts, Lookup, Secret, ServiceError};
use crate::plan::DeploymentPlan;
use crate::report::CheckResult;

const SECRET: &str = "OrganizationTokenSecretArn";
const KEY: &str = "SecretKmsKeyArn";

pub(crate) fn check(facts: &Facts, plan: &DeploymentPlan<'_>) -> [(&'static str, CheckResult); 3] {
    let (secret, value, key) = match checked(facts, plan) {
        Ok(secret) => (
            CheckResult::Pass(secret.arn.clone()),
            value(facts, secret),
            key(facts, plan, secret),
        ),
        Err(result) => {
            let reason = match &result {
                CheckResult::Skipped(reason) => reason,
                _ => "the check of the secret failed",
            };
            let skipped = CheckResult::Skipped(reason.to_owned());
            (result, skipped.clone(), skipped)
        }
    };
    [
        ("secret", secret),
        ("secret value", value),
        ("secret key", key),
    ]
}

/// The secret, if it exists under exactly the ARN that is configured.
fn checked<'f>(facts: &'f Facts, plan: &DeploymentPlan<'_>) -> Result<&'f Secret, CheckResult> {
    let arn = plan.valid(SECRET).ok_or_else(|| plan.skipped(SECRET))?;
    let missing = || {
        CheckResult::fail(
            "does not exist",
            format!(
                "create it with `aws secretsmanager create-secret`, and set {SECRET} to the ARN that it prints"
            ),
        )
    };
    let secret = match facts.lookups.secret.as_ref() {
        None => return Err(facts.skipped()),
        Some(Lookup::Value(secret)) => secret.as_ref().ok_or_else(missing)?,
        Some(Lookup::Error(error)) if error.code == "ResourceNotFoundException" => {
            return Err(missing());
        }
        Some(Lookup::Error(error)) => {
            return Err(error.result("secretsmanager:DescribeSecret", ""));
        }
    };
    if secret.is_deleted {
        return Err(CheckResult::fail(
            "is scheduled for deletion",
            format!("restore it: `aws secretsmanager restore-secret --secret-id {arn}`"),
        ));
    }
    // Secrets Manager finds a secret by a part of its ARN, but the permission of the functions is for the whole ARN.
    if secret.arn == arn {
        Ok(secret)
    } else {
        Err(CheckResult::fail(
            format!("{arn} is not its full ARN, so that the functions may not read it"),
            format!("set {SECRET} to {}", secret.arn),
        ))
    }
}

/// Checks the value. It is never printed.
fn value(facts: &Facts, secret: &Secret) -> CheckResult {
    let arn = &secret.arn;
    match &facts.lookups.secret_value {
        None => CheckResult::Skipped("not read, because of --without-secret".to_owned()),
        Some(Lookup::Error(error)) => unreadable(error, arn),
        Some(Lookup::Value(None)) => CheckResult::fail(
            "is binary",
            format!(
                "store it as a string: `aws secretsmanager put-secret-value --secret-id {arn} --secret-string …`"
            ),
        ),
        Some(Lookup::Value(Some(value))) => described(value, arn),
    }
}

fn described(value: &SecretString, arn: &str) -> CheckResult {
    match Credential::parse(value) {
        Ok(credential) => CheckResult::Pass(credential.kind().to_owned()),
        Err(error) => CheckResult::fail(
            error.to_string(),
            format!(
                "store a value in one of the formats: `aws secretsmanager put-secret-value --secret-id {arn} …`"
            ),
        ),
    }
}

/// Explains an error of `GetSecretValue`, as the functions do in their log.
fn unreadable(error: &ServiceError, arn: &str) -> CheckResult {
    if error.code.is_empty() {
        return error.result("secretsmanager:GetSecretValue", "");
    }
    let reason = ServiceErrorReason::new(&error.code, &error.message);
    let fix = match reason {
        // The functions may, so that this is no obstacle.
        ServiceErrorReason::NotAllowed => {
            return error.result("secretsmanager:GetSecretValue", "");
        }
        ServiceErrorReason::KeyNotAllowed => return error.result("kms:Decrypt", ""),
        ServiceErrorReason::NotFound => format!("check that {arn} exists"),
        ServiceErrorReason::NoValue => format!(
            "store one: `aws secretsmanager put-secret-value --secret-id {arn} --secret-string …`"
        ),
        ServiceErrorReason::MarkedForDeletion => {
            format!("restore it: `aws secretsmanager restore-secret --secret-id {arn}`")
        }
        ServiceErrorReason::KeyOfOtherAccount => format!(
            "encrypt the secret with a customer managed key whose policy allows this account, and set {KEY} to its ARN"
        ),
        ServiceErrorReason::KeyUnusable => {
            "enable the KMS key that encrypts the secret, or encrypt the secret with another one"
                .to_owned()
        }
        ServiceErrorReason::InvalidCredentials => "renew your AWS credentials".to_owned(),
        ServiceErrorReason::InvalidName => format!("set {SECRET} to the ARN of the secret"),
        ServiceErrorReason::Other => format!("look up {} in the AWS documentation", error.code),
    };
    let code = error.code.clone();
    CheckResult::fail(SecretError::Service { code, reason }.to_string(), fix)
}

/// Checks that the role of the functions may use the key that encrypts the secret.
fn key(facts: &Facts, plan: &DeploymentPlan<'_>, secret: &Secret) -> CheckResult {
    let parameter = match plan.value(KEY) {
        None => return plan.skipped(KEY),
        Some("") => None,
        Some(arn) => Some(arn),
    };
    let used = secret
        .key
        .as_deref()
        .filter(|key| !key.ends_with("alias/aws/secretsmanager"));
    let Some(used) = used else {
        return match parameter {
            None => CheckResult::Pass("the AWS managed key".to_owned()),
            Some(_) => CheckResult::fail(
                format!("the secret is encrypted with the AWS managed key, not with {KEY}"),
                format!("set `{KEY}=\"\"`, or encrypt the secret with that key"),
            ),
        };
    };
    // Secrets Manager returns what was set: an ARN, an ID or an alias.
    let arn = match &facts.lookups.secret_key {
        Some(Lookup::Value(Some(arn))) => arn,
        _ => used,
    };
    match parameter {
        None => CheckResult::fail(
            format!("the secret is encrypted with {arn}, which the functions may not use"),
            format!("set {KEY} to the ARN of that key"),
        ),
        Some(parameter) if parameter == arn || parameter.ends_with(&format!("/{arn}")) => {
            CheckResult::Pass(parameter.to_owned())
        }
        Some(_) if arn.contains("alias/") => CheckResult::Skipped(format!(
            "the secret is encrypted with {arn}; not permitted to check that this is {KEY}: kms:DescribeKey is denied"
        )),
        Some(_) => CheckResult::fail(
            format!("the secret is encrypted with {arn}, not with {KEY}"),
            format!("set {KEY} to the ARN of that key"),
        ),
    }
}
