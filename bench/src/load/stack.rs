//! The local stack, as `make dev` starts it, on free ports.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use ureq::Agent;

use crate::Result;

/// Concurrent instances of each function.
const CONCURRENCY: u16 = 8;

/// Timeout of the stack's start, which may have to build the functions first.
const START_TIMEOUT: Duration = Duration::from_secs(600);

/// Timeout of a request: longer than the gateway's own, which is 30 seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);

/// The number of lines of its output that are kept for error messages.
const MAX_LAST_LINES: usize = 20;

/// A running stack; it stops when dropped.
pub(super) struct Stack {
    child: Child,
    log: Arc<Log>,
    agent: Agent,
    api: String,
    issuer: String,
    airbyte: String,
}

/// The stack's standard error: forwarded during the start; afterwards only the last lines are kept.
#[derive(Default)]
struct Log {
    is_running: AtomicBool,
    last_lines: Mutex<VecDeque<String>>,
}

/// A response of the API.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Stack {
    /// Starts the stack, and waits until it reports that everything runs.
    ///
    /// Lifts the template's throttling, because it would reject most of the load.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let [gateway, issuer, airbyte, demo, invoke] = free_ports()?;
        let variables = [
            ("GATEWAY_PORT", gateway),
            ("ISSUER_PORT", issuer),
            ("AIRBYTE_PORT", airbyte),
            ("DEMO_PORT", demo),
            ("INVOKE_PORT", invoke),
            ("FUNCTION_CONCURRENCY", CONCURRENCY),
        ];
        let mut child = Command::new(program)
            .envs(variables.map(|(name, value)| (name, value.to_string())))
            .env(
                "PARAMETER_OVERRIDES",
                "ThrottlingRateLimit=1000000 ThrottlingBurstLimit=1000000 LogLevel=warn",
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let stack = Self {
            child,
            log: Arc::default(),
            agent: agent(),
            api: url(gateway),
            issuer: url(issuer),
            airbyte: url(airbyte),
        };
        let (running, start) = mpsc::channel();
        let stdout = stdout.ok_or("the stack has no standard output")?;
        thread::spawn(move || await_start(stdout, &running));
        let stderr = stderr.ok_or("the stack has no standard error")?;
        let log = Arc::clone(&stack.log);
        thread::spawn(move || log.read(stderr));

        match start.recv_timeout(START_TIMEOUT) {
            Ok(()) => {
                stack.log.is_running.store(true, Ordering::Relaxed);
                Ok(stack)
            }
            Err(RecvTimeoutError::Disconnected) => Err("the local stack failed to start".into()),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("the local stack did not start within {START_TIMEOUT:?}").into())
            }
        }
    }

    /// Returns the last lines that the stack printed.
    pub(super) fn last_lines(&self) -> String {
        self.log.last_lines().make_contiguous().join("\n")
    }

    /// Returns the API's URL.
    pub(super) fn api(&self) -> &str {
        &self.api
    }

    /// Returns a JWT for `user` from the issuer.
    pub(super) fn sign_in(&self, user: &str) -> Result<String> {
        let url = format!("{}/token?sub={user}", self.issuer);
        Ok(self
            .agent
            .get(url)
            .call()?
            .body_mut()
            .read_to_string()?
            .trim()
            .to_owned())
    }

    /// Sends a `POST` to a route of the API.
    pub(super) fn post(&self, route: &str, bearer: &str, body: &Value) -> Result<Response> {
        self.send(route, bearer, None, body)
    }

    /// Sends a `POST /sources` with an `Idempotency-Key`.
    pub(super) fn create(&self, bearer: &str, key: &str, body: &Value) -> Result<Response> {
        self.send("/sources", bearer, Some(key), body)
    }

    fn send(&self, route: &str, bearer: &str, key: Option<&str>, body: &Value) -> Result<Response> {
        let mut request = self
            .agent
            .post(format!("{}{route}", self.api))
            .header("authorization", format!("Bearer {bearer}"))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let mut response = request.send(body.to_string())?;
        let text = response.body_mut().read_to_string()?;
        Ok(Response {
            status: response.status().as_u16(),
            body: serde_json::from_str(&text)
                .map_err(|_| format!("the response of {route} is not JSON: {text}"))?,
        })
    }

    /// Injects a failure into the Airbyte simulator.
    pub(super) fn inject(&self, fault: &Value) -> Result<()> {
        let request = self
            .agent
            .post(self.sim("faults"))
            .header("content-type", "application/json");
        expect_accepted(request.send(fault.to_string())?)
    }

    /// Clears all injected failures.
    pub(super) fn clear_faults(&self) -> Result<()> {
        expect_accepted(self.agent.delete(self.sim("faults")).call()?)
    }

    /// Returns every source that the simulator has.
    pub(super) fn sources(&self) -> Result<Vec<Value>> {
        let mut response = self.agent.get(self.sim("sources")).call()?;
        let body = response.body_mut().with_config().limit(64 * 1024 * 1024);
        Ok(serde_json::from_str(&body.read_to_string()?)?)
    }

    fn sim(&self, what: &str) -> String {
        format!("{}/_sim/{what}", self.airbyte)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SIGTERM, so that it stops the processes that it started. An error means that it has exited.
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

impl Log {
    fn read(&self, output: ChildStderr) {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if !self.is_running.load(Ordering::Relaxed) {
                // Only progress, so a failure to print it is ignored.
                let _ = writeln!(io::stderr(), "{line}");
            }
            let mut lines = self.last_lines();
            if lines.len() == MAX_LAST_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    fn last_lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports when the stack prints that everything runs. Reads on afterwards, so that the stack can keep printing.
fn await_start(output: ChildStdout, running: &Sender<()>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if line.starts_with("Everything runs") {
            // The receiver is gone after a timeout.
            let _ = running.send(());
        }
    }
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(REQUEST_TIMEOUT))
        .max_idle_connections_per_host(64)
        .build()
        .into()
}

fn expect_accepted(mut response: ureq::http::Response<ureq::Body>) -> Result<()> {
    if response.status().is_success() {
        return Ok(());
    }
    let body = response.body_mut().read_to_string()?;
    Err(format!("the simulator rejected the fault: {body}").into())
}

/// Returns distinct free ports. All of them are bound before any is released, so that they differ.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut listeners = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
