//! Nothing that must stay secret comes out: canaries in every place where a secret, a token, a claim or a configuration
//! value can be, through every kind of failure, at the log level that prints the most.

use std::time::Duration;

use airbyte_sim::{Airbyte, Application, CannedResponse, FaultKind, Options, Route};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use e2e::{Binary, Config, Event, Function, POSTGRES, Secret, SecretsManager, TestEnv, token};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

const ORGANIZATION_TOKEN: &str = "canary-organization-token-5f1e";
const CLIENT_ID: &str = "canary-client-id-77ab";
const CLIENT_SECRET: &str = "canary-client-secret-0c9d";
const USER: &str = "canary-user-31fe@example.com";
/// What else comes with a request or is configured, none of which may be repeated.
const BYSTANDERS: [&str; 12] = [
    "canary-claim-e02b",
    "canary-authorization-header-9a61",
    "canary-cookie-44d7",
    "canary-header-b85a",
    "canary-query-27cc",
    "canary-host-1d3e",
    "canary-database-620f",
    "canary-username-f7a8",
    "canary-password-8e94",
    "canary-aws-secret-access-key-c5b2",
    "canary-aws-session-token-03fd",
    "canary-of-the-upstream-d916",
];

/// Short enough for the whole matrix, long enough for three tries.
const DEADLINE: Duration = Duration::from_secs(2);

/// Everything secret of one function's life, and where it must not be.
struct Watch {
    secrets: Vec<String>,
}

impl Watch {
    fn new() -> Watch {
        let named = [ORGANIZATION_TOKEN, CLIENT_ID, CLIENT_SECRET, USER];
        Watch {
            secrets: named
                .iter()
                .chain(&BYSTANDERS)
                .map(|&secret| secret.to_owned())
                .collect(),
        }
    }

    /// The tokens that have been sent by now are secret as well, and so is the part of them that makes them valid.
    fn learn(&mut self, airbyte: &Airbyte) {
        for exchange in airbyte.requests() {
            if let Some(token) = exchange
                .header("authorization")
                .and_then(|value| value.strip_prefix("Bearer "))
            {
                self.secrets.push(token.to_owned());
                self.secrets.extend(
                    token
                        .rsplit('.')
                        .next()
                        .filter(|part| part.len() > 20)
                        .map(str::to_owned),
                );
            }
        }
        self.secrets.sort_unstable();
        self.secrets.dedup();
    }

    /// Checks that no secret is in a text, whichever form it has.
    fn check(&self, place: &str, text: &str) {
        for secret in &self.secrets {
            let forms = [
                secret.clone(),
                BASE64_STANDARD.encode(secret),
                BASE64_STANDARD_NO_PAD.encode(secret),
                BASE64_URL_SAFE_NO_PAD.encode(secret),
                secret.replace('@', "%40"),
            ];
            assert!(
                !forms.iter().any(|form| text.contains(form)),
                "{secret} is in {place}:\n{text}"
            );
        }
    }
}

fn with_canaries(event: Event) -> Event {
    let event = event
        .claims(&json!({ "sub": USER, "email": BYSTANDERS[0], "aud": "client-1" }))
        .header("authorization", &format!("Bearer {}", BYSTANDERS[1]))
        .header("cookie", &format!("session={}", BYSTANDERS[2]))
        .header("x-anything", BYSTANDERS[3]);
    let mut event = event.into_json();
    event["rawQueryString"] = json!(format!("q={}", BYSTANDERS[4]));
    event["cookies"] = json!([format!("session={}", BYSTANDERS[2])]);
    Event::from(event)
}

fn configuration() -> Value {
    json!({
        "host": BYSTANDERS[5],
        "database": BYSTANDERS[6],
        "username": BYSTANDERS[7],
        "password": BYSTANDERS[8],
        "tunnel": { "key": [BYSTANDERS[8]] },
    })
}

/// Requests of every outcome that the caller alone can bring about, and good ones.
fn requests(binary: Binary) -> Vec<Event> {
    let expired = token::scoped_claims(
        Uuid::new_v4(),
        USER,
        OffsetDateTime::now_utc() - time::Duration::HOUR,
    );
    let expired = token::opaque(&token::jwt(&expired), "https://cloud.airbyte.com");
    let source = |extra: &Value| {
        let mut body = json!({ "source_config_template_id": POSTGRES, "connection_configuration": configuration() });
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        Event::create_source(USER, &body)
    };
    let canary = BYSTANDERS[8];
    let (good, mut events) = match binary {
        Binary::MintToken => (
            Event::mint_token(USER),
            vec![
                Event::mint_token(USER).json(&json!({ "allowedOrigin": format!("https://{canary}.example") })),
                Event::mint_token(USER).json(&json!({ "allowedOrigin": [canary] })),
                Event::mint_token(USER).json(&json!({ "externalUserId": canary })),
            ],
        ),
        Binary::CreateSource => (
            source(&json!({})),
            vec![
                source(&json!({ "token": canary })),
                source(&json!({ "token": expired })),
                source(&json!({ "token": token::opaque_for(Uuid::new_v4(), USER) })),
                source(&json!({ "workspace_id": canary })),
                source(&json!({ "source_config_template_id": canary })),
                source(&json!({ "source_config_template_id": Uuid::new_v4().to_string() })),
                source(&json!({ "connection_configuration": canary })),
                source(&json!({ "connection_configuration": { "port": canary } })),
                source(&json!({ "externalUserId": canary })),
                source(&json!({})).body(format!(
                    r#"{{"connection_configuration":{{"x":"{canary}","x":"{canary}\ud800","y":1e999}}}}"#
                )),
            ],
        ),
    };
    events.extend([
        good.clone().no_authorizer(),
        good.clone().origin(&format!("https://{canary}.example")),
        good.clone().body(format!("{canary} {{")),
        good.clone().raw_base64_body(&format!("!{canary}")),
        good.clone().base64_body(format!("\"{canary}\"").as_bytes()),
        good.clone(),
        good,
    ]);
    events
        .into_iter()
        .map(|event| {
            if event.has_authorizer() {
                with_canaries(event)
            } else {
                event
            }
        })
        .collect()
}

/// Failures of Airbyte: what it says holds canaries too, in the shapes that are understood and in others.
fn airbyte_faults() -> Vec<FaultKind> {
    let everything = [&[ORGANIZATION_TOKEN, CLIENT_SECRET, USER][..], &BYSTANDERS]
        .concat()
        .join(" ");
    let mut faults = Vec::new();
    for status in [200, 302, 400, 401, 403, 404, 409, 418, 422, 429, 500, 503] {
        for body in [
            json!({ "detail": everything }),
            json!({ "detail": [{
                "loc": ["body", "connection_configuration", "password"], "msg": everything, "type": everything,
                "input": configuration(),
            }] }),
            json!({ "message": everything, "_embedded": { "errors": [{ "message": everything }] } }),
            json!({ "title": everything, "detail": everything }),
            json!({ "token": everything, "access_token": everything }),
        ] {
            let location = format!("https://{}.example/", BYSTANDERS[11]);
            faults.push(FaultKind::Respond(
                CannedResponse::new(status)
                    .header("location", location)
                    .json(&body),
            ));
        }
        faults.push(FaultKind::Respond(
            CannedResponse::new(status)
                .header("content-type", "text/html")
                .body(everything.clone()),
        ));
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
        .with("AWS_SECRET_ACCESS_KEY", BYSTANDERS[9])
        .with("AWS_SESSION_TOKEN", BYSTANDERS[10])
}

async fn env(secret: &Value) -> TestEnv {
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

/// Sends the requests and looks for secrets in what comes back.
async fn check(env: &TestEnv, function: &Function, events: &[Event], watch: &mut Watch) {
    for event in events {
        let response = function.invoke_with_timeout(event, DEADLINE).await;
        watch.learn(&env.airbyte);
        if response.status >= 400 {
            watch.check("an error", &response.text);
        }
        watch.check("a header", &format!("{:?}", response.headers));
    }
}

fn secrets() -> [Value; 2] {
    [
        json!({ "organization_token": ORGANIZATION_TOKEN, "note": BYSTANDERS[11] }),
        json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "note": BYSTANDERS[11] }),
    ]
}

#[tokio::test]
async fn requests_never_expose_secrets() {
    for secret in secrets() {
        let env = env(&secret).await;
        for binary in Binary::ALL {
            let function = Function::start(binary, &config(&env)).await;
            let mut watch = Watch::new();
            check(&env, &function, &requests(binary), &mut watch).await;
            watch.check("the output", &function.output());
            let named = Watch::new().secrets.len();
            assert!(
                binary == Binary::MintToken || watch.secrets.len() > named,
                "no scoped token was seen"
            );
        }
    }
}

#[tokio::test]
async fn airbyte_failures_never_expose_secrets() {
    for (secret, route, binary) in [
        (0, Route::WidgetToken, Binary::MintToken),
        (0, Route::Sources, Binary::CreateSource),
        (1, Route::ApplicationToken, Binary::MintToken),
    ] {
        let env = env(&secrets()[secret]).await;
        let good = [requests(binary).pop().unwrap()];
        for fault in airbyte_faults() {
            env.airbyte.clear_faults();
            // A function of its own, for one whose credential was rejected asks nobody for a while.
            let function = Function::start(binary, &config(&env)).await;
            env.airbyte.revoke_application_tokens();
            env.inject(route, fault);
            env.airbyte.clear_requests();
            let mut watch = Watch::new();
            check(&env, &function, &good, &mut watch).await;
            watch.check("the output", &function.output());
            assert!(!env.airbyte.requests().is_empty());
        }
    }
}

#[tokio::test]
async fn secrets_manager_failures_never_expose_secrets() {
    let everything = [&[ORGANIZATION_TOKEN, CLIENT_SECRET][..], &BYSTANDERS]
        .concat()
        .join(" ");
    let env = env(&secrets()[0]).await;
    let mut watch = Watch::new();
    let text = |status, body: String| FaultKind::Respond(CannedResponse::new(status).body(body));
    for fault in [
        SecretsManager::error(400, "AccessDeniedException"),
        text(
            400,
            json!({ "__type": "ValidationException", "Message": everything }).to_string(),
        ),
        text(500, everything.clone()),
        text(200, everything.clone()),
        text(200, json!({ "SecretString": everything }).to_string()),
        text(
            200,
            json!({ "SecretString": json!({ "token": everything }).to_string() }).to_string(),
        ),
        text(
            200,
            json!({ "SecretString": format!("{everything}\r\nx: y") }).to_string(),
        ),
        FaultKind::ResetMidResponse,
    ] {
        env.secrets_manager.inject(fault);
        for binary in Binary::ALL {
            let function = Function::start(binary, &config(&env)).await;
            check(&env, &function, &requests(binary)[..], &mut watch).await;
            watch.check("the output", &function.output());
        }
    }
}

#[tokio::test]
async fn withholds_invalid_configuration_values() {
    let env = env(&secrets()[0]).await;
    for name in [
        "AIRBYTE_API_URL",
        "AIRBYTE_ORGANIZATION_ID",
        "ALLOWED_ORIGINS",
        "SECRET_TTL_SECONDS",
        "RUST_LOG",
    ] {
        let config = config(&env).with(name, ORGANIZATION_TOKEN);
        let Err(exit) = Function::try_start(Binary::MintToken, &config).await else {
            panic!("it starts with a token for {name}");
        };
        Watch::new().check("the output", &exit.to_string());
        Watch::new().check("the report of the start", &exit.init_errors.concat());
    }
}
