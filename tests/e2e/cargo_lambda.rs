//! `cargo lambda invoke` with the project's example events, against `cargo lambda watch`.

use std::path::Path;

use e2e::{Binary, CargoLambda, TestEnv, case};

#[tokio::test(flavor = "multi_thread")] // `cargo lambda invoke` blocks its thread
async fn serves_example_events_under_cargo_lambda() {
    let env = TestEnv::new().await;
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
        let binary = Binary::ALL
            .into_iter()
            .find(|binary| name.starts_with(binary.name()))
            .expect("an event's file name starts with the name of a function");
        cargo_lambda
            .invoke(binary, &file)
            .expect_success(binary.success());
        invoked += 1;
    }
    assert!(invoked >= 6, "only {invoked} events");
}
