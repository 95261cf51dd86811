//! A panic in a handler is a problem like any other: the process lives on, and what was panicked about stays inside.

use std::path::Path;

use e2e::{Event, Function, World};
use serde_json::json;

#[tokio::test]
async fn a_panic_is_answered_with_a_problem_and_the_next_request_works() {
    let canary = "canary-7d1f52";
    let world = World::new().await;
    let program = Path::new(env!("CARGO_BIN_EXE_panicking-function"));
    let function = Function::start_program(program, &world.environment()).await;
    for _ in 0..2 {
        let answer = function
            .invoke(Event::mint_token("alice").body(format!("panic {canary}")))
            .await;
        let _ = answer.problem(500, "internal-error");
        assert!(!answer.raw.contains(canary), "{answer:?}");

        let _ = function
            .invoke(Event::mint_token("alice"))
            .await
            .success(200);
    }

    let logs = function.json_logs();
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
