//! The local stack, as `make dev` starts it, on ports that are free.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use ureq::Agent;

use crate::Result;

/// How many instances of each function may run at a time.
const CONCURRENCY: u16 = 8;

/// How long the stack may take to start; it may have to build the functions first.
const START: Duration = Duration::from_secs(600);

/// How long any request may take; the gateway gives up after 30 seconds.
const ANSWER: Duration = Duration::from_secs(35);

/// How many of the last lines that it printed are kept.
const LAST_LINES: usize = 20;

/// A running stack; it ends when dropped.
pub(super) struct Stack {
    child: Child,
    log: Arc<Log>,
    agent: Agent,
    api: String,
    issuer: String,
    airbyte: String,
}

/// What the stack prints on standard error: passed on while it starts, afterwards only the end of it is kept.
#[derive(Default)]
struct Log {
    runs: AtomicBool,
    last: Mutex<VecDeque<String>>,
}

/// What came back for a request.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Stack {
    /// Starts the stack, and waits until it says that everything runs.
    ///
    /// The template's throttling is lifted: it would answer most of the load itself.
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
        let (runs, says_so) = mpsc::channel();
        let stdout = stdout.ok_or("the stack has no standard output")?;
        thread::spawn(move || await_start(stdout, &runs));
        let stderr = stderr.ok_or("the stack has no standard error")?;
        let log = Arc::clone(&stack.log);
        thread::spawn(move || log.read(stderr));

        match says_so.recv_timeout(START) {
            Ok(()) => {
                stack.log.runs.store(true, Ordering::Relaxed);
                Ok(stack)
            }
            Err(RecvTimeoutError::Disconnected) => Err("the local stack has not started".into()),
            Err(RecvTimeoutError::Timeout) => Err("the local stack takes too long to start".into()),
        }
    }

    /// The end of what the stack printed.
    pub(super) fn last_lines(&self) -> String {
        let last = self.log.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for line in &*last {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The API's URL.
    pub(super) fn api(&self) -> &str {
        &self.api
    }

    /// What `user` signs in with: the issuer's JWT.
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

    /// `POST` to a route of the API.
    pub(super) fn post(&self, route: &str, bearer: &str, body: &Value) -> Result<Answer> {
        let mut response = self
            .agent
            .post(format!("{}{route}", self.api))
            .header("authorization", format!("Bearer {bearer}"))
            .header("content-type", "application/json")
            .send(body.to_string())?;
        let text = response.body_mut().read_to_string()?;
        Ok(Answer {
            status: response.status().as_u16(),
            body: serde_json::from_str(&text)
                .map_err(|_| format!("{route} answers no JSON: {text}"))?,
        })
    }

    /// Injects a failure into the Airbyte simulator.
    pub(super) fn inject(&self, fault: &Value) -> Result<()> {
        let request = self
            .agent
            .post(self.sim("faults"))
            .header("content-type", "application/json");
        accepted(request.send(fault.to_string())?)
    }

    /// Clears all injected failures.
    pub(super) fn clear_faults(&self) -> Result<()> {
        accepted(self.agent.delete(self.sim("faults")).call()?)
    }

    /// Every source that the simulator has.
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
        // Asked to end, it ends what it started. Errors mean that it is gone.
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

impl Log {
    fn read(&self, output: ChildStderr) {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if !self.runs.load(Ordering::Relaxed) {
                // Progress; if it cannot be shown, nothing is lost.
                let _ = writeln!(io::stderr(), "{line}");
            }
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
}

/// Tells when the stack says that everything runs, and reads on, so that it can go on printing.
fn await_start(output: ChildStdout, runs: &Sender<()>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if line.starts_with("Everything runs") {
            // Nobody waits any more if it took too long.
            let _ = runs.send(());
        }
    }
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(ANSWER))
        .max_idle_connections_per_host(64)
        .build()
        .into()
}

fn accepted(mut response: ureq::http::Response<ureq::Body>) -> Result<()> {
    if response.status().is_success() {
        return Ok(());
    }
    let said = response.body_mut().read_to_string()?;
    Err(format!("the simulator rejected the fault: {said}").into())
}

/// Ports that nobody listens on. They are let go together, so that they differ.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
