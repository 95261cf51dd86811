//! The `create-source` function. The library crate has the handler.

use std::process::ExitCode;

use create_source::State;
use shared::app::App;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let state = match App::init().await {
        Ok(app) => State::new(app),
        Err(error) => {
            tracing::error!(%error, "create-source cannot start");
            return ExitCode::FAILURE;
        }
    };
    lambda::serve(create_source::ROUTE, async |request, invocation| {
        create_source::handle(&state, request, invocation).await
    })
    .await
}
