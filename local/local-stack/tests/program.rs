//! The program itself: its guard leaves nothing behind, and a port in use keeps everything from starting.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_local-stack");

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(30);

/// A guard over a shell script that prints process ids, one a line.
struct Guarded {
    guard: Child,
    printed: BufReader<std::process::ChildStdout>,
}

impl Guarded {
    fn start(script: &str) -> Self {
        let mut guard = Command::new(PROGRAM)
            .args(["guard", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = BufReader::new(guard.stdout.take().unwrap());
        Self { guard, printed }
    }

    fn process(&mut self) -> Pid {
        let mut line = String::new();
        self.printed.read_line(&mut line).unwrap();
        Pid::from_raw(line.trim().parse().unwrap())
    }

    /// What becomes of the guard, and how long it takes.
    fn end(mut self) -> (ExitStatus, Duration) {
        drop(self.guard.stdin.take());
        let since = Instant::now();
        let status = until("the guard has ended", || self.guard.try_wait().unwrap());
        (status, since.elapsed())
    }
}

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(since.elapsed() < SOON, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process is there and has not ended.
fn runs(process: Pid) -> bool {
    let ended = || {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        state
            .rsplit_once(") ")
            .is_none_or(|(_, state)| state.starts_with('Z'))
    };
    kill(process, None).is_ok() && !(cfg!(target_os = "linux") && ended())
}

#[test]
fn the_guard_ends_what_was_started_below_it_when_its_input_ends() {
    // As `cargo lambda watch` does: a child in a session of its own, which its parent does not end.
    let mut guarded = Guarded::start("setsid sleep 1000 & echo $!; echo $$; exec sleep 1000");
    let processes = [guarded.process(), guarded.process()];
    assert!(processes.iter().all(|process| runs(*process)));
    let (status, _) = guarded.end();
    assert!(status.success(), "{status}");
    for process in processes {
        assert!(!runs(process), "{process} was left behind");
    }
}

#[test]
fn the_guard_ends_what_a_killed_command_leaves_behind() {
    let mut guarded = Guarded::start("setsid sleep 1000 & echo $!; kill -9 $$");
    let orphan = guarded.process();
    until("the guard has ended", || guarded.guard.try_wait().unwrap());
    assert!(!runs(orphan), "{orphan} was left behind");
}

#[test]
fn who_does_not_end_when_asked_is_killed() {
    let mut guarded = Guarded::start("trap '' TERM; echo $$; while :; do sleep 1; done");
    let stubborn = guarded.process();
    let (_, took) = guarded.end();
    assert!(!runs(stubborn), "{stubborn} was left behind");
    assert!(
        took > Duration::from_secs(4),
        "it was given {took:?} to end"
    );
}

#[test]
fn the_guard_ends_everything_when_it_is_asked_to_end_itself() {
    let mut guarded = Guarded::start("echo $$; exec sleep 1000");
    let process = guarded.process();
    kill(
        Pid::from_raw(guarded.guard.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    until("the guard has ended", || guarded.guard.try_wait().unwrap());
    assert!(!runs(process), "{process} was left behind");
}

#[test]
fn the_guard_tells_how_the_command_ended() {
    let mut guarded = Guarded::start("exit 7");
    let status = until("the guard has ended", || guarded.guard.try_wait().unwrap());
    assert_eq!(status.code(), Some(7));
}

#[test]
fn a_port_in_use_keeps_everything_from_starting() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = held.local_addr().unwrap().port();
    let mut stack = Command::new(PROGRAM)
        .env("ISSUER_PORT", taken.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = until("the stack has ended", || stack.try_wait().unwrap());
    let mut said = String::new();
    stack
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    let problem = format!("port {taken}, for the issuer, is in use; set another with ISSUER_PORT");
    assert!(said.contains(&problem), "{said}");
    assert!(!said.contains("Starting"), "{said}");
    drop(held);
}

#[test]
fn a_setting_that_cannot_be_used_is_said_by_name() {
    let output = Command::new(PROGRAM)
        .env("GATEWAY_PORT", "http")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said.trim(),
        "GATEWAY_PORT=http cannot be used: expected a port between 1 and 65535"
    );
}
