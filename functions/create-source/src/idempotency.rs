//! `Idempotency-Key`: one source per user and key.

use lambda_http::http::StatusCode;
use lambda_http::http::header::{HeaderName, HeaderValue};
use lambda_http::{Request, Response};
use serde::{Deserialize, Serialize};
use shared::invocation::Invocation;
use shared::json;
use shared::lambda::json_response;
use shared::problem::Problem;
use shared::request::idempotency_key::{IdempotencyKey, IdempotencyKeyError};
use shared::state::StateTable;
use shared::state::idempotency::{Begun, CreatedSource, IdempotencyRecords};

use crate::Created;
use crate::create_error::CreateError;
use crate::request::SourceRequest;

/// The header that marks a replay: the response to an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The maximum length of a source's ID that is recorded. Airbyte's are UUIDs.
const MAX_ID_LENGTH: usize = 128;

/// The keys of this deployment. Without a state table, none is accepted.
#[derive(Debug)]
pub(crate) struct Idempotency(Option<IdempotencyRecords>);

/// The key of one request.
pub(crate) struct Key<'a> {
    records: &'a IdempotencyRecords,
    key: IdempotencyKey,
}

impl Idempotency {
    /// Creates the keys that are recorded in `table`.
    pub(crate) fn new(table: Option<StateTable>) -> Self {
        Self(table.map(IdempotencyRecords::new))
    }

    /// Returns the request's key; `None` if it has none.
    pub(crate) fn key(&self, request: &Request) -> Result<Option<Key<'_>>, IdempotencyKeyError> {
        let Some(key) = IdempotencyKey::from_request(request)? else {
            return Ok(None);
        };
        match &self.0 {
            Some(records) => Ok(Some(Key { records, key })),
            // Rejected, because without a table nothing prevents a second source.
            None => Err(IdempotencyKeyError::Unsupported),
        }
    }
}

impl Key<'_> {
    /// Creates the source, unless an earlier request with this key has created it, or may have created it.
    pub(crate) async fn create_once(
        self,
        request: &SourceRequest<'_>,
        create: impl AsyncFnOnce() -> Result<Created, CreateError>,
        invocation: &Invocation,
    ) -> Result<Response<String>, Problem> {
        let fingerprint = request.fingerprint();
        let fingerprint: Vec<_> = fingerprint.iter().map(Vec::as_slice).collect();
        let begun = self
            .records
            .begin(&request.user, &self.key, &fingerprint, invocation)
            .await?;
        let record = match begun {
            Begun::New(record) => record,
            Begun::Replay(source) => {
                invocation.record_replay();
                return replay(&source);
            }
        };
        match create().await {
            Ok(created) => {
                match created_source(&created) {
                    Some(source) => record.settle_created(&source, invocation).await,
                    // Without an ID there is nothing to replay.
                    None => record.settle_unknown(invocation).await,
                }
                Ok(json_response(StatusCode::CREATED, created.json))
            }
            Err(error) => {
                if error.may_have_created() {
                    record.settle_unknown(invocation).await;
                } else {
                    record.free(invocation).await;
                }
                Err(error.into())
            }
        }
    }
}

/// Returns the IDs to record; `None` if Airbyte's response has no valid ID.
fn created_source(created: &Created) -> Option<CreatedSource> {
    #[derive(Deserialize)]
    struct Source {
        id: String,
    }
    let source: Source = json::parse_object(created.json.as_bytes())?;
    let is_id = (1..=MAX_ID_LENGTH).contains(&source.id.len())
        && source.id.chars().all(|c| c.is_ascii_graphic());
    is_id.then(|| CreatedSource {
        id: source.id,
        workspace_id: created.workspace_id.to_string(),
    })
}

fn replay(source: &CreatedSource) -> Result<Response<String>, Problem> {
    #[derive(Serialize)]
    struct Body<'a> {
        id: &'a str,
        workspace_id: &'a str,
    }
    let body = serde_json::to_string(&Body {
        id: &source.id,
        workspace_id: &source.workspace_id,
    });
    let body = body.map_err(|_| Problem::internal("serialization"))?;
    let mut response = json_response(StatusCode::CREATED, body);
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
