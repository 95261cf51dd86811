//! The functions' dependencies: no unlisted crate, no second TLS stack, and no unsafe code in this workspace.
//!
//! `deny.toml` has further rules, also for the tools; `make test` checks them with cargo-deny.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::{Binary, Event, Function, TestEnv};
use serde_json::Value;

/// Crates that are linked in two versions.
const DUPLICATES: [&str; 1] = [
    "base64", // hyper-util, a dependency of reqwest, requires 0.23; the AWS SDK requires 0.22.
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the names and versions of all crates that are linked into the functions, without procedural macros, which only
/// run at build time.
fn linked_crates() -> BTreeSet<(String, String)> {
    let trees = ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"].map(|target| {
        cargo(&[
            "tree",
            "--locked",
            "--package=mint-token",
            "--package=create-source",
            "--edges=normal,no-proc-macro",
            "--prefix=none",
            "--target",
            target,
        ])
    });
    let name_and_version = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    let lines = trees.iter().flat_map(|tree| tree.lines());
    lines.filter_map(name_and_version).collect()
}

#[test]
fn lists_every_linked_crate() {
    let list = repository().join("functions/dependencies.txt");
    let linked: BTreeSet<String> = linked_crates().into_iter().map(|(name, _)| name).collect();
    if std::env::var_os("RENEW_DEPENDENCIES").is_some() {
        let lines: Vec<_> = linked.iter().map(|name| format!("{name}\n")).collect();
        fs::write(&list, lines.concat()).unwrap();
    }
    let listed: BTreeSet<String> = fs::read_to_string(&list)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let new: Vec<_> = linked.difference(&listed).collect();
    let removed: Vec<_> = listed.difference(&linked).collect();
    assert!(
        new.is_empty() && removed.is_empty(),
        "new crates: {new:?}, removed crates: {removed:?}\n\
         help: every crate slows down cold starts and must be trusted. `cargo tree --package mint-token --invert CRATE` \
         prints its dependents; disabling a feature often removes it. To accept the change, update the list: \
         RENEW_DEPENDENCIES=1 cargo test --package e2e supply_chain"
    );
}

#[test]
fn links_each_crate_once() {
    let mut seen = BTreeSet::new();
    let duplicates: Vec<_> = linked_crates()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !seen.insert(name.clone()))
        .collect();
    assert_eq!(
        duplicates, DUPLICATES,
        "help: `cargo tree --duplicates --package mint-token` prints their dependents"
    );
    for stack in ["hyper", "ring", "rustls", "tokio"] {
        assert!(seen.contains(stack), "{stack}");
    }
}

/// rustls-native-certs is linked, because each rustls feature of reqwest requires it, but must not run.
#[tokio::test]
async fn ignores_system_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("certificates.pem");
    // A pipe that is never written to, so that a read blocks forever.
    let mkfifo = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(mkfifo.success());
    let env = TestEnv::new().await;
    let config = env.config().with("SSL_CERT_FILE", file.to_str().unwrap());
    for binary in Binary::ALL {
        let function = Function::start(binary, &config).await;
        let response = function.invoke(Event::valid(binary)).await;
        response.expect_success(binary.success());
    }
}

#[test]
fn forbids_unsafe_code_in_every_crate() {
    let manifest = |path: &Path| fs::read_to_string(path).unwrap();
    let root = manifest(&repository().join("Cargo.toml"));
    assert!(root.contains("\n[workspace.lints.rust]\nunsafe_code = \"forbid\""));

    let metadata = cargo(&["metadata", "--locked", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > Binary::ALL.len());
    for package in packages {
        let path = package["manifest_path"].as_str().unwrap();
        assert!(
            manifest(Path::new(path)).contains("\n[lints]\nworkspace = true\n"),
            "{path} does not inherit the workspace's lints"
        );
    }
    assert!(
        manifest(&repository().join("fuzz/Cargo.toml"))
            .contains("\n[lints.rust]\nunsafe_code = \"forbid\"")
    );
}
