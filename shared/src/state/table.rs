//! The table: conditional writes of small items, each within a second.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    AppName, HttpClient, IdentityCache, Region, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use uuid::Uuid;

use crate::aws::{APP_NAME, AwsConfig, SdkConnector};
use crate::invocation::Invocation;
use crate::request::caller::ExternalUserId;

/// The timeout of one call, its retries included, and of all calls for one purpose if the table fails.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// The timeout of one attempt, so that a second one fits into [`TIMEOUT`].
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(450);

/// The maximum wait before the second attempt; it doubles before the third.
const INITIAL_BACKOFF: Duration = Duration::from_millis(25);

/// The partition key.
const KEY: &str = "pk";

/// The attribute by which DynamoDB deletes old items, in epoch seconds. It does so within days, so conditions check it too.
const EXPIRES_AT: &str = "expires_at";

/// The attribute with the state, whose values each purpose defines.
const STATE: &str = "state";

/// The attribute with a hash that identifies the invocation which holds the item.
const HOLDER: &str = "holder";

/// The attribute with the time at which the holder has certainly ended, in epoch milliseconds.
const HELD_UNTIL: &str = "held_until";

/// The state table. A clone is the same table.
#[derive(Debug, Clone)]
pub struct StateTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    name: String,
    organization_id: Uuid,
}

/// A call to the table that failed. It contains nothing of an item.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There was no response in time.
    #[error("DynamoDB did not respond in time")]
    Timeout,
    /// No connection could be opened, or it was lost.
    #[error("could not connect to DynamoDB")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// DynamoDB returned an error.
    #[error("DynamoDB returned {0}")]
    Service(String),
    /// DynamoDB returned something that is not documented, or an item that the functions do not write.
    #[error("DynamoDB returned an invalid response")]
    InvalidResponse,
}

impl StateError {
    /// Returns the cause for the log. docs/operations.md lists all causes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Timeout => "state_table_timeout",
            Self::Connect(_) => "state_table_connect",
            Self::Service(_) | Self::InvalidResponse => "state_table_error",
        }
    }

    /// Returns what the operator can do.
    fn advice(&self) -> &'static str {
        match self {
            Self::Timeout | Self::Connect(_) => "check the function's VPC and network access",
            Self::Service(code) => match code.as_str() {
                "AccessDeniedException" => {
                    "check the policies of the function's role and the VPC endpoint"
                }
                "ResourceNotFoundException" => "check STATE_TABLE, its region, and that it exists",
                "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "ThrottlingException" => "check the table's and the account's limits",
                _ => "check the table in the AWS console",
            },
            Self::InvalidResponse => "check STATE_TABLE, and that nothing else writes to the table",
        }
    }

    /// Logs the failure, and counts it for the invocation.
    pub(super) fn report(&self, action: &'static str, invocation: &Invocation) {
        invocation.record_state_failure();
        warn!(
            action,
            error = %self,
            source = self.source().map(ToString::to_string),
            advice = self.advice(),
            "failed to use the state table"
        );
    }
}

/// The key of an item: a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ItemKey([u8; 32]);

impl ItemKey {
    /// Returns a hash of a value and this key, which cannot be computed without what the key is a hash of.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> String {
        let mut hash = Sha256::new().chain_update(self.0);
        for part in parts {
            // The length, because two lists must not have the same hash.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hex(&hash.finalize())
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// An item, without its key.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Item(HashMap<String, AttributeValue>);

impl Item {
    /// Creates an item that lasts for `lifetime`.
    pub(super) fn new(state: &str, lifetime: Duration, now: SystemTime) -> Self {
        Self::default()
            .with(STATE, state)
            .with_number(EXPIRES_AT, epoch(now + lifetime).as_secs().into())
    }

    /// Adds the invocation that holds the item until it ends.
    pub(super) fn held_by(self, invocation: &Invocation) -> Self {
        self.with(HOLDER, &holder(invocation))
            .with_number(HELD_UNTIL, epoch(invocation.lambda_deadline()).as_millis())
    }

    /// Adds a string.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0
            .insert(name.to_owned(), AttributeValue::S(value.to_owned()));
        self
    }

    fn with_number(mut self, name: &str, value: u128) -> Self {
        self.0
            .insert(name.to_owned(), AttributeValue::N(value.to_string()));
        self
    }

    /// Returns a string.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_s().ok().map(String::as_str)
    }

    /// Returns the state.
    pub(super) fn state(&self) -> Option<&str> {
        self.get(STATE)
    }

    /// Whether the holder has certainly not ended at `now`.
    pub(super) fn is_held_at(&self, now: SystemTime) -> bool {
        let until = self
            .0
            .get(HELD_UNTIL)
            .and_then(|value| value.as_n().ok()?.parse::<u128>().ok());
        until.is_some_and(|until| epoch(now).as_millis() < until)
    }

    fn is_held_by(&self, invocation: &Invocation) -> bool {
        self.get(HOLDER) == Some(&holder(invocation))
    }
}

/// When an existing item may be replaced. An item whose lifetime is over always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    /// Never before the end of its lifetime.
    Expired,
    /// When its holder has ended.
    ExpiredOrAbandoned,
}

/// The result of [`StateTable::put_new`].
#[derive(Debug, PartialEq)]
pub(super) enum Put {
    /// The item was written.
    Done,
    /// This item exists.
    Exists(Item),
}

impl StateTable {
    /// Creates a client of the table, with the credentials, the region and the endpoint in `aws`. It opens no connection.
    #[must_use]
    pub fn new(aws: &AwsConfig, name: String, organization_id: Uuid, http: SdkConnector) -> Self {
        Self::with_client(client(aws, http), name, organization_id)
    }

    fn with_client(client: Client, name: String, organization_id: Uuid) -> Self {
        Self(Arc::new(Inner {
            client,
            name,
            organization_id,
        }))
    }

    /// Returns the key of an item about a user, and about what else it is about.
    pub(super) fn key(&self, purpose: &str, user: &ExternalUserId, rest: &[&str]) -> ItemKey {
        let organization_id = self.0.organization_id.hyphenated().to_string();
        let mut hash = Sha256::new().chain_update(purpose);
        for part in [organization_id.as_str(), user.as_str()].iter().chain(rest) {
            // None of them contains a NUL.
            hash.update(b"\0");
            hash.update(part);
        }
        ItemKey(hash.finalize().into())
    }

    /// Writes an item that the invocation holds, unless one exists that may not be replaced.
    pub(super) async fn put_new(
        &self,
        key: &ItemKey,
        item: Item,
        replace: Replace,
        invocation: &Invocation,
        deadline: Instant,
    ) -> Result<Put, StateError> {
        let now = epoch(SystemTime::now());
        let abandoned = match replace {
            Replace::Expired => "",
            Replace::ExpiredOrAbandoned => " OR held_until < :now_ms",
        };
        let mut request = self
            .put(key, item)
            .condition_expression(format!(
                "attribute_not_exists(pk) OR expires_at < :now_s{abandoned}"
            ))
            .expression_attribute_values(":now_s", AttributeValue::N(now.as_secs().to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if replace == Replace::ExpiredOrAbandoned {
            let now = AttributeValue::N(now.as_millis().to_string());
            request = request.expression_attribute_values(":now_ms", now);
        }
        match within(deadline, Box::pin(request.send())).await {
            Ok(_) => Ok(Put::Done),
            Err(CallError::Sdk(SdkError::ServiceError(response)))
                if response.err().is_conditional_check_failed_exception() =>
            {
                let PutItemError::ConditionalCheckFailedException(error) = response.into_err()
                else {
                    return Err(StateError::InvalidResponse);
                };
                let item = Item(error.item.ok_or(StateError::InvalidResponse)?);
                // A retry of the SDK, after an attempt whose response was lost.
                if item.is_held_by(invocation) {
                    return Ok(Put::Done);
                }
                Ok(Put::Exists(item))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes an item, whatever exists.
    pub(super) async fn put_always(
        &self,
        key: &ItemKey,
        item: Item,
        deadline: Instant,
    ) -> Result<(), StateError> {
        within(deadline, Box::pin(self.put(key, item).send()))
            .await
            .map(drop)
            .map_err(StateError::from)
    }

    /// Deletes an item if the invocation holds it.
    pub(super) async fn delete_held(
        &self,
        key: &ItemKey,
        invocation: &Invocation,
        deadline: Instant,
    ) -> Result<(), StateError> {
        let request = self
            .0
            .client
            .delete_item()
            .table_name(&self.0.name)
            .key(KEY, AttributeValue::S(key.to_string()))
            .condition_expression("holder = :holder")
            .expression_attribute_values(":holder", AttributeValue::S(holder(invocation)));
        match within(deadline, Box::pin(request.send())).await {
            Err(CallError::Sdk(SdkError::ServiceError(response)))
                if response.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            result => result.map(drop).map_err(StateError::from),
        }
    }

    fn put(
        &self,
        key: &ItemKey,
        item: Item,
    ) -> aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder {
        self.0
            .client
            .put_item()
            .table_name(&self.0.name)
            .set_item(Some(item.0))
            .item(KEY, AttributeValue::S(key.to_string()))
    }
}

/// Creates a client for DynamoDB, with the settings of the client for Secrets Manager. The SDK's `SdkConfig` would contain
/// them once, but makes a cold start 3 % slower, measured.
fn client(aws: &AwsConfig, http: impl HttpClient + 'static) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let mut config = aws_sdk_dynamodb::Config::builder()
        .http_client(http)
        .region(Region::new(aws.region.clone()))
        .credentials_provider(aws.credentials())
        // The credentials never change, so there is nothing to cache.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::standard().with_initial_backoff(INITIAL_BACKOFF))
        .timeout_config(timeouts)
        // Responses are small, and the connector reads them whole within the timeout.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    config.set_app_name(AppName::new(APP_NAME).ok());
    config.set_endpoint_url(aws.dynamodb_endpoint.clone());
    Client::from_conf(config.build())
}

enum CallError<E, R> {
    Timeout,
    Sdk(SdkError<E, R>),
}

/// The call is on the heap, because a call of the SDK takes kilobytes, and most requests make none.
async fn within<T, E, R>(
    deadline: Instant,
    call: Pin<Box<impl Future<Output = Result<T, SdkError<E, R>>>>>,
) -> Result<T, CallError<E, R>> {
    match timeout_at(deadline, call).await {
        Ok(result) => result.map_err(CallError::Sdk),
        Err(_) => Err(CallError::Timeout),
    }
}

impl<E, R> From<CallError<E, R>> for StateError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    fn from(error: CallError<E, R>) -> Self {
        match error {
            CallError::Timeout | CallError::Sdk(SdkError::TimeoutError(_)) => Self::Timeout,
            CallError::Sdk(SdkError::DispatchFailure(failure)) if failure.is_timeout() => {
                Self::Timeout
            }
            CallError::Sdk(SdkError::ServiceError(response)) => {
                let code = response.err().code();
                Self::Service(code.unwrap_or("an error without a code").to_owned())
            }
            // The response itself is not kept, because it may contain an item.
            CallError::Sdk(SdkError::ResponseError(_)) => Self::InvalidResponse,
            CallError::Sdk(error) => Self::Connect(error.into_source().unwrap_or_else(Into::into)),
        }
    }
}

/// Returns a hash of the invocation's ID.
fn holder(invocation: &Invocation) -> String {
    hex(&Sha256::digest(&invocation.request_id)[..16])
}

fn epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client;

    fn table() -> StateTable {
        let aws = AwsConfig {
            region: "us-east-1".to_owned(),
            access_key_id: "AKID".to_owned(),
            secret_access_key: "key".into(),
            session_token: None,
            secrets_manager_endpoint: None,
            dynamodb_endpoint: None,
        };
        let http = SdkConnector(http_client::build(None).unwrap());
        StateTable::new(&aws, "table".to_owned(), Uuid::from_u128(1), http)
    }

    fn user(id: &str) -> ExternalUserId {
        ExternalUserId::parse(id).unwrap()
    }

    /// docs/operations.md has the command that computes a key.
    #[test]
    fn key_is_documented_hash() {
        let key = table().key("workspace", &user("alice"), &[]).to_string();

        let documented = Sha256::digest(
            "workspace\0\
            00000000-0000-0000-0000-000000000001\0alice",
        );
        assert_eq!(key, hex(&documented));
        assert_eq!(key.len(), 64);
    }

    #[test]
    fn keys_differ_by_purpose_user_and_rest() {
        let table = table();
        let keys = [
            table.key("workspace", &user("alice"), &[]),
            table.key("workspace", &user("bob"), &[]),
            table.key("idempotency", &user("alice"), &[]),
            table.key("idempotency", &user("alice"), &["k"]),
            table.key("idempotency", &user("alicek"), &[]),
            table.key("idempotency", &user("alice"), &["kk"]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
    }

    #[test]
    fn hashes_differ_by_key_and_parts() {
        let table = table();
        let key = table.key("a", &user("alice"), &[]);
        let other = table.key("b", &user("alice"), &[]);
        assert_eq!(key.hash(&[b"x"]), key.hash(&[b"x"]));
        assert_ne!(key.hash(&[b"x"]), other.hash(&[b"x"]));
        assert_ne!(key.hash(&[b"x", b"y"]), key.hash(&[b"xy", b""]));
        assert_ne!(key.hash(&[b"x"]), key.hash(&[b"x", b""]));
    }

    #[test]
    fn item_is_held_until_lambda_ends_holder() {
        let now = SystemTime::now();
        let invocation = |id: &str| {
            let deadline = now + Duration::from_secs(10);
            Invocation::new(id.to_owned(), None, deadline)
        };
        let item = Item::new("leased", TIMEOUT, now).held_by(&invocation("r-1"));

        for (seconds, expected) in [(0, true), (9, true), (11, false)] {
            let time = now + Duration::from_secs(seconds);
            assert_eq!(item.is_held_at(time), expected, "{seconds}");
        }
        assert!(item.is_held_by(&invocation("r-1")));
        assert!(!item.is_held_by(&invocation("r-2")));
        assert!(!Item::default().is_held_at(now));
    }

    #[test]
    fn says_what_operator_can_do() {
        for (code, advice) in [
            (
                "AccessDeniedException",
                "check the policies of the function's role and the VPC endpoint",
            ),
            (
                "ResourceNotFoundException",
                "check STATE_TABLE, its region, and that it exists",
            ),
            (
                "ThrottlingException",
                "check the table's and the account's limits",
            ),
            ("X", "check the table in the AWS console"),
        ] {
            let error = StateError::Service(code.to_owned());
            assert_eq!(error.to_string(), format!("DynamoDB returned {code}"));
            assert_eq!(error.advice(), advice, "{code}");
        }
    }
}
