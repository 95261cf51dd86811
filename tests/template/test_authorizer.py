"""Every route is behind the authorizer that the parameter names."""

import pytest

import cloudformation
from parameters import IAM_PARAMETERS


def routes(stack) -> dict:
    return {route["RouteKey"]: route for route in stack.of_type("AWS::ApiGatewayV2::Route").values()}


def test_authorizes_with_jwt(stack):
    assert routes(stack).keys() == {"POST /token", "POST /sources"}
    for route in routes(stack).values():
        assert (route["AuthorizationType"], route["AuthorizerId"]) == ("JWT", "${JwtAuthorizer}")
        assert "AuthorizationScopes" not in route
    assert stack.of_type("AWS::ApiGatewayV2::Authorizer") == {
        "JwtAuthorizer": {
            "ApiId": "${HttpApi}",
            "Name": "jwt",
            "AuthorizerType": "JWT",
            "IdentitySource": ["$request.header.Authorization"],
            "JwtConfiguration": {
                "Issuer": "https://issuer.example.com/",
                "Audience": ["web-app", "mobile-app"],
            },
        }
    }


def test_authorizes_with_iam(deploy):
    stack = deploy(IAM_PARAMETERS)
    assert routes(stack).keys() == {"POST /token", "POST /sources"}
    for route in routes(stack).values():
        assert route["AuthorizationType"] == "AWS_IAM"
        assert "AuthorizerId" not in route
    assert stack.of_type("AWS::ApiGatewayV2::Authorizer") == {}


def test_requires_scopes_if_set(deploy):
    for route in routes(deploy(JwtScopes="airbyte/use, openid")).values():
        assert route["AuthorizationScopes"] == ["airbyte/use", "openid"]


def test_iam_ignores_scopes(deploy):
    for route in routes(deploy(IAM_PARAMETERS, JwtScopes="airbyte/use")).values():
        assert "AuthorizationScopes" not in route


@pytest.mark.parametrize("scope", ["use airbyte", 'use"airbyte', "use\\airbyte", "x" * 65])
def test_rejects_invalid_scope(deploy, scope):
    with pytest.raises(cloudformation.TemplateError, match="^Parameters.JwtScopes: "):
        deploy(JwtScopes=scope)


@pytest.mark.parametrize("missing", ["JwtIssuer", "JwtAudience"])
def test_jwt_requires_issuer_and_audience(deploy, missing):
    (description,) = deploy(**{missing: ""}).broken_rules()
    assert missing in description


def test_accepts_required_parameters_alone(deploy):
    assert deploy().broken_rules() == []
    assert deploy(IAM_PARAMETERS).broken_rules() == []


@pytest.mark.parametrize("issuer", ["http://issuer.example.com", "issuer.example.com", "https://issuer.example.com?x"])
def test_rejects_invalid_issuer(deploy, issuer):
    with pytest.raises(cloudformation.TemplateError, match="^Parameters.JwtIssuer: "):
        deploy(JwtIssuer=issuer)
