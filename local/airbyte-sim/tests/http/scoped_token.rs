//! Tokens of the `agents` generation, and the organization that a request is for.

use airbyte_sim::{Airbyte, Options};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use crate::client::Request;
use crate::{
    ORGANIZATION, Session, agents_errors, agents_post, agents_widget_token_request, airbyte,
    claims, opaque,
};

const WIDGET_TOKEN: &str = "/api/v1/account/applications/widget-token";
const SCOPED_TOKEN: &str = "/api/v1/account/applications/scoped-token";
const INFO: &str = "/api/v1/account/applications/scoped-token/info";
const OTHER_ORGANIZATION: Uuid = uuid!("00000000-0000-4000-8000-000000000001");

async fn with_organizations(organizations: &[&str]) -> Airbyte {
    let organizations = organizations
        .iter()
        .map(|id| Uuid::try_parse(id).unwrap())
        .collect();
    Airbyte::start(Options {
        organizations: Some(organizations),
        ..Options::default()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn mints_scoped_token_and_widget_url() {
    let airbyte = airbyte().await;

    let reply = agents_widget_token_request("alice").send(&airbyte).await;

    assert_eq!(reply.status, 200);
    let opaque = opaque(&reply);
    let claims = claims(opaque["token"].as_str().unwrap());
    let workspace = airbyte.workspace_of(ORGANIZATION, "alice").unwrap();
    assert_eq!(
        claims["io.airbyte.auth.workspace_scope"],
        json!({"workspaceId": workspace})
    );
    assert_eq!(
        opaque["widgetUrl"],
        format!(
            "{}/quick-start/widget?workspaceId={workspace}&allowedOrigin=https%3A%2F%2Fapp.example.com",
            airbyte.url()
        )
    );
}

#[tokio::test]
async fn widget_url_carries_selected_tags() {
    let airbyte = airbyte().await;
    let url = async |mode: Option<&str>| {
        let mut body = json!({"workspace_name": "alice", "allowed_origin": "https://app.example.com",
            "selected_source_template_tags": ["crm", "a&b"], "selected_connection_template_tags": ["c"]});
        if let Some(mode) = mode {
            body["selected_source_template_tags_mode"] = mode.into();
        }
        let reply = agents_post(WIDGET_TOKEN).json(&body).send(&airbyte).await;
        opaque(&reply)["widgetUrl"].as_str().unwrap().to_owned()
    };

    assert!(
        url(None)
            .await
            .ends_with("&tags=crm&tags=a%26b&tags_mode=any")
    );
    assert!(
        url(Some("all"))
            .await
            .ends_with("&tags=crm&tags=a%26b&tags_mode=all")
    );
}

#[tokio::test]
async fn returns_bare_scoped_token() {
    let airbyte = airbyte().await;

    let reply = agents_post(SCOPED_TOKEN)
        .json(&json!({"workspace_name": "alice"}))
        .send(&airbyte)
        .await;

    let token = reply.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(claims(&token)["act"]["sub"], "alice");
}

#[tokio::test]
async fn describes_scoped_token() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;

    let reply = Request::get(INFO).bearer(&alice.token).send(&airbyte).await;

    assert_eq!(
        (reply.status, reply.json()),
        (
            200,
            json!({"organization_id": ORGANIZATION, "workspace_id": alice.workspace, "workspace_name": "alice"})
        )
    );
}

#[tokio::test]
async fn rejects_unknown_credentials() {
    let airbyte = airbyte().await;

    for request in [
        Request::post(WIDGET_TOKEN),
        agents_widget_token_request("alice").bearer("guessed"),
        Request::get(INFO).bearer("guessed"),
    ] {
        let reply = request.send(&airbyte).await;

        assert_eq!(
            (reply.status, reply.json()),
            (401, json!({"detail": "Invalid authentication credentials"}))
        );
    }
    assert_eq!(airbyte.workspaces(), []);
}

#[tokio::test]
async fn denies_tokens_of_wrong_kind() {
    let airbyte = airbyte().await;
    let alice = Session::of(&airbyte, "alice").await;
    let body = json!({"workspace_name": "bob", "allowed_origin": "x"});

    for (request, message) in [
        (
            Request::post(WIDGET_TOKEN).json(&body).bearer(&alice.token),
            "An access token is required",
        ),
        (
            Request::post(SCOPED_TOKEN).json(&body).bearer(&alice.token),
            "An access token is required",
        ),
        (
            Request::get(INFO)
                .bearer("dev-organization-token")
                .header("x-organization-id", ORGANIZATION),
            "A scoped token is required",
        ),
    ] {
        let reply = request.send(&airbyte).await;

        assert_eq!(
            (reply.status, reply.json()),
            (403, json!({"message": message, "errors": []}))
        );
    }
    assert_eq!(airbyte.workspace_of(ORGANIZATION, "bob"), None);
}

#[tokio::test]
async fn reports_all_body_errors() {
    let airbyte = airbyte().await;

    let reply = agents_post(WIDGET_TOKEN)
        .json(&json!({
            "workspace_name": 7,
            "region_id": "eu",
            "selected_source_template_tags": "crm",
            "selected_source_template_tags_mode": "some",
            "selected_connection_template_tags": [1],
        }))
        .send(&airbyte)
        .await;

    assert_eq!(
        (reply.status, &reply.json()["message"]),
        (422, &json!("Validation error"))
    );
    assert_eq!(
        agents_errors(&reply),
        json!([
            ["body.workspace_name", "string_type"],
            ["body.allowed_origin", "missing"],
            ["body.region_id", "uuid_parsing"],
            ["body.selected_source_template_tags", "list_type"],
            ["body.selected_source_template_tags_mode", "enum"],
            ["body.selected_connection_template_tags.0", "string_type"],
        ])
    );
    assert_eq!(airbyte.workspaces(), []);
}

#[tokio::test]
async fn requires_organization_header_for_several_organizations() {
    for organizations in [&[ORGANIZATION, &OTHER_ORGANIZATION.to_string()][..], &[]] {
        let airbyte = with_organizations(organizations).await;
        let reply = Request::post(WIDGET_TOKEN)
            .bearer("dev-organization-token")
            .json(&json!({"workspace_name": "alice", "allowed_origin": "x"}))
            .send(&airbyte)
            .await;

        assert_eq!(reply.status, 400, "{organizations:?}");
        assert_eq!(
            agents_errors(&reply),
            json!([["header.x-organization-id", "missing"]])
        );
    }
}

#[tokio::test]
async fn sole_organization_needs_no_header() {
    let airbyte = with_organizations(&[ORGANIZATION]).await;

    let reply = Request::post(SCOPED_TOKEN)
        .bearer("dev-organization-token")
        .json(&json!({"workspace_name": "alice"}))
        .send(&airbyte)
        .await;

    assert_eq!(reply.status, 200);
    assert!(airbyte.workspace_of(ORGANIZATION, "alice").is_some());
}

#[tokio::test]
async fn rejects_invalid_organization_headers() {
    let airbyte = with_organizations(&[ORGANIZATION]).await;
    let alice = Session::of(&airbyte, "alice").await;

    for (token, header, status) in [
        ("dev-organization-token", "mine", 422),
        (
            "dev-organization-token",
            &*OTHER_ORGANIZATION.to_string(),
            403,
        ),
        (&*alice.token, &*OTHER_ORGANIZATION.to_string(), 403),
    ] {
        let reply = Request::get("/api/v1/integrations/connectors")
            .bearer(token)
            .header("x-organization-id", header)
            .send(&airbyte)
            .await;

        assert_eq!(reply.status, status, "{header}");
    }
}

#[tokio::test]
async fn exchange_validates_organization_header() {
    let airbyte = with_organizations(&[ORGANIZATION, &OTHER_ORGANIZATION.to_string()]).await;
    let exchange = async |header: Option<&str>| {
        let mut request = Request::post("/api/v1/account/applications/token")
            .json(&json!({"client_id": "dev-client-id", "client_secret": "dev-client-secret"}));
        if let Some(header) = header {
            request = request.header("x-organization-id", header);
        }
        request.send(&airbyte).await
    };

    let named = exchange(Some(ORGANIZATION)).await;
    assert_eq!(named.json()["organization_id"], ORGANIZATION);
    assert_eq!(exchange(None).await.json()["organization_id"], Value::Null);
    assert_eq!(exchange(Some("mine")).await.status, 422);
    assert_eq!(
        exchange(Some("00000000-0000-4000-8000-000000000009"))
            .await
            .status,
        403
    );
}
