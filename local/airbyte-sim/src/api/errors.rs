//! The shapes in which Airbyte's services report errors.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::validation::FieldError;

/// FastAPI's shape for an error of the whole request.
pub(crate) fn detail(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({"detail": detail}))).into_response()
}

/// FastAPI's shape for an invalid body: 422, with every field error.
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

/// The shape in which Airbyte's server reports an exception that it does not handle.
pub(crate) fn uncaught_exception(class: &str, message: &str) -> Response {
    let body = json!({
        "message": format!("Internal Server Error: {message}"),
        "exceptionClassName": class,
        "exceptionStack": [],
        "rootCauseExceptionStack": [],
    });
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
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

/// The `agents` generation's shape for an error of the whole request.
pub(crate) fn agents(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message, "errors": []}))).into_response()
}

/// The `agents` generation's shape for field errors.
///
/// How it writes the location of a nested field is not documented; here it is FastAPI's `loc`, joined by dots.
pub(crate) fn agents_fields(status: StatusCode, message: &str, errors: &[FieldError]) -> Response {
    let errors: Vec<Value> = errors
        .iter()
        .map(|error| {
            json!({
                "field": error.dotted_location(),
                "message": error.msg,
                "error_code": error.kind,
                "details": {"input": error.input},
            })
        })
        .collect();
    (status, Json(json!({"message": message, "errors": errors}))).into_response()
}
