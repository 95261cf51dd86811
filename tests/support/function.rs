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
use crate::{Answer, Binary, Environment};

/// How long Lambda lets a function start: its init phase is cut off after ten seconds.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// The function timeout of the template, which is just below API Gateway's own limit of 30 seconds.
const DEADLINE: Duration = Duration::from_secs(28);

/// A function's process behind a Runtime API of its own; killed when dropped.
pub struct Function {
    name: String,
    runtime_api: RuntimeApi,
    output: Output,
    exit: watch::Receiver<Option<ExitStatus>>,
    process_id: u32,
    process: AbortHandle,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it printed to standard output.
    pub stdout: String,
    /// Everything it printed to standard error.
    pub stderr: String,
    /// What it reported to the Runtime API's `…/init/error`.
    pub init_errors: Vec<String>,
}

/// An invocation without an answer for the caller: API Gateway says 500 for each of these.
#[derive(Debug)]
pub enum Failure {
    /// The function reported an error instead of an answer.
    Reported(String),
    /// The deadline passed; Lambda ends the process then.
    TimedOut,
    /// The process ended.
    Exited(Exit),
}

/// What a process prints. Files rather than pipes: whatever was printed can be read at any time, and nothing blocks.
struct Output {
    stdout: File,
    stderr: File,
}

impl Function {
    /// Starts the function and waits until it asks for its first event.
    ///
    /// # Panics
    /// When it ends or takes longer than Lambda's init phase allows.
    pub async fn start(binary: Binary, environment: &Environment) -> Function {
        Self::start_program(&binary.path(), environment).await
    }

    /// Starts another program that is a Lambda function; see [`start`](Self::start).
    ///
    /// # Panics
    /// When it ends or takes longer than Lambda's init phase allows.
    pub async fn start_program(program: &Path, environment: &Environment) -> Function {
        match Self::try_start_program(program, environment).await {
            Ok(function) => function,
            Err(exit) => panic!("{} ended at start-up: {exit}", program.display()),
        }
    }

    /// Starts the function and waits until it asks for its first event, or ends.
    ///
    /// # Panics
    /// When it does neither within Lambda's init phase.
    pub async fn try_start(binary: Binary, environment: &Environment) -> Result<Function, Exit> {
        Self::try_start_program(&binary.path(), environment).await
    }

    async fn try_start_program(
        program: &Path,
        environment: &Environment,
    ) -> Result<Function, Exit> {
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
            .envs(environment.variables())
            .stdin(Stdio::null())
            .stdout(output.stdout.try_clone().expect("a file can be shared"))
            .stderr(output.stderr.try_clone().expect("a file can be shared"))
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));

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
        let ended_first = tokio::select! {
            _ = polls.wait_for(|polls| *polls > 0) => None,
            status = ended(&mut exit) => Some(status),
            () = sleep(INIT_LIMIT) => panic!(
                "{name} did not ask for an event within {INIT_LIMIT:?}; it printed:\n{}",
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
        match ended_first {
            None => Ok(function),
            Some(status) => Err(function.exit(status)),
        }
    }

    /// Invokes the function with the template's timeout as its deadline.
    ///
    /// # Panics
    /// When there is no answer for the caller; see [`Failure`].
    pub async fn invoke(&self, event: impl fmt::Display) -> Answer {
        self.invoke_with_deadline(event, DEADLINE).await
    }

    /// Invokes the function; the deadline counts from when it takes the event.
    ///
    /// # Panics
    /// When there is no answer for the caller; see [`Failure`].
    pub async fn invoke_with_deadline(
        &self,
        event: impl fmt::Display,
        deadline: Duration,
    ) -> Answer {
        match self.try_invoke(event, deadline).await {
            Ok(answer) => answer,
            Err(failure) => panic!(
                "{} failed: {failure}\nit printed:\n{}",
                self.name,
                self.output()
            ),
        }
    }

    /// Invokes the function and waits until it is ready for the next event, so that whatever it prints about this one
    /// has been printed.
    pub async fn try_invoke(
        &self,
        event: impl fmt::Display,
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        let mut polls = self.runtime_api.polls();
        let mut exit = self.exit.clone();
        let Invocation {
            request_id,
            returned,
            handed_out,
        } = self.runtime_api.invoke(event.to_string(), deadline);

        tokio::select! {
            _ = handed_out => {}
            status = ended(&mut exit) => return Err(Failure::Exited(self.exit(status))),
        }
        let polls_before = *polls.borrow();
        let Returned { body, took, failed } = tokio::select! {
            // An answer that came is taken even if the process ended right after it.
            biased;
            returned = returned => returned.expect("the Runtime API outlives the invocation"),
            status = ended(&mut exit) => return Err(Failure::Exited(self.exit(status))),
            () = sleep(deadline) => {
                self.process.abort();
                return Err(Failure::TimedOut);
            }
        };
        tokio::select! {
            _ = polls.wait_for(|polls| *polls > polls_before) => {}
            _ = ended(&mut exit) => {}
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        if failed {
            Err(Failure::Reported(body))
        } else {
            Ok(Answer::new(&request_id, &body, took))
        }
    }

    /// Everything printed so far, standard output first.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// The lines printed so far, standard output first.
    #[must_use]
    pub fn logs(&self) -> Vec<String> {
        self.output().lines().map(str::to_owned).collect()
    }

    /// The lines printed so far as JSON.
    ///
    /// # Panics
    /// When one of them is not a JSON object.
    #[must_use]
    pub fn json_logs(&self) -> Vec<Value> {
        let parse = |line: &String| match serde_json::from_str(line) {
            Ok(value @ Value::Object(_)) => value,
            _ => panic!(
                "{} printed a line that is not a JSON object: {line}",
                self.name
            ),
        };
        self.logs().iter().map(parse).collect()
    }

    /// The id of the process, for looking at it from outside.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// The trace id that every invocation carries.
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
    /// The lines it printed, standard output first.
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
            Failure::TimedOut => write!(formatter, "no answer before the deadline"),
            Failure::Exited(exit) => write!(formatter, "the process ended: {exit}"),
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

    /// Everything so far, standard output first.
    fn text(&self) -> String {
        format!("{}{}", read(&self.stdout), read(&self.stderr))
    }
}

/// Reads without moving the offset, which the process shares.
fn read(file: &File) -> String {
    let length = file.metadata().expect("an open file has metadata").len();
    let mut bytes = vec![0; usize::try_from(length).expect("output that fits into memory")];
    file.read_exact_at(&mut bytes, 0)
        .expect("a temporary file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn ended(exit: &mut watch::Receiver<Option<ExitStatus>>) -> ExitStatus {
    let status = exit
        .wait_for(Option::is_some)
        .await
        .expect("the process is waited for");
    status.expect("waited for")
}
