//! Size limits of API Gateway and Lambda.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header;
use http::request::Parts;
use http_body_util::BodyExt;

use super::error::GatewayError;

/// API Gateway's limit for the body of a request.
pub const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// API Gateway's limit for the request line and all headers together.
pub const MAX_HEAD_BYTES: usize = 10_240;

/// Lambda's limit for the event of an invocation, and for its result.
pub const MAX_INVOCATION_BYTES: usize = 6_291_556;

/// Returns the size of a request line and headers, as sent over the wire.
pub(super) fn head_bytes(head: &Parts) -> usize {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let request_line = head.method.as_str().len() + target + " ".len() + " HTTP/1.1\r\n".len();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    request_line + headers.sum::<usize>()
}

/// Reads a body up to the limit.
pub(super) async fn read_body(head: &Parts, mut body: Body) -> Result<Bytes, GatewayError> {
    let announced = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let waits = head.headers.contains_key(header::EXPECT);
    if waits && announced.is_some_and(|length: usize| length > MAX_BODY_BYTES) {
        return Err(GatewayError::PayloadTooLarge);
    }
    let mut read = BytesMut::new();
    let mut length = 0_usize;
    // The excess is read too, up to a limit, because a client that is still sending does not read the response.
    while length <= 10 * MAX_BODY_BYTES {
        let Some(frame) = body.frame().await else {
            break;
        };
        let Ok(data) = frame.map_err(|_| GatewayError::BadRequest)?.into_data() else {
            continue;
        };
        length += data.len();
        if length <= MAX_BODY_BYTES {
            read.extend_from_slice(&data);
        }
    }
    if length > MAX_BODY_BYTES {
        Err(GatewayError::PayloadTooLarge)
    } else {
        Ok(read.freeze())
    }
}
