//! Authentication of callers: every shape of `requestContext.authorizer`, through both functions.

use airbyte_sim::Route;
use e2e::{Binary, Event, Function, Generation, TestEnv, case};
use serde_json::{Value, json};

e2e::test_each_generation!(
    sends_valid_user_ids_unchanged,
    reads_user_id_from_configured_claim,
    mints_for_each_user_backend_names,
);

/// Returns the user IDs that were sent to Airbyte.
fn sent_users(env: &TestEnv) -> Vec<String> {
    let name = env.names().user;
    let user = |body: Value| body[name].as_str().unwrap().to_owned();
    let requests = env.requests(Route::WidgetToken);
    requests
        .iter()
        .map(|request| user(request.json().unwrap()))
        .collect()
}

#[tokio::test]
async fn rejects_unverified_callers() {
    let authorizers = [
        json!(null),
        json!({}),
        json!({ "jwt": null }),
        json!({ "iam": null }),
        json!({ "jwt": null, "iam": null }),
        json!({ "jwt": { "claims": null } }),
        json!({ "jwt": { "claims": {} } }),
        // Payload format 1.0, and keys in another case.
        json!({ "claims": { "sub": "alice" } }),
        json!({ "JWT": { "claims": { "sub": "alice" } } }),
        json!({ "principalId": "alice", "sub": "alice" }),
        // A Lambda authorizer.
        json!({ "lambda": { "sub": "alice" } }),
    ];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        // The body does not authenticate.
        let event = Event::valid(binary).field("externalUserId", "alice");
        function
            .invoke(event.clone().no_authorizer())
            .await
            .expect_problem(401, "unauthenticated");
        for authorizer in &authorizers {
            let _case = case(authorizer);
            function
                .invoke(event.clone().authorizer(authorizer))
                .await
                .expect_problem(401, "unauthenticated");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn rejects_malformed_authorizers() {
    let authorizers = [
        json!(""),
        json!("jwt"),
        json!([]),
        json!(["jwt"]),
        json!(17),
        json!(true),
        json!({ "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9." }),
        json!({ "jwt": { "claims": "sub=alice" } }),
        json!({ "jwt": { "claims": [{ "sub": "alice" }] } }),
        json!({ "iam": "arn:aws:iam::123456789012:role/backend" }),
    ];
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let event = Event::valid(binary).field("externalUserId", "alice");
        for authorizer in &authorizers {
            let _case = case(authorizer);
            expect_malformed_event(&function, event.clone().authorizer(authorizer)).await;
        }
        for (request_context, status, problem_type) in [
            (json!(null), 400, "invalid-request"),
            (
                json!({ "http": { "method": "POST", "path": "/" } }),
                401,
                "unauthenticated",
            ),
        ] {
            let _case = case(&request_context);
            let mut event = event.clone().into_json();
            event["requestContext"] = request_context;
            function
                .invoke(event)
                .await
                .expect_problem(status, problem_type);
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

async fn expect_malformed_event(function: &Function, event: Event) {
    let problem = function
        .invoke(event)
        .await
        .expect_problem(400, "invalid-request");
    assert_eq!(
        problem.detail,
        "The event is not an HTTP request from API Gateway (payload format 2.0). Call the API's URL."
    );
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
        let event = Event::valid(binary)
            .field("externalUserId", "bob")
            .authorizer(&both);
        function
            .invoke(event)
            .await
            .expect_problem(401, "unauthenticated");
    }
    assert!(env.airbyte.requests().is_empty());
}

async fn sends_valid_user_ids_unchanged(generation: Generation) {
    let longest = "é".repeat(256);
    let ids = [
        "u",
        "alice@example.com",
        "auth0|507f1f77bcf86cd799439011",
        "Alice and Bob",
        "ユーザー",
        "😀",
        "zero\u{200b}width",
        r#""quoted" \ and/slashed {}"#,
        longest.as_str(),
    ];
    let env = TestEnv::of(generation).await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        env.airbyte.clear_requests();
        for id in ids {
            let _case = case(id);
            function
                .invoke(Event::valid(binary).user(id))
                .await
                .expect_success(binary.success());
        }
        assert_eq!(sent_users(&env), ids);
    }
}

/// User IDs that break the rule for them.
fn invalid_user_ids() -> Vec<String> {
    [
        "",
        " ",
        "\t\n",
        " alice",
        "alice ",
        "\u{a0}alice",
        "alice\u{2003}",
        "al\0ice",
        "alice\r\nx-header: 1",
        "al\u{7f}ice",
        "al\u{85}ice",
        &"u".repeat(257),
        &"é".repeat(257),
        &"u".repeat(10 * 1024),
    ]
    .map(str::to_owned)
    .into()
}

#[tokio::test]
async fn forbids_callers_without_valid_user_id() {
    let mut cases: Vec<_> = invalid_user_ids()
        .into_iter()
        .map(|id| json!({ "sub": id }))
        .collect();
    cases.extend([
        json!({ "aud": "client-1" }),
        json!({ "Sub": "alice" }),
        json!({ "sub ": "alice" }),
    ]);
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for claims in &cases {
            let _case = case(claims);
            function
                .invoke(Event::valid(binary).claims(claims))
                .await
                .expect_problem(403, "forbidden");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

/// API Gateway sends every claim as a string.
#[tokio::test]
async fn rejects_non_string_claims() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for claim in [
            json!(null),
            json!(17),
            json!(true),
            json!(["alice"]),
            json!({ "id": "alice" }),
        ] {
            let _case = case(&claim);
            let event = Event::valid(binary).claims(&json!({ "sub": claim }));
            expect_malformed_event(&function, event).await;
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
            let _case = case(named);
            function
                .invoke(Event::valid(binary).field("externalUserId", named))
                .await
                .expect_problem(403, "forbidden");
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn ignores_body_user_without_claim() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        let event = Event::valid(binary)
            .field("externalUserId", "alice")
            .claims(&json!({ "aud": "client-1" }));
        function
            .invoke(event)
            .await
            .expect_problem(403, "forbidden");
    }
    assert!(env.airbyte.requests().is_empty());
}

async fn reads_user_id_from_configured_claim(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let claim = "https://example.com/user_id";
    let config = env.config().with("EXTERNAL_USER_ID_CLAIM", claim);
    for binary in Binary::ALL {
        let function = Function::start(binary, &config).await;
        env.airbyte.clear_requests();
        let claims = json!({ "sub": "another", claim: "alice" });
        function
            .invoke(Event::valid(binary).claims(&claims))
            .await
            .expect_success(binary.success());
        assert_eq!(sent_users(&env), ["alice"]);

        function
            .invoke(Event::valid(binary).user("alice"))
            .await
            .expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn requires_backend_to_name_user() {
    let env = TestEnv::new().await;
    for binary in Binary::ALL {
        let function = env.start(binary).await;
        for event in [
            Event::valid(binary),
            Event::valid(binary).field("externalUserId", Value::Null),
        ] {
            let problem = function
                .invoke(event.iam())
                .await
                .expect_problem(400, "invalid-request");
            assert_eq!(problem.errors.len(), 1, "{problem:?}");
            assert_eq!(problem.errors[0].pointer, "/externalUserId");
            assert_eq!(
                problem.errors[0].detail,
                "is required for callers with an IAM signature"
            );
        }
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn returns_all_field_errors_to_backend() {
    let env = TestEnv::new().await;
    let (mint, create) = (env.mint_token().await, env.create_source().await);
    for named in [Value::Null, json!(" alice"), json!(7)] {
        let _case = case(&named);
        let body = json!({ "externalUserId": named, "unknown": 1 });
        assert_eq!(
            mint.invoke(Event::mint().iam().json(&body))
                .await
                .expect_problem(400, "invalid-request")
                .pointers(),
            ["/externalUserId", "/unknown"]
        );
        assert_eq!(
            create
                .invoke(Event::create().iam().json(&body))
                .await
                .expect_problem(400, "invalid-request")
                .pointers(),
            [
                "/connection_configuration",
                "/externalUserId",
                "/source_config_template_id",
                "/unknown",
            ]
        );
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn validates_user_ids_named_by_backend() {
    let mut cases: Vec<_> = invalid_user_ids().into_iter().map(Value::from).collect();
    cases.extend([
        json!(17),
        json!(true),
        json!(["alice"]),
        json!({ "id": "alice" }),
    ]);
    let env = TestEnv::new().await;
    let function = env.mint_token().await;
    for named in cases {
        let _case = case(&named);
        let problem = function
            .invoke(Event::mint().iam().field("externalUserId", named))
            .await
            .expect_problem(400, "invalid-request");
        assert_eq!(problem.pointers(), ["/externalUserId"]);
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
        let event = Event::valid(binary)
            .field("externalUserId", "bob")
            .authorizer(&identity);
        let problem = function
            .invoke(event)
            .await
            .expect_problem(403, "forbidden");
        assert_eq!(
            problem.detail,
            "The request is signed by an end user (a Cognito identity pool), but only a trusted backend may use an IAM \
             signature. Call from the backend, or send the user's JWT."
        );
    }
    assert!(env.airbyte.requests().is_empty());
}

async fn mints_for_each_user_backend_names(generation: Generation) {
    let env = TestEnv::of(generation).await;
    let function = env.mint_token().await;
    for user in ["alice", "bob"] {
        let event = Event::mint()
            .iam()
            .no_origin()
            .field("externalUserId", user);
        let response = function.invoke(event).await;
        assert_eq!(
            response.expect_success(200)["workspaceId"],
            env.workspace_of(user).to_string()
        );
    }
}
