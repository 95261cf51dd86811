//! Checks of Airbyte: that it has the generation of the API that the functions call, that it accepts the credential, and
//! which source templates the credential sees. They change nothing at Airbyte.

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use shared::airbyte::{Agents, Airbyte, AirbyteError, Api, endpoint};
use shared::credential::Credential;
use shared::http_client;
use shared::invocation::Invocation;
use url::Url;
use uuid::Uuid;

use crate::facts::{Facts, Lookup};
use crate::http;
use crate::plan::DeploymentPlan;
use crate::report::CheckResult;

const API: &str = "AirbyteApi";
const API_URL: &str = "AirbyteApiUrl";
const ORGANIZATION_ID: &str = "AirbyteOrganizationId";

/// The most source templates that are listed.
const MAX_TEMPLATES: usize = 50;

/// The longest name that is printed, in characters.
const MAX_NAME_CHARS: usize = 80;

/// The generation of Airbyte's API that the functions call.
struct Target {
    client: Client,
    base: Url,
    /// The value of the parameter.
    name: String,
    api: Api,
    organization_id: Uuid,
}

/// The response to a mint without credentials, which Airbyte rejects.
enum Probe {
    /// An error response: there is such a path.
    Exists,
    Missing,
    /// Holds the target.
    Redirect(String),
    /// Success, which Airbyte never returns.
    Accepted(StatusCode),
    /// Nothing can be concluded.
    Unavailable(StatusCode),
    /// No response. The text completes a sentence that begins with the URL.
    Failed(String),
}

/// The used fields of the list of source templates.
#[derive(Deserialize)]
struct SourceTemplates {
    data: Vec<SourceTemplate>,
}

#[derive(Deserialize)]
struct SourceTemplate {
    id: Uuid,
    name: String,
    mode: Option<String>,
}

/// Why there is no list of source templates.
enum ListError {
    Status(StatusCode),
    /// The text completes a sentence that begins with the URL.
    Failed(String),
}

pub(crate) async fn check(
    facts: &Facts,
    plan: &DeploymentPlan<'_>,
) -> Vec<(&'static str, CheckResult)> {
    let (api, credential, templates) = match Target::new(plan) {
        Ok(target) => {
            let api = target.check_api().await;
            let (credential, templates) = match (&api, credential(facts)) {
                (CheckResult::Pass(_), Ok(credential)) => {
                    target.check_credential(&credential).await
                }
                (CheckResult::Pass(_), Err(reason)) => not_checked(reason),
                _ => not_checked(NO_API),
            };
            let has_templates = target.api.source_templates_path().is_some();
            (api, credential, has_templates.then_some(templates))
        }
        Err(CheckResult::Skipped(reason)) => {
            let skipped = CheckResult::Skipped(reason);
            (skipped.clone(), skipped, None)
        }
        Err(result) => (result, not_checked(NO_API).0, None),
    };
    let mut results = vec![("Airbyte API", api), ("Airbyte credential", credential)];
    results.extend(templates.map(|templates| ("source templates", templates)));
    results
}

const NO_API: &str = "the check of Airbyte's API did not succeed";

/// The results of the checks with the credential.
type Results = (CheckResult, CheckResult);

fn not_checked(reason: impl std::fmt::Display) -> Results {
    let result = CheckResult::Skipped(format!("not checked: {reason}"));
    (result.clone(), result)
}

/// Returns the credential, or why there is none.
fn credential(facts: &Facts) -> Result<Credential, &'static str> {
    match &facts.lookups.secret_value {
        Some(Lookup::Value(Some(value))) => {
            Credential::parse(value).map_err(|_| "the secret's value is malformed")
        }
        _ => Err("the secret's value was not read"),
    }
}

fn noun(credential: &Credential) -> &'static str {
    match credential {
        Credential::Token(_) => "the organization token",
        Credential::Application { .. } => "the application",
    }
}

/// Returns the generation of this name.
fn generation(name: &str) -> Option<Api> {
    match name {
        "embedded" => Some(Api::Embedded),
        "agents" => Some(Api::Agents(Agents::default())),
        _ => None,
    }
}

impl Target {
    /// Reads the parameters. The error is the result of all checks.
    fn new(plan: &DeploymentPlan<'_>) -> Result<Self, CheckResult> {
        let value = |name| plan.value(name).ok_or_else(|| plan.skipped(name));
        let invalid = |name| CheckResult::Skipped(format!("{name} is invalid"));
        let (name, url) = (value(API)?, value(API_URL)?);
        let organization_id = value(ORGANIZATION_ID)?;
        // Allowed where AWS is simulated on this machine too.
        if url.starts_with("http://") && std::env::var_os("AWS_ENDPOINT_URL").is_none() {
            return Err(CheckResult::fail(
                format!("the functions cannot reach {url}, which is on this machine"),
                format!("set {API_URL} to the https:// URL of Airbyte's API"),
            ));
        }
        let client = http::client(Policy::none());
        Ok(Self {
            client: client.map_err(|error| CheckResult::Skipped(error.to_string()))?,
            base: Url::parse(url).map_err(|_| invalid(API_URL))?,
            name: name.to_owned(),
            api: generation(name).ok_or_else(|| invalid(API))?,
            organization_id: organization_id
                .parse()
                .map_err(|_| invalid(ORGANIZATION_ID))?,
        })
    }

    /// Checks that the generation of the API exists at the URL.
    async fn check_api(&self) -> CheckResult {
        let Self { base, name, .. } = self;
        let url = endpoint(base, self.api.mint_path());
        let set_url = || format!("set {API_URL} to the base URL of Airbyte's API");
        match self.probe(&url).await {
            Probe::Exists => CheckResult::Pass(format!("{base} has {API}={name}")),
            Probe::Missing => {
                let other = if name == "agents" {
                    "embedded"
                } else {
                    "agents"
                };
                let fix = if self.has(other).await {
                    format!("set {API}={other}, which responds there")
                } else {
                    format!("{}: {API}={other} does not respond there either", set_url())
                };
                CheckResult::fail(
                    format!("{url} returns status 404: {base} does not have {API}={name}"),
                    fix,
                )
            }
            Probe::Redirect(to) => CheckResult::fail(
                format!("{url} redirects to {to}, and the functions follow no redirects"),
                set_url(),
            ),
            Probe::Accepted(status) => CheckResult::fail(
                format!(
                    "{url} returns status {} to a request without credentials, as Airbyte never does",
                    status.as_u16()
                ),
                set_url(),
            ),
            Probe::Unavailable(status) => CheckResult::Skipped(format!(
                "not checked: {url} returns status {}",
                status.as_u16()
            )),
            Probe::Failed(problem) => CheckResult::fail(
                format!("{url} {problem}"),
                format!("check {API_URL}, and this machine's network and proxy settings"),
            ),
        }
    }

    /// Whether a generation exists at the URL.
    async fn has(&self, name: &str) -> bool {
        let Some(api) = generation(name) else {
            return false;
        };
        let url = endpoint(&self.base, api.mint_path());
        matches!(self.probe(&url).await, Probe::Exists)
    }

    /// Sends a mint without credentials.
    async fn probe(&self, url: &Url) -> Probe {
        let request = self.client.post(url.clone());
        let request = request
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body("{}");
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Probe::Failed(http::failure(&error)),
        };
        let status = response.status();
        match status.as_u16() {
            404 => Probe::Missing,
            429 | 500.. => Probe::Unavailable(status),
            400..=499 => Probe::Exists,
            300..=399 => Probe::Redirect(target(url, &response)),
            _ => Probe::Accepted(status),
        }
    }

    /// Checks that Airbyte accepts the credential, and lists the source templates that it sees.
    async fn check_credential(&self, credential: &Credential) -> Results {
        let noun = noun(credential);
        let accepted = CheckResult::Pass(format!("Airbyte accepts {noun}"));
        let is_application = matches!(credential, Credential::Application { .. });
        let token = match self.token(credential).await {
            Ok(token) => token,
            Err(result) => {
                let (_, templates) = not_checked("there is no accepted credential");
                return (result, templates);
            }
        };
        let Some(path) = self.api.source_templates_path() else {
            let name = &self.name;
            let (unknown, templates) = not_checked(format_args!(
                "Airbyte documents no call of {API}={name} that verifies {noun} and changes nothing"
            ));
            return (if is_application { accepted } else { unknown }, templates);
        };
        let url = endpoint(&self.base, path);
        match self.list(&url, &token).await {
            Ok(templates) => (accepted, listed(&templates)),
            Err(ListError::Status(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))) => {
                let (_, templates) = not_checked("Airbyte rejects the credential");
                (self.rejected(credential, status.as_u16()), templates)
            }
            Err(error) => {
                let (unknown, templates) = not_checked(match error {
                    ListError::Status(status) => {
                        format!("{url} returns status {}", status.as_u16())
                    }
                    ListError::Failed(problem) => format!("{url} {problem}"),
                });
                (if is_application { accepted } else { unknown }, templates)
            }
        }
    }

    /// Returns the organization's token: an application is exchanged, as the functions do.
    async fn token(&self, credential: &Credential) -> Result<SecretString, CheckResult> {
        let (client_id, client_secret) = match credential {
            Credential::Token(token) => return Ok(token.clone()),
            Credential::Application {
                client_id,
                client_secret,
            } => (client_id, client_secret),
        };
        let airbyte = Airbyte::new(
            self.client.clone(),
            &self.base,
            self.organization_id,
            self.api.clone(),
        );
        let invocation = Invocation::for_init(http::TIMEOUT);
        let exchanged = airbyte
            .application_token(client_id, client_secret, &invocation)
            .await;
        let error = match exchanged {
            Ok(exchanged) => return Ok(exchanged.token),
            Err(error) => error,
        };
        let problem = match (&error, error.status()) {
            (_, Some(status)) if error.rejects_client() => {
                return Err(self.rejected(credential, status));
            }
            (_, Some(status @ (429 | 500..))) => {
                let problem = format!("not checked: the exchange returns status {status}");
                return Err(CheckResult::Skipped(problem));
            }
            (_, Some(status)) => format!("the exchange returns status {status}"),
            (AirbyteError::InvalidResponse, None) => {
                "the exchange returns no token in the documented form".to_owned()
            }
            (error, None) => format!("the exchange failed ({})", http::cause(error)),
        };
        let fix = format!("check {API_URL}, and this machine's network and proxy settings");
        Err(CheckResult::fail(problem, fix))
    }

    fn rejected(&self, credential: &Credential, status: u16) -> CheckResult {
        CheckResult::fail(
            format!("Airbyte rejects {} with status {status}", noun(credential)),
            format!(
                "store a current credential of an admin of the organization {}: `aws secretsmanager put-secret-value`",
                self.organization_id
            ),
        )
    }

    /// Lists the source templates.
    async fn list(&self, url: &Url, token: &SecretString) -> Result<SourceTemplates, ListError> {
        let mut request = self.client.get(url.clone());
        if let Some(name) = self.api.organization_header() {
            request = request.header(name, self.organization_id.to_string());
        }
        let request = request.bearer_auth(token.expose_secret());
        let response = request.header(ACCEPT, "application/json").send().await;
        let response = response.map_err(|error| ListError::Failed(http::failure(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(ListError::Status(response.status()));
        }
        let unexpected = || ListError::Failed("returns no list in the documented form".to_owned());
        let body = http_client::read_body(response).await;
        let body = body.map_err(|_| unexpected())?;
        serde_json::from_slice(&body).map_err(|_| unexpected())
    }
}

/// Returns the target of a redirect, without its query, which may contain anything.
fn target(url: &Url, response: &Response) -> String {
    let location = response.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    match location.and_then(|location| url.join(location).ok()) {
        Some(to) => format!("{}{}", to.origin().ascii_serialization(), to.path()),
        None => "an unknown address".to_owned(),
    }
}

/// Returns a line for each template, with what a form sends as `source_config_template_id`.
fn listed(SourceTemplates { data }: &SourceTemplates) -> CheckResult {
    if data.is_empty() {
        let text = "the credential sees none; create one in Airbyte's dashboard";
        return CheckResult::Skipped(text.to_owned());
    }
    let mut lines = vec![format!("{}, by source_config_template_id:", data.len())];
    for SourceTemplate { id, name, mode } in data.iter().take(MAX_TEMPLATES) {
        // Printed on a terminal.
        let name = name.chars().filter(|char| !char.is_control());
        let name: String = name.take(MAX_NAME_CHARS).collect();
        let mode = match mode.as_deref() {
            Some(mode @ ("DIRECT" | "MULTI")) => format!(" ({mode}: takes credentials)"),
            _ => String::new(),
        };
        lines.push(format!("{id}  {name}{mode}"));
    }
    if let Some(more @ 1..) = data.len().checked_sub(MAX_TEMPLATES) {
        lines.push(format!("and {more} more"));
    }
    CheckResult::Pass(lines.join("\n"))
}
