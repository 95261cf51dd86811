//! Who may call, and as whom: every shape of `requestContext.authorizer`, through both functions.

use airbyte_sim::Airbyte;
use e2e::{Answer, Binary, Environment, Event, World, faker_source};
use serde_json::{Value, json};

use crate::exchange::{WIDGET_TOKEN, calls};

/// A request for the function's route by alice, with what `extra` adds to the body.
fn request(binary: Binary, extra: &Value) -> Event {
    let mut body = match binary {
        Binary::MintToken => json!({}),
        Binary::CreateSource => faker_source(),
    };
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    match binary {
        Binary::MintToken => Event::mint_token("alice").json(&body),
        Binary::CreateSource => Event::create_source("alice", &body),
    }
}

/// The external user ids that were sent to Airbyte.
fn users(airbyte: &Airbyte) -> Vec<String> {
    let user = |body: Value| body["externalUserId"].as_str().unwrap().to_owned();
    calls(airbyte, WIDGET_TOKEN)
        .iter()
        .map(|call| user(call.json().unwrap()))
        .collect()
}

fn assert_success(binary: Binary, answer: &Answer) {
    let _ = answer.success(match binary {
        Binary::MintToken => 200,
        Binary::CreateSource => 201,
    });
}

#[tokio::test]
async fn nobody_is_let_in_whom_api_gateway_has_not_verified() {
    let authorizers = [
        json!(null),
        json!({}),
        json!(""),
        json!("jwt"),
        json!([]),
        json!(["jwt"]),
        json!(17),
        json!(true),
        json!({ "jwt": null }),
        json!({ "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9." }),
        json!({ "jwt": { "claims": null } }),
        json!({ "jwt": { "claims": "sub=alice" } }),
        json!({ "jwt": { "claims": [{ "sub": "alice" }] } }),
        json!({ "iam": null }),
        json!({ "iam": "arn:aws:iam::123456789012:role/backend" }),
        json!({ "jwt": null, "iam": null }),
        // A Lambda authorizer's context, a REST API's (payload format 1.0) and names in another case.
        json!({ "lambda": { "sub": "alice" } }),
        json!({ "claims": { "sub": "alice" } }),
        json!({ "JWT": { "claims": { "sub": "alice" } } }),
        json!({ "principalId": "alice", "sub": "alice" }),
    ];
    let world = World::new().await;
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        // What the body says makes nobody somebody.
        let request = request(binary, &json!({ "externalUserId": "alice" }));
        let answer = function.invoke(request.clone().no_authorizer()).await;
        let _ = answer.problem(401, "unauthenticated");
        for authorizer in &authorizers {
            let answer = function
                .invoke(request.clone().authorizer(authorizer))
                .await;
            assert_eq!(answer.status, 401, "{authorizer}: {answer:?}");
            let _ = answer.problem(401, "unauthenticated");
        }
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn a_request_context_without_an_authorizer_is_nobodys() {
    let world = World::new().await;
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        let mut event = request(binary, &json!({})).into_json();
        event["requestContext"] = json!({ "http": { "method": "POST", "path": "/" } });
        let _ = function
            .invoke(&event)
            .await
            .problem(401, "unauthenticated");
        event.as_object_mut().unwrap().remove("requestContext");
        let _ = function
            .invoke(&event)
            .await
            .problem(401, "unauthenticated");
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn two_authorizers_at_once_let_nobody_act_for_another() {
    let world = World::new().await;
    let both = json!({
        "jwt": { "claims": { "sub": "alice" }, "scopes": null },
        "iam": { "userArn": "arn:aws:sts::123456789012:assumed-role/backend/backend" },
    });
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        let event = request(binary, &json!({ "externalUserId": "bob" })).authorizer(&both);
        let answer = function.invoke(event).await;
        let _ = answer.problem(401, "unauthenticated");
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn a_claim_is_taken_that_keeps_the_rule_for_user_ids() {
    let longest = "é".repeat(256);
    let ids = [
        "u",
        "alice@example.com",
        "auth0|507f1f77bcf86cd799439011",
        "Alice and Bob",
        "ユーザー",
        "😀",
        "\u{200b}",
        r#""quoted" \ and/slashed {}"#,
        longest.as_str(),
    ];
    let world = World::new().await;
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        world.airbyte.clear_requests();
        for id in ids {
            let answer = function.invoke(request(binary, &json!({})).user(id)).await;
            assert_success(binary, &answer);
        }
        assert_eq!(users(&world.airbyte), ids, "sent on as they are");
    }
}

/// Claims that name no user. API Gateway sends every value as a string, arrays too.
fn claims_without_a_user() -> Vec<Value> {
    let mut claims: Vec<Value> = [
        "",
        " ",
        "\t\n",
        " alice",
        "alice ",
        "\u{a0}alice",
        "alice\u{2003}",
    ]
    .iter()
    .chain(&[
        "al\0ice",
        "alice\r\nx-header: 1",
        "al\u{7f}ice",
        "al\u{85}ice",
    ])
    .map(|id| json!({ "sub": id }))
    .collect();
    claims.extend([
        json!({ "sub": "u".repeat(257) }),
        json!({ "sub": "é".repeat(257) }),
    ]);
    claims.push(json!({ "sub": "u".repeat(10 * 1024) }));
    claims.extend([
        json!({}),
        json!({ "aud": "client-1" }),
        json!({ "Sub": "alice" }),
        json!({ "sub ": "alice" }),
    ]);
    claims.extend([
        json!({ "sub": null }),
        json!({ "sub": 17 }),
        json!({ "sub": true }),
        json!({ "sub": ["alice"] }),
        json!({ "sub": { "id": "alice" } }),
    ]);
    claims
}

#[tokio::test]
async fn a_verified_caller_without_a_user_id_is_forbidden() {
    let world = World::new().await;
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        for claims in claims_without_a_user() {
            let answer = function
                .invoke(request(binary, &json!({})).claims(&claims))
                .await;
            assert_eq!(answer.status, 403, "{claims}: {answer:?}");
            let _ = answer.problem(403, "forbidden");
        }
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn a_signed_in_user_cannot_name_another() {
    let world = World::new().await;
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        for named in ["bob", "Alice", "alice ", "", "alic\u{435}"] {
            let answer = function
                .invoke(request(binary, &json!({ "externalUserId": named })))
                .await;
            assert_eq!(answer.status, 403, "{named:?}: {answer:?}");
            let _ = answer.problem(403, "forbidden");
        }
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn a_body_cannot_stand_in_for_a_missing_claim() {
    let world = World::new().await;
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        let event = request(binary, &json!({ "externalUserId": "alice" }))
            .claims(&json!({ "aud": "client-1" }));
        let _ = function.invoke(event).await.problem(403, "forbidden");
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn the_claim_is_the_configured_one() {
    let world = World::new().await;
    let claim = "https://example.com/user_id";
    let environment = world.environment().with("EXTERNAL_USER_ID_CLAIM", claim);
    for binary in Binary::ALL {
        let function = e2e::Function::start(binary, &environment).await;
        world.airbyte.clear_requests();
        let claims = json!({ "sub": "somebody", claim: "alice" });
        assert_success(
            binary,
            &function
                .invoke(request(binary, &json!({})).claims(&claims))
                .await,
        );
        assert_eq!(users(&world.airbyte), ["alice"]);

        let answer = function
            .invoke(request(binary, &json!({})).user("alice"))
            .await;
        let _ = answer.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_backend_must_name_the_user() {
    let world = World::new().await;
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        for body in [json!({}), json!({ "externalUserId": null })] {
            let answer = function.invoke(request(binary, &body).iam()).await;
            let problem = answer.problem(400, "invalid-request");
            assert_eq!(problem.pointers(), ["/externalUserId"], "{body}");
        }
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn a_backend_is_told_every_fault_of_its_body_at_once() {
    let world = World::new().await;
    for named in [Value::Null, json!(" alice"), json!(7)] {
        let body = json!({ "externalUserId": named, "unknown": 1 });
        let token = world.mint_token().await;
        let answer = token.invoke(Event::mint_token("").iam().json(&body)).await;
        assert_eq!(
            answer.problem(400, "invalid-request").pointers(),
            ["/externalUserId", "/unknown"],
            "{body}"
        );
        let source = world.create_source().await;
        let answer = source.invoke(Event::create_source("", &body).iam()).await;
        assert_eq!(
            answer.problem(400, "invalid-request").pointers(),
            [
                "/connection_configuration",
                "/externalUserId",
                "/source_config_template_id",
                "/unknown",
            ],
            "{body}"
        );
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn a_backend_names_users_by_the_same_rule() {
    let world = World::new().await;
    let function = world.mint_token().await;
    for claims in claims_without_a_user() {
        let Some(named) = claims.get("sub").filter(|named| !named.is_null()) else {
            continue;
        };
        let event = Event::mint_token("")
            .iam()
            .json(&json!({ "externalUserId": named }));
        let answer = function.invoke(event).await;
        assert_eq!(answer.status, 400, "{named}: {answer:?}");
        assert_eq!(
            answer.problem(400, "invalid-request").pointers(),
            ["/externalUserId"]
        );
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn an_end_users_iam_signature_is_not_a_backends() {
    let world = World::new().await;
    let identity = json!({ "iam": {
        "accessKey": "ASIAIOSFODNN7EXAMPLE",
        "accountId": "123456789012",
        "callerId": "AROAIOSFODNN7EXAMPLE:CognitoIdentityCredentials",
        "cognitoIdentity": {
            "amr": ["authenticated"],
            "identityId": "us-east-1:3f7a1b4c-0000-4000-8000-000000000000",
            "identityPoolId": "us-east-1:1a2b3c4d-0000-4000-8000-000000000000",
        },
        "principalOrgId": null,
        "userArn": "arn:aws:sts::123456789012:assumed-role/pool/CognitoIdentityCredentials",
        "userId": "AROAIOSFODNN7EXAMPLE:CognitoIdentityCredentials",
    } });
    for binary in Binary::ALL {
        let function = world.start(binary).await;
        let event = request(binary, &json!({ "externalUserId": "bob" })).authorizer(&identity);
        let _ = function.invoke(event).await.problem(403, "forbidden");
    }
    assert!(world.airbyte.requests().is_empty());
}

#[tokio::test]
async fn a_backend_may_act_for_one_user_after_another() {
    let world = World::new().await;
    let function = world.mint_token().await;
    for user in ["alice", "bob"] {
        let event = Event::mint_token("")
            .iam()
            .no_origin()
            .json(&json!({ "externalUserId": user }));
        let workspace = function.invoke(event).await.success(200)["workspaceId"].clone();
        assert_eq!(
            workspace,
            world
                .airbyte
                .workspace_of(Environment::ORGANIZATION, user)
                .unwrap()
                .to_string()
        );
    }
}
