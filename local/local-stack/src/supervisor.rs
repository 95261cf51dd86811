//! A process that stops another one, with all of its descendants, when the local stack ends.
//!
//! `cargo lambda watch` starts every function in its own session, so that functions survive when it is killed, or when its
//! parent is. Therefore it runs under a supervisor, which waits for the end of its own standard input. The local stack
//! holds the other end of that pipe. The pipe closes however the local stack ends, and then the supervisor stops every
//! descendant.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// The first argument that makes the local stack's program a supervisor.
pub const ARGUMENT: &str = "supervise";

/// How long processes may take to end after SIGTERM before they are killed.
const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// How often the processes are listed while they end.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs a command until it or standard input ends; then stops its descendants.
///
/// Returns the exit code of a command that ended by itself.
///
/// # Errors
/// If the command cannot be started.
pub async fn run(command: Vec<OsString>) -> io::Result<ExitCode> {
    let mut command = command.into_iter();
    let program = command
        .next()
        .ok_or_else(|| io::Error::other("the supervisor has no command"))?;

    // Processes whose parent has ended become children of the supervisor instead of process 1. On other systems than
    // Linux, only processes whose parents still run are found.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut signals = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ];
    let [terminate, interrupt, hang_up] = &mut signals;
    let mut input = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;

    let system = System::new().map_err(io::Error::other)?;
    let mut descendants = Descendants {
        system,
        known: HashMap::new(),
    };

    let mut child = Command::new(program)
        .args(command)
        .stdin(Stdio::null())
        .spawn()?;
    let ended = tokio::select! {
        status = child.wait() => Some(status?),
        () = closed(&mut input) => None,
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        _ = hang_up.recv() => None,
    };
    // A command that succeeded may leave processes running, such as the server of a compiler cache.
    if !ended.is_some_and(|status| status.success()) {
        stop_all(&mut child, &mut descendants).await;
    }
    Ok(ended.map_or(ExitCode::SUCCESS, code))
}

/// Waits for the end of a pipe, and ignores its content.
async fn closed(pipe: &mut pipe::Receiver) {
    let mut ignored = [0; 64];
    while matches!(pipe.read(&mut ignored).await, Ok(length) if length > 0) {}
}

fn code(status: ExitStatus) -> ExitCode {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Sends SIGTERM to the command, which may stop its own children first, then to the others; kills the rest.
async fn stop_all(child: &mut Child, descendants: &mut Descendants) {
    descendants.refresh();
    let since = Instant::now();
    let mut asked: Vec<Pid> = Vec::new();
    loop {
        let left = descendants.refresh();
        if left.is_empty() {
            return;
        }
        // While the command runs, it stops its children itself.
        let child_is_left = matches!(child.try_wait(), Ok(None));
        let direct = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        for process in left {
            // An error means that the process has already ended.
            if since.elapsed() > GRACE_PERIOD {
                let _ended = kill(process, Signal::SIGKILL);
            } else if !asked.contains(&process) && (!child_is_left || Some(process) == direct) {
                asked.push(process);
                let _ended = kill(process, Signal::SIGTERM);
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The descendants of this process, including those whose parents have ended.
struct Descendants {
    system: System,
    /// With the second in which each started, because process IDs are reused.
    known: HashMap<sysinfo::Pid, u64>,
}

impl Descendants {
    /// Lists the processes, and returns the descendants that run.
    fn refresh(&mut self) -> Vec<Pid> {
        let nothing_optional = ProcessRefreshKind::nothing().without_tasks();
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::All, true, nothing_optional);
        let own = sysinfo::Pid::from_u32(std::process::id());
        // Each round finds the children of the processes found before.
        loop {
            let found: Vec<_> = self
                .system
                .processes()
                .values()
                .filter(|process| !self.known.contains_key(&process.pid()))
                .filter(|process| {
                    process
                        .parent()
                        .is_some_and(|parent| parent == own || self.known.contains_key(&parent))
                })
                .map(|process| (process.pid(), process.start_time()))
                .collect();
            if found.is_empty() {
                break;
            }
            self.known.extend(found);
        }
        self.known
            .iter()
            .filter(|(id, started)| {
                self.system.process(**id).is_some_and(|process| {
                    process.start_time() == **started
                        && !matches!(
                            process.status(),
                            ProcessStatus::Zombie | ProcessStatus::Dead
                        )
                })
            })
            .filter_map(|(id, _)| i32::try_from(id.as_u32()).ok().map(Pid::from_raw))
            .collect()
    }
}
