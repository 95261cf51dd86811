//! `cargo lambda invoke` with the events that come with the project, against `cargo lambda watch`.

use std::path::Path;

use e2e::{Binary, CargoLambda, TestEnv};

#[tokio::test(flavor = "multi_thread")] // `cargo lambda invoke` blocks the thread that waits for it
async fn serves_example_events_under_cargo_lambda() {
    let env = TestEnv::new().await;
    let config = env
        .config()
        .with("ALLOWED_ORIGINS", "http://localhost:5173");
    let cargo_lambda = CargoLambda::watch(&config).await;

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let mut invoked = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        let (binary, success) = match Binary::ALL.map(|binary| name.starts_with(binary.name())) {
            [true, _] => (Binary::MintToken, 200),
            [_, true] => (Binary::CreateSource, 201),
            _ => panic!("{name} does not begin with a function's name"),
        };
        cargo_lambda.invoke(binary, &file).expect_success(success);
        invoked += 1;
    }
    assert!(invoked >= 6, "{invoked} events");
}
