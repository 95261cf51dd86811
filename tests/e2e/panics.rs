//! Panics in a handler: the response is a problem, the process keeps running, and the panic message is not exposed.

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
        let event = Event::mint().body(format!("panic {canary}"));
        let response = function.invoke(event).await;
        let problem = response.expect_problem(500, "internal-error");
        assert_eq!(
            problem.detail,
            "The request failed because of an internal error. Retry; if it persists, report the `requestId`."
        );
        assert!(!response.text.contains(canary), "{response:?}");

        function.invoke(Event::mint()).await.expect_success(200);
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
    assert_eq!(panics.len(), 2, "{logs:?}");
    for panic in panics {
        let location = panic["location"].as_str().unwrap();
        assert!(location.contains("panicking_function.rs:"), "{panic}");
    }
}
