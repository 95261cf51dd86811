//! Switching a generation of the API off.

use airbyte_sim::{Airbyte, Generation};
use serde_json::json;

use crate::client::Request;
use crate::{airbyte, application_token};

const EMBEDDED: [(&str, &str); 5] = [
    ("POST", "/api/v1/embedded/widget_token"),
    ("GET", "/api/v1/embedded/widget_token"),
    ("POST", "/api/v1/integrations/sources/"),
    ("POST", "/api/v1/integrations/sources"),
    ("GET", "/embedded-widget?workspaceId=x"),
];
const AGENTS: [(&str, &str); 7] = [
    ("POST", "/api/v1/account/applications/widget-token"),
    ("POST", "/api/v1/account/applications/scoped-token"),
    ("GET", "/api/v1/account/applications/scoped-token/info"),
    ("POST", "/api/v1/integrations/connectors"),
    ("POST", "/api/v1/integrations/connectors/"),
    ("GET", "/api/v1/integrations/connectors/x"),
    ("GET", "/quick-start/widget"),
];

async fn statuses(airbyte: &Airbyte, requests: &[(&'static str, &str)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (method, path) in requests {
        statuses.push(Request::new(method, path).status(airbyte).await);
    }
    statuses
}

#[tokio::test]
async fn serves_both_by_default() {
    let airbyte = airbyte().await;

    let statuses = [
        statuses(&airbyte, &EMBEDDED).await,
        statuses(&airbyte, &AGENTS).await,
    ];

    assert!(!statuses.concat().contains(&404), "{statuses:?}");
}

#[tokio::test]
async fn returns_404_for_paths_of_other_generation() {
    let airbyte = airbyte().await;

    for (served, on, off) in [
        (Generation::Embedded, &EMBEDDED[..], &AGENTS[..]),
        (Generation::Agents, &AGENTS, &EMBEDDED),
    ] {
        airbyte.set_generations(&[served]);

        assert!(!statuses(&airbyte, on).await.contains(&404), "{served}");
        assert_eq!(
            statuses(&airbyte, off).await,
            vec![404; off.len()],
            "{served}"
        );
    }
}

#[tokio::test]
async fn keeps_shared_paths() {
    let airbyte = airbyte().await;
    let application = json!({"client_id": "dev-client-id", "client_secret": "dev-client-secret"});

    for served in [&[][..], &[Generation::Embedded], &[Generation::Agents]] {
        airbyte.set_generations(served);

        application_token(&airbyte, &application).await;
    }
}

#[tokio::test]
async fn redirects_template_list_to_path_of_served_generation() {
    let airbyte = airbyte().await;
    let path = "/api/v1/integrations/templates/sources";

    for (served, from, to) in [
        (Generation::Embedded, path.to_owned(), format!("{path}/")),
        (Generation::Agents, format!("{path}/"), path.to_owned()),
    ] {
        airbyte.set_generations(&[served]);

        let reply = Request::get(&from).send(&airbyte).await;

        assert_eq!(
            (reply.status, &reply.headers["location"]),
            (307, &to),
            "{served}"
        );
    }
    airbyte.set_generations(&[]);
    assert_eq!(Request::get(path).status(&airbyte).await, 404);
    assert_eq!(
        Request::get(&format!("{path}/1")).status(&airbyte).await,
        404
    );
}
