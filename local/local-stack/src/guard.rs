//! A process that keeps another one from outliving the local stack.
//!
//! `cargo lambda watch` starts every function in a session of its own: when it is killed, or whoever started it, they
//! are left behind. So it runs below a guard, which waits for the end of its own standard input. The local stack holds
//! the other end of that pipe, and however it ends, even killed, the pipe closes. Then the guard ends everything that
//! was started below it.

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

/// The first argument by which the local stack's program becomes a guard.
pub const ARGUMENT: &str = "guard";

/// How long processes may take to end by themselves before they are killed.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a command until it ends, or standard input does; then ends all that is left below it.
///
/// The exit code is the command's, as far as it ended by itself.
pub async fn run(command: Vec<OsString>) -> io::Result<ExitCode> {
    let mut command = command.into_iter();
    let program = command
        .next()
        .ok_or_else(|| io::Error::other("the guard was given no command"))?;

    // Processes whose parent has ended become children of the guard, not of the system's first process. Elsewhere than
    // on Linux only those are found whose parents are still there.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut told = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ];
    let [terminate, interrupt, hang_up] = &mut told;
    let mut input = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;

    let system = System::new().map_err(io::Error::other)?;
    let mut below = Below {
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
    // What a command leaves running that ended well, such as a compiler cache's server, is its own affair.
    if !ended.is_some_and(|status| status.success()) {
        end_everything_below(&mut child, &mut below).await;
    }
    Ok(ended.map_or(ExitCode::SUCCESS, code))
}

/// Waits for the end of a pipe, and takes no notice of what comes through it.
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

/// Asks the command to end, which then ends its own; and after a while kills whatever is left.
async fn end_everything_below(child: &mut Child, below: &mut Below) {
    below.look();
    let since = Instant::now();
    let mut asked: Vec<Pid> = Vec::new();
    loop {
        let left = below.look();
        if left.is_empty() {
            return;
        }
        // As long as the command is there, ending the others is its business.
        let child_is_left = matches!(child.try_wait(), Ok(None));
        let direct = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        for process in left {
            // An error means that the process has ended meanwhile.
            if since.elapsed() > GRACE {
                let _ended = kill(process, Signal::SIGKILL);
            } else if !asked.contains(&process) && (!child_is_left || Some(process) == direct) {
                asked.push(process);
                let _ended = kill(process, Signal::SIGTERM);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The processes below this one, also those that were and whose parents have ended.
struct Below {
    system: System,
    /// With the second in which each started: ids are used again.
    known: HashMap<sysinfo::Pid, u64>,
}

impl Below {
    /// Those that still run.
    fn look(&mut self) -> Vec<Pid> {
        let only_what_is_always_there = ProcessRefreshKind::nothing().without_tasks();
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            only_what_is_always_there,
        );
        let own = sysinfo::Pid::from_u32(std::process::id());
        // Each round finds the children of those found before.
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
