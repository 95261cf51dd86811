//! A running function.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::runtime_api::{Invocation, Returned, RuntimeApi, TRACE_ID};
use crate::{Binary, Config, Response};

/// Timeout of Lambda's init phase.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A function's process with its own Runtime API; killed when dropped.
pub struct Function {
    name: String,
    runtime_api: RuntimeApi,
    output: Output,
    exit: watch::Receiver<Option<ExitStatus>>,
    process_id: u32,
    process: AbortHandle,
}

/// A process that has exited.
#[derive(Debug)]
pub struct Exit {
    /// The exit status.
    pub status: ExitStatus,
    /// Everything that it printed to standard output.
    pub stdout: String,
    /// Everything that it printed to standard error.
    pub stderr: String,
    /// The bodies that it sent to the Runtime API's `…/init/error`.
    pub init_errors: Vec<String>,
}

/// An invocation without a response. API Gateway returns 500 for each of these.
#[derive(Debug)]
pub enum Failure {
    /// The function reported an error to the Runtime API.
    Reported(String),
    /// The deadline passed, on which Lambda kills the process.
    Timeout,
    /// The process exited.
    Exited(Exit),
}

/// The output of a process, in files: they can be read at any time and never block the process, as pipes do.
struct Output {
    stdout: File,
    stderr: File,
}

impl Function {
    /// Timeout of both functions in the template, below API Gateway's limit of 30 seconds.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(28);

    /// Starts the function and waits until it requests its first event.
    ///
    /// # Panics
    /// If it exits, or exceeds the timeout of Lambda's init phase.
    pub async fn start(binary: Binary, config: &Config) -> Function {
        Self::start_program(&binary.path(), config).await
    }

    /// Starts another Lambda function like [`start`](Self::start).
    ///
    /// # Panics
    /// If it exits, or exceeds the timeout of Lambda's init phase.
    pub async fn start_program(program: &Path, config: &Config) -> Function {
        match Self::try_start_program(program, config).await {
            Ok(function) => function,
            Err(exit) => panic!("{} exited during init: {exit}", program.display()),
        }
    }

    /// Starts the function and expects it to exit during init.
    ///
    /// # Panics
    /// If it starts, or exceeds the timeout of Lambda's init phase.
    pub async fn expect_exit(binary: Binary, config: &Config) -> Exit {
        match Self::try_start_program(&binary.path(), config).await {
            Ok(_) => panic!("{} starts with an invalid configuration", binary.name()),
            Err(exit) => exit,
        }
    }

    async fn try_start_program(program: &Path, config: &Config) -> Result<Function, Exit> {
        let name = program
            .file_name()
            .expect("a program is a file")
            .to_string_lossy()
            .into_owned();
        let runtime_api = RuntimeApi::start().await;
        let output = Output::new();
        let mut process = Command::new(program)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &name)
            .envs(config.variables())
            .stdin(Stdio::null())
            .stdout(output.stdout.try_clone().expect("a file can be shared"))
            .stderr(output.stderr.try_clone().expect("a file can be shared"))
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to run {}: {error}", program.display()));

        let process_id = process
            .id()
            .expect("a process that was not waited for has an id");
        let (exit_sender, mut exit) = watch::channel(None);
        let process = tokio::spawn(async move {
            let status = process.wait().await.expect("a child can be waited for");
            exit_sender.send_replace(Some(status));
        })
        .abort_handle();

        let mut polls = runtime_api.polls();
        let exit_status = tokio::select! {
            _ = polls.wait_for(|polls| *polls > 0) => None,
            status = exited(&mut exit) => Some(status),
            () = sleep(INIT_TIMEOUT) => panic!(
                "{name} did not request an event within {INIT_TIMEOUT:?}; it printed:\n{}",
                output.text()
            ),
        };
        let function = Function {
            name,
            runtime_api,
            output,
            exit,
            process_id,
            process,
        };
        match exit_status {
            None => Ok(function),
            Some(status) => Err(function.exit(status)),
        }
    }

    /// Invokes the function with the template's timeout.
    ///
    /// # Panics
    /// If there is no response; see [`Failure`].
    pub async fn invoke(&self, event: impl fmt::Display) -> Response {
        self.invoke_with_timeout(event, Self::TIMEOUT).await
    }

    /// Invokes the function; the timeout starts when it takes the event.
    ///
    /// # Panics
    /// If there is no response; see [`Failure`].
    pub async fn invoke_with_timeout(
        &self,
        event: impl fmt::Display,
        timeout: Duration,
    ) -> Response {
        match self.try_invoke(event, timeout).await {
            Ok(response) => response,
            Err(failure) => panic!(
                "{} failed: {failure}\nit printed:\n{}",
                self.name,
                self.output()
            ),
        }
    }

    /// Invokes the function and waits until it requests the next event, by which time it has printed everything about this
    /// one.
    pub async fn try_invoke(
        &self,
        event: impl fmt::Display,
        timeout: Duration,
    ) -> Result<Response, Failure> {
        let mut polls = self.runtime_api.polls();
        let mut exit = self.exit.clone();
        let Invocation {
            request_id,
            returned,
            taken,
        } = self.runtime_api.invoke(event.to_string(), timeout);

        tokio::select! {
            _ = taken => {}
            status = exited(&mut exit) => return Err(Failure::Exited(self.exit(status))),
        }
        let polls_before = *polls.borrow();
        let Returned {
            body,
            elapsed,
            is_error,
        } = tokio::select! {
            // A response counts even if the process exits right after it.
            biased;
            returned = returned => returned.expect("the Runtime API outlives the invocation"),
            status = exited(&mut exit) => return Err(Failure::Exited(self.exit(status))),
            () = sleep(timeout) => {
                self.process.abort();
                return Err(Failure::Timeout);
            }
        };
        tokio::select! {
            _ = polls.wait_for(|polls| *polls > polls_before) => {}
            _ = exited(&mut exit) => {}
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        if is_error {
            Err(Failure::Reported(body))
        } else {
            Ok(Response::parse(&request_id, &body, elapsed))
        }
    }

    /// Returns everything printed so far, standard output first.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Returns the lines printed so far, standard output first.
    ///
    /// # Panics
    /// If one of them is not a JSON object.
    #[must_use]
    pub fn logs(&self) -> Vec<Value> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(value @ Value::Object(_)) => value,
            _ => panic!(
                "{} printed a line that is not a JSON object: {line}",
                self.name
            ),
        };
        self.output().lines().map(parse).collect()
    }

    /// Returns the process ID, for measurements.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// Returns the CPU time that the function has used. It has one thread.
    ///
    /// # Panics
    /// If Linux does not say.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/schedstat", self.process_id);
        let text = std::fs::read_to_string(&path).expect("a running process on Linux");
        let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
        Duration::from_nanos(nanoseconds.expect("nanoseconds on the CPU"))
    }

    /// Returns a field of `/proc/PID/status` in KiB: `VmRSS` is the resident memory, `VmHWM` its peak.
    ///
    /// # Panics
    /// If there is no such field.
    #[must_use]
    pub fn memory_kib(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process_id);
        let status = std::fs::read_to_string(&path).expect("a running process on Linux");
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
            .unwrap_or_else(|| panic!("{path} has no {field}"))
    }

    /// Returns the trace ID of every invocation.
    #[must_use]
    pub fn trace_id() -> &'static str {
        TRACE_ID
    }

    fn exit(&self, status: ExitStatus) -> Exit {
        Exit {
            status,
            stdout: read(&self.output.stdout),
            stderr: read(&self.output.stderr),
            init_errors: self.runtime_api.init_errors(),
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.process.abort();
    }
}

impl Exit {
    /// Returns the lines that it printed, standard output first.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().chain(self.stderr.lines()).collect()
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}; it printed:\n{}{}",
            self.status, self.stdout, self.stderr
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Reported(error) => write!(formatter, "it reported {error}"),
            Failure::Timeout => write!(formatter, "no response before the deadline"),
            Failure::Exited(exit) => write!(formatter, "the process exited: {exit}"),
        }
    }
}

impl Output {
    fn new() -> Self {
        let file = || tempfile::tempfile().expect("a temporary file");
        Output {
            stdout: file(),
            stderr: file(),
        }
    }

    /// Returns everything printed so far, standard output first.
    fn text(&self) -> String {
        format!("{}{}", read(&self.stdout), read(&self.stderr))
    }
}

/// Reads without moving the file's offset, which the process shares.
fn read(file: &File) -> String {
    let length = file.metadata().expect("an open file has metadata").len();
    let mut bytes = vec![0; usize::try_from(length).expect("output that fits into memory")];
    file.read_exact_at(&mut bytes, 0)
        .expect("a temporary file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn exited(exit: &mut watch::Receiver<Option<ExitStatus>>) -> ExitStatus {
    let status = exit
        .wait_for(Option::is_some)
        .await
        .expect("the process is waited for");
    status.expect("waited for")
}
