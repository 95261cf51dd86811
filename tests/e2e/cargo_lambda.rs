//! `cargo lambda invoke` with the events that come with the project, against `cargo lambda watch`.

use std::path::Path;

use e2e::{Binary, CargoLambda, World};

#[tokio::test(flavor = "multi_thread")] // `cargo lambda invoke` blocks the thread that waits for it
async fn every_event_works_with_cargo_lambda() {
    let world = World::new().await;
    let environment = world
        .environment()
        .with("ALLOWED_ORIGINS", "http://localhost:5173");
    let cargo_lambda = CargoLambda::watch(&environment).await;

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
        let _ = cargo_lambda.invoke(binary, &file).success(success);
        invoked += 1;
    }
    assert!(invoked >= 6, "{invoked} events");
}
