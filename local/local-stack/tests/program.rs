//! The program: its supervisor leaves no process behind, and invalid settings keep it from starting.

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

/// A supervised shell script that prints process IDs, one per line.
struct Supervised {
    supervisor: Child,
    printed: BufReader<std::process::ChildStdout>,
}

impl Supervised {
    fn start(script: &str) -> Self {
        let mut supervisor = Command::new(PROGRAM)
            .args(["supervise", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = BufReader::new(supervisor.stdout.take().unwrap());
        Self {
            supervisor,
            printed,
        }
    }

    fn process(&mut self) -> Pid {
        let mut line = String::new();
        self.printed.read_line(&mut line).unwrap();
        Pid::from_raw(line.trim().parse().unwrap())
    }

    /// Closes the input of the supervisor. Returns its exit status, and how long it took.
    fn end(mut self) -> (ExitStatus, Duration) {
        drop(self.supervisor.stdin.take());
        let since = Instant::now();
        let status = until("the supervisor ends", || {
            self.supervisor.try_wait().unwrap()
        });
        (status, since.elapsed())
    }
}

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(since.elapsed() < SOON, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process exists and has not ended.
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
fn stops_descendants_when_input_ends() {
    // As `cargo lambda watch` does: a child in its own session, which its parent does not stop.
    let mut supervised = Supervised::start("setsid sleep 1000 & echo $!; echo $$; exec sleep 1000");
    let processes = [supervised.process(), supervised.process()];
    assert!(processes.iter().all(|process| runs(*process)));
    let (status, _) = supervised.end();
    assert!(status.success(), "{status}");
    for process in processes {
        assert!(!runs(process), "{process} was left behind");
    }
}

#[test]
fn stops_orphans_of_killed_command() {
    let mut supervised = Supervised::start("setsid sleep 1000 & echo $!; kill -9 $$");
    let orphan = supervised.process();
    until("the supervisor ends", || {
        supervised.supervisor.try_wait().unwrap()
    });
    assert!(!runs(orphan), "{orphan} was left behind");
}

#[test]
fn kills_processes_that_ignore_sigterm() {
    let mut supervised = Supervised::start("trap '' TERM; echo $$; while :; do sleep 1; done");
    let stubborn = supervised.process();
    let (_, took) = supervised.end();
    assert!(!runs(stubborn), "{stubborn} was left behind");
    assert!(
        took > Duration::from_secs(4),
        "its grace period was {took:?}"
    );
}

#[test]
fn stops_descendants_on_sigterm() {
    let mut supervised = Supervised::start("echo $$; exec sleep 1000");
    let process = supervised.process();
    kill(
        Pid::from_raw(supervised.supervisor.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    until("the supervisor ends", || {
        supervised.supervisor.try_wait().unwrap()
    });
    assert!(!runs(process), "{process} was left behind");
}

#[test]
fn returns_exit_code_of_command() {
    let mut supervised = Supervised::start("exit 7");
    let status = until("the supervisor ends", || {
        supervised.supervisor.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(7));
}

#[test]
fn rejects_port_in_use_before_start() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = held.local_addr().unwrap().port();
    let mut stack = Command::new(PROGRAM)
        .env("ISSUER_PORT", taken.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = until("the stack ends", || stack.try_wait().unwrap());
    let mut printed = String::new();
    stack
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut printed)
        .unwrap();
    assert_eq!(status.code(), Some(1), "{printed}");
    let problem = format!(
        "error: port {taken}, for the issuer, is in use\nhelp: set ISSUER_PORT to another port"
    );
    assert!(printed.contains(&problem), "{printed}");
    assert!(!printed.contains("Starting"), "{printed}");
    drop(held);
}

#[test]
fn rejects_invalid_setting_by_name() {
    let output = Command::new(PROGRAM)
        .env("GATEWAY_PORT", "http")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        printed.trim(),
        "error: GATEWAY_PORT=http is invalid: expected a port between 1 and 65535"
    );
}
