//! Amazon Resource Names.

use crate::report::CheckResult;

/// Checks that a resource is in the region of the stack.
///
/// An ARN is `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
pub(crate) fn check_region(arn: &str, region: &str) -> Result<(), CheckResult> {
    match arn.split(':').nth(3) {
        Some(found) if found != region => Err(CheckResult::fail(
            format!("is in {found}, and the stack is in {region}"),
            format!("use one in {region}, or deploy to {found}"),
        )),
        _ => Ok(()),
    }
}
