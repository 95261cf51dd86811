//! `POST /token`.

use airbyte_sim::{CannedResponse, Fault, FaultKind, Route};
use e2e::token::{claims, jwt, open, scoped_claims};
use e2e::{Environment, Event, World};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::exchange::{WIDGET_TOKEN, paths};

#[tokio::test]
async fn a_signed_in_user_gets_what_the_widget_and_a_custom_form_need() {
    let world = World::new().await;
    let answer = world
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    let body = answer.success(200);
    let keys: Vec<_> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    let inside = open(body["token"].as_str().unwrap());
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
}

#[tokio::test]
async fn airbyte_is_asked_as_the_vendors_page_says() {
    let world = World::new().await;
    let answer = world
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    let _ = answer.success(200);
    let requests = world.airbyte.requests();
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
            "organizationId": Environment::ORGANIZATION,
            "allowedOrigin": Environment::ORIGIN,
        })
    );
}

#[tokio::test]
async fn a_user_keeps_a_workspace_and_another_user_has_another() {
    let world = World::new().await;
    let function = world.mint_token().await;
    let mut workspaces = Vec::new();
    for user in ["alice", "bob", "alice"] {
        let answer = function.invoke(Event::mint_token(user)).await;
        workspaces.push(
            answer.success(200)["workspaceId"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }

    assert_eq!(workspaces[0], workspaces[2]);
    assert_ne!(workspaces[0], workspaces[1]);
    let alice = world
        .airbyte
        .workspace_of(Environment::ORGANIZATION, "alice")
        .unwrap();
    assert_eq!(workspaces[0], alice.to_string());
}

#[tokio::test]
async fn a_backend_with_an_iam_signature_names_the_user() {
    let world = World::new().await;
    let event = Event::mint_token("")
        .iam()
        .no_origin()
        .json(&json!({ "externalUserId": "alice" }));
    let answer = world.mint_token().await.invoke(event).await;

    let alice = world
        .airbyte
        .workspace_of(Environment::ORGANIZATION, "alice")
        .unwrap();
    assert_eq!(answer.success(200)["workspaceId"], alice.to_string());
}

#[tokio::test]
async fn a_signed_in_user_may_name_themself() {
    let world = World::new().await;
    let event = Event::mint_token("alice").json(&json!({ "externalUserId": "alice" }));
    let answer = world.mint_token().await.invoke(event).await;

    let _ = answer.success(200);
}

#[tokio::test]
async fn no_body_an_empty_body_and_an_empty_object_are_the_same() {
    let world = World::new().await;
    let function = world.mint_token().await;
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
        let answer = function.invoke(&event).await;
        assert_eq!(answer.status, 200, "{event}: {answer:?}");
    }
}

#[tokio::test]
async fn a_body_is_decoded_from_base64_when_the_event_says_so_whatever_its_content_type() {
    let world = World::new().await;
    let function = world.mint_token().await;
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
async fn the_vendors_sample_comes_back_byte_for_byte() {
    let sample = include_str!("../fixtures/vendor-widget-token-answer.json");
    let world = World::new().await;
    world.airbyte.inject(Fault::new(
        Route::WidgetToken,
        FaultKind::Respond(
            CannedResponse::new(200)
                .header("content-type", "application/json")
                .body(sample),
        ),
    ));
    let answer = world
        .mint_token()
        .await
        .invoke(Event::mint_token("alice"))
        .await;

    let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
    let inside = open(sample["token"].as_str().unwrap());
    assert_eq!(
        answer.success(200),
        &json!({
            "token": sample["token"],
            "scopedToken": inside["token"],
            "widgetUrl": "https://cloud.airbyte.com/embedded-widget?workspaceId=fba81218-3467-4588-a8d5-a8396cde6c03\
                          &allowedOrigin=https%3A%2F%2Fapi.airbyte.ai",
            "workspaceId": "fba81218-3467-4588-a8d5-a8396cde6c03",
            "expiresAt": "2025-07-24T00:47:30Z",
        })
    );
}

#[tokio::test]
async fn a_token_in_either_alphabet_padded_or_not_comes_back_as_it_was() {
    use base64::Engine;
    use base64::prelude::{
        BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
    };

    let world = World::new().await;
    let function = world.mint_token().await;
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
        world.airbyte.clear_faults();
        world
            .airbyte
            .inject(Fault::new(Route::WidgetToken, FaultKind::Respond(reply)));
        let answer = function.invoke(Event::mint_token("alice")).await;

        assert_eq!(answer.success(200)["token"], opaque);
        assert_eq!(answer.body["scopedToken"], scoped);
        assert_eq!(
            answer.body["widgetUrl"],
            "https://cloud.airbyte.com/é?aa=???>>>"
        );
    }
}

#[tokio::test]
async fn several_functions_at_once_serve_their_own_callers() {
    let world = World::new().await;
    let (first, second) = (world.mint_token().await, world.mint_token().await);
    let (alice, bob) = tokio::join!(
        first.invoke(Event::mint_token("alice")),
        second.invoke(Event::mint_token("bob"))
    );

    for (user, answer) in [("alice", alice), ("bob", bob)] {
        let workspace = world
            .airbyte
            .workspace_of(Environment::ORGANIZATION, user)
            .unwrap();
        assert_eq!(answer.success(200)["workspaceId"], workspace.to_string());
    }
    assert_eq!(paths(&world.airbyte), [WIDGET_TOKEN, WIDGET_TOKEN]);
}
