//! One address for every function: Lambda's Invoke API at the port where `cargo lambda invoke` looks for it.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use super::settings::loopback;
use crate::client::Client;
use crate::gateway::FunctionEndpoints;
use crate::server::Server;

/// Longer than any invocation.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The running servers. They stop when dropped.
#[derive(Debug)]
pub(super) struct InvokeApi {
    _servers: Vec<Server>,
}

struct Functions {
    endpoints: FunctionEndpoints,
    client: Client,
}

impl InvokeApi {
    /// Listens on both loopback addresses: `cargo lambda invoke` takes the IPv6 one unless told otherwise.
    pub(super) async fn start(port: u16, endpoints: FunctionEndpoints) -> io::Result<Self> {
        let functions = Arc::new(Functions {
            endpoints,
            client: Client::new(),
        });
        let routes = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .layer(DefaultBodyLimit::disable())
            .with_state(functions);
        let mut servers = vec![Server::serve(
            Server::bind(loopback(port)).await?,
            routes.clone(),
        )];
        // There may be no IPv6.
        if let Ok(bound) = Server::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            servers.push(Server::serve(bound, routes));
        }
        Ok(Self { _servers: servers })
    }
}

async fn invoke(
    State(functions): State<Arc<Functions>>,
    Path(name): Path<String>,
    event: Bytes,
) -> Response {
    let Some(endpoint) = functions.endpoints.get(&name) else {
        let known: Vec<_> = functions.endpoints.keys().map(String::as_str).collect();
        let problem = format!(
            "there is no function named {name}; there are {}\n",
            known.join(" and ")
        );
        return (StatusCode::NOT_FOUND, problem).into_response();
    };
    let request = match Request::post(endpoint.as_str()).body(Full::from(event)) {
        Ok(request) => request,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    match functions.client.call(request, TIMEOUT).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            (head.status, Body::from(body)).into_response()
        }
        Err(error) => (
            StatusCode::BAD_GATEWAY,
            format!("{name} cannot be reached: {error}\n"),
        )
            .into_response(),
    }
}
