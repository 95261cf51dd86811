"""The HTTP API: its routes, what is behind them, throttling, and the access log."""

import json
import re

import pytest

import cloudformation

FUNCTIONS = {"POST /token": "MintToken", "POST /sources": "CreateSource"}


def test_routes_invoke_the_alias_of_their_function(stack):
    routes = {r["RouteKey"]: r["Target"] for r in stack.of_type("AWS::ApiGatewayV2::Route").values()}
    assert routes == {route: f"integrations/${{{name}Integration}}" for route, name in FUNCTIONS.items()}
    integrations = stack.of_type("AWS::ApiGatewayV2::Integration")
    assert integrations == {
        f"{name}Integration": {
            "ApiId": "${HttpApi}",
            "IntegrationType": "AWS_PROXY",
            # The reference to an alias is its ARN.
            "IntegrationUri": f"${{{name}FunctionAliaslive}}",
            "PayloadFormatVersion": "2.0",
            "TimeoutInMillis": 30000,
        }
        for name in FUNCTIONS.values()
    }


def test_functions_time_out_before_api_gateway(stack):
    (allowed,) = {i["TimeoutInMillis"] / 1000 for i in stack.of_type("AWS::ApiGatewayV2::Integration").values()}
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert function["Timeout"] <= allowed - 1


def test_default_stage_deploys_automatically(stack):
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["StageName"] == "$default"
    assert stage["AutoDeploy"] is True


def test_throttling_follows_parameters(deploy):
    (stage,) = deploy(ThrottlingRateLimit="7", ThrottlingBurstLimit="9").of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": "7", "ThrottlingBurstLimit": "9"}


def test_access_log_is_json_without_personal_data(stack):
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    log = stage["AccessLogSettings"]
    assert log["DestinationArn"] == "${AccessLogGroup.Arn}"
    line = json.loads(log["Format"])
    assert {"requestId", "functionRequestId", "route", "status", "time"} <= line.keys()
    assert "\n" not in log["Format"]
    # Of the caller only the IP address: no headers, claims, principals or parameters.
    allowed = re.compile(
        r"\$context\.(apiId|requestId|requestTime|routeKey|protocol|status|responseLength|responseLatency|"
        r"identity\.sourceIp|integration\.(requestId|status|integrationStatus|latency)|integrationErrorMessage|authorizer\.error|"
        r"error\.(message|responseType))"
    )
    assert [value for value in line.values() if not allowed.fullmatch(value)] == []


def test_log_retention_follows_parameter(deploy):
    groups = deploy(LogRetentionDays="14").of_type("AWS::Logs::LogGroup")
    assert groups.keys() == {"AccessLogGroup", "MintTokenLogGroup", "CreateSourceLogGroup"}
    assert {group["RetentionInDays"] for group in groups.values()} == {"14"}


@pytest.mark.parametrize("output", ["ApiUrl", "ApiExecutionArn", "MintTokenFunctionName", "CreateSourceFunctionName"])
def test_has_outputs_for_operators(stack, output):
    assert stack.outputs[output]


KEY_ARN = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"


def test_log_encryption_and_protection_follow_parameters(stack, deploy):
    for group in stack.of_type("AWS::Logs::LogGroup").values():
        assert "KmsKeyId" not in group
        assert group["DeletionProtectionEnabled"] is False
    groups = deploy(LogKmsKeyArn=KEY_ARN, LogDeletionProtection="true").of_type("AWS::Logs::LogGroup").values()
    assert len(groups) == 3
    for group in groups:
        assert group["KmsKeyId"] == KEY_ARN
        assert group["DeletionProtectionEnabled"] is True


# Resources whose names are unique in the account, and not in each region. Source: AWS's documentation of each type.
ACCOUNT_GLOBAL = {
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::S3::Bucket": "BucketName",
}
# Resources that have no such name, or one that is unique in the region only.
REGIONAL = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::ApiMapping",
    "AWS::ApiGatewayV2::Authorizer",
    "AWS::ApiGatewayV2::DomainName",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::AppConfig::Application",
    "AWS::AppConfig::ConfigurationProfile",
    "AWS::AppConfig::HostedConfigurationVersion",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::DynamoDB::Table",
    "AWS::Lambda::Alias",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::Route53::RecordSet",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
}


def test_stacks_of_one_name_fit_into_two_regions(template, everything, monkeypatch):
    """A name that is unique in the account contains the region, or is left to CloudFormation."""

    def names(region: str) -> set[tuple[str, str]]:
        monkeypatch.setitem(cloudformation.PSEUDO_PARAMETERS, "AWS::Region", region)
        resources = cloudformation.Stack(template, everything).resources.values()
        assert {resource["Type"] for resource in resources} <= ACCOUNT_GLOBAL.keys() | REGIONAL
        return {
            (resource["Type"], resource["Properties"][ACCOUNT_GLOBAL[resource["Type"]]])
            for resource in resources
            if ACCOUNT_GLOBAL.get(resource["Type"]) in resource.get("Properties", {})
        }

    assert names("eu-central-1")
    assert names("eu-central-1").isdisjoint(names("us-east-1"))
