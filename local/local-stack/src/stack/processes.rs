//! The processes that the stack starts. None outlives it.
//!
//! Each ends when its standard input does, by itself or through a [supervisor](crate::supervisor). Therefore the processes
//! of a stack that is killed end too, and a stack that stops only closes the pipes.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use template::environment::Environment;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::supervisor;

/// How long a process may take to end, the supervisor's grace period included, before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The running processes.
pub(super) struct Processes {
    waiting: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
    ended: mpsc::UnboundedSender<String>,
}

/// Receives a line for each process that ends by itself.
pub(super) type Ended = mpsc::UnboundedReceiver<String>;

/// The output of a process, as far as it is piped.
pub(super) struct Output {
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Processes {
    pub(super) fn new() -> (Self, Ended) {
        let (ended, receiver) = mpsc::unbounded_channel();
        let (stop, _) = watch::channel(false);
        (
            Self {
                waiting: Mutex::default(),
                stop,
                ended,
            },
            receiver,
        )
    }

    /// Starts a process that is to run as long as the stack.
    pub(super) fn start(&self, name: &str, command: Command) -> io::Result<Output> {
        let (mut child, input) = spawn(name, command)?;
        let output = Output {
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        };
        let (name, ended) = (name.to_owned(), self.ended.clone());
        self.wait(child, input, move |status| {
            // The receiver is gone only if the stack is stopping.
            let _stopping = ended.send(format!("{name} {}", description(status)));
        });
        Ok(output)
    }

    /// Runs a process until it ends.
    pub(super) async fn run(&self, name: &str, command: Command) -> io::Result<ExitStatus> {
        let (child, input) = spawn(name, command)?;
        let (done, status) = oneshot::channel();
        self.wait(child, input, move |status| {
            // The receiver is gone only if the stack is stopping.
            let _stopping = done.send(status);
        });
        status
            .await
            .unwrap_or_else(|_| Err(io::Error::other("stopped")))
    }

    /// Waits in the background until the process ends by itself, or stops it with the stack.
    fn wait(
        &self,
        mut child: Child,
        input: ChildStdin,
        ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
    ) {
        let mut stop = self.stop.subscribe();
        let waiting = async move {
            let stopping = async { stop.wait_for(|stop| *stop).await.is_ok() };
            tokio::select! {
                status = child.wait() => ended(status),
                _ = stopping => shut_down(child, input).await,
            }
        };
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(waiting);
    }

    /// Stops all processes, and waits until they have ended.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let mut waiting = self
            .waiting
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        while waiting.join_next().await.is_some() {}
    }
}

/// Returns a command that runs under a supervisor, so that its descendants end with it.
pub(super) fn supervised(
    program: impl AsRef<OsStr>,
    environment: Environment,
) -> io::Result<Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg(supervisor::ARGUMENT).arg(program);
    environment.apply(&mut command);
    Ok(command.into())
}

fn spawn(name: &str, mut command: Command) -> io::Result<(Child, ChildStdin)> {
    // Its own process group: Ctrl-C on the terminal reaches the stack alone, which then stops the others in order.
    command.process_group(0).stdin(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("failed to start {name}: {error}"))
    })?;
    let input = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::other(format!("{name} has no standard input")))?;
    Ok((child, input))
}

/// Closes the standard input of a process, which makes it end.
async fn shut_down(mut child: Child, input: ChildStdin) {
    drop(input);
    if tokio::time::timeout(STOP_TIMEOUT, child.wait())
        .await
        .is_err()
    {
        // An error means that it has just ended.
        let _ended = child.kill().await;
    }
}

fn description(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("ended unexpectedly ({status})"),
        Err(error) => format!("cannot be waited for: {error}"),
    }
}
