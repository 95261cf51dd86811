//! Airbyte's error responses by name, for fault injection.

use serde_json::{Value, json};

use crate::fault::{CannedResponse, FaultKind};

/// An error response of Airbyte, in one of the shapes of its services.
///
/// Those about a configuration are about the fields of the simulator's "Postgres" template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// 400 of Micronaut for a rejected application: "Invalid client id or token".
    InvalidClient,
    /// 400 of Micronaut with the reason in `_embedded.errors`.
    MicronautErrors,
    /// 400 of Micronaut with `validationErrors`, each with a `propertyPath`.
    MicronautValidationErrors,
    /// 422 problem document with the reason in `data.message`.
    ProblemDataMessage,
    /// 400 problem document with the rejected value in `data.value`.
    ProblemDataValue,
    /// 404 problem document with the missing ID in `data.resourceId`.
    ProblemDataResourceId,
    /// 403 problem document.
    ProblemForbidden,
    /// 400 of FastAPI whose `detail` is a string.
    FastApiDetail,
    /// 422 of FastAPI whose `detail` is a list, each entry with the rejected `input`.
    FastApiList,
    /// 422 of the `agents` generation, nested fields separated by dots.
    AgentsFieldsDotted,
    /// 422 of the `agents` generation, nested fields separated by slashes.
    AgentsFieldsSlashed,
    /// 422 of the `agents` generation, nested fields as an array.
    AgentsFieldsArray,
    /// 422 of the `agents` generation about the body as a whole.
    AgentsBody,
    /// 422 of the `agents` generation with every member null.
    AgentsNulls,
    /// 422 of the `agents` generation whose `errors` is null.
    AgentsNullErrors,
    /// 422 of the `agents` generation without any member.
    AgentsEmpty,
    /// 403 of the `agents` generation: the credential lacks admin rights in the workspace.
    AgentsForbidden,
    /// 404 of the `agents` generation: the workspace does not exist.
    AgentsNotFound,
    /// 403 HTML page of a proxy or firewall.
    HtmlForbidden,
}

impl ErrorShape {
    /// Every shape.
    pub const ALL: [Self; 19] = [
        Self::InvalidClient,
        Self::MicronautErrors,
        Self::MicronautValidationErrors,
        Self::ProblemDataMessage,
        Self::ProblemDataValue,
        Self::ProblemDataResourceId,
        Self::ProblemForbidden,
        Self::FastApiDetail,
        Self::FastApiList,
        Self::AgentsFieldsDotted,
        Self::AgentsFieldsSlashed,
        Self::AgentsFieldsArray,
        Self::AgentsBody,
        Self::AgentsNulls,
        Self::AgentsNullErrors,
        Self::AgentsEmpty,
        Self::AgentsForbidden,
        Self::AgentsNotFound,
        Self::HtmlForbidden,
    ];

    /// Returns its name in the control API: `invalid-client`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidClient => "invalid-client",
            Self::MicronautErrors => "micronaut-errors",
            Self::MicronautValidationErrors => "micronaut-validation-errors",
            Self::ProblemDataMessage => "problem-data-message",
            Self::ProblemDataValue => "problem-data-value",
            Self::ProblemDataResourceId => "problem-data-resource-id",
            Self::ProblemForbidden => "problem-forbidden",
            Self::FastApiDetail => "fastapi-detail",
            Self::FastApiList => "fastapi-list",
            Self::AgentsFieldsDotted => "agents-fields-dotted",
            Self::AgentsFieldsSlashed => "agents-fields-slashed",
            Self::AgentsFieldsArray => "agents-fields-array",
            Self::AgentsBody => "agents-body",
            Self::AgentsNulls => "agents-nulls",
            Self::AgentsNullErrors => "agents-null-errors",
            Self::AgentsEmpty => "agents-empty",
            Self::AgentsForbidden => "agents-forbidden",
            Self::AgentsNotFound => "agents-not-found",
            Self::HtmlForbidden => "html-forbidden",
        }
    }

    /// Returns the shape of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.as_str() == name)
    }

    /// Returns the response.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub fn response(self) -> CannedResponse {
        match self {
            Self::InvalidClient => CannedResponse::new(400).json(&json!({
                "message": "Bad Request",
                "_links": {"self": {"href": "/api/v1/account/applications/token", "templated": false}},
                "_embedded": {"errors": [
                    {"message": "Invalid client id or token", "_links": {}, "_embedded": {}},
                ]},
            })),
            Self::MicronautErrors => CannedResponse::new(400).json(&json!({
                "message": "Bad Request",
                "_links": {"self": [{"href": "/api/v1/integrations/sources/", "templated": false}]},
                "_embedded": {"errors": [
                    {"message": "connectionConfiguration.host: must not be null", "path": "/connectionConfiguration/host"},
                ]},
            })),
            Self::MicronautValidationErrors => CannedResponse::new(400).json(&json!({
                "message": "The received object did not pass validation",
                "validationErrors": [
                    {"propertyPath": "connectionConfiguration.host", "message": "must not be null", "invalidValue": null},
                    {"propertyPath": "connectionConfiguration.port", "message": "must be less than or equal to 65535",
                     "invalidValue": "65536"},
                ],
            })),
            Self::ProblemDataMessage => problem(
                422,
                "unprocessable-entity",
                "The body of the request was not understood",
                &json!({"message": "json schema validation failed when comparing the data to the json schema. \
                    \nErrors: $.port: string found, integer expected, $.host: is missing but it is required "}),
            ),
            Self::ProblemDataValue => problem(
                400,
                "value-not-found",
                "The submitted value could not be found.",
                &json!({"value": "postgres"}),
            ),
            Self::ProblemDataResourceId => problem(
                404,
                "resource-not-found",
                "The requested resource could not be found.",
                &json!({"resourceType": "source_template",
                    "resourceId": "00000000-0000-4000-8000-000000000000"}),
            ),
            Self::ProblemForbidden => problem(
                403,
                "forbidden",
                "The server understands the request but refuses to authorize it.",
                &Value::Null,
            ),
            Self::FastApiDetail => CannedResponse::new(400)
                .json(&json!({"detail": "The source template is disabled"})),
            Self::FastApiList => CannedResponse::new(422).json(&json!({"detail": [
                {"type": "missing", "loc": ["body", "connection_configuration", "host"],
                 "msg": "Field required", "input": {"password": "hunter2"}},
                {"type": "int_parsing", "loc": ["body", "connection_configuration", "port"],
                 "msg": "Input should be a valid integer, unable to parse string as an integer", "input": "hunter2"},
            ]})),
            Self::AgentsFieldsDotted => agents_fields(
                &"body.replication_config.host".into(),
                &"body.replication_config.port".into(),
            ),
            Self::AgentsFieldsSlashed => agents_fields(
                &"/replication_config/host".into(),
                &"/replication_config/port".into(),
            ),
            Self::AgentsFieldsArray => agents_fields(
                &json!(["body", "replication_config", "host"]),
                &json!(["body", "replication_config", "port"]),
            ),
            Self::AgentsBody => CannedResponse::new(422).json(&json!({
                "message": "Validation error",
                "errors": [{
                    "field": "body",
                    "message": "Value error, provide replication_config, credentials or server_side_oauth_secret_id",
                    "error_code": "value_error",
                    "details": null,
                }],
            })),
            Self::AgentsNulls => CannedResponse::new(422).json(&json!({
                "message": null,
                "errors": [{"field": null, "message": null, "error_code": null, "details": null}],
            })),
            Self::AgentsNullErrors => {
                CannedResponse::new(422).json(&json!({"message": null, "errors": null}))
            }
            Self::AgentsEmpty => CannedResponse::new(422).json(&json!({})),
            Self::AgentsForbidden => CannedResponse::new(403).json(&json!({
                "message": "Admin permission on the workspace is required",
                "errors": [],
            })),
            Self::AgentsNotFound => CannedResponse::new(404).json(&json!({
                "message": "Workspace not found",
                "errors": [{"field": "workspace_name", "message": null, "error_code": "not_found", "details": null}],
            })),
            Self::HtmlForbidden => CannedResponse::new(403)
                .header("content-type", "text/html; charset=UTF-8")
                .body(
                    "<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head>\
                     <body><h1>Forbidden</h1><p>Request blocked.</p></body></html>\n",
                ),
        }
    }
}

fn problem(status: u16, kind: &str, detail: &str, data: &Value) -> CannedResponse {
    let body = json!({
        "status": status,
        "type": format!("https://reference.airbyte.com/reference/errors#{kind}"),
        "title": kind,
        "detail": detail,
        "documentationUrl": null,
        "data": data,
    });
    CannedResponse::new(status)
        .header("content-type", "application/problem+json")
        .body(body.to_string())
}

fn agents_fields(host: &Value, port: &Value) -> CannedResponse {
    CannedResponse::new(422).json(&json!({
        "message": "Validation error",
        "errors": [
            {"field": host, "message": "Field required", "error_code": "missing",
             "details": {"input": {"password": "hunter2"}}},
            {"field": port, "message": "Input should be a valid integer", "error_code": "int_type", "details": null},
        ],
    }))
}

impl From<ErrorShape> for FaultKind {
    fn from(shape: ErrorShape) -> Self {
        Self::Respond(shape.response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_parse_back() {
        for shape in ErrorShape::ALL {
            assert_eq!(ErrorShape::from_name(shape.as_str()), Some(shape));
        }
        assert_eq!(ErrorShape::from_name("nothing"), None);
    }

    #[test]
    fn responses_are_errors_with_valid_json() {
        for shape in ErrorShape::ALL {
            let response = shape.response();

            assert!((400..500).contains(&response.status), "{shape:?}");
            let (_, content_type) = &response.headers[0];
            if content_type.ends_with("json") {
                assert!(
                    serde_json::from_slice::<Value>(&response.body).is_ok(),
                    "{shape:?}"
                );
            } else {
                assert_eq!(shape, ErrorShape::HtmlForbidden);
            }
        }
    }
}
