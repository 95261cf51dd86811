//! A Secrets Manager API: one moto server for the test process.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::binary::repository;

/// A server that exits when its standard input closes, that is, with the test process.
struct Moto {
    url: String,
    _process: Child,
}

/// Sends a request, one at a time, because moto serves each in its own thread and is not thread-safe.
pub(crate) async fn send(request: Request<Bytes>) -> Response<Bytes> {
    static LOCK: Mutex<()> = Mutex::const_new(());
    let _guard = LOCK.lock().await;
    crate::http::send(request)
        .await
        .expect("a response of moto")
}

/// Returns the base URL. The first call of a process starts the server.
pub(crate) fn url() -> &'static str {
    static MOTO: OnceLock<Moto> = OnceLock::new();
    &MOTO.get_or_init(start).url
}

/// Calls an action of Secrets Manager.
///
/// # Panics
/// If it fails.
pub(crate) async fn secrets_manager(action: &str, parameters: &Value) -> Value {
    let request = Request::post(url())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("secretsmanager.{action}"))
        // moto reads only the service's name, from the scope of the credential.
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(Bytes::from(parameters.to_string()))
        .expect("a well-formed request");
    let response = send(request).await;
    let body = String::from_utf8_lossy(response.body()).into_owned();
    assert!(response.status().is_success(), "{action}: {body}");
    serde_json::from_str(&body).expect("a JSON response of moto")
}

fn start() -> Moto {
    let python = python();
    let mut command = Command::new(&python);
    template::python::environment().apply(&mut command);
    let mut process = command
        .arg(repository().join("local/moto_server.py"))
        .arg("0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("failed to run {}: {error}", python.display()));
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("readable output");
    let url = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap_or_else(|| panic!("moto did not start: {line:?}"));
    Moto {
        url: url.to_owned(),
        _process: process,
    }
}

/// Returns the Python interpreter with moto: `E2E_PYTHON`, or that of the Makefile's development environment.
pub(crate) fn python() -> PathBuf {
    let python = std::env::var_os("E2E_PYTHON")
        .map_or_else(|| repository().join(".venv/dev/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing; run `make test`, or set E2E_PYTHON to a Python with moto[server]",
        python.display()
    );
    python
}
