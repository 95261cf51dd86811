//! Who may call, and as whom: every shape of `requestContext.authorizer`, through both functions.

use airbyte_sim::Airbyte;
use e2e::{Binary, Config, Event, Response, TestEnv, faker_source};
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

fn assert_success(binary: Binary, response: &Response) {
    response.expect_success(match binary {
        Binary::MintToken => 200,
        Binary::CreateSource => 201,
    });
}

#[tokio::test]
async fn rejects_unverified_callers() {
    let unauthenticated = (401, "unauthenticated");
    let invalid = (400, "invalid-request");
    let cases = [
        (json!(null), unauthenticated),
        (json!({}), unauthenticated),
        (json!({ "jwt": null }), unauthenticated),
        (json!({ "jwt": { "claims": null } }), unauthenticated),
        (json!({ "jwt": { "claims": {} } }), unauthenticated),
        (json!({ "iam": null }), unauthenticated),
        (json!({ "iam": {} }), unauthenticated),
        (json!({ "jwt": null, "iam": null }), unauthenticated),
        // A Lambda authorizer's context, a REST API's (payload format 1.0) and names in another case.
        (json!({ "lambda": { "sub": "alice" } }), unauthenticated),
        (json!({ "claims": { "sub": "alice" } }), unauthenticated),
        (
            json!({ "JWT": { "claims": { "sub": "alice" } } }),
            unauthenticated,
        ),
        (
            json!({ "principalId": "alice", "sub": "alice" }),
            unauthenticated,
        ),
        // Types that API Gateway never sends.
        (json!(""), invalid),
        (json!("jwt"), invalid),
        (json!(["jwt"]), invalid),
        (json!(17), invalid),
        (json!(true), invalid),
        (
            json!({ "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9." }),
            invalid,
        ),
        (json!({ "jwt": { "claims": "sub=alice" } }), invalid),
        (
            json!({ "jwt": { "claims": [{ "sub": "alice" }] } }),
            invalid,
        ),
        (json!({ "jwt": { "claims": { "sub": 17 } } }), invalid),
        (json!({ "jwt": { "claims": { "sub": null } } }), invalid),
        (
            json!({ "jwt": { "claims": { "sub": ["alice"] } } }),
            invalid,
        ),
        (
            json!({ "iam": "arn:aws:iam::123456789012:role/backend" }),
            invalid,
        ),
    ];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        // The body never identifies the caller by itself.
        let request = request(binary, &json!({ "externalUserId": "alice" }));
        let response = function.invoke(request.clone().no_authorizer()).await;
        response.expect_problem(401, "unauthenticated");
        for (authorizer, (status, problem_type)) in &cases {
            let response = function
                .invoke(request.clone().authorizer(authorizer))
                .await;
            assert_eq!(response.status, *status, "{authorizer}: {response:?}");
            response.expect_problem(*status, problem_type);
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_context_without_authorizer() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let mut event = request(binary, &json!({})).into_json();
        event["requestContext"] = json!({ "http": { "method": "POST", "path": "/" } });
        function
            .invoke(&event)
            .await
            .expect_problem(401, "unauthenticated");
        event.as_object_mut().unwrap().remove("requestContext");
        function
            .invoke(&event)
            .await
            .expect_problem(400, "invalid-request");
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_two_authorizers_at_once() {
    let env = TestEnv::new().await;
    let both = json!({
        "jwt": { "claims": { "sub": "alice" }, "scopes": null },
        "iam": { "userArn": "arn:aws:sts::123456789012:assumed-role/backend/backend" },
    });
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let event = request(binary, &json!({ "externalUserId": "bob" })).authorizer(&both);
        let response = function.invoke(event).await;
        response.expect_problem(401, "unauthenticated");
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn sends_valid_user_ids_unchanged() {
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
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        env.airbyte.clear_requests();
        for id in ids {
            let response = function.invoke(request(binary, &json!({})).user(id)).await;
            assert_success(binary, &response);
        }
        assert_eq!(users(&env.airbyte), ids, "sent on as they are");
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
        json!({ "aud": "client-1" }),
        json!({ "Sub": "alice" }),
        json!({ "sub ": "alice" }),
    ]);
    claims
}

#[tokio::test]
async fn forbids_callers_without_valid_user_id() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for claims in claims_without_a_user() {
            let response = function
                .invoke(request(binary, &json!({})).claims(&claims))
                .await;
            assert_eq!(response.status, 403, "{claims}: {response:?}");
            response.expect_problem(403, "forbidden");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn forbids_naming_another_user() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for named in ["bob", "Alice", "alice ", "", "alic\u{435}"] {
            let response = function
                .invoke(request(binary, &json!({ "externalUserId": named })))
                .await;
            assert_eq!(response.status, 403, "{named:?}: {response:?}");
            response.expect_problem(403, "forbidden");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn ignores_body_user_without_claim() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let event = request(binary, &json!({ "externalUserId": "alice" }))
            .claims(&json!({ "aud": "client-1" }));
        function
            .invoke(event)
            .await
            .expect_problem(403, "forbidden");
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn reads_user_id_from_configured_claim() {
    let env = TestEnv::new().await;
    let claim = "https://example.com/user_id";
    let config = env.config().with("EXTERNAL_USER_ID_CLAIM", claim);
    for binary in Binary::ALL {
        let function = e2e::Function::start(binary, &config).await;
        env.airbyte.clear_requests();
        let claims = json!({ "sub": "somebody", claim: "alice" });
        assert_success(
            binary,
            &function
                .invoke(request(binary, &json!({})).claims(&claims))
                .await,
        );
        assert_eq!(users(&env.airbyte), ["alice"]);

        let response = function
            .invoke(request(binary, &json!({})).user("alice"))
            .await;
        response.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn requires_backend_to_name_user() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for body in [json!({}), json!({ "externalUserId": null })] {
            let response = function.invoke(request(binary, &body).iam()).await;
            let problem = response.expect_problem(400, "invalid-request");
            assert_eq!(problem.pointers(), ["/externalUserId"], "{body}");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn returns_all_field_errors_to_backend() {
    let env = TestEnv::new().await;
    for named in [Value::Null, json!(" alice"), json!(7)] {
        let body = json!({ "externalUserId": named, "unknown": 1 });
        let token = env.mint_token().await;
        let response = token.invoke(Event::mint_token("").iam().json(&body)).await;
        assert_eq!(
            response.expect_problem(400, "invalid-request").pointers(),
            ["/externalUserId", "/unknown"],
            "{body}"
        );
        let source = env.create_source().await;
        let response = source.invoke(Event::create_source("", &body).iam()).await;
        assert_eq!(
            response.expect_problem(400, "invalid-request").pointers(),
            [
                "/connection_configuration",
                "/externalUserId",
                "/source_config_template_id",
                "/unknown",
            ],
            "{body}"
        );
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn validates_user_ids_named_by_backend() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for claims in claims_without_a_user() {
        let Some(named) = claims.get("sub").filter(|named| !named.is_null()) else {
            continue;
        };
        let event = Event::mint_token("")
            .iam()
            .json(&json!({ "externalUserId": named }));
        let response = function.invoke(event).await;
        assert_eq!(response.status, 400, "{named}: {response:?}");
        assert_eq!(
            response.expect_problem(400, "invalid-request").pointers(),
            ["/externalUserId"]
        );
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn forbids_cognito_identity_signatures() {
    let env = TestEnv::new().await;
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
        let function = env.start(binary).await;
        let event = request(binary, &json!({ "externalUserId": "bob" })).authorizer(&identity);
        function
            .invoke(event)
            .await
            .expect_problem(403, "forbidden");
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn mints_for_each_user_backend_names() {
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for user in ["alice", "bob"] {
        let event = Event::mint_token("")
            .iam()
            .no_origin()
            .json(&json!({ "externalUserId": user }));
        let workspace = function.invoke(event).await.expect_success(200)["workspaceId"].clone();
        assert_eq!(
            workspace,
            env.airbyte
                .workspace_of(Config::ORGANIZATION_ID, user)
                .unwrap()
                .to_string()
        );
    }
}
