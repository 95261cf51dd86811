"""Least privilege: what the functions may do, and who may invoke them."""

import pytest

from parameters import IAM_PARAMETERS, JWT_PARAMETERS, SECRET_ARN

KEY_ARN = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
FUNCTIONS = {"MintToken": "token", "CreateSource": "sources"}

READ_THE_SECRET = {
    "Effect": "Allow",
    "Action": "secretsmanager:GetSecretValue",
    "Resource": SECRET_ARN,
}
DECRYPT_THE_SECRET = {
    "Effect": "Allow",
    "Action": "kms:Decrypt",
    "Resource": KEY_ARN,
    "Condition": {
        "StringEquals": {
            "kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com",
            "kms:EncryptionContext:SecretARN": SECRET_ARN,
        }
    },
}

USE_THE_STATE_TABLE = {
    "Effect": "Allow",
    "Action": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
    "Resource": "${State.Arn}",
}


def write_logs(name: str) -> dict:
    # GetAtt returns a log group's ARN with `:*` at its end, for its streams: the only wildcard without tracing.
    return {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"${{{name}LogGroup.Arn}}",
    }


def statements(stack, function: str) -> list:
    """All statements of a function's role."""
    role_name = stack.of_type("AWS::Lambda::Function")[f"{function}Function"]["Role"]
    assert role_name == f"${{{function}Role.Arn}}"
    role = stack.of_type("AWS::IAM::Role")[f"{function}Role"]
    policies = stack.of_type("AWS::IAM::ManagedPolicy")
    assert role.keys() <= {"AssumeRolePolicyDocument", "Description", "ManagedPolicyArns", "Policies"}
    # A policy of AWS is not found here and fails.
    documents = [policies[arn.removeprefix("${").removesuffix("}")]["PolicyDocument"] for arn in role["ManagedPolicyArns"]]
    documents += [policy["PolicyDocument"] for policy in role["Policies"]]
    return [statement for document in documents for statement in document["Statement"]]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("base", [JWT_PARAMETERS, IAM_PARAMETERS], ids=["jwt", "iam"])
def test_allows_secret_state_table_and_own_log(deploy, base, function):
    assert statements(deploy(base), function) == [READ_THE_SECRET, USE_THE_STATE_TABLE, write_logs(function)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_allows_no_table_if_disabled(deploy, function):
    assert statements(deploy(StateTable="false"), function) == [READ_THE_SECRET, write_logs(function)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_allows_decrypting_that_secret_alone(deploy, function):
    allowed = statements(deploy(SecretKmsKeyArn=KEY_ARN), function)
    assert allowed == [READ_THE_SECRET, DECRYPT_THE_SECRET, USE_THE_STATE_TABLE, write_logs(function)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_allows_sending_traces_if_enabled(deploy, function):
    """The only other `*`: X-Ray has no resources to restrict these actions to."""
    send_traces = {
        "Effect": "Allow",
        "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        "Resource": "*",
    }
    allowed = statements(deploy(TracingEnabled="true"), function)
    assert allowed == [READ_THE_SECRET, USE_THE_STATE_TABLE, send_traces, write_logs(function)]


def test_creates_no_other_roles_or_policies(stack):
    """The transform creates none either."""
    identity = {
        (name, resource["Type"]) for name, resource in stack.resources.items() if "::IAM::" in resource["Type"]
    }
    assert identity == {
        ("MintTokenRole", "AWS::IAM::Role"),
        ("CreateSourceRole", "AWS::IAM::Role"),
        ("OrganizationCredentialPolicy", "AWS::IAM::ManagedPolicy"),
        ("StatePolicy", "AWS::IAM::ManagedPolicy"),
    }


def test_only_lambda_assumes_the_roles(stack):
    for role in stack.of_type("AWS::IAM::Role").values():
        assert role["AssumeRolePolicyDocument"]["Statement"] == [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]


def test_only_its_route_invokes_a_function(stack):
    assert stack.of_type("AWS::Lambda::Permission") == {
        f"{name}Permission": {
            "Action": "lambda:InvokeFunction",
            # The alias alone: neither other versions nor the unpublished code.
            "FunctionName": f"${{{name}FunctionAliaslive}}",
            "Principal": "apigateway.amazonaws.com",
            # The `*` stands for the stage; the API has one.
            "SourceArn": f"arn:aws:execute-api:eu-central-1:123456789012:${{HttpApi}}/*/POST/{path}",
        }
        for name, path in FUNCTIONS.items()
    }


def test_permission_precedes_integration(stack):
    for name in FUNCTIONS:
        assert stack.resources[f"{name}Integration"]["DependsOn"] == f"{name}Permission"


def test_creates_no_other_event_sources(stack):
    event_sources = {"AWS::Lambda::Url", "AWS::Lambda::EventSourceMapping", "AWS::Events::Rule"}
    assert event_sources.isdisjoint(resource["Type"] for resource in stack.resources.values())
    assert len(stack.of_type("AWS::ApiGatewayV2::Api")) == 1


BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


def test_sets_permissions_boundary_on_every_role(stack, deploy):
    assert not [role for role in stack.of_type("AWS::IAM::Role").values() if "PermissionsBoundary" in role]
    roles = deploy(Deployment="Canary10Percent5Minutes", PermissionsBoundary=BOUNDARY).of_type("AWS::IAM::Role")
    assert roles.keys() == {"MintTokenRole", "CreateSourceRole", "DeploymentRole"}
    assert {role["PermissionsBoundary"] for role in roles.values()} == {BOUNDARY}


def test_codedeploy_may_move_the_aliases_alone(deploy):
    role = deploy(Deployment="Canary10Percent5Minutes").of_type("AWS::IAM::Role")["DeploymentRole"]
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Principal": {"Service": "codedeploy.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    move_aliases, read_alarms = policy["PolicyDocument"]["Statement"]
    functions = {f"${{{name}Function.Arn}}" for name in FUNCTIONS}
    assert set(move_aliases["Action"]) == {"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"}
    assert set(move_aliases["Resource"]) == functions | {f"{function}:*" for function in functions}
    assert read_alarms == {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": "*"}
