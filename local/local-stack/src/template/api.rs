//! The template's HTTP API: stage, CORS, routes, and who may call them.

use std::time::Duration;

use super::fault::Fault;
use super::function::Declared;
use super::intrinsics::Resolver;
use super::route_key::RouteKey;
use super::value::Value;
use super::yaml::Node;

/// An HTTP API as the template describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// The stage's name; `$default` is served at the root, any other below `/NAME`.
    pub stage: String,
    /// How cross-origin calls are answered; `None` leaves CORS to the functions.
    pub cors: Option<Cors>,
    /// The routes, in the template's order.
    pub routes: Vec<Route>,
}

/// An API's `CorsConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Exact origins, `*`, `http://*` or `https://*`.
    pub allow_origins: Vec<String>,
    /// Methods that a preflight is told of.
    pub allow_methods: Vec<String>,
    /// Request headers that a preflight is told of.
    pub allow_headers: Vec<String>,
    /// Answer headers that a page may read.
    pub expose_headers: Vec<String>,
    /// Seconds for which a browser may remember a preflight's answer.
    pub max_age: Option<u32>,
    /// Whether a page may send cookies.
    pub allow_credentials: bool,
}

/// A route and what is behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which requests it takes.
    pub key: RouteKey,
    /// Who may call it.
    pub authorization: Authorization,
    /// The name of the function's binary.
    pub function: String,
    /// How long API Gateway waits for the function.
    pub timeout: Duration,
    /// How many calls it lets through.
    pub throttling: Option<Throttling>,
}

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// Anyone.
    None,
    /// Who signs with AWS credentials.
    Iam,
    /// Who has a token of an OpenID Connect provider.
    Jwt(JwtAuthorizer),
}

/// A route's JWT authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtAuthorizer {
    /// What `iss` has to be; the keys are found below it.
    pub issuer: String,
    /// What `aud` (or `client_id`) has to be one of.
    pub audience: Vec<String>,
    /// Where the token is looked for, such as `$request.header.Authorization`.
    pub identity_source: Vec<String>,
    /// Scopes, of which a token needs one; empty if the route asks for none.
    pub scopes: Vec<String>,
}

/// A token bucket's measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttling {
    /// Requests per second, on average.
    pub rate: f64,
    /// Requests at one moment.
    pub burst: f64,
}

/// API Gateway's own limits, where the stage sets but one of the two.
const ACCOUNT_RATE: f64 = 10_000.0;
const ACCOUNT_BURST: f64 = 5_000.0;

/// API Gateway's longest, and its default.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn read(resolver: &Resolver<'_>, functions: &[Declared]) -> Result<Api, Fault> {
    let resources = Resources::read(resolver)?;
    let (api_name, api) = resources.the_only_one("AWS::ApiGatewayV2::Api")?;
    let of_this_api = |resource: &Value| {
        let owner = resource.require("ApiId")?;
        if owner.text()? == api_name {
            Ok(())
        } else {
            Err(owner.fault(format!(
                "{} is not an HTTP API of this template",
                owner.text()?
            )))
        }
    };
    if api.get("Body")?.is_some() || api.get("BodyS3Location")?.is_some() {
        return Err(
            api.fault("an API that is imported from OpenAPI is not supported by the local gateway")
        );
    }

    let (_, stage) = resources.the_only_one("AWS::ApiGatewayV2::Stage")?;
    of_this_api(&stage)?;

    let mut routes = Vec::new();
    for (_, route) in resources.all("AWS::ApiGatewayV2::Route") {
        of_this_api(route)?;
        routes.push(read_route(route, &resources, &stage, functions)?);
    }
    if routes.is_empty() {
        return Err(api.fault("the API has no routes"));
    }
    Ok(Api {
        stage: stage.require("StageName")?.text()?.to_owned(),
        cors: api
            .get("CorsConfiguration")?
            .map(|cors| read_cors(&cors))
            .transpose()?,
        routes,
    })
}

fn read_cors(cors: &Value) -> Result<Cors, Fault> {
    const KEYS: [&str; 6] = [
        "AllowCredentials",
        "AllowHeaders",
        "AllowMethods",
        "AllowOrigins",
        "ExposeHeaders",
        "MaxAge",
    ];
    // CloudFormation refuses these. Passed over, a slip of the pen would leave a page without what was meant.
    for (key, value) in cors.entries()? {
        if !KEYS.contains(&key.as_str()) {
            let known = KEYS.join(", ");
            return Err(value.fault(format!("not one of {known}")));
        }
    }
    let texts = |key: &str| cors.get(key)?.map_or(Ok(Vec::new()), |list| list.texts());
    let read = Cors {
        allow_origins: texts("AllowOrigins")?,
        allow_methods: texts("AllowMethods")?,
        allow_headers: texts("AllowHeaders")?,
        expose_headers: texts("ExposeHeaders")?,
        max_age: cors
            .get("MaxAge")?
            .map(|age| age.parse("a number of seconds"))
            .transpose()?,
        allow_credentials: match cors.get("AllowCredentials")? {
            Some(flag) => flag.parse("true or false")?,
            None => false,
        },
    };
    if read.allow_credentials && read.allow_origins.iter().any(|origin| origin == "*") {
        return Err(cors.fault("API Gateway refuses AllowCredentials together with the origin *"));
    }
    Ok(read)
}

fn read_route(
    route: &Value,
    resources: &Resources,
    stage: &Value,
    functions: &[Declared],
) -> Result<Route, Fault> {
    let key = route.require("RouteKey")?;
    let key = RouteKey::parse(key.text()?).map_err(|problem| key.fault(problem))?;

    let target = route.require("Target")?;
    let integration = target
        .text()?
        .strip_prefix("integrations/")
        .and_then(|name| resources.find("AWS::ApiGatewayV2::Integration", name))
        .ok_or_else(|| {
            target.fault("expected integrations/ and the name of an integration of this template")
        })?;
    let expect = |property: &str, expected: &str| {
        let value = integration.require(property)?;
        if value.text()? == expected {
            Ok(())
        } else {
            Err(value.fault(format!(
                "the local gateway supports {property} {expected} only"
            )))
        }
    };
    expect("IntegrationType", "AWS_PROXY")?;
    expect("PayloadFormatVersion", "2.0")?;
    let uri = integration.require("IntegrationUri")?;
    let uri_text = uri.text()?;
    // Either the function's ARN, or API Gateway's own, which has the function's in it.
    let function = functions
        .iter()
        .find(|function| {
            uri_text == function.arn || uri_text.contains(&format!("/functions/{}/", function.arn))
        })
        .ok_or_else(|| uri.fault(format!("{uri_text} is not a function of this template")))?;
    let timeout = match integration.get("TimeoutInMillis")? {
        Some(milliseconds) => {
            Duration::from_millis(milliseconds.parse("a number of milliseconds")?)
        }
        None => INTEGRATION_TIMEOUT,
    };
    if timeout > INTEGRATION_TIMEOUT || timeout < Duration::from_millis(50) {
        return Err(integration.fault("TimeoutInMillis has to be between 50 and 30000"));
    }

    Ok(Route {
        authorization: read_authorization(route, resources)?,
        throttling: read_throttling(stage, key.as_str())?,
        function: function.binary.clone(),
        timeout,
        key,
    })
}

fn read_authorization(route: &Value, resources: &Resources) -> Result<Authorization, Fault> {
    let Some(kind) = route.get("AuthorizationType")? else {
        return Ok(Authorization::None);
    };
    match kind.text()? {
        "NONE" => Ok(Authorization::None),
        "AWS_IAM" => Ok(Authorization::Iam),
        "JWT" => {
            let id = route.require("AuthorizerId")?;
            let authorizer = resources
                .find("AWS::ApiGatewayV2::Authorizer", id.text()?)
                .ok_or_else(|| {
                    id.fault(format!(
                        "{} is not an authorizer of this template",
                        id.text().unwrap_or("")
                    ))
                })?;
            let kind = authorizer.require("AuthorizerType")?;
            if kind.text()? != "JWT" {
                return Err(
                    kind.fault("the local gateway supports authorizers of the type JWT only")
                );
            }
            let configuration = authorizer.require("JwtConfiguration")?;
            let identity_source = authorizer.require("IdentitySource")?;
            Ok(Authorization::Jwt(JwtAuthorizer {
                issuer: configuration.require("Issuer")?.text()?.to_owned(),
                audience: configuration.require("Audience")?.texts()?,
                identity_source: identity_source.texts()?,
                scopes: route
                    .get("AuthorizationScopes")?
                    .map_or(Ok(Vec::new()), |scopes| scopes.texts())?,
            }))
        }
        _ => {
            Err(kind
                .fault("the local gateway supports the authorization types NONE, AWS_IAM and JWT"))
        }
    }
}

/// The stage's settings for the route, or else for all routes.
fn read_throttling(stage: &Value, route_key: &str) -> Result<Option<Throttling>, Fault> {
    let own = stage
        .get("RouteSettings")?
        .map_or(Ok(None), |settings| settings.get(route_key))?;
    let Some(settings) =
        own.map_or_else(|| stage.get("DefaultRouteSettings"), |own| Ok(Some(own)))?
    else {
        return Ok(None);
    };
    let number = |key: &str| {
        settings
            .get(key)?
            .map(|value| value.parse("a number"))
            .transpose()
    };
    Ok(
        match (
            number("ThrottlingRateLimit")?,
            number("ThrottlingBurstLimit")?,
        ) {
            (None, None) => None,
            (rate, burst) => Some(Throttling {
                rate: rate.unwrap_or(ACCOUNT_RATE),
                burst: burst.unwrap_or(ACCOUNT_BURST),
            }),
        },
    )
}

/// The API Gateway resources that exist, resolved.
struct Resources(Vec<Resource>);

struct Resource {
    name: String,
    kind: String,
    properties: Value,
}

impl Resources {
    fn read(resolver: &Resolver<'_>) -> Result<Self, Fault> {
        let mut resources = Vec::new();
        for (name, declaration) in resolver.resources()? {
            let kind = declaration
                .get("Type")
                .and_then(Node::as_text)
                .unwrap_or_default();
            if kind == "AWS::Serverless::HttpApi" || kind == "AWS::Serverless::Api" {
                let problem =
                    format!("the local gateway supports AWS::ApiGatewayV2::Api, not {kind}");
                return Err(Fault::new(
                    declaration.line,
                    format!("Resources.{name}"),
                    problem,
                ));
            }
            let Some(properties) = declaration
                .get("Properties")
                .filter(|_| kind.starts_with("AWS::ApiGatewayV2::"))
            else {
                continue;
            };
            if let Some(properties) =
                resolver.resolve(properties, &format!("Resources.{name}.Properties"))?
            {
                resources.push(Resource {
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                    properties,
                });
            }
        }
        Ok(Self(resources))
    }

    fn all(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.0
            .iter()
            .filter(move |resource| resource.kind == kind)
            .map(|resource| (resource.name.as_str(), &resource.properties))
    }

    fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.all(kind)
            .find(|(known, _)| *known == name)
            .map(|(_, properties)| properties)
    }

    fn the_only_one(&self, kind: &str) -> Result<(String, Value), Fault> {
        match self.all(kind).collect::<Vec<_>>().as_slice() {
            [(name, properties)] => Ok(((*name).to_owned(), (*properties).clone())),
            [] => Err(Fault::of_the_file(format!("there is no {kind}"))),
            [_, (_, second), ..] => Err(second.fault(format!(
                "the local gateway serves one {kind}, and this is another"
            ))),
        }
    }
}
