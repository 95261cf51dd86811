//! Everything that `make dev` starts, and how it ends.

mod children;
mod console;
mod functions;
mod invoke_api;
mod ports;
mod screen;
mod secrets_manager;
mod settings;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use airbyte_sim::Airbyte;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

pub use settings::{Settings, SettingsError};

use crate::client::Client;
use crate::demo::{Demo, PageConfig};
use crate::gateway::{Gateway, Options};
use crate::issuer::{DEFAULT_AUDIENCE, Issuer};
use crate::template::Template;
use children::Children;
use console::{Console, print};
use functions::Runner;
use invoke_api::InvokeApi;
use settings::{local_url, loopback};

/// The organization that the functions serve.
const ORGANIZATION_ID: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";

/// The organization's credential that the Airbyte simulator accepts.
const ORGANIZATION_TOKEN: &str = "dev-organization-token";

/// Below the project's folder, in which `make dev` runs.
const TEMPLATE: &str = "template.yaml";
const PYTHON: &str = ".venv/dev/bin/python";
const CARGO_LAMBDA: &str = ".venv/dev/bin/cargo-lambda";
const MOTO: &str = "local/moto_server.py";
const WATCH_IGNORE: &str = "local/watch-ignore";
const DEMO_PAGE: &str = "examples/web";
const CLIENT: &str = "clients/web";

/// How long a part that listens may take to answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);

/// The parts that run in this process. They stop when dropped.
struct Running {
    _airbyte: Airbyte,
    _issuer: Issuer,
    _gateway: Gateway,
    _demo: Demo,
    _invoke_api: InvokeApi,
    secrets_manager_url: String,
}

/// Starts everything, and runs until a signal ends it or a part does; then nothing is left. The error says in
/// lines for a developer what kept it from starting or running.
pub async fn run(settings: &Settings) -> Result<(), String> {
    ports::check(settings.ports)?;
    let (children, mut ended) = Children::new();
    let console = Arc::new(Console::keeping_back());

    let start_and_stay = async {
        let running = start(settings, &children, &console).await?;
        console.start_printing();
        show(&screen::text(settings, &running.secrets_manager_url));
        std::future::pending::<()>().await;
        drop(running);
        Ok(())
    };
    let outcome = tokio::select! {
        stopped = stopped() => stopped.map_err(|error| error.to_string()),
        Some(child) = ended.recv() => Err(child),
        problem = start_and_stay => problem,
    };
    if outcome.is_err() {
        console.print_what_was_kept_back();
    }
    console.fall_silent();
    children.stop().await;
    outcome
}

/// Waits for Ctrl-C, or for another signal that asks for the end.
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
    children: &Children,
    console: &Arc<Console>,
) -> Result<Running, String> {
    let ports = settings.ports;
    let failed =
        |part: &'static str| move |error: io::Error| format!("{part} cannot be started: {error}");

    print("Starting Secrets Manager, the Airbyte simulator and the issuer");
    let secrets = secrets_manager::start(
        children,
        Path::new(PYTHON),
        Path::new(MOTO),
        ORGANIZATION_TOKEN,
    )
    .await?;
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

    let template = template(settings, &secrets.secret_arn, issuer.url(), &airbyte.url())?;
    let endpoints = functions::endpoints(&template)?;
    let told = Arc::clone(console);
    let gateway = Gateway::start(Options {
        address: loopback(ports.gateway),
        template: template.clone(),
        functions: endpoints.clone(),
        console: Arc::new(move |line| told.say(line)),
    })
    .await
    .map_err(failed("the gateway"))?;
    let invoke_api = InvokeApi::start(ports.invoke, endpoints.clone())
        .await
        .map_err(failed("Lambda's Invoke API"))?;
    let config = page_config(settings, templates(&airbyte.url()).await?);
    let demo = Demo::start(
        loopback(ports.demo),
        Path::new(DEMO_PAGE),
        Path::new(CLIENT),
    )
    .await
    .map_err(failed("the demo page"))?;
    demo.configure(config).map_err(failed("the demo page"))?;

    functions::build(children, &template).await?;
    print("Starting the functions");
    let runner = Runner {
        children,
        console: Arc::clone(console),
        cargo_lambda: Path::new(CARGO_LAMBDA),
        watch_ignore: Path::new(WATCH_IGNORE),
        concurrency: settings.concurrency,
        secrets_manager_url: &secrets.url,
    };
    for (name, function) in &template.functions {
        runner.start(name, function, &endpoints[name]).await?;
    }
    check_health(settings).await?;
    Ok(Running {
        _airbyte: airbyte,
        _issuer: issuer,
        _gateway: gateway,
        _demo: demo,
        _invoke_api: invoke_api,
        secrets_manager_url: secrets.url,
    })
}

/// The template under the parameters of development.
fn template(
    settings: &Settings,
    secret_arn: &str,
    issuer_url: &str,
    airbyte_url: &str,
) -> Result<Template, String> {
    let parameters = [
        ("AllowedOrigins", settings.allowed_origins.as_str()),
        ("JwtIssuer", issuer_url),
        ("JwtAudience", DEFAULT_AUDIENCE),
        ("OrganizationTokenSecretArn", secret_arn),
        ("AirbyteOrganizationId", ORGANIZATION_ID),
        ("AirbyteApiUrl", airbyte_url),
    ];
    let mut parameters: BTreeMap<_, _> = parameters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    parameters.extend(settings.parameter_overrides.iter().cloned());
    Template::load(Path::new(TEMPLATE), &parameters).map_err(|error| error.to_string())
}

fn page_config(settings: &Settings, templates: Vec<Value>) -> PageConfig {
    PageConfig {
        api_url: local_url(settings.ports.gateway),
        issuer_url: local_url(settings.ports.issuer),
        airbyte_url: local_url(settings.ports.airbyte),
        widget_script_url: settings.widget_script_url.clone(),
        widget_script_integrity: settings.widget_script_integrity.clone(),
        templates,
    }
}

/// The source templates, as Airbyte lists them to the organization.
async fn templates(airbyte_url: &str) -> Result<Vec<Value>, String> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Value>,
    }
    let url = format!("{airbyte_url}/api/v1/integrations/templates/sources/");
    let request = Request::get(&url)
        .header(
            header::AUTHORIZATION,
            format!("Bearer {ORGANIZATION_TOKEN}"),
        )
        .body(Full::default())
        .map_err(|error| error.to_string())?;
    let answer = Client::new()
        .call(request, HEALTH_TIMEOUT)
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    let list: List =
        serde_json::from_slice(answer.body()).map_err(|error| format!("{url}: {error}"))?;
    Ok(list.data)
}

/// Asks every part something at the address that a developer will use.
async fn check_health(settings: &Settings) -> Result<(), String> {
    let ports = settings.ports;
    // Nobody has signed in, which is 401 to a JWT authorizer and 403 to IAM.
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].as_slice();
    let fine = [StatusCode::OK].as_slice();
    let checks = [
        (Request::post(local_url(ports.gateway) + "/token"), refused),
        (
            Request::get(local_url(ports.issuer) + "/.well-known/openid-configuration"),
            fine,
        ),
        (
            Request::get(local_url(ports.airbyte) + "/_sim/health"),
            fine,
        ),
        (Request::get(local_url(ports.demo) + "/"), fine),
    ];
    let client = Client::new();
    for (request, expected) in checks {
        let request = request
            .body(Full::default())
            .map_err(|error| error.to_string())?;
        let url = request.uri().to_string();
        let answer = client
            .call(request, HEALTH_TIMEOUT)
            .await
            .map_err(|error| format!("{url}: {error}"))?;
        if !expected.contains(&answer.status()) {
            return Err(format!(
                "{url} is not as it should be: it answered with {}",
                answer.status()
            ));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for a terminal")]
fn show(text: &str) {
    println!("{text}");
}
