"""The functions read their secret with valid signatures and with the permission of their role only.

moto accepts all calls by default. Here it computes each signature with botocore, AWS's own implementation, and evaluates
the role's policies.
"""

import json
from collections.abc import Iterator

import boto3
import pytest

from programs import (
    FUNCTIONS,
    REPOSITORY,
    Airbyte,
    SecretsManager,
    function_environment,
    lambda_emulator,
    moto,
)

EVENTS = {name: json.loads((REPOSITORY / f"events/{name}-jwt.json").read_text(encoding="utf-8")) for name in FUNCTIONS}
READS = "secretsmanager:GetSecretValue"


class CheckedAws:
    """An account in which every call is verified."""

    def __init__(self, url: str):
        self.url = url
        secrets_manager = SecretsManager(url)
        self.secret = secrets_manager.create("checked", json.dumps({"organization_token": Airbyte.ORGANIZATION_TOKEN}))
        self._roles = {action: self._role(action) for action in (READS, "secretsmanager:DescribeSecret")}
        secrets_manager.check_calls()

    def role_with_permission(self) -> dict[str, str]:
        return self._roles[READS]

    def role_without_permission(self) -> dict[str, str]:
        return self._roles["secretsmanager:DescribeSecret"]

    def _role(self, action: str) -> dict[str, str]:
        """The environment that Lambda provides to a function whose role allows one action."""
        client = {"endpoint_url": self.url, "region_name": SecretsManager.REGION}
        client |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        iam, sts = boto3.client("iam", **client), boto3.client("sts", **client)
        name = action.partition(":")[2]
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]
        # moto evaluates the action on `*`, whatever the resource. tests/template checks the real role's resources.
        allowed = {"Effect": "Allow", "Action": action, "Resource": "*"}
        iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=policy(allowed))
        credentials = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="function")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["SessionToken"],
        }


def policy(statement: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def aws() -> Iterator[CheckedAws]:
    with moto() as running:
        yield CheckedAws(running.url)


@pytest.fixture
def call(bootstraps, simulator, aws):
    """Starts a function with these credentials and invokes it once."""

    def call(name: str, credentials: dict[str, str]) -> tuple[int, str | None]:
        environment = function_environment(simulator, aws.url, aws.secret)
        with lambda_emulator(bootstraps[name], environment | credentials) as invoke:
            response = invoke(EVENTS[name])
        return response["statusCode"], json.loads(response["body"]).get("type")

    return call


@pytest.mark.parametrize(("name", "status"), [("mint-token", 200), ("create-source", 201)])
def test_needs_permission_to_read_secret_only(call, aws, name, status):
    assert call(name, aws.role_with_permission()) == (status, None)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reports_missing_permission(call, aws, name):
    assert call(name, aws.role_without_permission()) == (503, "credential-unavailable")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_signature_is_rejected(call, aws, name):
    """Shows that moto verifies signatures in the other tests."""
    wrong = aws.role_with_permission() | {"AWS_SECRET_ACCESS_KEY": "another"}
    assert call(name, wrong) == (503, "credential-unavailable")
