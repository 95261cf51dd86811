//! What only the `agents` generation has: settings, optional fields of a source, and creates with the organization's token.

use airbyte_sim::{
    Application, CannedResponse, ErrorShape, FaultKind, Options, Route, SourcesBearer,
};
use e2e::{
    Binary, Config, Event, Function, Generation, Problem, Response, Secret, TestEnv, case,
    faker_source, token,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// The simulator's "Helpdesk" template, which requires `credentials` with `api_token`.
const HELPDESK: Uuid = Uuid::from_u128(0x6e4c_9d0a_1b7f_4f0e_9a53_2f6b_8c1d_7e03);

const REGION: &str = "645a183f-b12b-4c6e-8ad3-99e165603450";

/// Creates a request for the "Helpdesk" template with these fields.
fn create_helpdesk(fields: &str) -> Event {
    let body = format!(r#"{{"source_config_template_id":"{HELPDESK}",{fields}}}"#);
    Event::create().body(body)
}

#[tokio::test]
async fn mint_sends_region_and_tags() {
    let env = TestEnv::of(Generation::Agents).await;
    let config = env
        .config()
        .with("AIRBYTE_REGION_ID", REGION)
        .with("SOURCE_TEMPLATE_TAGS", "crm, files")
        .with("SOURCE_TEMPLATE_TAGS_MODE", "all")
        .with("CONNECTION_TEMPLATE_TAGS", "daily");
    for binary in Binary::ALL {
        let _case = case(binary.name());
        let function = Function::start(binary, &config).await;
        env.airbyte.clear_requests();

        let response = function.invoke(Event::valid(binary)).await;

        response.expect_success(binary.success());
        assert_eq!(
            env.requests(Route::WidgetToken)[0].json().unwrap(),
            json!({
                "workspace_name": "alice",
                "allowed_origin": Config::ORIGIN,
                "region_id": REGION,
                "selected_source_template_tags": ["crm", "files"],
                "selected_source_template_tags_mode": "all",
                "selected_connection_template_tags": ["daily"],
                "selected_connection_template_tags_mode": "any",
            })
        );
    }
    let region = env.airbyte.workspaces()[0].region_id;
    assert_eq!(region, Uuid::try_parse(REGION).ok());
}

#[tokio::test]
async fn forwards_optional_fields_verbatim() {
    let env = TestEnv::of(Generation::Agents).await;
    let function = env.create_source().await;
    let credentials = r#"{ "api_token" :  "\u00e9 \/", "n": 123456789012345678901234567890 }"#;
    let environment = r#"{ "subdomain":"acme", "f" : 1.0 }"#;
    let fields =
        format!(r#""name":"My desk 😀","credentials":{credentials},"environment":{environment}"#);

    let response = function.invoke(create_helpdesk(&fields)).await;

    let body = response.expect_success(201);
    let source = &env.airbyte.sources()[0];
    assert_eq!(body["id"], source.id.to_string());
    assert_eq!(source.name, "My desk 😀");
    assert_eq!(source.credentials.as_deref(), Some(credentials));
    assert_eq!(source.environment.as_deref(), Some(environment));
    let sent = env.requests(Route::Sources)[0].json().unwrap();
    assert_eq!(sent.get("replication_config"), None);
}

/// Creates an object of this depth.
fn nested(depth: usize) -> String {
    format!("{}1{}", "{\"x\":".repeat(depth), "}".repeat(depth))
}

#[tokio::test]
async fn validates_optional_fields() {
    const NAME: &str = "/name must be 1 to 255 characters";
    let too_deep = format!(r#""credentials":{}"#, nested(65));
    let pointer_to_deepest = format!("/credentials{} is nested too deeply", "/x".repeat(64));
    let too_long = format!(r#""credentials":{{}},"name":"{}""#, "é".repeat(256));
    let cases: [(&str, &[&str]); 7] = [
        (
            r#""credentials":{"a":1,"a":2},"environment":{"b":[1e999]}"#,
            &[
                "/credentials/a appears more than once",
                "/environment/b/0 is out of range for a 64-bit float",
            ],
        ),
        (
            r#""credentials":{"a":"\ud800"}"#,
            &["/credentials/a contains an unpaired UTF-16 surrogate"],
        ),
        (
            r#""credentials":[],"environment":"{}","name":1"#,
            &[
                "/credentials must be an object",
                "/environment must be an object",
                "/name must be a string",
            ],
        ),
        (r#""credentials":{},"name":"""#, &[NAME]),
        (&too_long, &[NAME]),
        (&too_deep, &[&pointer_to_deepest]),
        (
            r#""environment":{},"name":"x""#,
            &["/connection_configuration is required"],
        ),
    ];
    let env = TestEnv::of(Generation::Agents).await;
    let function = env.create_source().await;
    for (fields, errors) in cases {
        let _case = case(fields);
        let response = function.invoke(create_helpdesk(fields)).await;
        let problem = response.expect_problem(400, "invalid-request");
        assert_eq!(problem.messages(), errors);
    }
    assert!(env.airbyte.requests().is_empty());

    let longest = "é".repeat(255);
    let fields = format!(r#""credentials":{{"api_token":"t"}},"name":"{longest}""#);
    let response = function.invoke(create_helpdesk(&fields)).await;
    response.expect_success(201);
    assert_eq!(env.airbyte.sources()[0].name, longest);
}

#[tokio::test]
async fn embedded_rejects_optional_fields() {
    let env = TestEnv::of(Generation::Embedded).await;
    let function = env.create_source().await;
    for (name, value) in [
        ("name", json!("Mine")),
        ("credentials", json!({})),
        ("environment", json!({})),
    ] {
        let _case = case(name);
        let response = function.invoke(Event::create().field(name, value)).await;
        let problem = response.expect_problem(400, "invalid-request");
        assert_eq!(
            problem.messages(),
            [format!("/{name} is not known to this Airbyte API")]
        );
    }
    assert!(env.airbyte.requests().is_empty());
}

#[tokio::test]
async fn maps_errors_of_optional_fields() {
    let env = TestEnv::of(Generation::Agents).await;
    let function = env.create_source().await;
    let invalid = create_helpdesk(r#""credentials":{},"environment":{"subdomain":""}"#);
    let expect_errors = |response: Response, errors: &[&str]| {
        let problem = response.expect_problem(422, "source-rejected");
        assert_eq!(problem.messages(), errors);
    };

    let response = function.invoke(invalid.clone()).await;
    expect_errors(
        response,
        &[
            "/credentials/api_token Field required",
            "/environment/subdomain String should have at least 1 character",
        ],
    );

    let error = |field: Value| json!({ "field": field, "message": null, "error_code": "missing" });
    let body = json!({ "message": null, "errors": [
        error(json!("name")),
        error(json!(["body", "credentials", "api_token"])),
        error(json!("/environment/subdomain")),
        error(json!("workspace_name")),
        error(json!("source_template_id")),
    ] });
    env.respond(Route::Sources, CannedResponse::new(422).json(&body));
    let response = function.invoke(invalid).await;
    expect_errors(
        response,
        &[
            "/credentials/api_token is required",
            "/environment/subdomain is required",
            "/externalUserId is required",
            "/name is required",
            "/source_config_template_id is required",
        ],
    );
}

#[tokio::test]
async fn withholds_optional_values_echoed_by_airbyte() {
    const TOKEN: &str = "canary-api-token-1f0e";
    const SUBDOMAIN: &str = "canary-subdomain-77";
    const NAME: &str = "canary-name-9b3c";
    let env = TestEnv::of(Generation::Agents).await;
    let function = env.create_source().await;
    let event = create_helpdesk(&format!(
        r#""name":"{NAME}","credentials":{{"api_token":"{TOKEN}"}},"environment":{{"subdomain":"{SUBDOMAIN}"}}"#
    ));
    for echoed in [TOKEN, SUBDOMAIN, NAME] {
        let bodies = [
            json!({ "message": format!("bad: {echoed}"), "errors": [
                { "field": "credentials.api_token", "message": format!("'{echoed}' is too short"), "error_code": "x",
                  "details": { "input": echoed } },
                { "field": format!("environment.{echoed}"), "message": echoed, "error_code": echoed },
            ] }),
            json!({ "detail": [{ "loc": ["body", "name", echoed], "msg": echoed, "input": echoed }] }),
        ];
        for status in [400, 403, 404, 409, 422, 500] {
            for body in &bodies {
                let _case = case(format_args!("{status} {body}"));
                env.respond(Route::Sources, CannedResponse::new(status).json(body));

                let response = function.invoke(event.clone()).await;

                assert!(response.status >= 400, "{response:?}");
                assert!(!response.text.contains(echoed), "{response:?}");
            }
        }
        assert!(!function.output().contains(echoed), "{}", function.output());
    }
}

/// Starts an environment whose Airbyte creates sources with an organization's token only.
async fn env_with_organization_bearer(secret: Secret) -> TestEnv {
    let options = Options {
        sources_bearer: SourcesBearer::Organization,
        ..Options::default()
    };
    TestEnv::with(options, secret)
        .await
        .generation(Generation::Agents)
}

/// Starts `create-source` with `AIRBYTE_SOURCES_BEARER=organization`, and clears the request log.
async fn start_with_organization_bearer(env: &TestEnv) -> Function {
    let config = env.config().with("AIRBYTE_SOURCES_BEARER", "organization");
    let function = Function::start(Binary::CreateSource, &config).await;
    env.airbyte.clear_requests();
    function
}

fn organization_token() -> impl Future<Output = Secret> {
    Secret::create(TestEnv::ORGANIZATION_TOKEN)
}

#[tokio::test]
async fn creates_with_organization_token() {
    let env = env_with_organization_bearer(organization_token().await).await;
    let function = start_with_organization_bearer(&env).await;

    for _ in 0..2 {
        let response = function.invoke(Event::create()).await;
        response.expect_success(201);
    }

    // The scoped token is cached, because it is what the workspace is known by.
    assert_eq!(
        env.routes(),
        [Route::WidgetToken, Route::Sources, Route::Sources]
    );
    let create = &env.requests(Route::Sources)[0];
    assert_eq!(
        create.header("authorization"),
        Some("Bearer dev-organization-token")
    );
    assert_eq!(
        create.header("x-organization-id"),
        Some(Config::ORGANIZATION_ID)
    );
    assert_eq!(create.json().unwrap()["workspace_name"], "alice");
    let source = &env.airbyte.sources()[0];
    assert_eq!(source.workspace_id, env.workspace_of("alice"));
}

#[tokio::test]
async fn creates_with_application_token() {
    let secret = Secret::application("dev-client-secret").await;
    let env = env_with_organization_bearer(secret).await;
    let function = start_with_organization_bearer(&env).await;

    let response = function.invoke(Event::create()).await;

    response.expect_success(201);
    let requests = env.airbyte.requests();
    let [mint, create] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(create.header("authorization"), mint.header("authorization"));
}

#[tokio::test]
async fn never_sends_supplied_token_with_organization_bearer() {
    let env = env_with_organization_bearer(organization_token().await).await;
    let token = token::mint(&env.airbyte, "alice").await;
    let workspace = env.workspace_of("alice").to_string();
    let function = start_with_organization_bearer(&env).await;
    // Airbyte would reject it.
    env.airbyte.revoke_scoped_tokens();

    let event = Event::create()
        .field("token", token.clone())
        .field("workspace_id", workspace);
    let response = function.invoke(event).await;

    response.expect_success(201);
    assert_eq!(env.routes(), [Route::Sources]);
    let scoped_token = token::decode(&token)["token"].clone();
    let create = &env.requests(Route::Sources)[0];
    assert!(!format!("{create:?}").contains(scoped_token.as_str().unwrap()));
    assert_eq!(
        create.header("authorization"),
        Some("Bearer dev-organization-token")
    );
}

#[tokio::test]
async fn checks_supplied_token_with_organization_bearer() {
    let env = env_with_organization_bearer(organization_token().await).await;
    let token = token::mint(&env.airbyte, "alice").await;
    let function = start_with_organization_bearer(&env).await;
    let an_hour_ago = OffsetDateTime::now_utc() - time::Duration::HOUR;
    let expired = token::scoped_claims(env.workspace_of("alice"), "alice", an_hour_ago);
    let with_token = |token: &str| Event::create().field("token", token);
    for (name, event, status, problem_type) in [
        ("undecodable", with_token("abc!"), 400, "invalid-token"),
        (
            "expired",
            with_token(&token::opaque_with_claims(&expired)),
            401,
            "token-expired",
        ),
        (
            "another workspace",
            with_token(&token).field("workspace_id", Uuid::new_v4().to_string()),
            403,
            "forbidden",
        ),
    ] {
        let _case = case(name);
        let response = function.invoke(event).await;
        response.expect_problem(status, problem_type);
    }
    assert!(env.airbyte.requests().is_empty());
}

/// The organization's token may create sources for anyone, so the verified caller alone decides for whom.
#[tokio::test]
async fn organization_bearer_creates_for_verified_user_only() {
    let env = env_with_organization_bearer(organization_token().await).await;
    let token = token::mint(&env.airbyte, "bob").await;
    token::mint(&env.airbyte, "alice").await;
    let function = start_with_organization_bearer(&env).await;
    let with_token = Event::create().field("token", token);

    let named = with_token.clone().field("externalUserId", "bob");
    let response = function.invoke(named).await;
    response.expect_problem(403, "forbidden");
    let unknown = with_token.clone().field("workspace_name", "bob");
    let response = function.invoke(unknown).await;
    response.expect_problem(400, "invalid-request");
    assert!(env.airbyte.requests().is_empty());

    for (name, event) in [
        ("token of another user", with_token.clone()),
        ("backend", with_token.iam().field("externalUserId", "alice")),
    ] {
        let _case = case(name);
        function.invoke(event).await.expect_success(201);
        let source = env.airbyte.sources().pop().unwrap();
        assert_eq!(source.external_user_id, "alice");
        assert_eq!(source.workspace_id, env.workspace_of("alice"));
    }
}

#[tokio::test]
async fn organization_bearer_survives_rotation() {
    let env = env_with_organization_bearer(organization_token().await).await;
    let token = token::mint(&env.airbyte, "alice").await;
    let function = start_with_organization_bearer(&env).await;
    env.airbyte
        .set_organization_tokens(vec!["new-token".to_owned()]);
    env.secret.put("new-token").await;

    let response = function.invoke(Event::create().field("token", token)).await;

    response.expect_success(201);
    assert_eq!(env.routes(), [Route::Sources, Route::Sources]);
    assert_eq!(env.airbyte.sources().len(), 1);
}

/// The token would end its header line, so no request with it can be sent.
#[tokio::test]
async fn reports_invalid_application_token_without_creating() {
    let secret = Secret::application("dev-client-secret").await;
    let env = env_with_organization_bearer(secret).await;
    let token = token::mint(&env.airbyte, "alice").await;
    let body = json!({ "access_token": "two\r\nlines", "expires_in": 900 });
    env.respond(
        Route::ApplicationToken,
        CannedResponse::new(200).json(&body),
    );
    let function = start_with_organization_bearer(&env).await;

    let response = function.invoke(Event::create().field("token", token)).await;

    let problem = response.expect_problem(502, "upstream-error");
    assert_eq!(
        problem.detail,
        "Airbyte returned an invalid response. Retry later."
    );
    assert!(env.requests(Route::Sources).is_empty());
}

#[tokio::test]
async fn rejected_organization_bearer_is_credential_rejected() {
    let secrets = [
        TestEnv::ORGANIZATION_TOKEN.to_owned(),
        Secret::application_value("dev-client-secret"),
    ];
    for secret in &secrets {
        let _case = case(secret);
        let env = env_with_organization_bearer(Secret::create(secret).await).await;
        let token = token::mint(&env.airbyte, "alice").await;
        let function = start_with_organization_bearer(&env).await;
        env.airbyte.set_organization_tokens(Vec::new());
        env.airbyte.set_applications(Vec::<Application>::new());
        env.airbyte.revoke_application_tokens();

        let response = function.invoke(Event::create().field("token", token)).await;

        response.expect_problem(502, "credential-rejected");
        assert!(env.airbyte.sources().is_empty());
    }
}

/// The organization's token creates the source, and Airbyte has not accepted it before.
#[tokio::test]
async fn attributes_403_on_create_to_request() {
    const FORBIDDEN: &str = "Airbyte does not allow this user to create this source. Check the template and the workspace.";
    const FIREWALL: &str = "Airbyte returned status 403. The source was not created. Retry later.";
    for (shape, status, problem_type, detail) in [
        (ErrorShape::AgentsForbidden, 403, "forbidden", FORBIDDEN),
        (ErrorShape::ProblemForbidden, 403, "forbidden", FORBIDDEN),
        (ErrorShape::HtmlForbidden, 502, "upstream-error", FIREWALL),
    ] {
        let _case = case(format_args!("{shape:?}"));
        let env = env_with_organization_bearer(organization_token().await).await;
        let token = token::mint(&env.airbyte, "alice").await;
        let function = start_with_organization_bearer(&env).await;
        env.respond(Route::Sources, shape.response());
        let event = Event::create().field("token", token);

        for _ in 0..3 {
            let response = function.invoke(event.clone()).await;
            let problem: Problem = response.expect_problem(status, problem_type);
            assert_eq!(problem.detail, detail);
        }

        assert_eq!(env.routes(), [Route::Sources; 3]);
        assert_eq!(env.secrets_manager.reads(), 1);
        let output = function.output();
        assert!(!output.contains("CredentialRejected"), "{output}");
        // Nothing that the denial could have affected: another user's create succeeds.
        env.airbyte.clear_faults();
        let other = Event::create_source("bob", &faker_source());
        function.invoke(other).await.expect_success(201);
    }
}

#[tokio::test]
async fn reports_scoped_bearer_that_airbyte_denies() {
    let env = env_with_organization_bearer(organization_token().await).await;
    let response = env.create_source().await.invoke(Event::create()).await;
    response.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn does_not_retry_create_with_organization_bearer() {
    let env = env_with_organization_bearer(organization_token().await).await;
    let function = start_with_organization_bearer(&env).await;
    for fault in [
        FaultKind::RespondAfterProcessing(CannedResponse::new(503)),
        FaultKind::ResetMidResponse,
    ] {
        let _case = case(format_args!("{fault:?}"));
        env.airbyte.clear_requests();
        env.inject(Route::Sources, fault);
        let response = function.invoke(Event::create()).await;
        response.expect_problem(502, "upstream-error");
        assert_eq!(env.requests(Route::Sources).len(), 1);
    }
}

#[tokio::test]
async fn reports_missing_workspace_as_rejected_source() {
    let env = env_with_organization_bearer(organization_token().await).await;
    // A token of another deployment: its workspace is not one of this organization's.
    let token = token::opaque_for(Uuid::new_v4(), "alice");
    let function = start_with_organization_bearer(&env).await;

    let response = function.invoke(Event::create().field("token", token)).await;

    let problem = response.expect_problem(422, "source-rejected");
    assert_eq!(
        problem.detail,
        "Airbyte rejected the source: Workspace not found"
    );
}
