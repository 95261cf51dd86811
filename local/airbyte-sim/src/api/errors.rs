//! The three shapes in which Airbyte's services report errors.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::validation::FieldError;

/// FastAPI's shape for an error of the whole request.
pub(crate) fn detail(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({"detail": detail}))).into_response()
}

/// FastAPI's shape for a request whose body is wrong: 422, with every fault.
pub(crate) fn unprocessable(errors: &[FieldError]) -> Response {
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        Json(json!({"detail": errors})),
    )
        .into_response()
}

/// Micronaut's shape.
pub(crate) fn micronaut(status: StatusCode, message: &str, path: &str) -> Response {
    let body = json!({
        "message": message,
        "_links": {"self": [{"href": path, "templated": false}]},
        "_embedded": {"errors": [{"message": message}]},
    });
    (status, Json(body)).into_response()
}

/// The shape of RFC 9457.
pub(crate) fn problem(status: StatusCode, kind: &str, title: &str, detail: &str) -> Response {
    let body = json!({
        "type": format!("https://reference.airbyte.com/reference/errors#{kind}"),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        body.to_string(),
    )
        .into_response()
}
