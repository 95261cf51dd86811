//! Secrecy: canaries wherever a secret, a token, a claim or a configuration value can occur, through every kind of
//! failure, at the most verbose log level. None may occur in a response or in the output.

use std::time::Duration;

use airbyte_sim::{Airbyte, Application, CannedResponse, FaultKind, Options, Route};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use e2e::{
    Binary, Config, Event, Function, Generation, POSTGRES, Secret, SecretsManager, TestEnv, case,
    token,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

e2e::test_each_generation!(
    requests_never_expose_secrets,
    airbyte_failures_never_expose_secrets,
);

const ORGANIZATION_TOKEN: &str = "canary-organization-token-5f1e";
const CLIENT_ID: &str = "canary-client-id-77ab";
const CLIENT_SECRET: &str = "canary-client-secret-0c9d";
const USER: &str = "canary-user-31fe@example.com";
const CLAIM: &str = "canary-claim-e02b";
const AUTHORIZATION: &str = "canary-authorization-header-9a61";
const COOKIE: &str = "canary-cookie-44d7";
const HEADER: &str = "canary-header-b85a";
const QUERY: &str = "canary-query-27cc";
const HOST: &str = "canary-host-1d3e";
const DATABASE: &str = "canary-database-620f";
const USERNAME: &str = "canary-username-f7a8";
const PASSWORD: &str = "canary-password-8e94";
const NAME: &str = "canary-name-b2e5";
const API_TOKEN: &str = "canary-api-token-40c7";
const SUBDOMAIN: &str = "canary-subdomain-9d1f";
const AWS_SECRET_ACCESS_KEY: &str = "canary-aws-secret-access-key-c5b2";
const AWS_SESSION_TOKEN: &str = "canary-aws-session-token-03fd";
const UPSTREAM: &str = "canary-of-the-upstream-d916";

const CANARIES: [&str; 19] = [
    ORGANIZATION_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    USER,
    CLAIM,
    AUTHORIZATION,
    COOKIE,
    HEADER,
    QUERY,
    HOST,
    DATABASE,
    USERNAME,
    PASSWORD,
    NAME,
    API_TOKEN,
    SUBDOMAIN,
    AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN,
    UPSTREAM,
];

/// Timeout of an invocation: short, because there are many, but enough for three attempts.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The secrets of a function's lifetime.
struct Secrets(Vec<String>);

impl Secrets {
    fn new() -> Secrets {
        Secrets(CANARIES.map(str::to_owned).into())
    }

    /// Adds the tokens that were sent to Airbyte, and their signatures.
    fn add_sent_tokens(&mut self, airbyte: &Airbyte) {
        for request in airbyte.requests() {
            let authorization = request.header("authorization");
            if let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) {
                self.0.push(token.to_owned());
                let signature = token.rsplit('.').next();
                let signature = signature.filter(|signature| signature.len() > 20);
                self.0.extend(signature.map(str::to_owned));
            }
        }
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// Checks that no secret occurs in `text`, in any encoding.
    fn expect_absent(&self, source: &str, text: &str) {
        for secret in &self.0 {
            let forms = [
                secret.clone(),
                BASE64_STANDARD.encode(secret),
                BASE64_STANDARD_NO_PAD.encode(secret),
                BASE64_URL_SAFE_NO_PAD.encode(secret),
                secret.replace('@', "%40"),
            ];
            assert!(
                !forms.iter().any(|form| text.contains(form)),
                "{secret} occurs in {source}:\n{text}"
            );
        }
    }
}

/// Adds canaries to the caller, the headers and the query of an event.
fn with_canaries(event: Event) -> Event {
    let event = event
        .claims(&json!({ "sub": USER, "email": CLAIM, "aud": "client-1" }))
        .header("authorization", &format!("Bearer {AUTHORIZATION}"))
        .header("cookie", &format!("session={COOKIE}"))
        .header("x-anything", HEADER);
    let mut event = event.into_json();
    event["rawQueryString"] = json!(format!("q={QUERY}"));
    event["cookies"] = json!([format!("session={COOKIE}")]);
    Event::from(event)
}

fn configuration() -> Value {
    json!({
        "host": HOST,
        "database": DATABASE,
        "username": USERNAME,
        "password": PASSWORD,
        "tunnel": { "key": [PASSWORD] },
    })
}

/// Creates a valid request with canaries.
fn valid_request(binary: Binary, generation: Generation) -> Event {
    let event = match binary {
        Binary::MintToken => Event::mint(),
        Binary::CreateSource => {
            let template = json!(POSTGRES);
            let body = json!({ "source_config_template_id": template, "connection_configuration": configuration() });
            let event = Event::create_source(USER, &body);
            match generation {
                Generation::Embedded => event,
                Generation::Agents => event
                    .field("name", NAME)
                    .field("credentials", json!({ "api_token": API_TOKEN }))
                    .field("environment", json!({ "subdomain": SUBDOMAIN })),
            }
        }
    };
    with_canaries(event)
}

/// Creates requests of every outcome that the caller alone can cause, and valid ones.
fn requests(binary: Binary, generation: Generation) -> Vec<Event> {
    let valid = valid_request(binary, generation);
    let field = |name, value: Value| valid.clone().field(name, value);
    let mut events = match binary {
        Binary::MintToken => vec![
            field(
                "allowedOrigin",
                json!(format!("https://{PASSWORD}.example")),
            ),
            field("allowedOrigin", json!([PASSWORD])),
        ],
        Binary::CreateSource => {
            let an_hour_ago = OffsetDateTime::now_utc() - time::Duration::HOUR;
            let expired = token::scoped_claims(Uuid::new_v4(), USER, an_hour_ago);
            vec![
                field("token", json!(PASSWORD)),
                field("token", json!(token::opaque_with_claims(&expired))),
                field("token", json!(token::opaque_for(Uuid::new_v4(), USER))),
                field("workspace_id", json!(PASSWORD)),
                field("source_config_template_id", json!(PASSWORD)),
                field("source_config_template_id", json!(Uuid::new_v4())),
                field("connection_configuration", json!(PASSWORD)),
                field("connection_configuration", json!({ "port": PASSWORD })),
                field("name", json!([NAME])),
                field("name", json!(NAME.repeat(20))),
                field("credentials", json!(API_TOKEN)),
                field("environment", json!([SUBDOMAIN])),
                valid.clone().body(format!(
                    r#"{{"connection_configuration":{{"x":"{PASSWORD}","x":"{PASSWORD}\ud800","y":1e999}}}}"#
                )),
            ]
        }
    };
    events.extend([
        field("externalUserId", json!(PASSWORD)),
        valid.clone().no_authorizer(),
        valid.clone().origin(&format!("https://{PASSWORD}.example")),
        valid.clone().body(format!("{PASSWORD} {{")),
        valid.clone().raw_base64_body(&format!("!{PASSWORD}")),
        valid
            .clone()
            .base64_body(format!("\"{PASSWORD}\"").as_bytes()),
        valid.clone(),
        valid,
    ]);
    events
}

/// Creates failures of Airbyte whose bodies contain canaries, in known shapes and in others.
fn airbyte_faults(generation: Generation) -> Vec<FaultKind> {
    let configuration_field = generation.names().configuration;
    let canaries = CANARIES.join(" ");
    let mut faults = Vec::new();
    for status in [200, 302, 400, 401, 403, 404, 409, 418, 422, 429, 500, 503] {
        for body in [
            json!({ "detail": canaries }),
            json!({ "detail": [{
                "loc": ["body", configuration_field, "password"], "msg": canaries, "type": canaries,
                "input": configuration(),
            }] }),
            json!({ "message": canaries, "_embedded": { "errors": [{ "message": canaries }] } }),
            json!({ "message": canaries, "errors": [{
                "field": format!("{configuration_field}.{PASSWORD}"), "message": canaries, "error_code": canaries,
                "details": configuration(),
            }] }),
            json!({ "title": canaries, "detail": canaries, "data": { "message": canaries, "value": canaries } }),
            json!({ "token": canaries, "access_token": canaries }),
        ] {
            let location = format!("https://{UPSTREAM}.example/");
            let response = CannedResponse::new(status).header("location", location);
            faults.push(FaultKind::Respond(response.json(&body)));
        }
        let html = CannedResponse::new(status).header("content-type", "text/html");
        faults.push(FaultKind::Respond(html.body(canaries.clone())));
    }
    faults.extend([
        FaultKind::ResetBeforeResponse,
        FaultKind::ResetMidResponse,
        FaultKind::CloseBeforeResponse,
        FaultKind::Hang,
    ]);
    faults
}

fn config(env: &TestEnv) -> Config {
    env.config()
        .with("RUST_LOG", "trace")
        .with("RUST_BACKTRACE", "full")
        .with("AWS_SECRET_ACCESS_KEY", AWS_SECRET_ACCESS_KEY)
        .with("AWS_SESSION_TOKEN", AWS_SESSION_TOKEN)
}

/// Starts an environment with canaries as credentials.
async fn start(secret: &Value) -> TestEnv {
    let options = Options {
        organization_tokens: vec![ORGANIZATION_TOKEN.to_owned()],
        applications: vec![Application {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
        }],
        ..Options::default()
    };
    TestEnv::with(options, Secret::create_json(secret).await).await
}

fn organization_token() -> Value {
    json!({ "organization_token": ORGANIZATION_TOKEN, "note": UPSTREAM })
}

fn application() -> Value {
    json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "note": UPSTREAM })
}

/// Invokes the function and checks its responses and its output. A success returns tokens, so only its headers are checked.
async fn expect_no_secrets(
    env: &TestEnv,
    function: &Function,
    events: &[Event],
    secrets: &mut Secrets,
) {
    for event in events {
        let response = function.invoke_with_timeout(event, TIMEOUT).await;
        secrets.add_sent_tokens(&env.airbyte);
        if response.status >= 400 {
            secrets.expect_absent("the body", &response.text);
        }
        secrets.expect_absent("the headers", &format!("{:?}", response.headers));
    }
    secrets.expect_absent("the output", &function.output());
}

async fn requests_never_expose_secrets(generation: Generation) {
    for secret in [organization_token(), application()] {
        let env = start(&secret).await.generation(generation);
        for binary in Binary::ALL {
            let function = Function::start(binary, &config(&env)).await;
            let mut secrets = Secrets::new();
            expect_no_secrets(&env, &function, &requests(binary, generation), &mut secrets).await;
            assert!(
                binary == Binary::MintToken || secrets.0.len() > CANARIES.len(),
                "no scoped token was sent"
            );
        }
    }
}

async fn airbyte_failures_never_expose_secrets(generation: Generation) {
    for (secret, route, binary) in [
        (organization_token(), Route::WidgetToken, Binary::MintToken),
        (organization_token(), Route::Sources, Binary::CreateSource),
        (application(), Route::ApplicationToken, Binary::MintToken),
    ] {
        let env = start(&secret).await.generation(generation);
        let event = [valid_request(binary, generation)];
        for fault in airbyte_faults(generation) {
            let _case = case(format_args!("{route:?}, {fault:?}"));
            env.airbyte.clear_faults();
            // A new process for each, because a process with a rejected credential sends nothing for a while.
            let function = Function::start(binary, &config(&env)).await;
            env.airbyte.revoke_application_tokens();
            env.inject(route, fault);
            env.airbyte.clear_requests();
            expect_no_secrets(&env, &function, &event, &mut Secrets::new()).await;
            assert!(!env.airbyte.requests().is_empty());
        }
    }
}

#[tokio::test]
async fn secrets_manager_failures_never_expose_secrets() {
    let canaries = CANARIES.join(" ");
    let env = start(&organization_token()).await;
    let mut secrets = Secrets::new();
    let respond = |status, body: String| FaultKind::Respond(CannedResponse::new(status).body(body));
    let value = |value: &str| json!({ "SecretString": value }).to_string();
    for fault in [
        SecretsManager::error(400, "AccessDeniedException"),
        respond(
            400,
            json!({ "__type": "ValidationException", "Message": canaries }).to_string(),
        ),
        respond(500, canaries.clone()),
        respond(200, canaries.clone()),
        respond(200, value(&canaries)),
        respond(200, value(&json!({ "token": canaries }).to_string())),
        respond(200, value(&format!("{canaries}\r\nx: y"))),
        FaultKind::ResetMidResponse,
    ] {
        let _case = case(format_args!("{fault:?}"));
        env.secrets_manager.inject(fault);
        for binary in Binary::ALL {
            let function = Function::start(binary, &config(&env)).await;
            expect_no_secrets(
                &env,
                &function,
                &requests(binary, Generation::Embedded),
                &mut secrets,
            )
            .await;
        }
    }
}

#[tokio::test]
async fn withholds_invalid_configuration_values() {
    let env = start(&organization_token()).await;
    for name in [
        "AIRBYTE_API_URL",
        "AIRBYTE_ORGANIZATION_ID",
        "ALLOWED_ORIGINS",
        "SECRET_TTL_SECONDS",
        "RUST_LOG",
        "AIRBYTE_API",
        "AIRBYTE_SOURCES_BEARER",
        "AIRBYTE_REGION_ID",
        "SOURCE_TEMPLATE_TAGS_MODE",
        "CONNECTION_TEMPLATE_TAGS_MODE",
    ] {
        let _case = case(name);
        let config = config(&env)
            .with("AIRBYTE_API", "agents")
            .with(name, ORGANIZATION_TOKEN);
        let exit = Function::expect_exit(Binary::MintToken, &config).await;
        Secrets::new().expect_absent("the output", &exit.to_string());
        Secrets::new().expect_absent("the init error", &exit.init_errors.concat());
    }
}
