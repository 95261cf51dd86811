//! Node and the packages of the lock files, which `make test` installs.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::binary::repository;

const WHAT_TO_INSTALL: &str = "`scripts/setup test` installs Node and the packages";

/// Builds the React example with React's development mode, whose `StrictMode` runs effects twice; once per process.
///
/// # Panics
/// When it cannot be built.
pub async fn build_react_example() {
    static BUILT: OnceLock<()> = OnceLock::new();
    let built = tokio::task::spawn_blocking(|| BUILT.get_or_init(build));
    built.await.expect("a build");
}

fn build() {
    let node = repository().join(".venv/test/bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(node.join("npm"))
        .args(["run", "build:development"])
        .current_dir(repository().join("examples/react"))
        .env("PATH", format!("{}:{path}", node.display()))
        .output()
        .unwrap_or_else(|error| panic!("npm cannot be started: {error}\n{WHAT_TO_INSTALL}"));
    assert!(
        output.status.success(),
        "the React example cannot be built; {WHAT_TO_INSTALL}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The source of axe-core, which finds accessibility violations in a page.
pub(crate) fn axe() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let file: PathBuf = repository().join("clients/web/node_modules/axe-core/axe.min.js");
        std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}\n{WHAT_TO_INSTALL}", file.display()))
    })
}
