//! A panic in a handler is a problem like any other: the process lives on, and what was panicked about stays inside.

use std::path::Path;

use e2e::{Event, Function, TestEnv};
use serde_json::json;

#[tokio::test]
async fn returns_problem_after_panic_and_recovers() {
    let canary = "canary-7d1f52";
    let env = TestEnv::new().await;
    let program = Path::new(env!("CARGO_BIN_EXE_panicking-function"));
    let function = Function::start_program(program, &env.config()).await;
    for _ in 0..2 {
        let response = function
            .invoke(Event::mint_token("alice").body(format!("panic {canary}")))
            .await;
        response.expect_problem(500, "internal-error");
        assert!(!response.text.contains(canary), "{response:?}");

        function
            .invoke(Event::mint_token("alice"))
            .await
            .expect_success(200);
    }

    let logs = function.logs();
    assert!(!function.output().contains(canary), "{}", function.output());
    let outcomes: Vec<_> = logs.iter().filter_map(|line| line.get("outcome")).collect();
    assert_eq!(
        outcomes,
        [
            &json!("internal-error"),
            &json!("token-minted"),
            &json!("internal-error"),
            &json!("token-minted")
        ]
    );
    let panics: Vec<_> = logs
        .iter()
        .filter(|line| line["level"] == "ERROR" && line.get("outcome").is_none())
        .collect();
    assert_eq!(
        panics.len(),
        2,
        "one line for each tells the place in the code: {logs:?}"
    );
    assert!(panics.iter().all(|line| {
        line["location"]
            .as_str()
            .is_some_and(|place| place.contains("panicking_function.rs:"))
    }));
}
