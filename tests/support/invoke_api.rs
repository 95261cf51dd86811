//! Lambda's Invoke API in front of running functions, for the local gateway.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::StatusCode;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::listener::{Tasks, listen, serve};
use crate::{Binary, Function};

/// An Invoke API; it and its functions stop when it is dropped.
pub(crate) struct InvokeApi {
    address: SocketAddr,
    _server: Tasks,
}

impl InvokeApi {
    pub(crate) async fn start(functions: [(Binary, Function); 2]) -> Self {
        let by_name = functions
            .into_iter()
            .map(|(binary, function)| (binary.name(), function));
        let functions: Arc<BTreeMap<_, _>> = Arc::new(by_name.collect());
        let (listener, address) = listen().await;
        let router = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .layer(DefaultBodyLimit::disable())
            .with_state(functions);
        InvokeApi {
            address,
            _server: serve(listener, router),
        }
    }

    /// Returns the URL that invokes a function.
    pub(crate) fn url(&self, binary: Binary) -> String {
        format!(
            "http://{}/2015-03-31/functions/{}/invocations",
            self.address,
            binary.name()
        )
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
    match function.try_invoke(event, Function::TIMEOUT).await {
        Ok(response) => {
            let response = json!({ "statusCode": response.status, "headers": response.headers, "body": response.text });
            response.to_string().into_response()
        }
        Err(failure) => {
            let error = json!({ "errorMessage": failure.to_string() });
            ([("x-amz-function-error", "Unhandled")], error.to_string()).into_response()
        }
    }
}
