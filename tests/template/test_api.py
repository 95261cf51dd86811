"""The HTTP API: its routes, what is behind them, throttling, and the access log."""

import json
import re

import pytest

FUNCTIONS = {"POST /token": "MintToken", "POST /sources": "CreateSource"}


def test_each_route_reaches_its_function(stack):
    routes = {r["RouteKey"]: r["Target"] for r in stack.of_type("AWS::ApiGatewayV2::Route").values()}
    assert routes == {route: f"integrations/${{{name}Integration}}" for route, name in FUNCTIONS.items()}
    integrations = stack.of_type("AWS::ApiGatewayV2::Integration")
    assert integrations == {
        f"{name}Integration": {
            "ApiId": "${HttpApi}",
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": f"${{{name}Function.Arn}}",
            "PayloadFormatVersion": "2.0",
            "TimeoutInMillis": 30000,
        }
        for name in FUNCTIONS.values()
    }


def test_the_functions_answer_before_api_gateway_gives_up(stack):
    (allowed,) = {i["TimeoutInMillis"] / 1000 for i in stack.of_type("AWS::ApiGatewayV2::Integration").values()}
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert function["Timeout"] <= allowed - 1


def test_paths_have_no_stage_in_them_and_changes_go_live(stack):
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["StageName"] == "$default"
    assert stage["AutoDeploy"] is True


def test_throttling_is_a_matter_of_parameters(deploy):
    (stage,) = deploy(ThrottlingRateLimit="7", ThrottlingBurstLimit="9").of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": "7", "ThrottlingBurstLimit": "9"}


def test_the_access_log_is_json_without_what_must_not_be_logged(stack):
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    log = stage["AccessLogSettings"]
    assert log["DestinationArn"] == "${AccessLogGroup.Arn}"
    line = json.loads(log["Format"])
    assert {"requestId", "functionRequestId", "route", "status", "time"} <= line.keys()
    assert "\n" not in log["Format"]
    # Nothing of the caller's but the address: no headers, claims, principals or parameters.
    allowed = re.compile(
        r"\$context\.(apiId|requestId|requestTime|routeKey|protocol|status|responseLength|responseLatency|"
        r"identity\.sourceIp|integration\.(requestId|status|latency)|integrationErrorMessage|authorizer\.error|"
        r"error\.message)"
    )
    assert [value for value in line.values() if not allowed.fullmatch(value)] == []


def test_logs_are_kept_for_as_long_as_the_parameter_says(deploy):
    groups = deploy(LogRetentionDays="14").of_type("AWS::Logs::LogGroup")
    assert groups.keys() == {"AccessLogGroup", "MintTokenLogGroup", "CreateSourceLogGroup"}
    assert {group["RetentionInDays"] for group in groups.values()} == {"14"}


@pytest.mark.parametrize("output", ["ApiUrl", "ApiExecutionArn", "MintTokenFunctionName", "CreateSourceFunctionName"])
def test_outputs_tell_what_is_needed_afterwards(stack, output):
    assert stack.outputs[output]
