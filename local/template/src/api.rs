//! The template's HTTP API: stage, CORS, routes, authorizers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::diagnostic::Diagnostic;
use crate::function::{self, Functions};
use crate::resources::{self, Resources, property, reference};
use crate::route_key::RouteKey;

/// An HTTP API of the template.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// The stage's name. `$default` is served at the root, any other below `/NAME`.
    pub stage: String,
    /// The CORS configuration; `None` leaves CORS to the functions.
    pub cors: Option<Cors>,
    /// The routes.
    pub routes: Vec<Route>,
}

/// The `CorsConfiguration` of an API.
///
/// CloudFormation rejects unknown keys. Ignored here, a typo would leave a page without the header that was meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Cors {
    /// Exact origins, `*`, `http://*` or `https://*`.
    pub allow_origins: Vec<String>,
    /// Methods in the response to a preflight.
    pub allow_methods: Vec<String>,
    /// Request headers in the response to a preflight.
    pub allow_headers: Vec<String>,
    /// Response headers that a page may read.
    pub expose_headers: Vec<String>,
    /// Seconds for which a browser may cache the response to a preflight.
    #[serde(deserialize_with = "resources::parsed")]
    pub max_age: Option<u32>,
    /// Whether a page may send cookies.
    #[serde(deserialize_with = "flag")]
    pub allow_credentials: bool,
}

/// A route of an API.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which requests it matches.
    pub key: RouteKey,
    /// Who may call it.
    pub authorization: Authorization,
    /// The name of the function's binary.
    pub function: String,
    /// Timeout of the integration.
    pub timeout: Duration,
    /// The rate limit.
    pub throttling: Option<Throttling>,
}

/// Authorization of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// Anyone may call.
    None,
    /// Callers sign with AWS credentials.
    Iam,
    /// Callers send a token of an OpenID Connect provider.
    Jwt(JwtAuthorizer),
}

/// The JWT authorizer of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtAuthorizer {
    /// The expected `iss`; its keys are found below this URL.
    pub issuer: String,
    /// Accepted values of `aud` (or `client_id`).
    pub audience: Vec<String>,
    /// Where the token is read from, such as `$request.header.Authorization`.
    pub identity_source: Vec<String>,
    /// Scopes, of which a token needs one. Empty if the route requires none.
    pub scopes: Vec<String>,
}

/// The parameters of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttling {
    /// Requests per second, on average.
    pub rate: f64,
    /// Requests at one moment.
    pub burst: f64,
}

/// API Gateway's account limits, where the stage sets only one of the two.
const ACCOUNT_RATE: f64 = 10_000.0;
const ACCOUNT_BURST: f64 = 5_000.0;

/// API Gateway's maximum and default.
const MAX_INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);
const MIN_INTEGRATION_TIMEOUT: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ApiProperties {
    cors_configuration: Option<Cors>,
    body: Option<IgnoredAny>,
    #[serde(rename = "BodyS3Location")]
    body_s3_location: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StageProperties {
    api_id: String,
    stage_name: String,
    default_route_settings: Option<RouteSettings>,
    #[serde(default)]
    route_settings: BTreeMap<String, RouteSettings>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RouteSettings {
    #[serde(default, deserialize_with = "resources::parsed")]
    throttling_rate_limit: Option<f64>,
    #[serde(default, deserialize_with = "resources::parsed")]
    throttling_burst_limit: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RouteProperties {
    api_id: String,
    route_key: String,
    target: String,
    #[serde(default)]
    authorization_type: AuthorizationType,
    authorizer_id: Option<String>,
    #[serde(default)]
    authorization_scopes: Vec<String>,
}

#[derive(Default, Deserialize)]
enum AuthorizationType {
    #[default]
    #[serde(rename = "NONE")]
    None,
    #[serde(rename = "AWS_IAM")]
    Iam,
    #[serde(rename = "JWT")]
    Jwt,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AuthorizerProperties {
    authorizer_type: String,
    identity_source: Vec<String>,
    jwt_configuration: JwtConfiguration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JwtConfiguration {
    issuer: String,
    audience: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IntegrationProperties {
    integration_type: String,
    integration_uri: String,
    #[serde(deserialize_with = "resources::string")]
    payload_format_version: String,
    #[serde(default, deserialize_with = "resources::parsed")]
    timeout_in_millis: Option<u64>,
}

fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    resources::parsed(deserializer).map(Option::unwrap_or_default)
}

pub(crate) fn read(resources: &Resources, functions: &Functions) -> Result<Api, Diagnostic> {
    let api_id = resources.only("AWS::ApiGatewayV2::Api")?;
    let api: ApiProperties = resources.properties(api_id)?;
    if api.body.is_some() || api.body_s3_location.is_some() {
        return Err(Diagnostic::new(
            format!("Resources.{api_id}"),
            "the local gateway does not support an API that is defined by OpenAPI",
        ));
    }
    if let Some(cors) = &api.cors_configuration
        && cors.allow_credentials
        && cors.allow_origins.iter().any(|origin| origin == "*")
    {
        return Err(Diagnostic::new(
            property(api_id, "Properties.CorsConfiguration"),
            "API Gateway rejects AllowCredentials with the origin *",
        ));
    }

    let stage_id = resources.only("AWS::ApiGatewayV2::Stage")?;
    let stage: StageProperties = resources.properties(stage_id)?;
    let belongs = |id: &str, owner: &str| match reference(owner) {
        Some((owner, None)) if owner == api_id => Ok(()),
        _ => Err(Diagnostic::new(
            property(id, "Properties.ApiId"),
            format!("{owner} is not an HTTP API of this template"),
        )),
    };
    belongs(stage_id, &stage.api_id)?;

    let mut routes = Vec::new();
    for id in resources.of_type("AWS::ApiGatewayV2::Route") {
        let route: RouteProperties = resources.properties(id)?;
        belongs(id, &route.api_id)?;
        routes.push(read_route(id, route, &stage, resources, functions)?);
    }
    if routes.is_empty() {
        return Err(Diagnostic::new(
            format!("Resources.{api_id}"),
            "the API has no routes",
        ));
    }
    Ok(Api {
        stage: stage.stage_name,
        cors: api.cors_configuration,
        routes,
    })
}

fn read_route(
    id: &str,
    route: RouteProperties,
    stage: &StageProperties,
    resources: &Resources,
    functions: &Functions,
) -> Result<Route, Diagnostic> {
    let key = route.route_key.parse().map_err(|error| {
        Diagnostic::new(property(id, "Properties.RouteKey"), format!("{error}"))
    })?;
    let integration_id = route
        .target
        .strip_prefix("integrations/")
        .and_then(reference)
        .map(|(integration, _)| integration)
        .filter(|integration| resources.has("AWS::ApiGatewayV2::Integration", integration))
        .ok_or_else(|| {
            Diagnostic::new(
                property(id, "Properties.Target"),
                "expected integrations/ and an integration of this template",
            )
        })?;
    let (function, timeout) = read_integration(integration_id, resources, functions)?;
    Ok(Route {
        key,
        function,
        timeout,
        throttling: throttling(stage, &route.route_key),
        authorization: read_authorization(id, route, resources)?,
    })
}

fn read_integration(
    id: &str,
    resources: &Resources,
    functions: &Functions,
) -> Result<(String, Duration), Diagnostic> {
    let integration: IntegrationProperties = resources.properties(id)?;
    for (key, found, supported) in [
        (
            "IntegrationType",
            &integration.integration_type,
            "AWS_PROXY",
        ),
        (
            "PayloadFormatVersion",
            &integration.payload_format_version,
            "2.0",
        ),
    ] {
        if found != supported {
            return Err(Diagnostic::new(
                property(id, &format!("Properties.{key}")),
                format!("the local gateway supports {supported} only, found {found}"),
            ));
        }
    }
    let uri = &integration.integration_uri;
    let function = function::invoked(uri, resources, functions).ok_or_else(|| {
        Diagnostic::new(
            property(id, "Properties.IntegrationUri"),
            format!("{uri} is not a function of this template"),
        )
    })?;
    let timeout = integration
        .timeout_in_millis
        .map_or(MAX_INTEGRATION_TIMEOUT, Duration::from_millis);
    if !(MIN_INTEGRATION_TIMEOUT..=MAX_INTEGRATION_TIMEOUT).contains(&timeout) {
        return Err(Diagnostic::new(
            property(id, "Properties.TimeoutInMillis"),
            "must be between 50 and 30000",
        ));
    }
    Ok((function.binary.clone(), timeout))
}

fn read_authorization(
    id: &str,
    route: RouteProperties,
    resources: &Resources,
) -> Result<Authorization, Diagnostic> {
    match route.authorization_type {
        AuthorizationType::None => Ok(Authorization::None),
        AuthorizationType::Iam => Ok(Authorization::Iam),
        AuthorizationType::Jwt => {
            let authorizer_id = route
                .authorizer_id
                .as_deref()
                .and_then(reference)
                .map(|(authorizer, _)| authorizer)
                .filter(|authorizer| resources.has("AWS::ApiGatewayV2::Authorizer", authorizer))
                .ok_or_else(|| {
                    Diagnostic::new(
                        property(id, "Properties.AuthorizerId"),
                        "expected an authorizer of this template",
                    )
                })?;
            let authorizer: AuthorizerProperties = resources.properties(authorizer_id)?;
            if authorizer.authorizer_type != "JWT" {
                return Err(Diagnostic::new(
                    property(authorizer_id, "Properties.AuthorizerType"),
                    format!(
                        "the local gateway supports JWT only, found {}",
                        authorizer.authorizer_type
                    ),
                ));
            }
            Ok(Authorization::Jwt(JwtAuthorizer {
                issuer: authorizer.jwt_configuration.issuer,
                audience: authorizer.jwt_configuration.audience,
                identity_source: authorizer.identity_source,
                scopes: route.authorization_scopes,
            }))
        }
    }
}

/// The stage's settings for the route, else those for all routes.
fn throttling(stage: &StageProperties, route_key: &str) -> Option<Throttling> {
    let own = stage.route_settings.get(route_key);
    let settings = own.or(stage.default_route_settings.as_ref())?;
    match (
        settings.throttling_rate_limit,
        settings.throttling_burst_limit,
    ) {
        (None, None) => None,
        (rate, burst) => Some(Throttling {
            rate: rate.unwrap_or(ACCOUNT_RATE),
            burst: burst.unwrap_or(ACCOUNT_BURST),
        }),
    }
}
