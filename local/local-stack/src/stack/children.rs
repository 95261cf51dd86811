//! The processes that the stack starts. None outlives it.
//!
//! Each ends when its standard input does, by itself or because a [guard](crate::guard) sees to it. So a stack that is
//! killed takes its children along, and one that stops only has to let go.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::guard;

/// How long a child may take to end, its guard's grace included, before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that was started and has not been stopped.
pub(super) struct Children {
    waiting: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
    ended: mpsc::UnboundedSender<String>,
}

/// Is told of children that end by themselves.
pub(super) type Ended = mpsc::UnboundedReceiver<String>;

/// What a child prints, if it was not left to print on the stack's own terminal.
pub(super) struct Output {
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Children {
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

    /// Starts a process that is to run for as long as the stack does.
    pub(super) fn start(&self, name: &str, command: Command) -> io::Result<Output> {
        let (mut child, input) = spawn(name, command)?;
        let output = Output {
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        };
        let (name, ended) = (name.to_owned(), self.ended.clone());
        self.watch_over(child, input, move |status| {
            // Nobody listens any more only if the stack is stopping.
            let _stopping = ended.send(format!("{name} {}", described(status)));
        });
        Ok(output)
    }

    /// Runs a process to its end.
    pub(super) async fn run(&self, name: &str, command: Command) -> io::Result<ExitStatus> {
        let (child, input) = spawn(name, command)?;
        let (done, status) = oneshot::channel();
        self.watch_over(child, input, move |status| {
            // Nobody listens any more only if the stack is stopping.
            let _stopping = done.send(status);
        });
        status
            .await
            .unwrap_or_else(|_| Err(io::Error::other("stopped")))
    }

    /// Waits in the background until the child has ended by itself, or has to.
    fn watch_over(
        &self,
        mut child: Child,
        input: ChildStdin,
        ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
    ) {
        let mut stop = self.stop.subscribe();
        let watching = async move {
            let told_to_stop = async { stop.wait_for(|stop| *stop).await.is_ok() };
            tokio::select! {
                status = child.wait() => ended(status),
                _ = told_to_stop => let_go(child, input).await,
            }
        };
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(watching);
    }

    /// Ends every child, and waits until it has.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let mut waiting = self
            .waiting
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        while waiting.join_next().await.is_some() {}
    }
}

/// What the variables' names begin with in which cargo tells a program about its package.
const OF_THE_RUNNING_PACKAGE: [&str; 3] = ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// A command that runs below a guard, so that whatever it starts ends with it.
pub(super) fn guarded(program: impl AsRef<OsStr>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(guard::ARGUMENT).arg(program);
    // `cargo run` tells a program about its own package. A cargo that is started with that builds again what looks at it,
    // and so does the next one that is started without.
    for (name, _) in std::env::vars_os() {
        if OF_THE_RUNNING_PACKAGE
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    Ok(command)
}

fn spawn(name: &str, mut command: Command) -> io::Result<(Child, ChildStdin)> {
    // A group of its own: Ctrl-C on the terminal reaches the stack alone, which then ends the others in order.
    command.process_group(0).stdin(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("{name} cannot be started: {error}"))
    })?;
    let input = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::other(format!("{name} has no standard input")))?;
    Ok((child, input))
}

/// Closes the child's standard input, at which it ends.
async fn let_go(mut child: Child, input: ChildStdin) {
    drop(input);
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        // An error means that it has just ended.
        let _ended = child.kill().await;
    }
}

fn described(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("has ended ({status})"),
        Err(error) => format!("cannot be waited for: {error}"),
    }
}
