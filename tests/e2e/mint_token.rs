//! `POST /token`.

use airbyte_sim::{CannedResponse, Route};
use base64::Engine;
use base64::prelude::{
    BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
};
use e2e::token::{claims, decode, in_an_hour, jwt, opaque, scoped_claims};
use e2e::{Config, Event, Generation, TestEnv, case};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

e2e::test_each_generation!(
    returns_token_for_widget_and_custom_form,
    sends_documented_mint_request,
    keeps_one_workspace_per_user,
    accepts_backend_with_iam_signature,
    returns_vendor_sample_byte_for_byte,
    returns_token_unchanged_in_any_base64_form,
    reads_workspace_of_widget_url_without_claim,
    serves_concurrent_callers_separately,
);

async fn returns_token_for_widget_and_custom_form(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;

    let response = function.invoke(Event::mint()).await;

    let body = response.expect_success(200);
    let keys: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 6, "{keys:?}");
    let decoded = decode(body["token"].as_str().unwrap());
    assert_eq!(body["scopedToken"], decoded["token"]);
    assert_eq!(body["widgetUrl"], decoded["widgetUrl"]);
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

async fn sends_documented_mint_request(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;

    let response = function.invoke(Event::mint()).await;

    response.expect_success(200);
    let requests = env.airbyte.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("POST", generation.names().mint_path)
    );
    assert_eq!(requests[0].query, None);
    assert_eq!(
        requests[0].header("authorization"),
        Some("Bearer dev-organization-token")
    );
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].header("accept"), Some("application/json"));
    let body = match generation {
        Generation::Embedded => json!({
            "externalUserId": "alice",
            "organizationId": Config::ORGANIZATION_ID,
            "allowedOrigin": Config::ORIGIN,
        }),
        Generation::Agents => {
            json!({ "workspace_name": "alice", "allowed_origin": Config::ORIGIN })
        }
    };
    assert_eq!(requests[0].json().unwrap(), body);
}

async fn keeps_one_workspace_per_user(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    let mint = async |user| {
        let response = function.invoke(Event::mint_token(user)).await;
        response.expect_success(200)["workspaceId"].clone()
    };

    let workspaces = [mint("alice").await, mint("bob").await, mint("alice").await];

    assert_eq!(workspaces[0], env.workspace_of("alice").to_string());
    assert_eq!(workspaces[1], env.workspace_of("bob").to_string());
    assert_ne!(workspaces[1], workspaces[0]);
    assert_eq!(workspaces[2], workspaces[0]);
}

async fn accepts_backend_with_iam_signature(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let event = Event::mint_token("")
        .iam()
        .no_origin()
        .field("externalUserId", "alice");

    let response = env.mint_token().await.invoke(event).await;

    assert_eq!(
        response.expect_success(200)["workspaceId"],
        env.workspace_of("alice").to_string()
    );
}

#[tokio::test]
async fn accepts_own_user_id_in_body() {
    let env = TestEnv::new().await;
    let event = Event::mint().field("externalUserId", "alice");

    let response = env.mint_token().await.invoke(event).await;

    response.expect_success(200);
}

#[tokio::test]
async fn accepts_missing_and_empty_bodies() {
    let mut null = Event::mint().into_json();
    null["body"] = Value::Null;
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for (name, event) in [
        ("missing", Event::mint()),
        ("null", Event::from(null)),
        ("empty", Event::mint().body("")),
        ("empty, base64", Event::mint().base64_body(b"")),
        ("empty object", Event::mint().body("{}")),
        (
            "empty object with whitespace",
            Event::mint().body(" {\r\n} "),
        ),
        ("empty object, base64", Event::mint().base64_body(b"{}")),
    ] {
        let _case = case(name);
        function.invoke(event).await.expect_success(200);
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
        let _case = case(content_type);
        let event = Event::mint()
            .header("content-type", content_type)
            .base64_body(br#"{"allowedOrigin": "https://app.example.com"}"#);
        function.invoke(event).await.expect_success(200);
    }
}

async fn returns_vendor_sample_byte_for_byte(generation: Generation) {
    let sample = include_str!("../fixtures/vendor-widget-token-response.json");
    let env = TestEnv::of(generation).await;
    env.respond(
        Route::WidgetToken,
        CannedResponse::new(200)
            .header("content-type", "application/json")
            .body(sample),
    );

    let response = env.mint_token().await.invoke(Event::mint()).await;

    let sample: Value = serde_json::from_str(sample).unwrap();
    assert_eq!(
        response.expect_success(200),
        &json!({
            "token": sample["token"],
            "scopedToken": decode(sample["token"].as_str().unwrap())["token"],
            "widgetUrl": "https://cloud.airbyte.com/embedded-widget?workspaceId=fba81218-3467-4588-a8d5-a8396cde6c03\
                          &allowedOrigin=https%3A%2F%2Fapi.airbyte.ai",
            "workspaceId": "fba81218-3467-4588-a8d5-a8396cde6c03",
            "expiresAt": "2025-07-24T00:47:30Z",
            // It expired long ago.
            "expiresIn": 0,
        })
    );
}

async fn returns_token_unchanged_in_any_base64_form(generation: Generation) {
    let scoped_token = jwt(&scoped_claims(Uuid::new_v4(), "alice", in_an_hour()));
    // The question marks and the é produce the characters in which the alphabets differ.
    let widget_url = "https://cloud.airbyte.com/é?aa=???>>>";
    let decoded = json!({ "token": scoped_token, "widgetUrl": widget_url }).to_string();
    let forms = [
        ("standard", BASE64_STANDARD),
        ("standard, unpadded", BASE64_STANDARD_NO_PAD),
        ("URL-safe", BASE64_URL_SAFE),
        ("URL-safe, unpadded", BASE64_URL_SAFE_NO_PAD),
    ]
    .map(|(name, alphabet)| (name, alphabet.encode(&decoded)));
    assert_ne!(forms[0].1, forms[2].1, "the sample has no such characters");
    assert_ne!(forms[0].1, forms[1].1, "the sample has no padding");
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    for (name, token) in forms {
        let _case = case(name);
        // With fields that Airbyte might add.
        let body = json!({ "token": token, "expires_in": 900, "data": null });
        env.respond(Route::WidgetToken, CannedResponse::new(200).json(&body));

        let response = function.invoke(Event::mint()).await;

        let body = response.expect_success(200);
        assert_eq!(body["token"], token);
        assert_eq!(body["scopedToken"], scoped_token);
        assert_eq!(body["widgetUrl"], widget_url);
    }
}

/// A token whose scope names no workspace, as Airbyte's own command-line tool expects it.
async fn reads_workspace_of_widget_url_without_claim(generation: Generation) {
    let workspace = Uuid::new_v4();
    let mut claims = scoped_claims(workspace, "alice", in_an_hour());
    claims["io.airbyte.auth.workspace_scope"] = Value::Null;
    let widget_url = format!("https://app.airbyte.ai/any/path?workspaceId={workspace}");
    let minted = json!({ "token": opaque(&jwt(&claims), &widget_url) });
    let env = TestEnv::of(generation).await;
    env.respond(Route::WidgetToken, CannedResponse::new(200).json(&minted));

    let response = env.mint_token().await.invoke(Event::mint()).await;

    let body = response.expect_success(200);
    assert_eq!(body["workspaceId"], workspace.to_string());
    assert_eq!(body["widgetUrl"], widget_url);
}

async fn serves_concurrent_callers_separately(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let (first, second) = (env.mint_token().await, env.mint_token().await);

    let (alice, bob) = tokio::join!(
        first.invoke(Event::mint_token("alice")),
        second.invoke(Event::mint_token("bob"))
    );

    for (user, response) in [("alice", alice), ("bob", bob)] {
        assert_eq!(
            response.expect_success(200)["workspaceId"],
            env.workspace_of(user).to_string()
        );
    }
    assert_eq!(env.routes(), [Route::WidgetToken, Route::WidgetToken]);
}
