//! Workspaces: found or created without a lock, in both generations.

use std::time::Duration;

use airbyte_sim::{Airbyte, Options};
use serde_json::json;
use uuid::Uuid;

use crate::client::Request;
use crate::{
    ORGANIZATION, agents_post, agents_widget_token_request, airbyte, widget_token_request,
};

/// A first mint in each generation.
fn mints() -> [(&'static str, Request); 2] {
    [
        ("embedded", widget_token_request("alice")),
        ("agents", agents_widget_token_request("alice")),
    ]
}

/// Starts a simulator in which concurrent first mints always overlap.
async fn slow_airbyte() -> Airbyte {
    Airbyte::start(Options {
        workspace_creation_time: Duration::from_millis(500),
        ..Options::default()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn concurrent_first_mints_create_two_workspaces() {
    for (generation, mint) in mints() {
        let airbyte = slow_airbyte().await;

        let statuses = tokio::join!(mint.status(&airbyte), mint.status(&airbyte));

        assert_eq!(statuses, (200, 200), "{generation}");
        let names: Vec<_> = airbyte
            .workspaces()
            .into_iter()
            .map(|workspace| workspace.name)
            .collect();
        assert_eq!(names, ["alice", "alice"], "{generation}");
    }
}

#[tokio::test]
async fn mints_across_generations_race_too() {
    let airbyte = slow_airbyte().await;
    let [(_, embedded), (_, agents)] = mints();

    tokio::join!(embedded.status(&airbyte), agents.status(&airbyte));

    assert_eq!(airbyte.workspaces().len(), 2);
}

#[tokio::test]
async fn later_mints_of_user_with_two_workspaces_fail() {
    let airbyte = slow_airbyte().await;
    let [(_, embedded), (_, agents)] = mints();
    tokio::join!(embedded.status(&airbyte), embedded.status(&airbyte));

    let message = "Found multiple workspaces with the same name: alice. This is unexpected!";
    let reply = embedded.send(&airbyte).await;
    assert_eq!(
        (reply.status, reply.json()["message"].as_str().unwrap()),
        (500, &*format!("Internal Server Error: {message}"))
    );
    let reply = agents.send(&airbyte).await;
    assert_eq!(
        (reply.status, reply.json()),
        (500, json!({"message": message, "errors": []}))
    );
    assert_eq!(widget_token_request("bob").status(&airbyte).await, 200);
}

#[tokio::test]
async fn sequential_mints_share_one_workspace() {
    let airbyte = airbyte().await;

    for (generation, mint) in mints() {
        assert_eq!(mint.status(&airbyte).await, 200, "{generation}");
    }

    let [workspace] = &airbyte.workspaces()[..] else {
        panic!("one workspace: {:?}", airbyte.workspaces())
    };
    assert_eq!(
        (
            workspace.name.as_str(),
            workspace.organization_id.to_string().as_str()
        ),
        ("alice", ORGANIZATION)
    );
}

#[tokio::test]
async fn creates_workspace_though_client_disconnects() {
    let airbyte = slow_airbyte().await;
    let mut connection = crate::client::Connection::open(&airbyte).await.unwrap();
    connection.write(&widget_token_request("alice")).await;
    while airbyte.requests().is_empty() {
        tokio::task::yield_now().await;
    }

    drop(connection);

    let wait = async {
        while airbyte.workspaces().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("a workspace");
}

#[tokio::test]
async fn keeps_region_of_first_mint() {
    let airbyte = airbyte().await;
    let region = "b9e48d61-f082-4a14-a8d0-799a907938cb";
    let mint = |region: &str| {
        agents_post("/api/v1/account/applications/scoped-token")
            .json(&json!({"workspace_name": "alice", "region_id": region}))
    };

    mint(region).send(&airbyte).await;
    mint("645a183f-b12b-4c6e-8ad3-99e165603450")
        .send(&airbyte)
        .await;

    assert_eq!(
        airbyte.workspaces()[0].region_id,
        Uuid::try_parse(region).ok()
    );
}
