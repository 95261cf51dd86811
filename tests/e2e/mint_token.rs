//! `POST /token`.

use airbyte_sim::{CannedResponse, FaultKind, Route};
use e2e::token::{claims, decode, jwt, scoped_claims};
use e2e::{Config, Event, TestEnv};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::exchange::{WIDGET_TOKEN, paths};

#[tokio::test]
async fn returns_token_for_widget_and_custom_form() {
    let env = TestEnv::new().await;
    let response = env
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    let body = response.expect_success(200);
    let keys: Vec<_> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys.len(), 6, "{keys:?}");
    let inside = decode(body["token"].as_str().unwrap());
    assert_eq!(body["scopedToken"], inside["token"]);
    assert_eq!(body["widgetUrl"], inside["widgetUrl"]);
    let claims = claims(body["scopedToken"].as_str().unwrap());
    assert_eq!(
        body["workspaceId"],
        claims["io.airbyte.auth.workspace_scope"]["workspaceId"]
    );
    assert_eq!(claims["act"]["sub"], "alice");
    let expiry = OffsetDateTime::from_unix_timestamp(claims["exp"].as_i64().unwrap()).unwrap();
    assert_eq!(body["expiresAt"], expiry.format(&Rfc3339).unwrap());
    assert!(body["expiresAt"].as_str().unwrap().ends_with('Z'));
    let remaining = (expiry - OffsetDateTime::now_utc()).whole_seconds();
    let expires_in = body["expiresIn"].as_i64().unwrap();
    assert!(
        (remaining..remaining + 30).contains(&expires_in),
        "{expires_in} seconds, {remaining} seconds later"
    );
}

#[tokio::test]
async fn sends_documented_mint_request() {
    let env = TestEnv::new().await;
    let response = env
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    response.expect_success(200);
    let requests = env.airbyte.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("POST", WIDGET_TOKEN)
    );
    assert_eq!(requests[0].query, None);
    assert_eq!(
        requests[0].header("authorization"),
        Some("Bearer dev-organization-token")
    );
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].header("accept"), Some("application/json"));
    assert_eq!(
        requests[0].json().unwrap(),
        json!({
            "externalUserId": "alice",
            "organizationId": Config::ORGANIZATION_ID,
            "allowedOrigin": Config::ORIGIN,
        })
    );
}

#[tokio::test]
async fn keeps_one_workspace_per_user() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let mut workspaces = Vec::new();
    for user in ["alice", "bob", "alice"] {
        let response = function.invoke(Event::mint_token(user)).await;
        workspaces.push(
            response.expect_success(200)["workspaceId"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }

    assert_eq!(workspaces[0], workspaces[2]);
    assert_ne!(workspaces[0], workspaces[1]);
    let alice = env
        .airbyte
        .workspace_of(Config::ORGANIZATION_ID, "alice")
        .unwrap();
    assert_eq!(workspaces[0], alice.to_string());
}

#[tokio::test]
async fn accepts_backend_with_iam_signature() {
    let env = TestEnv::new().await;
    let event = Event::mint_token("")
        .iam()
        .no_origin()
        .json(&json!({ "externalUserId": "alice" }));
    let response = env.mint_token().await.invoke(event).await;

    let alice = env
        .airbyte
        .workspace_of(Config::ORGANIZATION_ID, "alice")
        .unwrap();
    assert_eq!(
        response.expect_success(200)["workspaceId"],
        alice.to_string()
    );
}

#[tokio::test]
async fn accepts_own_user_id_in_body() {
    let env = TestEnv::new().await;
    let event = Event::mint_token("alice").json(&json!({ "externalUserId": "alice" }));
    let response = env.mint_token().await.invoke(event).await;

    response.expect_success(200);
}

#[tokio::test]
async fn accepts_missing_and_empty_bodies() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let event = || Event::mint_token("alice");
    let mut null = event().into_json();
    null["body"] = json!(null);
    let events = [
        event().to_string(),
        null.to_string(),
        event().body("").to_string(),
        event().base64_body(b"").to_string(),
    ]
    .into_iter()
    .chain([
        event().body("{}").to_string(),
        event().body(" {\r\n} ").to_string(),
    ])
    .chain([event().base64_body(b"{}").to_string()]);
    for event in events {
        let response = function.invoke(&event).await;
        assert_eq!(response.status, 200, "{event}: {response:?}");
    }
}

#[tokio::test]
async fn decodes_base64_body_of_any_content_type() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for content_type in [
        "application/json",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
    ] {
        let event = Event::mint_token("alice")
            .header("content-type", content_type)
            .base64_body(br#"{"allowedOrigin": "https://app.example.com"}"#);
        assert_eq!(function.invoke(event).await.status, 200, "{content_type}");
    }
}

#[tokio::test]
async fn returns_vendor_sample_byte_for_byte() {
    let sample = include_str!("../fixtures/vendor-widget-token-response.json");
    let env = TestEnv::new().await;
    env.inject(
        Route::WidgetToken,
        FaultKind::Respond(
            CannedResponse::new(200)
                .header("content-type", "application/json")
                .body(sample),
        ),
    );
    let response = env
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
    let inside = decode(sample["token"].as_str().unwrap());
    assert_eq!(
        response.expect_success(200),
        &json!({
            "token": sample["token"],
            "scopedToken": inside["token"],
            "widgetUrl": "https://cloud.airbyte.com/embedded-widget?workspaceId=fba81218-3467-4588-a8d5-a8396cde6c03\
                          &allowedOrigin=https%3A%2F%2Fapi.airbyte.ai",
            "workspaceId": "fba81218-3467-4588-a8d5-a8396cde6c03",
            "expiresAt": "2025-07-24T00:47:30Z",
            // It expired long ago.
            "expiresIn": 0,
        })
    );
}

#[tokio::test]
async fn returns_token_unchanged_in_any_base64_form() {
    use base64::Engine;
    use base64::prelude::{
        BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
    };

    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    let scoped = jwt(&scoped_claims(
        Uuid::new_v4(),
        "alice",
        OffsetDateTime::now_utc() + time::Duration::HOUR,
    ));
    // The question marks and the é are there for the characters in which the alphabets differ.
    let inside = json!({ "token": scoped, "widgetUrl": "https://cloud.airbyte.com/é?aa=???>>>" })
        .to_string();
    let alphabets = [
        BASE64_STANDARD,
        BASE64_STANDARD_NO_PAD,
        BASE64_URL_SAFE,
        BASE64_URL_SAFE_NO_PAD,
    ];
    let opaque: Vec<String> = alphabets
        .iter()
        .map(|alphabet| alphabet.encode(&inside))
        .collect();
    assert_ne!(
        opaque[0], opaque[2],
        "the sample does not tell the alphabets apart"
    );
    assert_ne!(opaque[0], opaque[1], "the sample has no padding");
    for opaque in opaque {
        // What else Airbyte may say some day does no harm.
        let reply = CannedResponse::new(200)
            .json(&json!({ "token": opaque, "expires_in": 900, "data": null }));
        env.respond(Route::WidgetToken, reply);
        let response = function.invoke(Event::mint_token("alice")).await;

        assert_eq!(response.expect_success(200)["token"], opaque);
        assert_eq!(response.body["scopedToken"], scoped);
        assert_eq!(
            response.body["widgetUrl"],
            "https://cloud.airbyte.com/é?aa=???>>>"
        );
    }
}

#[tokio::test]
async fn serves_concurrent_callers_separately() {
    let env = TestEnv::new().await;
    let (first, second) = (env.mint_token().await, env.mint_token().await);
    let (alice, bob) = tokio::join!(
        first.invoke(Event::mint_token("alice")),
        second.invoke(Event::mint_token("bob"))
    );

    for (user, response) in [("alice", alice), ("bob", bob)] {
        let workspace = env
            .airbyte
            .workspace_of(Config::ORGANIZATION_ID, user)
            .unwrap();
        assert_eq!(
            response.expect_success(200)["workspaceId"],
            workspace.to_string()
        );
    }
    assert_eq!(paths(&env.airbyte), [WIDGET_TOKEN, WIDGET_TOKEN]);
}
