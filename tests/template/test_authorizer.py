"""Every route is behind the authorizer that the parameter names."""

import pytest

from parameters import IAM_PARAMETERS


def routes(stack) -> dict:
    return {route["RouteKey"]: route for route in stack.of_type("AWS::ApiGatewayV2::Route").values()}


def test_jwt(stack):
    assert routes(stack).keys() == {"POST /token", "POST /sources"}
    for route in routes(stack).values():
        assert (route["AuthorizationType"], route["AuthorizerId"]) == ("JWT", "${JwtAuthorizer}")
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


def test_iam(deploy):
    stack = deploy(IAM_PARAMETERS)
    assert routes(stack).keys() == {"POST /token", "POST /sources"}
    for route in routes(stack).values():
        assert route["AuthorizationType"] == "AWS_IAM"
        assert "AuthorizerId" not in route
    assert stack.of_type("AWS::ApiGatewayV2::Authorizer") == {}


@pytest.mark.parametrize("missing", ["JwtIssuer", "JwtAudience"])
def test_jwt_needs_an_issuer_and_an_audience(deploy, missing):
    (description,) = deploy(**{missing: ""}).broken_rules()
    assert missing in description


def test_nothing_else_is_needed(deploy):
    assert deploy().broken_rules() == []
    assert deploy(IAM_PARAMETERS).broken_rules() == []


@pytest.mark.parametrize("issuer", ["http://issuer.example.com", "issuer.example.com", "https://issuer.example.com?x"])
def test_an_issuer_that_api_gateway_cannot_use_is_refused(deploy, issuer):
    with pytest.raises(AssertionError, match="JwtIssuer does not take"):
        deploy(JwtIssuer=issuer)
