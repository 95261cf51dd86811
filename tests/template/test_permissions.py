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


def write_logs(name: str) -> dict:
    # GetAtt gives a log group's ARN with `:*` behind it, for its streams; it is the one wildcard there is without tracing.
    return {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"${{{name}LogGroup.Arn}}",
    }


def statements(stack, function: str) -> list:
    """All that a function's role allows, from whichever policy it comes."""
    role_name = stack.of_type("AWS::Lambda::Function")[f"{function}Function"]["Role"]
    assert role_name == f"${{{function}Role.Arn}}"
    role = stack.of_type("AWS::IAM::Role")[f"{function}Role"]
    policies = stack.of_type("AWS::IAM::ManagedPolicy")
    assert role.keys() <= {"AssumeRolePolicyDocument", "Description", "ManagedPolicyArns", "Policies"}
    # A policy of AWS's would not be found here, and fail.
    documents = [policies[arn.removeprefix("${").removesuffix("}")]["PolicyDocument"] for arn in role["ManagedPolicyArns"]]
    documents += [policy["PolicyDocument"] for policy in role["Policies"]]
    return [statement for document in documents for statement in document["Statement"]]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("base", [JWT_PARAMETERS, IAM_PARAMETERS], ids=["jwt", "iam"])
def test_a_function_may_read_the_one_secret_and_write_its_own_log(deploy, base, function):
    assert statements(deploy(base), function) == [READ_THE_SECRET, write_logs(function)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_with_a_key_it_may_decrypt_that_secret_and_nothing_else(deploy, function):
    allowed = statements(deploy(SecretKmsKeyArn=KEY_ARN), function)
    assert allowed == [READ_THE_SECRET, DECRYPT_THE_SECRET, write_logs(function)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_with_tracing_it_may_send_traces(deploy, function):
    """The one other `*`: X-Ray has no resources that these actions could be narrowed down to."""
    send_traces = {
        "Effect": "Allow",
        "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        "Resource": "*",
    }
    allowed = statements(deploy(TracingEnabled="true"), function)
    assert allowed == [READ_THE_SECRET, send_traces, write_logs(function)]


def test_there_are_no_other_roles_or_policies(stack):
    """None made by the transform either."""
    identity = {
        (name, resource["Type"]) for name, resource in stack.resources.items() if "::IAM::" in resource["Type"]
    }
    assert identity == {
        ("MintTokenRole", "AWS::IAM::Role"),
        ("CreateSourceRole", "AWS::IAM::Role"),
        ("OrganizationCredentialPolicy", "AWS::IAM::ManagedPolicy"),
    }


def test_only_lambda_takes_the_roles(stack):
    for role in stack.of_type("AWS::IAM::Role").values():
        assert role["AssumeRolePolicyDocument"]["Statement"] == [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]


def test_a_function_is_reachable_only_through_its_route_of_this_api(stack):
    assert stack.of_type("AWS::Lambda::Permission") == {
        f"{name}Permission": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": f"${{{name}Function}}",
            "Principal": "apigateway.amazonaws.com",
            # The `*` stands for the stage; the API has one.
            "SourceArn": f"arn:aws:execute-api:eu-central-1:123456789012:${{HttpApi}}/*/POST/{path}",
        }
        for name, path in FUNCTIONS.items()
    }


def test_nothing_else_invokes_a_function(stack):
    other_ways_in = {"AWS::Lambda::Url", "AWS::Lambda::EventSourceMapping", "AWS::Events::Rule"}
    assert other_ways_in.isdisjoint(resource["Type"] for resource in stack.resources.values())
    assert len(stack.of_type("AWS::ApiGatewayV2::Api")) == 1
