//! API Gateway's part: an HTTP API served from the template, with its functions behind Lambda's Invoke API.
//!
//! It does what API Gateway is known to do with an HTTP API: preflight and CORS headers, JWT authorizer, throttling,
//! limits, payload format 2.0, and its own answers where a function has none. Where AWS's behaviour is not documented
//! and has not been measured, the module that decides says "unverified".
//!
//! It differs knowingly in this:
//! - Routes with IAM authorization refuse every call with 403: a signature cannot be checked without AWS.
//! - A function that cannot be reached is a 500, as one that API Gateway may not invoke; the console says why.

mod answer;
mod authorizer;
mod cors;
mod event;
mod refusal;
mod throttle;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use time::OffsetDateTime;

use crate::client::{CallError, Client};
use crate::server::{Peer, Server};
use crate::template::{Authorization, Cors, Route, Template};
use authorizer::{Authorizer, Denied, Keys, Verified};
use event::{Event, Source};
use refusal::Refusal;
use throttle::Bucket;

/// The largest request body.
pub const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// The largest request line and headers together.
pub const MAX_HEAD_BYTES: usize = 10_240;

/// Addresses of functions by their names: Invoke API URLs, such as
/// `http://127.0.0.1:9000/2015-03-31/functions/mint-token/invocations`.
pub type FunctionEndpoints = BTreeMap<String, String>;

/// What to serve, and where.
pub struct Options {
    /// A loopback address; the port 0 stands for a free one.
    pub address: SocketAddr,
    /// The API.
    pub template: Template,
    /// Where every function of a route can be invoked.
    pub functions: FunctionEndpoints,
    /// Is told, in a line, of what a developer has to know: a function that fails or cannot be reached, an issuer
    /// without keys, a call that only AWS could have let through.
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
    /// Starts serving the API. Fails if the address is not on loopback or in use, or a function's URL is missing.
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

    /// The API's URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }
}

/// The API as it is served.
struct Api {
    stage: String,
    cors: Option<Cors>,
    routes: Vec<Mounted>,
    client: Client,
    console: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A route with what it needs at work.
struct Mounted {
    route: Route,
    guard: Guard,
    bucket: Option<Bucket>,
    endpoint: String,
    /// The function's own time limit.
    function_timeout: Duration,
}

/// Who is let through.
enum Guard {
    Anyone,
    /// Nobody: see the module's documentation.
    Signed,
    Bearer(Authorizer),
}

/// Answers a request. Whatever the answer, it is the gateway that says which origin may read it.
async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let request_id = STANDARD.encode(std::array::from_fn::<u8, 11, _>(|_| fastrand::u8(..)));

    let preflight = api
        .cors
        .as_ref()
        .and_then(|cors| cors.preflight(request.method(), request.headers()));
    let mut response = if let Some(response) = preflight {
        response
    } else {
        let answered = api.answer(request, &request_id).await;
        let mut response = answered.unwrap_or_else(IntoResponse::into_response);
        if let Some(cors) = &api.cors {
            cors.apply(origin.as_ref(), response.headers_mut());
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
        // One set of keys for each issuer.
        let mut keys: BTreeMap<String, Arc<Keys>> = BTreeMap::new();
        let mut routes = Vec::new();
        for route in template.api.routes {
            let guard = match &route.authorization {
                Authorization::None => Guard::Anyone,
                Authorization::Iam => Guard::Signed,
                Authorization::Jwt(rules) => {
                    let of_issuer = || Arc::new(Keys::new(rules.issuer.clone(), client.clone()));
                    let keys = keys.entry(rules.issuer.clone()).or_insert_with(of_issuer);
                    Guard::Bearer(Authorizer::new(rules.clone(), Arc::clone(keys)))
                }
            };
            let missing = || {
                format!(
                    "{} leads to {}, for which no address was given",
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
                .map(|measures| Bucket::full(measures, Instant::now()));
            routes.push(Mounted {
                route,
                guard,
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

    async fn answer(&self, request: Request, request_id: &str) -> Result<Response, Refusal> {
        let peer = request.extensions().get::<Peer>().copied();
        let (head, body) = request.into_parts();
        if head_bytes(&head) > MAX_HEAD_BYTES {
            return Err(Refusal::HeadTooLarge);
        }
        // Before the rest is refused: a client that is still sending would not read the refusal.
        let body = read(&head, body).await;
        let (mounted, path_parameters) = self.route(&head).ok_or(Refusal::NotFound)?;
        // Unverified on AWS: whether throttling comes before the authorizer.
        if mounted
            .bucket
            .as_ref()
            .is_some_and(|bucket| !bucket.take(Instant::now()))
        {
            return Err(Refusal::TooManyRequests);
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

    /// The route that fits best.
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
    ) -> Result<Option<Verified>, Refusal> {
        match &mounted.guard {
            Guard::Anyone => Ok(None),
            Guard::Signed => {
                let route = &mounted.route.key;
                self.say(&format!(
                    "{route}: refused, because AWS signatures cannot be checked on this machine"
                ));
                Err(Refusal::Forbidden)
            }
            Guard::Bearer(authorizer) => authorizer
                .check(&head.headers, &head.uri)
                .await
                .map(Some)
                .map_err(|denied| {
                    if let Denied::NoKeys(problem) = &denied {
                        self.say(&format!("the issuer's keys cannot be had: {problem}"));
                    }
                    Refusal::from(&denied)
                }),
        }
    }

    async fn invoke(&self, mounted: &Mounted, event: &Event) -> Result<Response, Refusal> {
        let Mounted {
            route,
            endpoint,
            function_timeout,
            ..
        } = mounted;
        let failed = |problem: &str| {
            self.say(&format!("{}: {problem}", route.function));
            Refusal::InternalServerError
        };
        let payload = serde_json::to_vec(event).map_err(|error| failed(&error.to_string()))?;
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
            // Lambda ends the function and calls that a failure; API Gateway gives up on what still runs.
            Err(CallError::TimedOut(limit)) if limit == *function_timeout => {
                return Err(failed(&format!(
                    "no answer within its Timeout of {limit:?}: it runs for longer, or does not run at all"
                )));
            }
            Err(CallError::TimedOut(limit)) => {
                self.say(&format!(
                    "{}: no answer within the integration's {limit:?}",
                    route.function
                ));
                return Err(Refusal::ServiceUnavailable);
            }
            Err(CallError::Failed(problem)) => {
                return Err(failed(&format!(
                    "cannot be reached at {endpoint}: {problem}"
                )));
            }
        };
        if result.status() != StatusCode::OK
            || result.headers().contains_key("x-amz-function-error")
        {
            let said = String::from_utf8_lossy(result.body());
            return Err(failed(&format!(
                "the invocation failed: {}",
                said.chars().take(500).collect::<String>()
            )));
        }
        answer::from_result(result.body())
            .map_err(|problem| failed(&format!("its result is no answer to a request: {problem}")))
    }

    fn say(&self, line: &str) {
        (self.console)(line);
    }
}

/// The size of a request line and headers, as they came over the wire.
fn head_bytes(head: &Parts) -> usize {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let request_line = head.method.as_str().len() + target + " ".len() + " HTTP/1.1\r\n".len();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    request_line + headers.sum::<usize>()
}

/// Reads a body up to the limit.
async fn read(head: &Parts, mut body: Body) -> Result<Bytes, Refusal> {
    let announced = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let waits = head.headers.contains_key(header::EXPECT);
    if waits && announced.is_some_and(|length: usize| length > MAX_BODY_BYTES) {
        return Err(Refusal::PayloadTooLarge);
    }
    let mut read = BytesMut::new();
    let mut length = 0_usize;
    // What is over the limit is read all the same, if it is not boundless: a client that is still sending does not
    // read the answer.
    while length <= 10 * MAX_BODY_BYTES {
        let Some(frame) = body.frame().await else {
            break;
        };
        let Ok(data) = frame.map_err(|_| Refusal::BadRequest)?.into_data() else {
            continue;
        };
        length += data.len();
        if length <= MAX_BODY_BYTES {
            read.extend_from_slice(&data);
        }
    }
    if length > MAX_BODY_BYTES {
        Err(Refusal::PayloadTooLarge)
    } else {
        Ok(read.freeze())
    }
}
