//! The functions: built, and run by `cargo lambda watch`, one for each.
//!
//! One `cargo lambda watch` could run both, but then with one environment for the two, and with the template's
//! variables of one function visible to the other.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

use super::children::{Children, guarded};
use super::console::{Console, print};
use crate::client::Client;
use crate::gateway::FunctionEndpoints;
use crate::template::{Function, REGION, Template};

/// How long a function that is built may take to answer for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// Variables of the developer's own that would lead a function to their AWS account.
const NOT_INHERITED: [&str; 6] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
];

/// How to run the functions.
pub(super) struct Runner<'a> {
    pub(super) children: &'a Children,
    pub(super) console: Arc<Console>,
    /// cargo-lambda's program.
    pub(super) cargo_lambda: &'a Path,
    /// Files whose changes do not concern the functions.
    pub(super) watch_ignore: &'a Path,
    pub(super) concurrency: u16,
    pub(super) secrets_manager_url: &'a str,
}

/// Builds every function, so that the first call does not wait for that. cargo shows how far it is.
pub(super) async fn build(children: &Children, template: &Template) -> Result<(), String> {
    let names: Vec<_> = template.functions.keys().map(String::as_str).collect();
    print(&format!(
        "Building {} (the first time this takes some minutes)",
        names.join(" and ")
    ));
    let since = Instant::now();
    for name in names {
        let mut command = guarded("cargo").map_err(|error| error.to_string())?;
        // As `cargo lambda watch` will: another choice of packages would mean other features, and a second build.
        command.args(["build", "--package", name, "--bin", name]);
        let status = children
            .run("cargo build", command)
            .await
            .map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("{name} could not be built; cargo says why above"));
        }
    }
    print(&format!("Built in {} s", since.elapsed().as_secs()));
    Ok(())
}

/// Chooses an address for every function.
pub(super) fn endpoints(template: &Template) -> Result<FunctionEndpoints, String> {
    // Held together, so that they differ; free again when `cargo lambda watch` takes them.
    let mut held = Vec::new();
    let mut endpoints = BTreeMap::new();
    for name in template.functions.keys() {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        endpoints.insert(
            name.clone(),
            format!("http://{address}/2015-03-31/functions/{name}/invocations"),
        );
        held.push(listener);
    }
    Ok(endpoints)
}

impl Runner<'_> {
    /// Starts a function and waits until it has answered a call.
    pub(super) async fn start(
        &self,
        name: &str,
        function: &Function,
        endpoint: &str,
    ) -> Result<(), String> {
        let port = port_of(endpoint).ok_or_else(|| format!("{endpoint} has no port"))?;
        let mut command = guarded(self.cargo_lambda).map_err(|error| error.to_string())?;
        command
            .args([
                "lambda",
                "watch",
                "--wait",
                "--disable-cors",
                "--package",
                name,
            ])
            .args(["--invoke-address", "127.0.0.1", "--invoke-port", port])
            .args(["--concurrency", &self.concurrency.to_string()])
            .env("CARGO_LAMBDA_IGNORE_FILE", self.watch_ignore)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in NOT_INHERITED {
            command.env_remove(variable);
        }
        command
            .envs(&function.environment)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets_manager_url);
        let output = self
            .children
            .start(name, command)
            .map_err(|error| error.to_string())?;

        let (crashed, mut crash) = watch::channel(false);
        let crashed = Arc::new(crashed);
        if let Some(stdout) = output.stdout {
            tokio::spawn(pass_on(
                stdout,
                name.to_owned(),
                Arc::clone(&self.console),
                Arc::clone(&crashed),
            ));
        }
        if let Some(stderr) = output.stderr {
            tokio::spawn(pass_on(
                stderr,
                name.to_owned(),
                Arc::clone(&self.console),
                crashed,
            ));
        }
        tokio::select! {
            answered = first_answer(name, endpoint) => answered,
            Ok(_) = crash.wait_for(|crashed| *crashed) => Err(format!("{name} ended as soon as it was started")),
        }
    }
}

fn port_of(endpoint: &str) -> Option<&str> {
    endpoint
        .strip_prefix("http://")?
        .split_once('/')?
        .0
        .rsplit_once(':')
        .map(|(_, port)| port)
}

/// An API Gateway event without an authorizer, with the fields that the functions require.
const ANONYMOUS_CALL: &str = r#"{
    "version": "2.0",
    "headers": {},
    "isBase64Encoded": false,
    "requestContext": {"http": {"method": "POST"}}
}"#;

/// Calls a function as nobody, which it has to answer with a 401, once `cargo lambda watch` has started it.
async fn first_answer(name: &str, endpoint: &str) -> Result<(), String> {
    let since = Instant::now();
    let answer = loop {
        let request = Request::post(endpoint)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(ANONYMOUS_CALL))
            .map_err(|error| error.to_string())?;
        match Client::new().call(request, FIRST_ANSWER).await {
            Ok(answer) => break answer,
            // Not listening yet.
            Err(_) if since.elapsed() < FIRST_ANSWER => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(format!("{name} does not answer: {error}")),
        }
    };
    let result: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let status = result
        .as_ref()
        .and_then(|result| result.get("statusCode")?.as_u64());
    if status == Some(401) {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(answer.body());
        Err(format!(
            "{name} should have answered a call without a caller with status 401, but said {said}"
        ))
    }
}

/// Hands a function's output on, line by line.
async fn pass_on(
    output: impl AsyncRead + Unpin,
    name: String,
    console: Arc<Console>,
    crashed: Arc<watch::Sender<bool>>,
) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(shown) = shown(&name, &line) {
            console.say(&shown);
        }
        if line.trim_start().starts_with("ERROR command ") {
            console.say(&format!(
                "{name} | an instance has ended; it starts again when a file of its code is saved"
            ));
            crashed.send_replace(true);
        }
    }
}

/// A line as it is shown, if it is of interest: what the function printed, and what cargo says of a build.
fn shown(name: &str, line: &str) -> Option<String> {
    /// Beginnings of lines that cargo-lambda and cargo print whenever an instance starts or is replaced.
    const BEGINNINGS: [&str; 7] = [
        "INFO ",
        "Finished ",
        "Running `",
        "Caused by:",
        "process didn't exit successfully",
        "ERROR while waiting on process err=io(waiting on process group)",
        "ERROR runtime error err=io(waiting on process group)",
    ];
    /// Noise at any place of a line: several instances start at once, and cargo's lines get mixed up.
    const PARTS: [&str; 3] = [
        "Blocking waiting for file lock",
        "` profile [",
        // cargo-lambda sets this variable, and the runtime warns of it at every start.
        "AWS_LAMBDA_MAX_CONCURRENCY",
    ];

    let text = line.trim();
    let is_noise = BEGINNINGS.iter().any(|noise| text.starts_with(noise))
        || PARTS.iter().any(|noise| text.contains(noise));
    if text.is_empty() || is_noise {
        None
    } else if text.starts_with('{') {
        // The function's own log, one JSON object a line. Its last member tells CloudWatch which of the others are
        // metrics: half of the line, and of no use here.
        Some(match text.split_once(r#","_aws":"#) {
            Some((told, _)) => format!("{told}}}"),
            None => text.to_owned(),
        })
    } else {
        Some(format!("{name} | {}", line.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_and_cargo_have_to_say_is_shown() {
        let cases = [
            (r#"{"level":"INFO"}"#, Some(r#"{"level":"INFO"}"#)),
            (
                r#"{"status":200,"Requests":1,"_aws":{"Timestamp":1,"CloudWatchMetrics":[]}}"#,
                Some(r#"{"status":200,"Requests":1}"#),
            ),
            (
                "   Compiling mint-token v0.1.0",
                Some("mint-token |    Compiling mint-token v0.1.0"),
            ),
            (
                "error[E0308]: mismatched types",
                Some("mint-token | error[E0308]: mismatched types"),
            ),
            (
                "ERROR command exited code=1",
                Some("mint-token | ERROR command exited code=1"),
            ),
            (
                " INFO starting Runtime server runtime_addr=127.0.0.1:9111",
                None,
            ),
            ("     Running `target/debug/mint-token`", None),
            (
                "    Finished `dev` profile [unoptimized] target(s) in 0.01s",
                None,
            ),
            ("", None),
            (
                "ERROR runtime error err=io(waiting on process group): blocking waitpid returned pid=0",
                None,
            ),
            (
                r#"{"message":"AWS_LAMBDA_MAX_CONCURRENCY is set to '1'"}"#,
                None,
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(shown("mint-token", line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn the_port_is_taken_from_the_endpoint() {
        assert_eq!(
            port_of("http://127.0.0.1:4321/2015-03-31/functions/a/invocations"),
            Some("4321")
        );
        assert_eq!(port_of("http://127.0.0.1/x"), None);
    }
}
