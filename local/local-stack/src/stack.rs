//! Start and end of everything that `make dev` runs.

mod banner;
mod console;
mod error;
mod functions;
mod ports;
mod processes;
mod secrets_manager;
mod settings;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use airbyte_sim::{Airbyte, Generation};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use template::{Evaluator, FILE, Template, TemplateError};
use tokio::signal::unix::{SignalKind, signal};

pub use error::StackError;

use crate::client::Client;
use crate::demo::{Demo, PageConfig};
use crate::gateway::{Gateway, Options};
use crate::issuer::{DEFAULT_AUDIENCE, Issuer};
use console::{Console, print};
use functions::{REGION, Runner};
use processes::Processes;
use settings::{Settings, local_url, loopback};

/// The organization of the functions.
const ORGANIZATION_ID: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";

/// The organization token that the Airbyte simulator accepts.
const ORGANIZATION_TOKEN: &str = "dev-organization-token";

/// The project's directory, which `make dev` runs in.
const PROJECT: &str = ".";
const CARGO_LAMBDA: &str = ".venv/dev/bin/cargo-lambda";
const WATCH_IGNORE: &str = "local/watch-ignore";
const DEMO_PAGE: &str = "examples/web";
const CLIENT: &str = "clients/web";

/// The functions' variable with the name of the state table.
const STATE_TABLE: &str = "STATE_TABLE";

/// Timeout of a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);

/// The servers in this process. They stop when dropped.
struct Running {
    _airbyte: Airbyte,
    _issuer: Issuer,
    _gateway: Gateway,
    _demo: Demo,
    aws_url: String,
    generation: Generation,
}

/// Starts everything, and runs until a signal arrives or a part ends. Then everything is stopped.
///
/// # Errors
/// If a setting is invalid, or a part cannot be started or ends by itself.
pub async fn run() -> Result<(), StackError> {
    let settings = Settings::from_env().map_err(|error| error.to_string())?;
    ports::check(settings.ports)?;
    let (processes, mut ended) = Processes::new();
    let console = Arc::new(Console::buffered());

    let start_and_stay = async {
        let running = start(&settings, &processes, &console).await?;
        show(&banner::text(
            &settings,
            running.generation,
            &running.aws_url,
        ));
        console.unbuffer();
        std::future::pending::<()>().await;
        drop(running);
        Ok(())
    };
    let result = tokio::select! {
        stopped = stopped() => stopped.map_err(|error| error.to_string().into()),
        Some(process) = ended.recv() => Err(process.into()),
        error = start_and_stay => error,
    };
    if result.is_err() {
        console.flush();
    }
    console.mute();
    processes.stop().await;
    result
}

/// Waits for Ctrl-C, or for another signal that asks the program to end.
async fn stopped() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

async fn start(
    settings: &Settings,
    processes: &Processes,
    console: &Arc<Console>,
) -> Result<Running, StackError> {
    let ports = settings.ports;
    let project = Path::new(PROJECT);
    let failed = |part: &'static str| {
        move |error: io::Error| StackError::from(format!("failed to start {part}: {error}"))
    };

    print("Starting Secrets Manager, the Airbyte simulator and the issuer");
    // First, because it imports its modules while the others start.
    let evaluator = Evaluator::start(project)?;
    let secrets = secrets_manager::start(processes, project, ORGANIZATION_TOKEN).await?;
    let airbyte = Airbyte::start(airbyte_sim::Options {
        address: loopback(ports.airbyte),
        cloud_url: Some(local_url(ports.airbyte)),
        organization_tokens: vec![ORGANIZATION_TOKEN.to_owned()],
        ..airbyte_sim::Options::from_env().map_err(|error| error.to_string())?
    })
    .await
    .map_err(failed("the Airbyte simulator"))?;
    let issuer = Issuer::start_as(loopback(ports.issuer), |address| local_url(address.port()))
        .await
        .map_err(failed("the issuer"))?;

    let request = request(settings, &secrets.secret_arn, issuer.url(), &airbyte.url());
    let template = evaluated(evaluator, request).await?;
    let environment = functions::common_environment(&template)?;
    let generation = generation(&environment)?;
    if let Some(name) = environment.get(STATE_TABLE) {
        secrets_manager::create_table(&secrets.url, name).await?;
    }
    let invoke_address = ports::invoke_address(ports.invoke);
    let endpoints = functions::endpoints(&template, invoke_address);
    let lines = Arc::clone(console);
    let gateway = Gateway::start(Options {
        address: loopback(ports.gateway),
        template: template.clone(),
        functions: endpoints.clone(),
        console: Arc::new(move |line| lines.line(line)),
    })
    .await
    .map_err(failed("the gateway"))?;
    let has_state_table = environment.contains_key(STATE_TABLE);
    let templates = airbyte.source_templates(generation);
    let config = page_config(settings, has_state_table, templates);
    let demo = Demo::start(
        loopback(ports.demo),
        &project.join(DEMO_PAGE),
        &project.join(CLIENT),
    )
    .await
    .map_err(failed("the demo page"))?;
    demo.configure(config).map_err(failed("the demo page"))?;

    functions::build(processes, &template).await?;
    print("Starting the functions");
    let runner = Runner {
        processes,
        console: Arc::clone(console),
        cargo_lambda: Path::new(CARGO_LAMBDA),
        watch_ignore: Path::new(WATCH_IGNORE),
        address: invoke_address,
        concurrency: settings.concurrency,
        aws_url: &secrets.url,
    };
    runner.start(&environment, &endpoints).await?;
    check_health(settings).await?;
    Ok(Running {
        _airbyte: airbyte,
        _issuer: issuer,
        _gateway: gateway,
        _demo: demo,
        aws_url: secrets.url,
        generation,
    })
}

/// The template with the parameters of development.
fn request(
    settings: &Settings,
    secret_arn: &str,
    issuer_url: &str,
    airbyte_url: &str,
) -> template::Request {
    let parameters = [
        ("AllowedOrigins", settings.allowed_origins.as_str()),
        ("JwtIssuer", issuer_url),
        ("JwtAudience", DEFAULT_AUDIENCE),
        ("OrganizationTokenSecretArn", secret_arn),
        ("AirbyteOrganizationId", ORGANIZATION_ID),
        ("AirbyteApiUrl", airbyte_url),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let set = settings.parameters.iter().cloned();
    template::Request {
        region: REGION.to_owned(),
        parameters: parameters.into_iter().chain(set).collect(),
        ..template::Request::of(Path::new(FILE))
    }
}

async fn evaluated(
    evaluator: Evaluator,
    request: template::Request,
) -> Result<Template, StackError> {
    let evaluated = tokio::task::spawn_blocking(move || {
        let evaluation = evaluator.evaluate(request)?;
        evaluation.template()
    });
    let result: Result<Template, TemplateError> =
        evaluated.await.map_err(|error| error.to_string())?;
    Ok(result?)
}

fn page_config(settings: &Settings, idempotency_keys: bool, templates: Vec<Value>) -> PageConfig {
    PageConfig {
        api_url: local_url(settings.ports.gateway),
        issuer_url: local_url(settings.ports.issuer),
        airbyte_url: local_url(settings.ports.airbyte),
        idempotency_keys,
        widget_script_url: settings.widget_script_url.clone(),
        widget_script_integrity: settings.widget_script_integrity.clone(),
        templates,
    }
}

/// Returns the generation of Airbyte's API that the functions call.
fn generation(environment: &BTreeMap<String, String>) -> Result<Generation, StackError> {
    let name = environment
        .get("AIRBYTE_API")
        .ok_or_else(|| format!("{FILE} does not set AIRBYTE_API"))?;
    name.parse()
        .map_err(|expected| format!("{FILE} sets AIRBYTE_API={name}: {expected}").into())
}

/// Sends a request to every part, at the address that the developer uses.
async fn check_health(settings: &Settings) -> Result<(), StackError> {
    let ports = settings.ports;
    // Without a caller: 401 of a JWT authorizer, 403 of IAM.
    let denied = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].as_slice();
    let ok = [StatusCode::OK].as_slice();
    let checks = [
        (Request::post(local_url(ports.gateway) + "/token"), denied),
        (
            Request::get(local_url(ports.issuer) + "/.well-known/openid-configuration"),
            ok,
        ),
        (Request::get(local_url(ports.airbyte) + "/_sim/health"), ok),
        (Request::get(local_url(ports.demo) + "/"), ok),
    ];
    let client = Client::new();
    for (request, expected) in checks {
        let request = request
            .body(Full::default())
            .map_err(|error| error.to_string())?;
        let url = request.uri().to_string();
        let response = client
            .call(request, HEALTH_TIMEOUT)
            .await
            .map_err(|error| format!("health check failed: {url}: {error}"))?;
        if !expected.contains(&response.status()) {
            return Err(
                format!("health check failed: {url} returned {}", response.status()).into(),
            );
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for a terminal")]
fn show(text: &str) {
    println!("{text}");
}
