//! The `create-source` function's process: see the library for what it does.

use std::process::ExitCode;

use create_source::State;
use shared::{respond, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let state = match start::services().await {
        Ok(services) => State::new(services),
        Err(error) => {
            tracing::error!(%error, "create-source cannot start");
            return ExitCode::FAILURE;
        }
    };
    respond::serve(create_source::ROUTE, async |event, invocation| {
        create_source::handle(&state, event, invocation).await
    })
    .await
}
