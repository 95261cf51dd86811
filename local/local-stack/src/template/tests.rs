//! Whole templates: what the model says of them, and how faults are told.

use std::time::Duration;

use super::*;

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Origins: {Type: CommaDelimitedList, Default: "https://a.example,https://b.example"}
  Caller: {Type: String, AllowedValues: [JWT, IAM], Default: JWT}
  Rate: {Type: Number, Default: 50}
Conditions:
  UsesJwt: !Equals [!Ref Caller, JWT]
Globals:
  Function:
    Timeout: 28
    Environment:
      Variables:
        ALLOWED_ORIGINS: !Join [",", !Ref Origins]
        SHARED: globals
Resources:
  HttpApi:
    Type: AWS::ApiGatewayV2::Api
    Properties:
      CorsConfiguration:
        AllowOrigins: !Ref Origins
        AllowMethods: [POST]
        AllowHeaders: [authorization]
        ExposeHeaders: [retry-after]
        MaxAge: 3600
  Stage:
    Type: AWS::ApiGatewayV2::Stage
    Properties:
      ApiId: !Ref HttpApi
      StageName: $default
      DefaultRouteSettings: {ThrottlingRateLimit: !Ref Rate, ThrottlingBurstLimit: 100}
  Authorizer:
    Type: AWS::ApiGatewayV2::Authorizer
    Condition: UsesJwt
    Properties:
      ApiId: !Ref HttpApi
      AuthorizerType: JWT
      IdentitySource: [$request.header.Authorization]
      JwtConfiguration: {Issuer: "https://issuer.example", Audience: [app]}
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref HttpApi
      RouteKey: POST /token
      AuthorizationType: !If [UsesJwt, JWT, AWS_IAM]
      AuthorizerId: !If [UsesJwt, !Ref Authorizer, !Ref AWS::NoValue]
      Target: !Sub integrations/${Integration}
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref HttpApi
      IntegrationType: AWS_PROXY
      IntegrationUri: !GetAtt Function.Arn
      PayloadFormatVersion: "2.0"
  Function:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: mint-token}}
    Properties:
      Environment: {Variables: {SHARED: own}}
  Policy: # not looked into
    Type: AWS::IAM::ManagedPolicy
    Properties: {PolicyDocument: !Transform {Name: AWS::Include}}
"#;

fn given(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn read(text: &str) -> Template {
    Template::read(text, &BTreeMap::new()).unwrap()
}

/// The fault of the template after an edit, which has to change it.
fn fault(from: &str, to: &str) -> String {
    let edited = TEMPLATE.replace(from, to);
    assert_ne!(edited, TEMPLATE, "{from:?} is not in the template");
    let fault = Template::read(&edited, &BTreeMap::new()).unwrap_err();
    TemplateError::new(Path::new("template.yaml"), fault).to_string()
}

/// The line of the edited template on which a text first stands.
fn line_of(text: &str) -> usize {
    TEMPLATE
        .lines()
        .position(|line| line.contains(text))
        .unwrap()
        + 1
}

#[test]
fn cors_is_what_the_parameter_lists() {
    let cors = read(TEMPLATE).api.cors.unwrap();
    assert_eq!(
        cors.allow_origins,
        ["https://a.example", "https://b.example"]
    );
    assert_eq!(cors.allow_methods, ["POST"]);
    assert_eq!(cors.allow_headers, ["authorization"]);
    assert_eq!(cors.expose_headers, ["retry-after"]);
    assert_eq!(cors.max_age, Some(3600));
    assert!(!cors.allow_credentials);

    let one = Template::read(TEMPLATE, &given(&[("Origins", "http://localhost:5173")])).unwrap();
    assert_eq!(
        one.api.cors.unwrap().allow_origins,
        ["http://localhost:5173"]
    );
    assert_eq!(
        one.functions["mint-token"].environment["ALLOWED_ORIGINS"],
        "http://localhost:5173"
    );
}

#[test]
fn a_route_has_its_authorizer_function_and_limits() {
    let api = read(TEMPLATE).api;
    assert_eq!(api.stage, "$default");
    let [route] = api.routes.as_slice() else {
        panic!("{:?}", api.routes)
    };
    assert_eq!(route.key.as_str(), "POST /token");
    assert_eq!(route.function, "mint-token");
    assert_eq!(route.timeout, Duration::from_secs(30));
    assert_eq!(
        route.throttling,
        Some(Throttling {
            rate: 50.0,
            burst: 100.0
        })
    );
    let Authorization::Jwt(authorizer) = &route.authorization else {
        panic!("{:?}", route.authorization)
    };
    assert_eq!(authorizer.issuer, "https://issuer.example");
    assert_eq!(authorizer.audience, ["app"]);
    assert_eq!(
        authorizer.identity_source,
        ["$request.header.Authorization"]
    );
    assert!(authorizer.scopes.is_empty());
}

#[test]
fn conditions_choose_the_authorization() {
    let iam = Template::read(TEMPLATE, &given(&[("Caller", "IAM")])).unwrap();
    assert_eq!(iam.api.routes[0].authorization, Authorization::Iam);
}

#[test]
fn a_routes_own_settings_win_over_the_stages() {
    let own = TEMPLATE.replace(
        "      StageName: $default\n",
        "      StageName: $default\n      RouteSettings: {POST /token: {ThrottlingRateLimit: 1}}\n",
    );
    assert_eq!(
        read(&own).api.routes[0].throttling,
        Some(Throttling {
            rate: 1.0,
            burst: 5000.0
        })
    );
}

#[test]
fn reads_integration_of_function_alias() {
    let with_alias = TEMPLATE.replace("!GetAtt Function.Arn", "!Ref Function.Alias");
    assert_ne!(with_alias, TEMPLATE);
    assert_eq!(read(&with_alias).api, read(TEMPLATE).api);
}

#[test]
fn a_functions_own_settings_win_over_globals() {
    let function = &read(TEMPLATE).functions["mint-token"];
    assert_eq!(function.timeout, Duration::from_secs(28));
    assert_eq!(function.environment["SHARED"], "own");
    assert_eq!(
        function.environment["ALLOWED_ORIGINS"],
        "https://a.example,https://b.example"
    );
}

#[test]
fn faults_are_told_with_file_line_and_place() {
    let cases = [
        (
            "!Ref Rate",
            "!Ref Rat",
            "DefaultRouteSettings",
            "Resources.Stage.Properties.DefaultRouteSettings.ThrottlingRateLimit: there is no parameter or resource named Rat",
        ),
        (
            "RouteKey: POST /token",
            "RouteKey: /token",
            "RouteKey",
            "Resources.Route.Properties.RouteKey: \"/token\" is not a route key: expected \"METHOD /path\" or \"$default\"",
        ),
        (
            "integrations/${Integration}",
            "integrations/${Function}",
            "Target:",
            "Resources.Route.Properties.Target: expected integrations/ and the name of an integration of this template",
        ),
        (
            "!GetAtt Function.Arn",
            "!Sub arn:aws:lambda:eu-west-1:1:function:other",
            "IntegrationUri",
            "Resources.Integration.Properties.IntegrationUri: arn:aws:lambda:eu-west-1:1:function:other is not a function of this template",
        ),
        (
            "PayloadFormatVersion: \"2.0\"",
            "PayloadFormatVersion: \"1.0\"",
            "PayloadFormatVersion",
            "Resources.Integration.Properties.PayloadFormatVersion: the local gateway supports PayloadFormatVersion 2.0 only",
        ),
        (
            "MaxAge: 3600",
            "MaxAge: long",
            "MaxAge",
            "Resources.HttpApi.Properties.CorsConfiguration.MaxAge: expected a number of seconds, found \"long\"",
        ),
        (
            "AllowHeaders: [authorization]",
            "AllowHeader: [authorization]",
            "AllowHeaders",
            "Resources.HttpApi.Properties.CorsConfiguration.AllowHeader: not one of AllowCredentials, AllowHeaders, AllowMethods, AllowOrigins, ExposeHeaders, MaxAge",
        ),
        (
            "AllowOrigins: !Ref Origins",
            "AllowOrigins: https://a.example",
            "AllowOrigins",
            "Resources.HttpApi.Properties.CorsConfiguration.AllowOrigins: expected a list, found a text",
        ),
        (
            "Type: AWS::ApiGatewayV2::Api\n",
            "Type: AWS::Serverless::HttpApi\n",
            "Type: AWS::ApiGatewayV2::Api",
            "Resources.HttpApi: the local gateway supports AWS::ApiGatewayV2::Api, not AWS::Serverless::HttpApi",
        ),
    ];
    for (from, to, at, message) in cases {
        assert_eq!(
            fault(from, to),
            format!("template.yaml:{}: {message}", line_of(at))
        );
    }
    assert_eq!(
        fault("Type: AWS::ApiGatewayV2::Stage", "Type: AWS::S3::Bucket"),
        "template.yaml: there is no AWS::ApiGatewayV2::Stage"
    );
}

#[test]
fn a_missing_file_is_said_by_name() {
    let error = Template::load(Path::new("no/such/template.yaml"), &BTreeMap::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no/such/template.yaml: No such file or directory (os error 2)"
    );
}

/// The project's own template can be served.
#[test]
fn the_projects_template_is_understood() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml"));
    let parameters = given(&[
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
    ]);
    let template = Template::load(path, &parameters).unwrap();
    let routes: Vec<_> = template
        .api
        .routes
        .iter()
        .map(|route| (route.key.as_str(), route.function.as_str()))
        .collect();
    assert_eq!(
        routes,
        [
            ("POST /token", "mint-token"),
            ("POST /sources", "create-source")
        ]
    );
    assert_eq!(
        template.functions["create-source"].environment["ALLOWED_ORIGINS"],
        "http://localhost:5173,http://127.0.0.1:5173"
    );
}

#[test]
fn the_rules_that_the_parameters_break_are_told() {
    let with_rules = TEMPLATE.replacen(
        "Conditions:\n",
        r"
Rules:
  JwtNeedsOrigins:
    RuleCondition: !Equals [!Ref Caller, JWT]
    Assertions:
      - {Assert: !Not [{'Fn::EachMemberEquals': [!Ref Origins, '']}], AssertDescription: origins for JWT}
  Always:
    Assertions:
      - {Assert: !Not [!Equals [!Ref Rate, '0']], AssertDescription: some rate}
Conditions:
",
        1,
    );
    for (parameters, broken) in [
        (vec![], vec![]),
        (vec![("Origins", "")], vec!["origins for JWT"]),
        (vec![("Origins", ""), ("Caller", "IAM")], vec![]),
        (
            vec![("Origins", ","), ("Rate", "0")],
            vec!["origins for JWT", "some rate"],
        ),
        (vec![("Origins", "https://a.example,")], vec![]),
    ] {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(
            rules::broken(&with_rules, &parameters).map_err(|fault| fault.problem),
            Ok(broken.into_iter().map(str::to_owned).collect())
        );
    }
}
