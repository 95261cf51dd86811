//! Templates from their evaluated resources, and one through the evaluator.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// An API with one JWT route, as the evaluator prints it.
fn resources() -> Value {
    json!({
        "HttpApi": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"CorsConfiguration": {
            "AllowOrigins": ["https://a.example", "https://b.example"],
            "AllowMethods": ["POST"],
            "AllowHeaders": ["authorization"],
            "ExposeHeaders": ["retry-after"],
            "MaxAge": "3600",
        }}},
        "Stage": {"Type": "AWS::ApiGatewayV2::Stage", "Properties": {
            "ApiId": "${HttpApi}",
            "StageName": "$default",
            "DefaultRouteSettings": {"ThrottlingRateLimit": "50", "ThrottlingBurstLimit": 100},
        }},
        "Authorizer": {"Type": "AWS::ApiGatewayV2::Authorizer", "Properties": {
            "ApiId": "${HttpApi}",
            "AuthorizerType": "JWT",
            "IdentitySource": ["$request.header.Authorization"],
            "JwtConfiguration": {"Issuer": "https://issuer.example", "Audience": ["app"]},
        }},
        "Route": {"Type": "AWS::ApiGatewayV2::Route", "Properties": {
            "ApiId": "${HttpApi}",
            "RouteKey": "POST /token",
            "AuthorizationType": "JWT",
            "AuthorizerId": "${Authorizer}",
            "Target": "integrations/${Integration}",
        }},
        "Integration": {"Type": "AWS::ApiGatewayV2::Integration", "Properties": {
            "ApiId": "${HttpApi}",
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": "${Function.Arn}",
            "PayloadFormatVersion": "2.0",
        }},
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Metadata": {"BuildProperties": {"Binary": "mint-token"}},
            "Properties": {"Timeout": 28, "Environment": {"Variables": {
                "ALLOWED_ORIGINS": "https://a.example,https://b.example",
                "SECRET_TTL_SECONDS": 300,
                "STATE_TABLE": "${StateTable}",
            }}},
        },
        "Alias": {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": "${Function}", "Name": "live"}},
    })
}

/// The template after changes, each a JSON pointer and a value; null removes.
fn read(changes: &[(&str, Value)]) -> Result<Template, String> {
    let mut resources = resources();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = resources.pointer_mut(parent).unwrap();
        let parent = parent.as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key).unwrap();
        } else {
            parent.insert(key.to_owned(), value.clone());
        }
    }
    Template::read(&serde_json::from_value(resources).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn reads_cors_configuration() {
    let cors = read(&[]).unwrap().api.cors.unwrap();

    let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
    assert_eq!(
        cors,
        Cors {
            allow_origins: list(&["https://a.example", "https://b.example"]),
            allow_methods: list(&["POST"]),
            allow_headers: list(&["authorization"]),
            expose_headers: list(&["retry-after"]),
            max_age: Some(3600),
            allow_credentials: false,
        }
    );
}

#[test]
fn reads_route_with_authorizer_function_and_limits() {
    let api = read(&[]).unwrap().api;

    assert_eq!(api.stage, "$default");
    assert_eq!(
        api.routes,
        [Route {
            key: "POST /token".parse().unwrap(),
            authorization: Authorization::Jwt(JwtAuthorizer {
                issuer: "https://issuer.example".to_owned(),
                audience: vec!["app".to_owned()],
                identity_source: vec!["$request.header.Authorization".to_owned()],
                scopes: vec![],
            }),
            function: "mint-token".to_owned(),
            timeout: Duration::from_secs(30),
            throttling: Some(Throttling {
                rate: 50.0,
                burst: 100.0
            }),
        }]
    );
}

#[test]
fn reads_function_environment_and_timeout() {
    let functions = read(&[]).unwrap().functions;

    let environment = [
        ("ALLOWED_ORIGINS", "https://a.example,https://b.example"),
        ("SECRET_TTL_SECONDS", "300"),
        ("STATE_TABLE", "StateTable"),
    ];
    assert_eq!(
        functions["mint-token"],
        Function {
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            timeout: Duration::from_secs(28),
        }
    );
}

#[test]
fn reads_other_authorization_types() {
    for (kind, expected) in [
        (json!("AWS_IAM"), Authorization::Iam),
        (json!("NONE"), Authorization::None),
        (Value::Null, Authorization::None),
    ] {
        let template = read(&[("/Route/Properties/AuthorizationType", kind)]).unwrap();
        assert_eq!(template.api.routes[0].authorization, expected);
    }
}

#[test]
fn route_settings_override_stage_settings() {
    let own = json!({"POST /token": {"ThrottlingRateLimit": 1}});

    let template = read(&[("/Stage/Properties/RouteSettings", own)]).unwrap();

    assert_eq!(
        template.api.routes[0].throttling,
        Some(Throttling {
            rate: 1.0,
            burst: 5000.0
        })
    );
}

#[test]
fn follows_integration_uri_to_function() {
    let long = |arn: &str| {
        format!("arn:aws:apigateway:r:lambda:path/2015-03-31/functions/{arn}/invocations")
    };
    for uri in [
        "${Function.Arn}".to_owned(),
        "${Alias}".to_owned(),
        long("${Function.Arn}"),
        long("${Alias}"),
    ] {
        let template = read(&[("/Integration/Properties/IntegrationUri", json!(uri))]);
        assert_eq!(
            template.unwrap().api.routes[0].function,
            "mint-token",
            "{uri}"
        );
    }
}

#[test]
fn reports_route_and_integration() {
    let cases = [
        (
            "/Route/Properties/RouteKey",
            json!("/token"),
            r#"Resources.Route.Properties.RouteKey: expected "METHOD /path" or "$default", found "/token""#,
        ),
        (
            "/Route/Properties/ApiId",
            json!("${Other}"),
            "Resources.Route.Properties.ApiId: ${Other} is not an HTTP API of this template",
        ),
        (
            "/Route/Properties/Target",
            json!("integrations/${Function}"),
            "Resources.Route.Properties.Target: expected integrations/ and an integration of this template",
        ),
        (
            "/Route/Properties/AuthorizationType",
            json!("CUSTOM"),
            "Resources.Route.Properties.AuthorizationType: unknown variant `CUSTOM`, expected one of `NONE`, `AWS_IAM`, `JWT`",
        ),
        (
            "/Route/Properties/AuthorizerId",
            Value::Null,
            "Resources.Route.Properties.AuthorizerId: expected an authorizer of this template",
        ),
        (
            "/Authorizer/Properties/AuthorizerType",
            json!("REQUEST"),
            "Resources.Authorizer.Properties.AuthorizerType: the local gateway supports JWT only, found REQUEST",
        ),
        (
            "/Integration/Properties/IntegrationUri",
            json!("arn:aws:lambda:eu-west-1:1:function:other"),
            "Resources.Integration.Properties.IntegrationUri: arn:aws:lambda:eu-west-1:1:function:other is not a function of this template",
        ),
        (
            "/Integration/Properties/PayloadFormatVersion",
            json!(1.0),
            "Resources.Integration.Properties.PayloadFormatVersion: the local gateway supports 2.0 only, found 1.0",
        ),
        (
            "/Integration/Properties/TimeoutInMillis",
            json!(31_000),
            "Resources.Integration.Properties.TimeoutInMillis: must be between 50 and 30000",
        ),
    ];
    expect_diagnostics(cases);
}

#[test]
fn reports_api_and_function() {
    let cases = [
        (
            "/HttpApi/Properties/CorsConfiguration/MaxAge",
            json!("long"),
            r#"Resources.HttpApi.Properties.CorsConfiguration.MaxAge: invalid value "long": invalid digit found in string"#,
        ),
        (
            "/HttpApi/Properties/CorsConfiguration/AllowHeader",
            json!([]),
            "Resources.HttpApi.Properties.CorsConfiguration.AllowHeader: unknown field `AllowHeader`, expected one of \
             `AllowOrigins`, `AllowMethods`, `AllowHeaders`, `ExposeHeaders`, `MaxAge`, `AllowCredentials`",
        ),
        (
            "/HttpApi/Properties/CorsConfiguration/AllowOrigins",
            json!("https://a.example"),
            r#"Resources.HttpApi.Properties.CorsConfiguration.AllowOrigins: invalid type: string "https://a.example", expected a sequence"#,
        ),
        (
            "/HttpApi/Properties/CorsConfiguration",
            json!({"AllowOrigins": ["*"], "AllowCredentials": true}),
            "Resources.HttpApi.Properties.CorsConfiguration: API Gateway rejects AllowCredentials with the origin *",
        ),
        (
            "/HttpApi/Properties/Body",
            json!({}),
            "Resources.HttpApi: the local gateway does not support an API that is defined by OpenAPI",
        ),
        (
            "/HttpApi",
            Value::Null,
            "Resources: the template has no AWS::ApiGatewayV2::Api",
        ),
        (
            "/Stage2",
            json!({"Type": "AWS::ApiGatewayV2::Stage"}),
            "Resources.Stage2: the local gateway serves one AWS::ApiGatewayV2::Stage",
        ),
        (
            "/Route",
            Value::Null,
            "Resources.HttpApi: the API has no routes",
        ),
        (
            "/Stage/Properties/StageName",
            Value::Null,
            "Resources.Stage.Properties: missing field `StageName`",
        ),
        (
            "/Function/Metadata",
            Value::Null,
            "Resources.Function.Metadata: missing field `BuildProperties`",
        ),
    ];
    expect_diagnostics(cases);
}

fn expect_diagnostics<const N: usize>(cases: [(&str, Value, &str); N]) {
    for (pointer, value, expected) in cases {
        assert_eq!(
            read(&[(pointer, value)]).unwrap_err(),
            expected,
            "{pointer}"
        );
    }
}

fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The parameters of the project's template that have no default.
fn required() -> BTreeMap<String, String> {
    [
        (
            "AllowedOrigins",
            "http://localhost:5173,http://127.0.0.1:5173",
        ),
        (
            "AirbyteOrganizationId",
            "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
        ),
        (
            "OrganizationTokenSecretArn",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:airbyte/token-AbCdEf",
        ),
        ("JwtIssuer", "http://localhost:3001"),
        ("JwtAudience", "app"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[test]
fn loads_template_of_project() {
    let template = Template::load(project(), "us-east-1", required()).unwrap();

    let mut routes: Vec<_> = template
        .api
        .routes
        .iter()
        .map(|route| (route.key.as_str(), route.function.as_str()))
        .collect();
    routes.sort_unstable();
    assert_eq!(
        routes,
        [
            ("POST /sources", "create-source"),
            ("POST /token", "mint-token")
        ]
    );
    assert_eq!(
        template.functions["create-source"].environment["ALLOWED_ORIGINS"],
        "http://localhost:5173,http://127.0.0.1:5173"
    );
}

#[test]
fn reports_every_invalid_parameter_with_file() {
    let mut parameters = required();
    parameters.remove("AllowedOrigins");
    parameters.insert("LogLevel".to_owned(), "loud".to_owned());

    let error = Template::load(project(), "us-east-1", parameters).unwrap_err();

    let file = project().join(FILE);
    let file = file.display();
    assert_eq!(
        error.to_string(),
        format!(
            "{file}: Parameters.AllowedOrigins: is required\n\
             {file}: Parameters.LogLevel: \"loud\" is invalid: must be one of error, warn, info, debug, trace"
        )
    );
}

#[test]
fn continues_with_substitutes() {
    let mut request = Request {
        parameters: required(),
        ..Request::of(&project().join(FILE))
    };
    let issuer = request
        .parameters
        .insert("JwtIssuer".to_owned(), "ftp://issuer".to_owned());
    request
        .substitutes
        .insert("JwtIssuer".to_owned(), issuer.unwrap());

    let evaluation = Evaluator::start(project())
        .unwrap()
        .evaluate(request)
        .unwrap();

    let [diagnostic] = evaluation.diagnostics() else {
        panic!("{:?}", evaluation.diagnostics())
    };
    assert_eq!(diagnostic.parameter(), Some("JwtIssuer"));
    assert!(evaluation.template().is_err());
    assert!(evaluation.template_with_substitutes().is_ok());
    assert_eq!(
        evaluation.parameters_of("AIRBYTE_API_URL"),
        ["AirbyteApiUrl"]
    );
}

#[test]
fn reports_missing_python() {
    let project = tempfile::tempdir().unwrap();

    let error = Evaluator::start(project.path()).unwrap_err();

    let python = project.path().join(".venv/dev/bin/python");
    assert_eq!(
        error.to_string(),
        format!(
            "failed to run {}: No such file or directory (os error 2)",
            python.display()
        )
    );
}
