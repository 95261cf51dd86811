//! `cargo lambda invoke` with the project's example events, against `cargo lambda watch`.

use std::path::Path;

use e2e::{Binary, CargoLambda, Generation, TestEnv, case};

#[tokio::test(flavor = "multi_thread")] // `cargo lambda invoke` blocks its thread
async fn serves_example_events_under_cargo_lambda() {
    let invoked = invoke_events(Generation::Embedded, |name| !name.contains("-agents")).await;
    assert!(invoked >= 6, "only {invoked} events");
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_agents_events_under_cargo_lambda() {
    let invoked = invoke_events(Generation::Agents, |name| name.contains("-agents")).await;
    assert!(invoked >= 1, "only {invoked} events");
}

/// Invokes the functions with the events of some names, and returns how many there are.
async fn invoke_events(generation: Generation, is_wanted: impl Fn(&str) -> bool) -> usize {
    let env = TestEnv::of(generation).await;
    let config = env
        .config()
        .with("ALLOWED_ORIGINS", "http://localhost:5173");
    let cargo_lambda = CargoLambda::watch(&config).await;

    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let mut invoked = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let file = file.unwrap().path();
        let _case = case(file.display());
        let name = file.file_name().unwrap().to_str().unwrap();
        if !is_wanted(name) {
            continue;
        }
        let binary = Binary::ALL
            .into_iter()
            .find(|binary| name.starts_with(binary.name()))
            .expect("an event's file name starts with the name of a function");
        cargo_lambda
            .invoke(binary, &file)
            .expect_success(binary.success());
        invoked += 1;
    }
    invoked
}
