//! A real Secrets Manager API: moto, one for the test process.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::binary::repository;

/// moto ends when its standard input closes: with the test process, however that ends.
struct Moto {
    url: String,
    _process: Child,
}

/// Sends a request, one at a time: moto serves each in a thread of its own, and its threads get in each other's way.
pub(crate) async fn send(request: Request<Bytes>) -> Response<Bytes> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    crate::http::send(request).await.expect("moto answers")
}

/// The base URL; the first call of a process starts the server.
pub(crate) fn url() -> &'static str {
    static MOTO: OnceLock<Moto> = OnceLock::new();
    &MOTO.get_or_init(start).url
}

/// Calls an action of Secrets Manager.
///
/// # Panics
/// When it is refused.
pub(crate) async fn secrets_manager(action: &str, parameters: &Value) -> Value {
    let request = Request::post(url())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("secretsmanager.{action}"))
        // moto reads the service's name out of the credential's scope and checks nothing else.
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(Bytes::from(parameters.to_string()))
        .expect("a well-formed request");
    let response = send(request).await;
    let body = String::from_utf8_lossy(response.body()).into_owned();
    assert!(response.status().is_success(), "{action}: {body}");
    serde_json::from_str(&body).expect("moto answers JSON")
}

fn start() -> Moto {
    let python = python();
    let mut process = Command::new(&python)
        .arg(repository().join("local/moto_server.py"))
        .arg("0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be started: {error}", python.display()));
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

/// The interpreter with moto: `E2E_PYTHON`, or the development environment that the Makefile sets up.
pub(crate) fn python() -> PathBuf {
    let python = std::env::var_os("E2E_PYTHON")
        .map_or_else(|| repository().join(".venv/dev/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing: `make test` sets it up, or name a Python with moto[server] by E2E_PYTHON",
        python.display()
    );
    python
}
