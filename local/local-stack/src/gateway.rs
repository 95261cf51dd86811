//! The local API Gateway: an HTTP API served from the template, with its functions behind Lambda's Invoke API.
//!
//! It does what API Gateway is known to do with an HTTP API: preflight and CORS headers, JWT authorizer, throttling,
//! limits, payload format 2.0, and its own error responses. Where AWS's behavior is neither documented nor measured, the
//! module that decides says "unverified".
//!
//! Known differences:
//! - Routes with IAM authorization respond 403 to every call, because a signature cannot be verified without AWS.
//! - A function that cannot be reached is a 500, as one that API Gateway may not invoke; the console gives the cause.

mod authorizer;
mod cors;
mod error;
mod event;
mod limits;
mod response;
mod throttle;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::Full;
use template::{Authorization, Cors, Route, Template};
use time::OffsetDateTime;

use crate::client::{CallError, Client};
use crate::server::{Peer, Server};
use authorizer::{AuthError, Authorizer, Keys, Verified};
use error::GatewayError;
use event::{Event, Source};
pub use limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_INVOCATION_BYTES};
use throttle::Bucket;

/// Invoke API URLs of functions by the name of the function, such as
/// `http://127.0.0.1:9000/2015-03-31/functions/mint-token/invocations`.
pub type FunctionEndpoints = BTreeMap<String, String>;

/// Options of a gateway.
pub struct Options {
    /// A loopback address. Port 0 selects a free port.
    pub address: SocketAddr,
    /// The API.
    pub template: Template,
    /// The address of every function that a route invokes.
    pub functions: FunctionEndpoints,
    /// Receives lines for the developer: a function that fails or cannot be reached, an issuer without keys, a call that
    /// only AWS can authorize.
    pub console: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            template,
            functions,
            console: _,
        } = self;
        f.debug_struct("Options")
            .field("address", address)
            .field("template", template)
            .field("functions", functions)
            .finish_non_exhaustive()
    }
}

/// A running gateway. It stops when dropped.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
}

impl Gateway {
    /// Starts serving the API.
    ///
    /// # Errors
    /// If the address is not on loopback or in use, or the address of a function is missing.
    pub async fn start(options: Options) -> io::Result<Self> {
        let Options {
            address,
            template,
            functions,
            console,
        } = options;
        let api = Api::new(template, &functions, console)
            .map_err(|problem| io::Error::new(io::ErrorKind::InvalidInput, problem))?;
        let bound = Server::bind(address).await?;
        let routes = Router::new().fallback(serve).with_state(Arc::new(api));
        Ok(Self {
            server: Server::serve(bound, routes),
        })
    }

    /// Returns the API's URL, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }
}

/// A served API.
struct Api {
    stage: String,
    cors: Option<Cors>,
    routes: Vec<Mounted>,
    client: Client,
    console: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A route with its state.
struct Mounted {
    route: Route,
    auth: Auth,
    bucket: Option<Bucket>,
    endpoint: String,
    /// The function's own timeout.
    function_timeout: Duration,
}

/// Authorization of a route.
enum Auth {
    None,
    /// Rejects every call: see the module's documentation.
    Iam,
    Jwt(Authorizer),
}

/// Responds to a request. The gateway alone sets the CORS headers, whoever responds.
async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let request_id = STANDARD.encode(std::array::from_fn::<u8, 11, _>(|_| fastrand::u8(..)));

    let preflight = api
        .cors
        .as_ref()
        .and_then(|cors| cors::preflight(cors, request.method(), request.headers()));
    let mut response = if let Some(response) = preflight {
        response
    } else {
        let result = api.respond(request, &request_id).await;
        let mut response = result.unwrap_or_else(IntoResponse::into_response);
        if let Some(cors) = &api.cors {
            cors::apply(cors, origin.as_ref(), response.headers_mut());
        }
        response
    };
    if let Ok(request_id) = HeaderValue::from_str(&request_id) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("apigw-requestid"), request_id);
    }
    response
}

impl Api {
    fn new(
        template: Template,
        functions: &FunctionEndpoints,
        console: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Self, String> {
        let client = Client::new();
        // Routes share the keys of an issuer.
        let mut keys: BTreeMap<String, Arc<Keys>> = BTreeMap::new();
        let mut routes = Vec::new();
        for route in template.api.routes {
            let auth = match &route.authorization {
                Authorization::None => Auth::None,
                Authorization::Iam => Auth::Iam,
                Authorization::Jwt(rules) => {
                    let of_issuer = || Arc::new(Keys::new(rules.issuer.clone(), client.clone()));
                    let keys = keys.entry(rules.issuer.clone()).or_insert_with(of_issuer);
                    Auth::Jwt(Authorizer::new(rules.clone(), Arc::clone(keys)))
                }
            };
            let missing = || {
                format!(
                    "{} invokes {}, which has no address",
                    route.key, route.function
                )
            };
            let endpoint = functions.get(&route.function).ok_or_else(missing)?.clone();
            let function_timeout = template
                .functions
                .get(&route.function)
                .map_or(route.timeout, |function| function.timeout);
            let bucket = route
                .throttling
                .map(|limits| Bucket::full(limits, Instant::now()));
            routes.push(Mounted {
                route,
                auth,
                bucket,
                endpoint,
                function_timeout,
            });
        }
        Ok(Self {
            stage: template.api.stage,
            cors: template.api.cors,
            routes,
            client,
            console,
        })
    }

    async fn respond(&self, request: Request, request_id: &str) -> Result<Response, GatewayError> {
        let peer = request.extensions().get::<Peer>().copied();
        let (head, body) = request.into_parts();
        if limits::head_bytes(&head) > MAX_HEAD_BYTES {
            return Err(GatewayError::HeadTooLarge);
        }
        // Read before any rejection, because a client that is still sending does not read the response.
        let body = limits::read_body(&head, body).await;
        let (mounted, path_parameters) = self.route(&head).ok_or(GatewayError::NotFound)?;
        // Unverified on AWS: whether throttling comes before the authorizer.
        if mounted
            .bucket
            .as_ref()
            .is_some_and(|bucket| !bucket.take(Instant::now()))
        {
            return Err(GatewayError::TooManyRequests);
        }
        let verified = self.authorize(mounted, &head).await?;
        let body = body?;

        let event = Event::new(Source {
            head: &head,
            body: &body,
            route_key: mounted.route.key.as_str(),
            path_parameters,
            stage: &self.stage,
            request_id,
            caller_ip: peer.map_or([127, 0, 0, 1].into(), |Peer(address)| address.ip()),
            verified,
            now: OffsetDateTime::now_utc(),
        });
        self.invoke(mounted, &event).await
    }

    /// The most specific route that matches.
    fn route(&self, head: &Parts) -> Option<(&Mounted, BTreeMap<String, String>)> {
        let path = match self.stage.as_str() {
            "$default" => head.uri.path(),
            stage => head
                .uri
                .path()
                .strip_prefix('/')?
                .strip_prefix(stage)
                .filter(|path| path.starts_with('/'))?,
        };
        self.routes
            .iter()
            .filter_map(|mounted| {
                mounted
                    .route
                    .key
                    .fit(head.method.as_str(), path)
                    .map(|fit| (mounted, fit))
            })
            .max_by_key(|(_, (fit, _))| *fit)
            .map(|(mounted, (_, parameters))| (mounted, parameters))
    }

    async fn authorize(
        &self,
        mounted: &Mounted,
        head: &Parts,
    ) -> Result<Option<Verified>, GatewayError> {
        match &mounted.auth {
            Auth::None => Ok(None),
            Auth::Iam => {
                let route = &mounted.route.key;
                self.print(&format!(
                    "{route}: rejected, because AWS signatures cannot be verified locally"
                ));
                Err(GatewayError::Forbidden)
            }
            Auth::Jwt(authorizer) => authorizer
                .check(&head.headers, &head.uri)
                .await
                .map(Some)
                .map_err(|error| {
                    if let AuthError::KeysUnavailable(cause) = &error {
                        self.print(&format!(
                            "failed to fetch the issuer's signing keys: {cause}"
                        ));
                    }
                    GatewayError::from(&error)
                }),
        }
    }

    async fn invoke(&self, mounted: &Mounted, event: &Event) -> Result<Response, GatewayError> {
        let Mounted {
            route,
            endpoint,
            function_timeout,
            ..
        } = mounted;
        let failed = |problem: &str| {
            self.print(&format!("{}: {problem}", route.function));
            GatewayError::InternalServerError
        };
        let payload = serde_json::to_vec(event).map_err(|error| failed(&error.to_string()))?;
        // Unverified on AWS: the response to a body that API Gateway accepts and Lambda does not.
        if payload.len() > MAX_INVOCATION_BYTES {
            self.print(&format!(
                "{}: the event has {} bytes, and Lambda accepts {MAX_INVOCATION_BYTES}",
                route.function,
                payload.len()
            ));
            return Err(GatewayError::PayloadTooLarge);
        }
        let request = http::Request::post(endpoint.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(payload))
            .map_err(|error| failed(&format!("{endpoint} is not a URL: {error}")))?;

        let result = match self
            .client
            .call(request, route.timeout.min(*function_timeout))
            .await
        {
            Ok(result) => result,
            // Lambda stops the function and reports a failure; API Gateway gives up on a function that still runs.
            Err(CallError::Timeout(limit)) if limit == *function_timeout => {
                return Err(failed(&format!(
                    "no response within its Timeout of {limit:?}: it runs longer, or does not run at all"
                )));
            }
            Err(CallError::Timeout(limit)) => {
                self.print(&format!(
                    "{}: no response within the integration's {limit:?}",
                    route.function
                ));
                return Err(GatewayError::ServiceUnavailable);
            }
            Err(CallError::Failed(cause)) => {
                return Err(failed(&format!("cannot be reached at {endpoint}: {cause}")));
            }
        };
        if result.status() != StatusCode::OK
            || result.headers().contains_key("x-amz-function-error")
        {
            let body = String::from_utf8_lossy(result.body());
            return Err(failed(&format!(
                "the invocation failed: {}",
                body.chars().take(500).collect::<String>()
            )));
        }
        if result.body().len() > MAX_INVOCATION_BYTES {
            return Err(failed(&format!(
                "its response has {} bytes, and Lambda accepts {MAX_INVOCATION_BYTES}",
                result.body().len()
            )));
        }
        response::from_result(result.body())
            .map_err(|problem| failed(&format!("invalid response: {problem}")))
    }

    fn print(&self, line: &str) {
        (self.console)(line);
    }
}
