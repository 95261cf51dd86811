//! The `agents` generation against Airbyte's public description of it, where a copy lies beside the repository.

use std::path::Path;

use airbyte_sim::{Airbyte, Generation};
use serde_json::{Value, json};

use crate::client::Request;
use crate::{FAKER, HELPDESK, ORGANIZATION, Session, agents_post, agents_widget_token_request};

/// The copy, from the root of the workspace. It is not part of the repository.
const DESCRIPTION: &str = "../shared/data/airbyte-agents.openapi.json";

/// Reads the description, or prints why the test is skipped.
#[expect(clippy::print_stderr, reason = "the reason for skipping a test")]
fn description() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(DESCRIPTION);
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skip: {DESCRIPTION} does not exist");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// A request, and the operation that it belongs to.
struct Case {
    name: &'static str,
    operation: (&'static str, &'static str),
    status: u16,
    request: Request,
}

#[expect(clippy::too_many_lines, reason = "a table")]
async fn cases(airbyte: &Airbyte) -> Vec<Case> {
    let alice = Session::of_agents(airbyte, "alice").await;
    let organization = |request: Request| {
        request
            .bearer("dev-organization-token")
            .header("x-organization-id", ORGANIZATION)
    };
    let connectors = "/api/v1/integrations/connectors";
    let templates = "/api/v1/integrations/templates/sources";
    let account = "/api/v1/account/applications";
    let faker = json!({"workspace_name": "alice", "source_template_id": FAKER, "replication_config": {"count": 1}});
    let helpdesk = json!({"workspace_name": "alice", "source_template_id": HELPDESK, "name": "Tickets",
        "credentials": {"api_token": "t"}, "environment": {}});
    agents_post(connectors).json(&faker).send(airbyte).await;
    let id = airbyte.sources()[0].id;
    let case = |name, operation, status, request| Case {
        name,
        operation,
        status,
        request,
    };
    vec![
        case(
            "exchange",
            ("post", "/api/v1/account/applications/token"),
            200,
            Request::post(&format!("{account}/token"))
                .json(&json!({"client_id": "dev-client-id", "client_secret": "dev-client-secret"})),
        ),
        case(
            "widget token",
            ("post", "/api/v1/account/applications/widget-token"),
            200,
            agents_widget_token_request("alice"),
        ),
        case(
            "invalid widget token request",
            ("post", "/api/v1/account/applications/widget-token"),
            422,
            agents_post(&format!("{account}/widget-token")).json(&json!({"region_id": 1})),
        ),
        case(
            "widget token without organization",
            ("post", "/api/v1/account/applications/widget-token"),
            400,
            Request::post(&format!("{account}/widget-token")).bearer("dev-organization-token"),
        ),
        case(
            "widget token with scoped token",
            ("post", "/api/v1/account/applications/widget-token"),
            403,
            agents_widget_token_request("alice").bearer(&alice.token),
        ),
        case(
            "scoped token",
            ("post", "/api/v1/account/applications/scoped-token"),
            200,
            agents_post(&format!("{account}/scoped-token"))
                .json(&json!({"workspace_name": "alice"})),
        ),
        case(
            "scoped token info",
            ("get", "/api/v1/account/applications/scoped-token/info"),
            200,
            Request::get(&format!("{account}/scoped-token/info")).bearer(&alice.token),
        ),
        case(
            "templates",
            ("get", "/api/v1/integrations/templates/sources"),
            200,
            organization(Request::get(templates)),
        ),
        case(
            "template",
            ("get", "/api/v1/integrations/templates/sources/{id}"),
            200,
            Request::get(&format!("{templates}/{HELPDESK}")).bearer(&alice.token),
        ),
        case(
            "connectors",
            ("get", "/api/v1/integrations/connectors"),
            200,
            organization(Request::get(connectors)),
        ),
        case(
            "connector",
            ("get", "/api/v1/integrations/connectors/{id}"),
            200,
            Request::get(&format!("{connectors}/{id}")).bearer(&alice.token),
        ),
        case(
            "create for replication",
            ("post", "/api/v1/integrations/connectors"),
            200,
            Request::post(connectors).bearer(&alice.token).json(&faker),
        ),
        case(
            "create with credentials",
            ("post", "/api/v1/integrations/connectors"),
            200,
            agents_post(connectors).json(&helpdesk),
        ),
        case(
            "create without configuration",
            ("post", "/api/v1/integrations/connectors"),
            422,
            agents_post(connectors)
                .json(&json!({"workspace_name": "alice", "source_template_id": FAKER})),
        ),
    ]
}

/// Forbids unknown members, so that a misspelled optional one is found.
fn close(schema: &mut Value) {
    if schema["properties"].is_object() && schema["additionalProperties"].is_null() {
        schema["additionalProperties"] = false.into();
    }
}

#[tokio::test]
async fn responses_match_description() {
    let Some(mut description) = description() else {
        return;
    };
    for schema in description["components"]["schemas"]
        .as_object_mut()
        .unwrap()
        .values_mut()
    {
        close(schema);
    }
    // The specification is a connector's JSON Schema, which may have any member.
    description["components"]["schemas"]["ConnectionSpecification"]["additionalProperties"] =
        true.into();
    let airbyte = crate::airbyte().await;
    airbyte.set_generations(&[Generation::Agents]);

    for case in cases(&airbyte).await {
        let reply = case.request.send(&airbyte).await;

        assert_eq!(reply.status, case.status, "{}: {reply:?}", case.name);
        let (method, path) = case.operation;
        let mut schema = description["paths"][path][method]["responses"][case.status.to_string()]
            ["content"]["application/json"]["schema"]
            .clone();
        assert!(schema.is_object(), "{}: no schema", case.name);
        schema["components"] = description["components"].clone();
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let body = reply.json();
        let errors: Vec<_> = validator
            .iter_errors(&body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}\n{body:#}", case.name);
    }
}
