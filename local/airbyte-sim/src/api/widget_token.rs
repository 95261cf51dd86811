//! The opaque token that the widget is started with.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::Serializer;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

/// What a widget token contains.
#[derive(Serialize)]
pub(super) struct WidgetToken {
    /// The scoped token.
    pub(super) token: String,
    #[serde(rename = "widgetUrl")]
    pub(super) widget_url: String,
}

impl WidgetToken {
    /// Returns the response with the token in base64 of its JSON.
    pub(super) fn into_opaque_response(self) -> Response {
        match serde_json::to_vec(&self) {
            Ok(content) => Json(json!({"token": STANDARD.encode(content)})).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// Starts the query of a `widgetUrl`.
pub(super) fn widget_query(
    workspace_id: Uuid,
    allowed_origin: &str,
) -> Serializer<'static, String> {
    let mut query = Serializer::new(String::new());
    query
        .append_pair("workspaceId", &workspace_id.to_string())
        .append_pair("allowedOrigin", allowed_origin);
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_origins_as_documented() {
        assert_eq!(
            widget_query(Uuid::nil(), "https://api.airbyte.ai").finish(),
            "workspaceId=00000000-0000-0000-0000-000000000000&allowedOrigin=https%3A%2F%2Fapi.airbyte.ai"
        );
    }
}
