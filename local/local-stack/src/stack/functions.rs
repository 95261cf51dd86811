//! The functions: built, and run by one `cargo lambda watch`.
//!
//! It serves Lambda's Invoke API for both, and gives both the same environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{Request, header};
use http_body_util::Full;
use serde_json::Value;
use template::Template;
use template::environment::Environment;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

use super::console::{Console, print};
use super::error::StackError;
use super::processes::{Processes, supervised};
use crate::client::Client;
use crate::gateway::FunctionEndpoints;

/// The region that local tools default to.
pub(super) const REGION: &str = "us-east-1";

/// How long a built function may take to respond for the first time.
const FIRST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings of cargo, the compiler and the linker: names, and beginnings of names before a `_`.
const BUILD_SETTINGS: [&str; 19] = [
    "AR",
    "C_INCLUDE",
    "CARGO",
    "CC",
    "CCACHE",
    "CFLAGS",
    "CPATH",
    "CXX",
    "CXXFLAGS",
    "DEVELOPER",
    "LDFLAGS",
    "LIBRARY",
    "MACOSX",
    "NIX",
    "PKG_CONFIG",
    "RUSTC",
    "RUSTFLAGS",
    "RUSTUP",
    "SDKROOT",
];

/// Beginnings of variables that are not passed on to cargo:
/// - The description of the running package, which `cargo run` sets. It would rebuild each crate that reads one of these.
/// - Settings of cargo's output, and of cargo-lambda.
const NOT_BUILD_SETTINGS: [&str; 5] = [
    "CARGO_BIN_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_TERM_",
    "CARGO_LAMBDA_",
];

const RELOAD_IS_OFF: &str = "\
warning: the functions do not restart when a file is saved, because the system has no file watches left
help: raise fs.inotify.max_user_watches and fs.inotify.max_user_instances, or restart `make dev` after a change";

/// How to run the functions.
pub(super) struct Runner<'a> {
    pub(super) processes: &'a Processes,
    pub(super) console: Arc<Console>,
    /// The program of cargo-lambda.
    pub(super) cargo_lambda: &'a Path,
    /// A file with patterns of the files that no function depends on.
    pub(super) watch_ignore: &'a Path,
    /// The address of Lambda's Invoke API.
    pub(super) address: SocketAddr,
    /// Instances of each function.
    pub(super) concurrency: u16,
    /// The endpoint of AWS's APIs.
    pub(super) aws_url: &'a str,
}

/// Builds every function, so that the first call does not wait for it. cargo prints its progress.
pub(super) async fn build(processes: &Processes, template: &Template) -> Result<(), StackError> {
    let names: Vec<_> = template.functions.keys().map(String::as_str).collect();
    print(&format!(
        "Building {} (some minutes the first time)",
        names.join(" and ")
    ));
    let since = Instant::now();
    let mut command =
        supervised("cargo", build_environment()).map_err(|error| error.to_string())?;
    // With the packages that `cargo lambda watch` selects, because others would mean other features and a second build.
    command.arg("build");
    for name in &names {
        command.args(["--bin", name]);
    }
    let status = processes
        .run("cargo build", command)
        .await
        .map_err(|error| error.to_string())?;
    if !status.success() {
        return Err("failed to build the functions; see cargo's errors above"
            .to_owned()
            .into());
    }
    print(&format!("Built in {} s", since.elapsed().as_secs()));
    Ok(())
}

/// Returns the URL of each function in the Invoke API.
pub(super) fn endpoints(template: &Template, address: SocketAddr) -> FunctionEndpoints {
    let url = |name: &String| format!("http://{address}/2015-03-31/functions/{name}/invocations");
    template
        .functions
        .keys()
        .map(|name| (name.clone(), url(name)))
        .collect()
}

/// Returns the environment that the template gives to every function.
pub(super) fn common_environment(
    template: &Template,
) -> Result<BTreeMap<String, String>, StackError> {
    let mut functions = template.functions.iter();
    let Some((first, function)) = functions.next() else {
        return Ok(BTreeMap::new());
    };
    for (name, other) in functions {
        let differs = |variable: &&String| {
            function.environment.get(*variable) != other.environment.get(*variable)
        };
        let mut variables = function.environment.keys().chain(other.environment.keys());
        if let Some(variable) = variables.find(differs) {
            return Err(StackError::new(
                format!("{variable} differs between {first} and {name}"),
                "set it under Globals in template.yaml: the local stack gives all functions the same environment",
            ));
        }
    }
    Ok(function.environment.clone())
}

impl Runner<'_> {
    /// Starts `cargo lambda watch`, and waits until every function has responded.
    pub(super) async fn start(
        &self,
        environment: &BTreeMap<String, String>,
        endpoints: &FunctionEndpoints,
    ) -> Result<(), StackError> {
        let output = self
            .processes
            .start("cargo lambda watch", self.command(environment)?)
            .map_err(|error| error.to_string())?;
        let (crashed, mut crash) = watch::channel(false);
        let log = Arc::new(Log {
            console: Arc::clone(&self.console),
            crashed,
            warned: AtomicBool::new(false),
        });
        if let Some(stdout) = output.stdout {
            tokio::spawn(Arc::clone(&log).forward(stdout));
        }
        if let Some(stderr) = output.stderr {
            tokio::spawn(log.forward(stderr));
        }
        for (name, endpoint) in endpoints {
            tokio::select! {
                result = first_response(name, endpoint) => result?,
                Ok(_) = crash.wait_for(|crashed| *crashed) => {
                    return Err(format!("{name} ended as soon as it was started").into());
                }
            }
        }
        Ok(())
    }

    fn command(&self, variables: &BTreeMap<String, String>) -> Result<Command, StackError> {
        let mut environment = build_environment()
            .set("CARGO_TERM_COLOR", "never")
            .set("CARGO_TERM_VERBOSE", "false")
            .set("CARGO_LAMBDA_IGNORE_FILE", self.watch_ignore);
        for (name, value) in variables {
            environment = environment.set(name, value);
        }
        environment = environment
            .set("AWS_REGION", REGION)
            .set("AWS_ACCESS_KEY_ID", "local")
            .set("AWS_SECRET_ACCESS_KEY", "local")
            .set("AWS_ENDPOINT_URL", self.aws_url)
            // The level of cargo-lambda itself.
            .set("RUST_LOG", "error");
        let mut command =
            supervised(self.cargo_lambda, environment).map_err(|error| error.to_string())?;
        command
            .args(["lambda", "watch", "--wait", "--disable-cors"])
            .args(["--invoke-address", &self.address.ip().to_string()])
            .args(["--invoke-port", &self.address.port().to_string()])
            .args(["--concurrency", &self.concurrency.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(level) = variables.get("RUST_LOG") {
            command.args(["--env-var", &format!("RUST_LOG={level}")]);
        }
        Ok(command)
    }
}

/// The environment of cargo.
fn build_environment() -> Environment {
    Environment::base().with_network().with(is_build_setting)
}

fn is_build_setting(name: &str) -> bool {
    let is_setting = |setting: &str| {
        name.strip_prefix(setting)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    BUILD_SETTINGS.iter().any(|setting| is_setting(setting))
        && !NOT_BUILD_SETTINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
}

/// An API Gateway event without an authorizer, with the fields that the functions require.
const ANONYMOUS_CALL: &str = r#"{
    "version": "2.0",
    "headers": {},
    "isBase64Encoded": false,
    "requestContext": {"http": {"method": "POST"}}
}"#;

/// Calls a function without a caller, which is a 401, as soon as `cargo lambda watch` listens.
async fn first_response(name: &str, endpoint: &str) -> Result<(), StackError> {
    let since = Instant::now();
    let response = loop {
        let request = Request::post(endpoint)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(ANONYMOUS_CALL))
            .map_err(|error| error.to_string())?;
        match Client::new().call(request, FIRST_RESPONSE_TIMEOUT).await {
            Ok(response) => break response,
            // Not listening yet.
            Err(_) if since.elapsed() < FIRST_RESPONSE_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(format!("{name} does not respond: {error}").into()),
        }
    };
    let result: Option<Value> = serde_json::from_slice(response.body()).ok();
    let status = result
        .as_ref()
        .and_then(|result| result.get("statusCode")?.as_u64());
    if status == Some(401) {
        Ok(())
    } else {
        let body = String::from_utf8_lossy(response.body());
        Err(format!(
            "{name} must respond to a call without a caller with status 401, but responded {body}"
        )
        .into())
    }
}

/// The output of `cargo lambda watch`.
struct Log {
    console: Arc<Console>,
    crashed: watch::Sender<bool>,
    warned: AtomicBool,
}

impl Log {
    /// Forwards output to the console, line by line.
    async fn forward(self: Arc<Self>, output: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if is_watch_failure(&line) {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    self.console.warn(RELOAD_IS_OFF);
                }
                continue;
            }
            if let Some(line) = filtered(&line) {
                self.console.line(&line);
            }
            if line.trim_start().starts_with("ERROR command exited") {
                self.console.line(
                    "functions | an instance ended; it restarts when one of its source files is saved",
                );
                self.crashed.send_replace(true);
            }
        }
    }
}

/// Whether cargo-lambda reports that it cannot watch files.
fn is_watch_failure(line: &str) -> bool {
    line.contains("ERROR notify watch() error") || line.contains("fs watcher error")
}

/// Returns a line as it is printed; `None` for the lines that cargo and cargo-lambda print whenever an instance starts.
fn filtered(line: &str) -> Option<String> {
    const BEGINNINGS: [&str; 8] = [
        "Finished ",
        "Running `",
        "Caused by:",
        "process didn't exit successfully",
        "ERROR while waiting on process err=io(waiting on process group)",
        "ERROR runtime error err=io(waiting on process group)",
        "ERROR while sending process completion event",
        // An instance that is replaced after a change.
        "ERROR command killed",
    ];
    /// At any position, because several instances start at once, and the lines of their cargos get mixed up.
    const PARTS: [&str; 3] = [
        "waiting for file lock",
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
        // A line of the function's log. Its last field, half of the line, only declares which of the others are metrics.
        Some(match text.split_once(r#","_aws":"#) {
            Some((fields, _)) => format!("{fields}}}"),
            None => text.to_owned(),
        })
    } else {
        Some(format!("functions | {}", line.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use template::{Api, Function};

    use super::*;

    #[test]
    fn filters_output_of_cargo_lambda() {
        let cases = [
            (r#"{"level":"INFO"}"#, Some(r#"{"level":"INFO"}"#)),
            (
                r#"{"status":200,"Requests":1,"_aws":{"Timestamp":1,"CloudWatchMetrics":[]}}"#,
                Some(r#"{"status":200,"Requests":1}"#),
            ),
            (
                "   Compiling mint-token v0.1.0",
                Some("functions |    Compiling mint-token v0.1.0"),
            ),
            (
                "error[E0308]: mismatched types",
                Some("functions | error[E0308]: mismatched types"),
            ),
            (
                "ERROR command exited code=1",
                Some("functions | ERROR command exited code=1"),
            ),
            ("ERROR command killed code=ForceStop", None),
            ("     Running `target/debug/mint-token`", None),
            (" waiting for file lock on artifact directory", None),
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
            assert_eq!(filtered(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn recognizes_exhausted_file_watches() {
        for line in [
            r#"ERROR notify watch() error err=Error { kind: MaxFilesWatch, paths: ["/project/shared"] }"#,
            "ERROR runtime error err=Native fs watcher error",
        ] {
            assert!(is_watch_failure(line), "{line}");
        }
        assert!(!is_watch_failure("ERROR command exited code=1"));
    }

    #[test]
    fn passes_on_build_settings_only() {
        for name in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "RUSTUP_TOOLCHAIN",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "CC",
            "CC_x86_64_unknown_linux_gnu",
        ] {
            assert!(is_build_setting(name), "{name}");
        }
        for name in [
            "CARGO_PKG_NAME",
            "CARGO_MANIFEST_DIR",
            "CARGO_TERM_COLOR",
            "CARGO_TERM_VERBOSE",
            "CARGO_LAMBDA_INVOKE_PORT",
            "RUST_LOG",
            "AWS_PROFILE",
            "PYTHONPATH",
            "CCNAME",
            "ALLOWED_ORIGINS",
        ] {
            assert!(!is_build_setting(name), "{name}");
        }
    }

    #[test]
    fn rejects_environments_that_differ() {
        let function = |variables: &[(&str, &str)]| Function {
            environment: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            timeout: Duration::from_secs(28),
        };
        let common = |mint: &[(&str, &str)], create: &[(&str, &str)]| {
            let functions = [
                ("create-source".to_owned(), function(create)),
                ("mint-token".to_owned(), function(mint)),
            ];
            common_environment(&Template {
                api: Api {
                    stage: String::new(),
                    cors: None,
                    routes: vec![],
                },
                functions: functions.into(),
            })
        };

        let environment = common(&[("A", "1")], &[("A", "1")]).unwrap();
        assert_eq!(environment["A"], "1");
        for (mint, create) in [
            (&[("A", "1")][..], &[("A", "2")][..]),
            (&[("A", "1")], &[]),
            (&[], &[("A", "1")]),
        ] {
            assert_eq!(
                common(mint, create).unwrap_err().to_string(),
                "error: A differs between create-source and mint-token\n\
                 help: set it under Globals in template.yaml: the local stack gives all functions the same environment"
            );
        }
    }
}
