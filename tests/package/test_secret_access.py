"""The functions read their secret where signatures and permissions are checked, as AWS does it.

moto lets everything through unless it is told otherwise. Told so, it computes each signature anew with botocore, AWS's own
implementation, and asks the role's policies for the action.
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
    """An account of its own, in which every call is checked from now on."""

    def __init__(self, url: str):
        self.url = url
        secrets_manager = SecretsManager(url)
        self.secret = secrets_manager.create("checked", json.dumps({"organization_token": Airbyte.ORGANIZATION_TOKEN}))
        self._roles = {action: self._role(action) for action in (READS, "secretsmanager:DescribeSecret")}
        secrets_manager.check_calls()

    def role_that_reads(self) -> dict[str, str]:
        return self._roles[READS]

    def role_that_reads_not(self) -> dict[str, str]:
        return self._roles["secretsmanager:DescribeSecret"]

    def _role(self, action: str) -> dict[str, str]:
        """The environment that Lambda gives a function whose role may do this one thing."""
        client = {"endpoint_url": self.url, "region_name": SecretsManager.REGION}
        client |= {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        iam, sts = boto3.client("iam", **client), boto3.client("sts", **client)
        name = action.partition(":")[2]
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]
        # moto asks for the action on `*`, whichever resource is meant; tests/template has what the real role names.
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
    """Calls a function once, started with these credentials."""

    def call(name: str, credentials: dict[str, str]) -> tuple[int, str | None]:
        environment = function_environment(simulator, aws.url, aws.secret)
        with lambda_emulator(bootstraps[name], environment | credentials) as invoke:
            answer = invoke(EVENTS[name])
        return answer["statusCode"], json.loads(answer["body"]).get("type")

    return call


@pytest.mark.parametrize(("name", "status"), [("mint-token", 200), ("create-source", 201)])
def test_a_role_that_may_read_the_secret_is_all_it_takes(call, aws, name, status):
    assert call(name, aws.role_that_reads()) == (status, None)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_without_that_permission_there_is_no_credential(call, aws, name):
    assert call(name, aws.role_that_reads_not()) == (503, "credential-unavailable")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_wrong_signature_is_refused(call, aws, name):
    """That the other tests mean something: signatures are looked at."""
    wrong = aws.role_that_reads() | {"AWS_SECRET_ACCESS_KEY": "another"}
    assert call(name, wrong) == (503, "credential-unavailable")
