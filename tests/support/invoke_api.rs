//! Lambda's Invoke API, as the gateway calls it, in front of running functions.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::{Binary, Function};

/// The functions' timeout in the template.
const DEADLINE: Duration = Duration::from_secs(28);

/// An Invoke API; it stops, and its functions end, when it is dropped.
pub(crate) struct InvokeApi {
    address: SocketAddr,
    server: AbortHandle,
}

impl InvokeApi {
    pub(crate) async fn start(functions: [(Binary, Function); 2]) -> Self {
        let by_name = functions
            .into_iter()
            .map(|(binary, function)| (binary.name(), function));
        let functions: Arc<BTreeMap<_, _>> = Arc::new(by_name.collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let router = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .layer(DefaultBodyLimit::disable())
            .with_state(functions);
        let server =
            tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        InvokeApi { address, server }
    }

    /// Where a function is invoked.
    pub(crate) fn url(&self, binary: Binary) -> String {
        format!(
            "http://{}/2015-03-31/functions/{}/invocations",
            self.address,
            binary.name()
        )
    }
}

impl Drop for InvokeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn invoke(
    State(functions): State<Arc<BTreeMap<&'static str, Function>>>,
    Path(name): Path<String>,
    event: String,
) -> Response {
    let Some(function) = functions.get(name.as_str()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match function.try_invoke(event, DEADLINE).await {
        Ok(answer) => {
            let answer = json!({ "statusCode": answer.status, "headers": answer.headers, "body": answer.raw });
            answer.to_string().into_response()
        }
        Err(failure) => {
            let error = json!({ "errorMessage": failure.to_string() });
            ([("x-amz-function-error", "Unhandled")], error.to_string()).into_response()
        }
    }
}
