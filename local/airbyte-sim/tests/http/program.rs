//! The program `airbyte-sim`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// The program while it runs; it is killed when dropped.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_airbyte-sim"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Reads the address from the line that it prints.
    fn address(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end()
            .strip_prefix("listening on http://")
            .unwrap()
            .to_owned()
    }

    /// Stops it, and returns what it printed to standard error.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut printed = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut printed)
            .unwrap();
        printed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_airbyte-sim"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Mints a widget token, and returns the response.
fn mint(address: &str) -> String {
    let body = r#"{"externalUserId": "alice", "organizationId": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "allowedOrigin": "x"}"#;
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /api/v1/embedded/widget_token?debug HTTP/1.1\r\nhost: x\r\nauthorization: Bearer dev-organization-token\r\n\
         connection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn prints_address_and_requests_without_tokens() {
    let mut program = Running::start(&["--port", "0"]);

    let response = mint(&program.address());

    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert_eq!(program.end(), "POST /api/v1/embedded/widget_token 200\n");
}

#[test]
fn honors_quiet_and_cloud_url() {
    let mut program = Running::start(&[
        "--port",
        "0",
        "--cloud-url",
        "http://localhost:9",
        "--quiet",
    ]);

    let response = mint(&program.address());

    assert!(
        response.contains(r#""widgetUrl":"http://localhost:9/embedded-widget?"#),
        "{response}"
    );
    assert_eq!(program.end(), "");
}

#[test]
fn serves_chosen_generation() {
    let mut program = Running::start(&["--port", "0", "--generations", "agents", "--quiet"]);

    let response = mint(&program.address());

    assert!(
        response.starts_with("HTTP/1.1 404 Not Found\r\n"),
        "{response}"
    );
}

#[test]
fn reads_options_from_environment() {
    let output = Command::new(env!("CARGO_BIN_EXE_airbyte-sim"))
        .env("AIRBYTE_SIM_GENERATIONS", "next")
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message
            .starts_with("error: invalid AIRBYTE_SIM_GENERATIONS: expected embedded or agents\n"),
        "{message}"
    );
}

#[test]
fn rejects_invalid_options() {
    for arguments in [
        ["--generations", "next"],
        ["--sources-bearer", "none"],
        ["--workspace-creation-ms", "soon"],
    ] {
        let output = run(&arguments);

        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn reports_port_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();

    let output = run(&["--port", &port]);

    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.starts_with(&format!("error: cannot listen on 127.0.0.1:{port}: ")),
        "{message}"
    );
}

#[test]
fn rejects_public_addresses() {
    let output = run(&["--host", "0.0.0.0"]);

    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        message,
        "error: cannot listen on 0.0.0.0:3002: 0.0.0.0 is not a loopback address\n"
    );
}

#[test]
fn explains_arguments() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .contains("Usage: airbyte-sim")
    );

    let unknown = run(&["--prot", "1"]);
    assert_eq!(unknown.status.code(), Some(2));
    let message = String::from_utf8(unknown.stderr).unwrap();
    assert!(
        message.starts_with("error: invalid option '--prot'\n\nA simulator"),
        "{message}"
    );
}
