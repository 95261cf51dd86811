//! `POST /api/v1/embedded/widget_token`: a token for one user, and the widget's address.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::json;

use super::body::Fields;
use super::{bearer_token, errors};
use crate::state::{Principal, State};

/// What is escaped in a query value: all but the unreserved characters of RFC 3986.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What the widget is started with; base64 of its JSON is the opaque token.
#[derive(Serialize)]
struct WidgetToken {
    token: String,
    #[serde(rename = "widgetUrl")]
    widget_url: String,
}

pub(crate) async fn widget_token(
    extract::State(state): extract::State<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match bearer_token(&headers).and_then(|token| state.bearer(token)) {
        Some(Principal::Organization) => {}
        Some(Principal::EndUser { .. }) => {
            return forbidden("An organization admin's token is required.");
        }
        None => return errors::micronaut(StatusCode::UNAUTHORIZED, "Unauthorized", uri.path()),
    }
    let mut fields = match Fields::read(&headers, &body) {
        Ok(fields) => fields,
        Err(error) => return errors::unprocessable(&[error]),
    };
    let external_user = fields.string("externalUserId");
    let organization = fields.uuid("organizationId");
    let allowed_origin = fields.string("allowedOrigin");
    let (Some(external_user), Some(organization), Some(allowed_origin)) =
        (external_user, organization, allowed_origin)
    else {
        return errors::unprocessable(&fields.into_errors());
    };
    if !state.has_organization(organization) {
        return forbidden("The organization is not entitled to Airbyte Embedded.");
    }
    let workspace = state.find_or_create_workspace(organization, &external_user);
    let Ok(token) = state.issue_scoped_token(workspace, &external_user) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let widget_url = format!(
        "{}/embedded-widget?workspaceId={workspace}&allowedOrigin={}",
        state.cloud_url,
        utf8_percent_encode(&allowed_origin, QUERY_VALUE)
    );
    let widget_token = WidgetToken { token, widget_url };
    if has_parameter(uri.query(), "debug") {
        return Json(widget_token).into_response();
    }
    match serde_json::to_vec(&widget_token) {
        Ok(widget_token) => Json(json!({"token": STANDARD.encode(widget_token)})).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn forbidden(detail: &str) -> Response {
    errors::problem(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
}

/// Whether the query has a parameter of this name, with or without a value.
fn has_parameter(query: Option<&str>, name: &str) -> bool {
    query
        .unwrap_or_default()
        .split('&')
        .any(|pair| pair.split('=').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_needs_no_value() {
        for query in ["debug", "debug=", "a=b&debug=true"] {
            assert!(has_parameter(Some(query), "debug"), "{query}");
        }
        for query in ["", "a=debug", "debugger"] {
            assert!(!has_parameter(Some(query), "debug"), "{query}");
        }
        assert!(!has_parameter(None, "debug"));
    }

    #[test]
    fn an_origin_is_escaped_as_in_the_documented_sample() {
        assert_eq!(
            utf8_percent_encode("https://api.airbyte.ai", QUERY_VALUE).to_string(),
            "https%3A%2F%2Fapi.airbyte.ai"
        );
    }
}
