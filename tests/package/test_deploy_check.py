"""`make deploy-check` finds what would make a deployment fail, against moto and an issuer on this machine."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from programs import REPOSITORY, Airbyte, clean_environment, free_ports, moto, serving, target_directory

RSA_KEY = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": "0vx7", "e": "AQAB"}
EC_KEY = {"kty": "EC", "kid": "2", "use": "sig", "alg": "ES256", "crv": "P-256", "x": "MKBC", "y": "4Etl"}

# Stands for every secret; it must not be printed.
CANARY = "canary-5f1c"


class Issuer:
    """An OpenID Connect provider's two documents; `issuer` and `keys` can be changed."""

    def __init__(self):
        self.url = self.issuer = ""
        self.keys = [RSA_KEY, EC_KEY]

    def answer(self, request: BaseHTTPRequestHandler, _: bytes) -> tuple[int, object]:
        documents = {
            "/.well-known/openid-configuration": {"issuer": self.issuer, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": self.keys},
        }
        return (200, documents[request.path]) if request.path in documents else (404, None)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    with serving(issuer.answer) as url:
        issuer.url = issuer.issuer = url
        yield issuer


@pytest.fixture(scope="session")
def program() -> Path:
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--package", "deploy-check"], cwd=REPOSITORY, check=True)
    return target_directory() / "debug/deploy-check"


class Deployment:
    """A valid deployment, until something is changed."""

    def __init__(self, program: Path, folder: Path, secrets_manager, issuer: Issuer):
        self._program = program
        self._folder = folder
        self.secrets_manager = secrets_manager
        self.parameters = {
            "AllowedOrigins": "https://app.example.com,https://admin.example.com",
            "AirbyteOrganizationId": Airbyte.ORGANIZATION,
            "JwtIssuer": issuer.url,
            "JwtAudience": "web-app",
        }
        self.store('{"client_id": "%s", "client_secret": "%s"}' % (CANARY, CANARY))
        self.environment = {
            "HOME": str(folder),  # without the developer's profiles
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DEFAULT_REGION": secrets_manager.REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": CANARY,
            "AWS_ENDPOINT_URL": secrets_manager.url,
            # In the developer's home by default.
            "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
        }
        self.section = "global"

    def store(self, secret: str, **more: str) -> None:
        """Gives the deployment another secret."""
        # All tests share one Secrets Manager, which takes a name once.
        name = f"deploy-check-{uuid.uuid4()}"
        self.parameters["OrganizationTokenSecretArn"] = self.secrets_manager.create(name, secret, **more)

    def check(self, *arguments: str) -> tuple[int, dict[str, str], str]:
        """The exit code, the result of each check (its mark, a space, and the text), and the whole output."""
        config = self._folder / "samconfig.toml"
        overrides = json.dumps([f'{name}="{value}"' for name, value in self.parameters.items()])
        config.write_text(f"version = 0.1\n[default.{self.section}.parameters]\nparameter_overrides = {overrides}\n")
        run = subprocess.run(
            [self._program, "--config-file", config, *arguments],
            cwd=REPOSITORY,
            env=clean_environment(**self.environment),
            capture_output=True,
            text=True,
            timeout=120,
        )
        output = run.stdout + run.stderr
        assert CANARY not in output
        found = {}
        for line in run.stdout.splitlines():
            if line.startswith(("ok ", "FAIL ", "skip ")):
                mark, rest = line.split(maxsplit=1)
                name, text = rest.split("  ", maxsplit=1)
                found[name.strip()] = f"{mark} {text.strip()}"
        return run.returncode, found, output


@pytest.fixture
def deployment(program, tmp_path, secrets_manager, issuer) -> Deployment:
    return Deployment(program, tmp_path, secrets_manager, issuer)


def failed(found: dict[str, str]) -> set[str]:
    return {name for name, text in found.items() if text.startswith("FAIL ")}


def test_valid_deployment_passes(deployment, issuer):
    code, found, output = deployment.check()
    assert code == 0, output
    assert found == {
        "AWS credentials": "ok account 123456789012, arn:aws:sts::123456789012:user/moto",
        "region": "ok us-east-1",
        "AllowedOrigins": "ok https://app.example.com,https://admin.example.com",
        "AirbyteOrganizationId": f"ok {Airbyte.ORGANIZATION}",
        "parameters": "ok 5 set, all accepted by template.yaml and the functions",
        "architecture": "ok arm64",
        "secret": "ok contains an Airbyte application",
        "secret's key": "ok the AWS managed key",
        "issuer": f"ok {issuer.url}, with 1 RSA key(s)",
    }
    assert output.endswith("All checks passed.\n")


def test_make_runs_it(deployment):
    """With a part of samconfig.toml that is not there, so that nothing but the environment counts."""
    run = subprocess.run(
        ["make", "deploy-check", "CONFIG_ENV=nothing"],
        cwd=REPOSITORY,
        env=clean_environment(**deployment.environment, **deployment.parameters),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("All checks passed.\n")


@pytest.mark.parametrize("secret", [CANARY, '{"organization_token": "%s"}' % CANARY])
def test_accepts_other_formats_of_secret(deployment, secret):
    deployment.store(secret)
    code, found, output = deployment.check()
    assert (code, found["secret"]) == (0, "ok contains an organization token"), output


def test_iam_needs_no_issuer(deployment):
    deployment.parameters |= {"AuthorizerType": "IAM", "JwtIssuer": "", "JwtAudience": ""}
    code, found, output = deployment.check()
    assert (code, found["issuer"]) == (0, "ok not needed: callers sign with IAM"), output


def test_missing_credentials_do_not_stop_other_checks(deployment):
    del deployment.environment["AWS_ACCESS_KEY_ID"], deployment.environment["AWS_SECRET_ACCESS_KEY"]
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"AWS credentials"})
    assert "there are none" in found["AWS credentials"]
    assert "help: sign in" in output
    assert found["secret"] == "skip no AWS credentials"
    assert found["issuer"].startswith("ok ")


def test_rejected_credentials_fail(deployment):
    with moto() as strict:
        strict.check_calls()
        deployment.environment["AWS_ENDPOINT_URL"] = strict.url
        code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"AWS credentials"})
    assert "AWS does not accept them: The security token included in the request is invalid" in found["AWS credentials"]
    assert "help: sign in" in output


def test_reads_credentials_of_profile(deployment):
    del deployment.environment["AWS_ACCESS_KEY_ID"], deployment.environment["AWS_SECRET_ACCESS_KEY"]
    credentials = Path(deployment.environment["HOME"]) / ".aws/credentials"
    credentials.parent.mkdir()
    credentials.write_text(f"[default]\naws_access_key_id = test\naws_secret_access_key = {CANARY}\n")
    code, _, output = deployment.check()
    assert code == 0, output


def test_missing_region_names_the_variable(deployment):
    deployment.environment["AWS_REGION"] = deployment.environment.pop("AWS_DEFAULT_REGION")
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"region"})
    assert "AWS_DEFAULT_REGION" in output


def test_missing_secret_fails(deployment):
    deployment.parameters["OrganizationTokenSecretArn"] = (
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:nothing-AbCdEf"
    )
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"secret"})
    assert "ResourceNotFoundException" in found["secret"]
    assert "help: create it with `aws secretsmanager create-secret`" in output


def test_secret_scheduled_for_deletion_fails(deployment, secrets_manager):
    secrets_manager.delete(deployment.parameters["OrganizationTokenSecretArn"])
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"secret"})
    assert "InvalidRequestException" in found["secret"]
    assert "help: if it was deleted, restore it: `aws secretsmanager restore-secret --secret-id arn:" in output


def test_unreadable_secret_fails(deployment):
    # moto cannot say so in JSON, as Secrets Manager does.
    with serving(lambda *_: (400, {"__type": "AccessDeniedException", "Message": "not authorized"})) as denying:
        deployment.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = denying
        code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"secret"})
    assert "AccessDeniedException" in found["secret"]
    assert "help: the role of the functions may read it; to check it here, use credentials that" in output
    assert found["secret's key"].startswith("skip ")
    assert "AccessDeniedException" in found["secret's key"]


def test_unreachable_secrets_manager_fails(deployment):
    [unused] = free_ports(1)
    deployment.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = f"http://127.0.0.1:{unused}"
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"secret"})
    assert "help: check the region, and this machine's network" in output


def test_secret_in_other_region_fails(deployment):
    deployment.environment["AWS_DEFAULT_REGION"] = "eu-central-1"
    code, found, _ = deployment.check()
    assert code == 1
    assert found["secret"] == "FAIL the secret is in us-east-1, and the stack is in eu-central-1"


@pytest.mark.parametrize("secret", ["{%s" % CANARY, '{"token": "%s"}' % CANARY, f"{CANARY} {CANARY}"])
def test_malformed_secret_fails(deployment, secret):
    deployment.store(secret)
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"secret"})
    assert "the secret's value is malformed" in found["secret"]
    assert "help: store a value of one of the formats in it" in output


def test_secret_with_unknown_key_fails(deployment):
    key = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
    deployment.store(CANARY, KmsKeyId=key)
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"secret's key"})
    assert key in found["secret's key"]
    deployment.parameters["SecretKmsKeyArn"] = key
    code, found, output = deployment.check()
    assert (code, found["secret's key"]) == (0, f"ok {key}"), output


def test_reports_every_invalid_parameter(deployment):
    deployment.parameters |= {
        "AllowedOrigins": "https://app.example.com,https://admin.example.com/",
        "AirbyteOrganizationId": "airbyte",
        "AirbyteApiUrl": "https://user@api.airbyte.example",
        "LogLevel": "loud",
        "Unknown": "1",
    }
    del deployment.parameters["OrganizationTokenSecretArn"]
    code, found, _ = deployment.check()
    assert code == 1
    assert failed(found) == {
        "AllowedOrigins",
        "AirbyteOrganizationId",
        "AirbyteApiUrl",
        "LogLevel",
        "Unknown",
        "OrganizationTokenSecretArn",
    }
    assert "https://admin.example.com/" in found["AllowedOrigins"]
    assert "without a path or a trailing slash" in found["AllowedOrigins"]
    assert "is required" in found["OrganizationTokenSecretArn"]
    assert found["secret"] == "skip OrganizationTokenSecretArn is not set"
    assert found["issuer"].startswith("ok ")


def test_issuer_with_other_name_fails(deployment, issuer):
    issuer.issuer = f"{issuer.url}/"
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"issuer"})
    assert found["issuer"].endswith(f"has the issuer {issuer.url}/")
    assert "help: set JwtIssuer to exactly that" in output


def test_issuer_without_rsa_keys_fails(deployment, issuer):
    issuer.keys = [EC_KEY]
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"issuer"})
    assert "no RSA key" in found["issuer"]
    assert "help: configure the provider to sign with RS256" in output


def test_missing_issuer_fails(deployment, issuer):
    deployment.parameters["JwtIssuer"] = f"{issuer.url}/realms/other"
    code, found, _ = deployment.check()
    assert (code, failed(found)) == (1, {"issuer"})
    assert "returns status 404" in found["issuer"]


def test_unreachable_issuer_fails(deployment):
    [unused] = free_ports(1)
    deployment.parameters["JwtIssuer"] = f"http://127.0.0.1:{unused}"
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"issuer"})
    assert "/.well-known/openid-configuration cannot be reached (" in found["issuer"]
    assert "help: set JwtIssuer to the issuer of an OpenID Connect provider" in output


def test_unexpected_issuer_document_fails(deployment):
    with serving(lambda *_: (200, {"name": "something else"})) as other:
        deployment.parameters["JwtIssuer"] = other
        code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"issuer"})
    assert "is not the expected document" in found["issuer"]
    assert "help: set JwtIssuer to the issuer of an OpenID Connect provider" in output


def test_unset_issuer_fails(deployment):
    del deployment.parameters["JwtIssuer"]
    code, found, _ = deployment.check()
    assert (code, failed(found)) == (1, {"parameters"})
    assert found["parameters"].startswith("FAIL AuthorizerType JWT needs JwtIssuer")
    assert found["issuer"] == "skip JwtIssuer is not set"


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"JwtAudience": ""}, "AuthorizerType JWT needs JwtAudience"),
        ({"DomainName": "airbyte.example.com"}, "DomainName needs CertificateArn"),
        (
            {"AlarmEmail": "on-call@example.com", "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:on-call"},
            "Give AlarmEmail or AlarmTopicArn.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_broken_rule_fails(deployment, parameters, rule):
    """Each value is valid, but CloudFormation rejects them together, by the template's rules."""
    deployment.parameters |= parameters
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"parameters"})
    assert found["parameters"].startswith(f"FAIL {rule}")
    assert "help: fix `parameter_overrides` in samconfig.toml" in output


def test_local_issuer_fails(deployment):
    """The real API Gateway cannot reach it."""
    deployment.environment["AWS_ENDPOINT_URL_STS"] = deployment.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = (
        deployment.environment["AWS_ENDPOINT_URL"]
    )
    del deployment.environment["AWS_ENDPOINT_URL"]
    code, found, _ = deployment.check()
    assert (code, failed(found)) == (1, {"issuer"})
    assert "API Gateway cannot reach" in found["issuer"]


def test_build_for_other_architecture_fails(deployment):
    deployment.section = "deploy"
    deployment.parameters["Architecture"] = "x86_64"
    code, found, output = deployment.check()
    assert (code, failed(found)) == (1, {"architecture"})
    assert "`sam build` builds for arm64, and `sam deploy` deploys to x86_64" in found["architecture"]
    deployment.section = "global"
    code, found, output = deployment.check()
    assert (code, found["architecture"]) == (0, "ok x86_64"), output


def test_argument_overrides_environment_and_file(deployment):
    deployment.environment["AllowedOrigins"] = "https://environment.example"
    _, found, _ = deployment.check()
    assert found["AllowedOrigins"] == "ok https://environment.example"
    _, found, _ = deployment.check("AllowedOrigins=https://argument.example")
    assert found["AllowedOrigins"] == "ok https://argument.example"


def test_reports_unreadable_configuration_file(deployment, tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("[default")
    code, _, output = deployment.check("--config-file", str(broken))
    assert code == 1
    assert "failed to read the settings" in output
