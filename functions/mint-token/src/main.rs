//! The `mint-token` function. The library crate has the handler.

use std::process::ExitCode;

use shared::app::App;
use shared::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let app = match App::init().await {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "mint-token cannot start");
            return ExitCode::FAILURE;
        }
    };
    lambda::serve(mint_token::ROUTE, async |request, invocation| {
        mint_token::handle(&app, request, invocation).await
    })
    .await
}
