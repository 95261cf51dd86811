//! The `mint-token` function's process: see the library for what it does.

use std::process::ExitCode;

use shared::{respond, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let services = match start::services().await {
        Ok(services) => services,
        Err(error) => {
            tracing::error!(%error, "mint-token cannot start");
            return ExitCode::FAILURE;
        }
    };
    respond::serve(mint_token::ROUTE, async |event, invocation| {
        mint_token::handle(&services, event, invocation).await
    })
    .await
}
