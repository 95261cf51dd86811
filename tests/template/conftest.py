import re
from pathlib import Path

import pytest

import cloudformation

REPOSITORY = Path(__file__).resolve().parents[2]

SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:airbyte/organization-token-AbCdEf"

# What an owner must say, and nothing else.
JWT_PARAMETERS = {
    "AllowedOrigins": "https://app.example.com,https://admin.example.com:8443",
    "JwtIssuer": "https://issuer.example.com/",
    "JwtAudience": "web-app,mobile-app",
    "AirbyteOrganizationId": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
    "OrganizationTokenSecretArn": SECRET_ARN,
}
IAM_PARAMETERS = {
    "AllowedOrigins": "https://app.example.com",
    "AuthorizerType": "IAM",
    "AirbyteOrganizationId": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
    "OrganizationTokenSecretArn": SECRET_ARN,
}


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def template() -> dict:
    return cloudformation.load(REPOSITORY / "template.yaml")


@pytest.fixture(scope="session")
def deploy(template):
    """The stack that the template makes of JWT_PARAMETERS (or `base`) and others given by name."""

    def deploy(base: dict = JWT_PARAMETERS, **parameters: str) -> cloudformation.Stack:
        return cloudformation.Stack(template, base | parameters)

    return deploy


@pytest.fixture(scope="session")
def stack(deploy) -> cloudformation.Stack:
    """The stack with the parameters that an owner must give."""
    return deploy()


@pytest.fixture(scope="session")
def emitted() -> set[str]:
    """What the functions print metrics with: the words in quotation marks in the one module that prints them."""
    source = (REPOSITORY / "shared" / "src" / "telemetry.rs").read_text(encoding="utf-8")
    return set(re.findall(r'"([A-Za-z]+)"', source.split("#[cfg(test)]")[0]))
