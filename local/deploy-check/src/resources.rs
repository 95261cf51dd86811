//! Checks of the other resources that the stack refers to: certificate, topic of the alarms, concurrency of the account.

use crate::facts::{Concurrency, Facts, Lookup};
use crate::plan::DeploymentPlan;
use crate::report::CheckResult;

const CERTIFICATE: &str = "CertificateArn";
const DOMAIN_NAME: &str = "DomainName";
const TOPIC: &str = "AlarmTopicArn";
const EMAIL: &str = "AlarmEmail";
const RATE_LIMIT: &str = "ThrottlingRateLimit";
const RESERVED: &str = "ReservedConcurrency";

/// What Lambda leaves unreserved for the other functions of an account.
const MIN_UNRESERVED: u32 = 100;

/// Checks the certificate of the domain name; `None` if there is no domain name.
pub(crate) fn check_certificate(facts: &Facts, plan: &DeploymentPlan<'_>) -> Option<CheckResult> {
    let (domain, arn) = (plan.value(DOMAIN_NAME)?, plan.value(CERTIFICATE)?);
    if domain.is_empty() || arn.is_empty() {
        return None;
    }
    let certificate = match facts.lookups.certificate.as_ref() {
        None => return Some(facts.skipped()),
        Some(Lookup::Error(error)) => {
            let fix = format!("set {CERTIFICATE} to a certificate of AWS Certificate Manager");
            return Some(error.result("acm:DescribeCertificate", &fix));
        }
        Some(Lookup::Value(certificate)) => certificate.as_ref()?,
    };
    Some(if certificate.status != "ISSUED" {
        CheckResult::fail(
            format!("its status is {}", certificate.status),
            "validate the certificate, or request another one",
        )
    } else if !certificate.names.iter().any(|name| covers(name, domain)) {
        CheckResult::fail(
            format!(
                "it is for {}, not for {domain}",
                certificate.names.join(", ")
            ),
            format!("set {CERTIFICATE} to a certificate for {DOMAIN_NAME}"),
        )
    } else {
        CheckResult::Pass(arn.to_owned())
    })
}

/// Whether the name of a certificate covers a domain. A wildcard stands for one label.
fn covers(name: &str, domain: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => domain
            .split_once('.')
            .is_some_and(|(_, rest)| rest == parent),
        None => name == domain,
    }
}

/// Checks that someone is notified of alarms.
pub(crate) fn check_alarms(facts: &Facts, plan: &DeploymentPlan<'_>) -> CheckResult {
    if plan.value("AlarmsEnabled") == Some("false") {
        return CheckResult::Pass("disabled".to_owned());
    }
    for name in [TOPIC, EMAIL] {
        if plan.value(name).is_none() {
            return plan.skipped(name);
        }
    }
    let arn = plan.value(TOPIC).filter(|arn| !arn.is_empty());
    let email = plan.value(EMAIL).filter(|email| !email.is_empty());
    match (arn, email) {
        (Some(arn), _) => check_topic(arn, facts),
        (None, Some(email)) => CheckResult::Pass(format!(
            "sent to {email}, after the subscription is confirmed"
        )),
        (None, None) => CheckResult::Skipped(format!(
            "no recipient, so that they notify no one: set {EMAIL} or {TOPIC}"
        )),
    }
}

fn check_topic(arn: &str, facts: &Facts) -> CheckResult {
    let topic = match facts.lookups.topic.as_ref() {
        None | Some(Lookup::Value(None)) => return facts.skipped(),
        Some(Lookup::Error(error)) => {
            let fix = format!("set {TOPIC} to a topic that exists");
            return error.result(
                "sns:GetTopicAttributes or sns:ListSubscriptionsByTopic",
                &fix,
            );
        }
        Some(Lookup::Value(Some(topic))) => topic,
    };
    match &topic.key {
        // Its key policy cannot be changed, and does not permit CloudWatch.
        Some(key) if key.ends_with("alias/aws/sns") => CheckResult::fail(
            format!("CloudWatch cannot publish to a topic that is encrypted with {key}"),
            "encrypt the topic with your own key, whose policy allows kms:Decrypt and kms:GenerateDataKey* to \
             cloudwatch.amazonaws.com, or not at all",
        ),
        _ if topic.subscriptions == 0 => CheckResult::fail(
            "the topic has no confirmed subscription, so that alarms notify no one",
            "subscribe to the topic, and confirm the subscription",
        ),
        Some(key) => CheckResult::Skipped(format!(
            "sent to {arn}, if the policy of the key {key} allows kms:Decrypt and kms:GenerateDataKey* to \
             cloudwatch.amazonaws.com"
        )),
        None => CheckResult::Pass(format!(
            "sent to {arn}, with {} confirmed subscription(s)",
            topic.subscriptions
        )),
    }
}

/// Checks that the account runs enough functions at a time.
pub(crate) fn check_concurrency(facts: &Facts, plan: &DeploymentPlan<'_>) -> CheckResult {
    let concurrency = match facts.lookups.concurrency.as_ref() {
        None | Some(Lookup::Value(None)) => return facts.skipped(),
        Some(Lookup::Error(error)) => return error.result("lambda:GetAccountSettings", ""),
        Some(Lookup::Value(Some(concurrency))) => concurrency,
    };
    let number = |name: &str| plan.value(name).and_then(|value| value.parse::<f64>().ok());
    let (Some(rate), Some(reserved)) = (number(RATE_LIMIT), number(RESERVED)) else {
        return CheckResult::Skipped(format!("{RATE_LIMIT} or {RESERVED} is invalid"));
    };
    // Released by the deployment before anything is reserved again.
    let released = facts
        .kept(RESERVED)
        .and_then(|value| value.parse::<f64>().ok())
        .unwrap_or(-1.0);
    judge_concurrency(concurrency, plan.functions(), rate, reserved, released)
}

fn judge_concurrency(
    concurrency: &Concurrency,
    functions: u32,
    rate: f64,
    reserved: f64,
    released: f64,
) -> CheckResult {
    let &Concurrency { limit, unreserved } = concurrency;
    let change = (reserved.max(0.0) - released.max(0.0)) * f64::from(functions);
    let minimum = limit.min(MIN_UNRESERVED);
    if reserved > 0.0 && f64::from(unreserved) - change < f64::from(minimum) {
        return CheckResult::fail(
            format!(
                "{RESERVED}={reserved} for {functions} functions leaves less than {minimum} of {unreserved} unreserved \
                 executions, which Lambda rejects"
            ),
            format!("set {RESERVED} to a lower number or to -1, or request a higher quota"),
        );
    }
    // With a response time of one second, each request per second needs one execution.
    if f64::from(limit) < rate {
        return CheckResult::fail(
            format!(
                "the account runs {limit} functions at a time, and {RATE_LIMIT} admits {rate} requests per second on each route"
            ),
            format!(
                "request a higher quota (Service Quotas, AWS Lambda, concurrent executions), or set {RATE_LIMIT} to {limit}"
            ),
        );
    }
    CheckResult::Pass(format!("{limit} concurrent executions in the account"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_covers_one_label() {
        for (name, domain, expected) in [
            ("api.example.com", "api.example.com", true),
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.api.example.com", false),
            ("example.com", "api.example.com", false),
        ] {
            assert_eq!(covers(name, domain), expected, "{name} {domain}");
        }
    }

    #[test]
    fn judges_concurrency_of_account() {
        let judge = |limit, unreserved, rate, reserved, released| {
            judge_concurrency(
                &Concurrency { limit, unreserved },
                2,
                rate,
                reserved,
                released,
            )
        };
        let passes = |result| matches!(result, CheckResult::Pass(_));

        // A usual account; a reservation that fits exactly; one that the stack has already.
        assert!(passes(judge(1000, 1000, 50.0, -1.0, -1.0)));
        assert!(passes(judge(1000, 1000, 50.0, 450.0, -1.0)));
        assert!(passes(judge(1000, 100, 50.0, 450.0, 450.0)));
        // No executions at all are a way to stop the functions.
        assert!(passes(judge(1000, 1000, 50.0, 0.0, -1.0)));
        assert!(!passes(judge(1000, 1000, 50.0, 451.0, -1.0)));
        // A new account.
        assert!(!passes(judge(10, 10, 50.0, -1.0, -1.0)));
        assert!(!passes(judge(10, 10, 5.0, 1.0, -1.0)));
        assert!(passes(judge(10, 10, 10.0, -1.0, -1.0)));
    }
}
