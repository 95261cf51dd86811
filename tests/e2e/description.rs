//! The functions' requests against Airbyte's public description of the `agents` generation, where a copy lies beside the
//! repository.

use std::path::Path;

use e2e::{Binary, Config, Event, Function, Generation, TestEnv, case, faker_source};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

/// The copy, from the root of the workspace. It is not part of the repository.
const DESCRIPTION: &str = "../shared/data/airbyte-agents.openapi.json";

const HELPDESK: Uuid = uuid!("6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e03");

/// Reads the description, or prints why the test is skipped.
#[expect(clippy::print_stderr, reason = "the reason for skipping a test")]
fn description() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(DESCRIPTION);
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skip: {DESCRIPTION} does not exist");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// Forbids unknown fields, so that a misspelled optional one is found.
fn close_schemas(description: &mut Value) {
    let schemas = description["components"]["schemas"].as_object_mut();
    for schema in schemas.unwrap().values_mut() {
        if schema["properties"].is_object() && schema["additionalProperties"].is_null() {
            schema["additionalProperties"] = false.into();
        }
    }
}

/// Sends every request that the functions send, with every field.
async fn send_all(env: &TestEnv) {
    let config = env
        .config()
        .with("AIRBYTE_REGION_ID", "645a183f-b12b-4c6e-8ad3-99e165603450")
        .with("SOURCE_TEMPLATE_TAGS", "crm,files")
        .with("SOURCE_TEMPLATE_TAGS_MODE", "all")
        .with("CONNECTION_TEMPLATE_TAGS", "daily");
    let helpdesk = json!({
        "source_config_template_id": HELPDESK,
        "name": "Tickets",
        "credentials": {"api_token": "t"},
        "environment": {"subdomain": "acme"},
    });
    let mint_token = Function::start(Binary::MintToken, &config).await;
    mint_token.invoke(Event::mint()).await.expect_success(200);
    let create_source = Function::start(Binary::CreateSource, &config).await;
    for body in [faker_source(), helpdesk] {
        let event = Event::create_source("alice", &body);
        create_source.invoke(event).await.expect_success(201);
    }
}

#[tokio::test]
async fn requests_match_description() {
    let Some(mut description) = description() else {
        return;
    };
    close_schemas(&mut description);
    let env = TestEnv::with_application()
        .await
        .generation(Generation::Agents);

    send_all(&env).await;

    let mut paths = Vec::new();
    for exchange in env.airbyte.requests() {
        let _case = case(format_args!("{} {}", exchange.method, exchange.path));
        let method = exchange.method.to_lowercase();
        let operation = &description["paths"][exchange.path.as_str()][method];
        let mut schema = operation["requestBody"]["content"]["application/json"]["schema"].clone();
        assert!(schema.is_object(), "no schema");
        schema["components"] = description["components"].clone();
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let body = exchange.json().unwrap();
        let errors: Vec<_> = validator.iter_errors(&body).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{body:#}");
        let organization = exchange.header("x-organization-id");
        assert_eq!(organization, Some(Config::ORGANIZATION_ID));
        paths.push(exchange.path);
    }
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(
        paths,
        [
            "/api/v1/account/applications/token",
            "/api/v1/account/applications/widget-token",
            "/api/v1/integrations/connectors",
        ]
    );
}
