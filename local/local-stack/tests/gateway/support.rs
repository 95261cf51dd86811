//! A template, an issuer, a fake of Lambda's Invoke API, and a client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response as LambdaResponse};
use axum::routing::post;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local_stack::gateway::{Gateway, Options};
use local_stack::issuer::Issuer;
use serde_json::{Value, json};
use template::{Api, Authorization, Cors, Function, JwtAuthorizer, Route, Template, Throttling};
use tokio::net::TcpListener;

pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
pub(crate) const ORIGIN: &str = "http://localhost:5173";
pub(crate) const OTHER_ORIGIN: &str = "https://app.example.com";

/// Changes of a test to the template.
pub(crate) struct Changes {
    /// The rate limit of `POST /open`.
    pub(crate) throttling: Option<Throttling>,
    pub(crate) integration_timeout: Duration,
    pub(crate) function_timeout: Duration,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            throttling: None,
            integration_timeout: Duration::from_secs(30),
            function_timeout: Duration::from_secs(28),
        }
    }
}

/// A gateway with everything around it.
pub(crate) struct World {
    pub(crate) lambda: Lambda,
    issuer: Option<Issuer>,
    gateway: Gateway,
    console: Arc<Mutex<Vec<String>>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Nothing listens on the discard port.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9";

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(Changes::default()).await
    }

    pub(crate) async fn start_with(changes: Changes) -> Self {
        let issuer = Issuer::start(ANY_PORT).await.unwrap();
        let url = issuer.url().to_owned();
        Self::assemble(Some(issuer), &url, changes).await
    }

    /// With an issuer that the gateway cannot reach.
    pub(crate) async fn start_with_issuer_out_of_reach() -> Self {
        let issuer = Issuer::start(ANY_PORT).await.unwrap();
        Self::assemble(Some(issuer), NOWHERE, Changes::default()).await
    }

    /// Without an issuer, for what needs no tokens.
    pub(crate) async fn open() -> Self {
        Self::open_with(Changes::default()).await
    }

    pub(crate) async fn open_with(changes: Changes) -> Self {
        Self::assemble(None, NOWHERE, changes).await
    }

    async fn assemble(issuer: Option<Issuer>, issuer_url: &str, changes: Changes) -> Self {
        let lambda = Lambda::start().await;
        let console = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&console);
        let gateway = Gateway::start(Options {
            address: ANY_PORT,
            template: template(issuer_url, &changes),
            functions: BTreeMap::from([("mint-token".to_owned(), lambda.url.clone())]),
            console: Arc::new(move |line| lines.lock().unwrap().push(line.to_owned())),
        })
        .await
        .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            lambda,
            issuer,
            gateway,
            console,
            client,
        }
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        self.issuer.as_ref().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.gateway.url())
    }

    /// The lines on the console so far.
    pub(crate) fn console(&self) -> Vec<String> {
        self.console.lock().unwrap().clone()
    }

    /// An `authorization` header that is accepted.
    pub(crate) fn bearer(&self, subject: &str) -> String {
        format!(
            "Bearer {}",
            self.issuer().token(&self.issuer().claims(subject))
        )
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// `POST path` with these headers and a JSON body.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let request = Request::post(self.url(path)).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        self.send(request.body(Full::from("{}")).unwrap()).await
    }
}

/// The address of the gateway as `host:port`, for requests that the client would not send.
pub(crate) fn authority(world: &World) -> String {
    world.url("").trim_start_matches("http://").to_owned()
}

/// An API with a JWT route, one that also requires a scope, an open one, and an IAM one.
pub(crate) fn template(issuer_url: &str, changes: &Changes) -> Template {
    let strings = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
    let jwt = |scopes: &[&str]| {
        Authorization::Jwt(JwtAuthorizer {
            issuer: issuer_url.to_owned(),
            audience: strings(&["app", "airbyte-embedded-dev"]),
            identity_source: strings(&["$request.header.Authorization"]),
            scopes: strings(scopes),
        })
    };
    let route = |key: &str, authorization, throttling| Route {
        key: key.parse().unwrap(),
        authorization,
        function: "mint-token".to_owned(),
        timeout: changes.integration_timeout,
        throttling,
    };
    let function = Function {
        environment: BTreeMap::new(),
        timeout: changes.function_timeout,
    };
    Template {
        api: Api {
            stage: "$default".to_owned(),
            cors: Some(Cors {
                allow_origins: strings(&[ORIGIN, OTHER_ORIGIN]),
                allow_methods: strings(&["POST"]),
                allow_headers: strings(&["authorization", "content-type"]),
                expose_headers: strings(&["retry-after"]),
                max_age: Some(600),
                allow_credentials: false,
            }),
            routes: vec![
                route("POST /token", jwt(&[]), None),
                route("POST /scoped", jwt(&["write"]), None),
                route("POST /open", Authorization::None, changes.throttling),
                route("POST /signed", Authorization::Iam, None),
            ],
        },
        functions: BTreeMap::from([("mint-token".to_owned(), function)]),
    }
}

/// Lambda's Invoke API, with a result that a test sets.
pub(crate) struct Lambda {
    url: String,
    state: Arc<LambdaState>,
    _serving: Aborted,
}

struct LambdaState {
    events: Mutex<Vec<Value>>,
    result: Mutex<InvokeResult>,
}

/// The response of the Invoke API.
#[derive(Clone)]
pub(crate) enum InvokeResult {
    /// The function's result.
    Result(Value),
    /// Another status and body.
    Raw(u16, &'static str),
    /// No response: the function runs longer than any timeout.
    Never,
}

impl Lambda {
    async fn start() -> Self {
        let state = Arc::new(LambdaState {
            events: Mutex::default(),
            result: Mutex::new(InvokeResult::Result(json!({"statusCode": 200}))),
        });
        let routes = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&state));
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let url = format!(
            "http://{}/2015-03-31/functions/mint-token/invocations",
            listener.local_addr().unwrap()
        );
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            state,
            _serving: Aborted(serving),
        }
    }

    pub(crate) fn respond(&self, result: InvokeResult) {
        *self.state.result.lock().unwrap() = result;
    }

    /// The events of all invocations.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.state.events.lock().unwrap().clone()
    }
}

async fn invoke(
    State(state): State<Arc<LambdaState>>,
    Path(name): Path<String>,
    event: Bytes,
) -> LambdaResponse {
    assert_eq!(name, "mint-token");
    state
        .events
        .lock()
        .unwrap()
        .push(serde_json::from_slice(&event).unwrap());
    let result = state.result.lock().unwrap().clone();
    match result {
        InvokeResult::Result(result) => result.to_string().into_response(),
        InvokeResult::Raw(status, body) => {
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        InvokeResult::Never => std::future::pending().await,
    }
}

/// A task that ends with its owner.
struct Aborted(tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

/// The `message` of an error response of the gateway.
pub(crate) fn message(response: &Response<Bytes>) -> String {
    assert_eq!(header(response, "content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    body["message"].as_str().unwrap().to_owned()
}

/// Fails instead of waiting forever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not in time"))
}
