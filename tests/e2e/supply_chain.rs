//! What is linked into the functions: nothing that slipped in, no second TLS stack, no unsafe code of ours.
//!
//! `deny.toml` says more, of the tools as well; `make test` has cargo-deny check it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::{Binary, Event, Function, TestEnv, faker_source};
use serde_json::Value;

/// Crates that are linked in two versions.
const TWICE: [&str; 1] = [
    "base64", // hyper-util, below reqwest, has gone on to 0.23; the AWS SDK has not.
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

/// The names and versions of all that is linked into the functions: not of macros, which run at build time alone.
fn linked() -> BTreeSet<(String, String)> {
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
    let linked: BTreeSet<String> = linked().into_iter().map(|(name, _)| name).collect();
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
    let gone: Vec<_> = listed.difference(&linked).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "New in the functions: {new:?}. No longer in them: {gone:?}.\n\
         Each crate there costs time at every cold start, and is somebody to trust: `cargo tree --package mint-token \
         --invert CRATE` tells who brings it, and often a feature less keeps it away. If it is meant to be so, renew \
         the list: RENEW_DEPENDENCIES=1 cargo test --package e2e supply_chain"
    );
}

#[test]
fn links_each_crate_once() {
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = linked()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !seen.insert(name.clone()))
        .collect();
    assert_eq!(
        twice, TWICE,
        "`cargo tree --duplicates --package mint-token` tells who asks for which version"
    );
    for stack in ["hyper", "ring", "rustls", "tokio"] {
        assert!(seen.contains(stack), "{stack}");
    }
}

/// rustls-native-certs is linked, since reqwest has it in each of its rustls features. It must not run.
#[tokio::test]
async fn ignores_system_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificates.pem");
    // Nothing is ever written to it: who reads it waits for ever.
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    let env = TestEnv::new().await;
    let config = env.config().with("SSL_CERT_FILE", file.to_str().unwrap());
    for (binary, event, status) in [
        (Binary::MintToken, Event::mint_token("alice"), 200),
        (
            Binary::CreateSource,
            Event::create_source("alice", &faker_source()),
            201,
        ),
    ] {
        let function = Function::start(binary, &config).await;
        function.invoke(event).await.expect_success(status);
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
            "{path} lacks the lints of the workspace"
        );
    }
    assert!(
        manifest(&repository().join("fuzz/Cargo.toml"))
            .contains("\n[lints.rust]\nunsafe_code = \"forbid\"")
    );
}
