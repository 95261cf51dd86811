"""The alarms read what the functions log: real log lines of failing requests turn the right ones on."""

import json

import pytest

import cloudformation
from cloudwatch import CloudWatch
from programs import REPOSITORY, Airbyte, function_environment, lambda_emulator

# The names that the evaluator gives to the functions.
NAMES = {"mint-token": "${MintTokenFunction}", "create-source": "${CreateSourceFunction}"}

PARAMETERS = {
    "AllowedOrigins": "http://localhost:5173",
    "JwtIssuer": "https://issuer.example.com/",
    "JwtAudience": "web-app",
    "AirbyteOrganizationId": Airbyte.ORGANIZATION,
    "OrganizationTokenSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:organization-token-AbCdEf",
}


@pytest.fixture(scope="module")
def stack() -> cloudformation.Stack:
    return cloudformation.Stack(cloudformation.load(REPOSITORY / "template.yaml"), PARAMETERS)


def succeed(simulator, secrets_manager, secret):
    """Nothing fails."""


def fail_airbyte(simulator, secrets_manager, secret):
    simulator.inject("widget-token", {"respond": {"status": 500}})


def reject_credential(simulator, secrets_manager, secret):
    simulator.accept_organization_tokens("another-token")


def lose_secret(simulator, secrets_manager, secret):
    secrets_manager.delete(secret)


# What fails, the response's status, and the alarms of the function that are on after two requests in different minutes.
FAILURES = {
    "nothing": (succeed, None, set()),
    "Airbyte": (fail_airbyte, 502, {"ServerErrors"}),
    "credential": (reject_credential, 502, {"CredentialRejected", "ServerErrors"}),
    "secret": (lose_secret, 503, {"SecretRefreshFailed", "ServerErrors"}),
}


@pytest.mark.parametrize("function", NAMES)
@pytest.mark.parametrize(("fail", "status", "expected"), FAILURES.values(), ids=FAILURES)
def test_log_lines_turn_alarms_on(
    bootstraps, simulator, secrets_manager, stack, tmp_path, function, fail, status, expected
):
    secret = secrets_manager.create(f"alarms-{tmp_path.name}", json.dumps({"organization_token": Airbyte.ORGANIZATION_TOKEN}))
    environment = function_environment(simulator, secrets_manager.url, secret)
    event = json.loads((REPOSITORY / "events" / f"{function}-jwt.json").read_text(encoding="utf-8"))
    log = tmp_path / "log"
    try:
        fail(simulator, secrets_manager, secret)
        # Two instances, because one waits after a failed read of the secret.
        with log.open("ab") as output:
            for _ in range(2):
                with lambda_emulator(
                    bootstraps[function], environment | {"AWS_LAMBDA_FUNCTION_NAME": NAMES[function]}, output
                ) as invoke:
                    response = invoke(event)
                    assert status is None or response["statusCode"] == status, response
    finally:
        simulator.restore()

    cloudwatch = CloudWatch(stack, spare_periods=0)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    requests = [line for line in lines if line.get("message") == "request"]
    assert len(requests) == 2
    for minute, line in enumerate(requests, start=1):
        cloudwatch.function_log_line(minute, line)

    prefix = NAMES[function].strip("${}").removesuffix("Function")
    kinds = ("CredentialRejected", "SecretRefreshFailed", "ServerErrors")
    assert {kind for kind in kinds if cloudwatch.is_on(f"{prefix}{kind}Alarm", 2)} == expected
    others = [name for name in stack.of_type("AWS::CloudWatch::Alarm") if not name.startswith(prefix)]
    assert not any(cloudwatch.is_on(name, 2) for name in others)
