"""`make deploy-check` finds every mistake that would make a deployment fail, against moto, an issuer and an Airbyte simulator."""

import datetime
import ipaddress
import json
import os
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from samcli.cli.types import CfnParameterOverridesType

from programs import REPOSITORY, Airbyte, airbyte, clean_environment, free_ports, moto, serving, target_directory

RSA_KEY = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": "0vx7", "e": "AQAB"}
EC_KEY = {"kty": "EC", "kid": "2", "use": "sig", "alg": "ES256", "crv": "P-256", "x": "MKBC", "y": "4Etl"}

# Stands for every secret; it must not be printed.
CANARY = "canary-5f1c"

# Airbyte's paths of a mint, by generation, and that of the list of source templates.
MINT_PATHS = {
    "embedded": "/api/v1/embedded/widget_token",
    "agents": "/api/v1/account/applications/widget-token",
}
TEMPLATES = "/api/v1/integrations/templates/sources"

EMAIL = "on-call@example.com"
DOMAIN = "airbyte.example.com"


class Issuer:
    """An OpenID Connect provider's two documents, which a test can change."""

    def __init__(self):
        self.url = self.issuer = ""
        self.keys = [RSA_KEY, EC_KEY]
        self.delay = 0.0

    def respond(self, request: BaseHTTPRequestHandler, _: bytes) -> tuple[int, object]:
        documents = {
            "/.well-known/openid-configuration": {"issuer": self.issuer, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": self.keys},
        }
        time.sleep(self.delay)
        # A request to a proxy has the whole URL.
        path = request.path.removeprefix(self.url)
        return (200, documents[path]) if path in documents else (404, None)


class Account:
    """Lambda's GetAccountSettings, which moto does not have."""

    def __init__(self):
        self.limit = self.unreserved = 1000

    def respond(self, *_) -> tuple[int, object]:
        limit = {"ConcurrentExecutions": self.limit, "UnreservedConcurrentExecutions": self.unreserved}
        return 200, {"AccountLimit": limit}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    with serving(issuer.respond) as url:
        issuer.url = issuer.issuer = url
        yield issuer


@pytest.fixture
def account() -> Iterator[Account]:
    account = Account()
    with serving(account.respond) as url:
        account.url = url
        yield account


@pytest.fixture(scope="module")
def running_simulator() -> Iterator[Airbyte]:
    with airbyte() as running:
        yield running


@pytest.fixture
def simulator(running_simulator) -> Airbyte:
    """An Airbyte simulator that serves both generations, and accepts the deployment's credential."""
    running_simulator.restore()
    running_simulator.clear_requests()
    running_simulator.change_settings(generations=list(MINT_PATHS))
    accept(running_simulator, CANARY)
    return running_simulator


def accept(simulator: Airbyte, secret: str) -> None:
    """Replaces the accepted credentials, by an application and by an organization token."""
    simulator.change_settings(
        applications=[{"client_id": CANARY, "client_secret": secret}], organization_tokens=[secret]
    )


@pytest.fixture(scope="session")
def program() -> Path:
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--package", "deploy-check"], cwd=REPOSITORY, check=True)
    return target_directory() / "debug/deploy-check"


class Deployment:
    """A valid deployment, until a test changes something."""

    def __init__(
        self, program: Path, folder: Path, secrets_manager, issuer: Issuer, account: Account, simulator: Airbyte
    ):
        self._program = program
        self.folder = folder
        self.secrets_manager = secrets_manager
        self.region = secrets_manager.REGION
        # All tests share moto's account.
        self.stack = f"stack-{uuid.uuid4()}"
        self.parameters = {
            "AllowedOrigins": "https://app.example.com,https://admin.example.com",
            "AirbyteOrganizationId": Airbyte.ORGANIZATION,
            "AirbyteApiUrl": simulator.url,
            "JwtIssuer": issuer.url,
            "JwtAudience": "web-app",
            "AlarmEmail": EMAIL,
        }
        self.store('{"client_id": "%s", "client_secret": "%s"}' % (CANARY, CANARY))
        self.environment = {
            "HOME": str(folder),  # without the developer's profiles
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": CANARY,
            "AWS_ENDPOINT_URL": secrets_manager.url,
            "AWS_ENDPOINT_URL_LAMBDA": account.url,
            # In the developer's home by default.
            "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
        }
        self.overrides: list[str] | None = None

    def client(self, service: str, region: str | None = None):
        """A client of moto's account."""
        return boto3.client(
            service,
            region_name=region or self.region,
            endpoint_url=self.secrets_manager.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def store(self, secret: str, **more: str) -> None:
        """Replaces the secret."""
        name = f"deploy-check-{uuid.uuid4()}"
        self.parameters["OrganizationTokenSecretArn"] = self.secrets_manager.create(name, secret, **more)

    def create_stack(self, **parameters: str) -> None:
        """Creates the stack with these parameters, as an earlier deployment did."""
        template = {
            "Parameters": {name: {"Type": "String"} for name in parameters},
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        }
        self.client("cloudformation").create_stack(
            StackName=self.stack,
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )

    def certificate(self, name: str) -> None:
        """Imports a certificate, and configures it for the domain name."""
        key, certificate = certificate_of(x509.DNSName(name))
        imported = self.client("acm").import_certificate(Certificate=certificate, PrivateKey=key)
        self.parameters |= {"DomainName": DOMAIN, "CertificateArn": imported["CertificateArn"]}

    def topic(self, **attributes: str) -> str:
        """Creates a topic, and configures it for the alarms."""
        topic = self.client("sns").create_topic(Name=f"topic-{uuid.uuid4()}", Attributes=attributes)["TopicArn"]
        del self.parameters["AlarmEmail"]
        self.parameters["AlarmTopicArn"] = topic
        return topic

    def check(self, *arguments: str) -> tuple[int, dict[str, str], str]:
        """The exit code, the result of each check (its mark, a space, and the text), and the whole output."""
        config = self.folder / "samconfig.toml"
        overrides = self.overrides or [f'{name}="{value}"' for name, value in self.parameters.items()]
        config.write_text(
            "version = 0.1\n[default.global.parameters]\n"
            f"stack_name = {json.dumps(self.stack)}\nparameter_overrides = {json.dumps(overrides)}\n"
        )
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

    def expect_failure(self, name: str, problem: str, help: str, *arguments: str) -> None:
        """Expects exactly this check to fail, with this problem and this help."""
        code, found, output = self.check(*arguments)
        assert (code, failed(found)) == (1, {name}), output
        assert problem in found[name], found[name]
        assert f"help: {help}" in output, output
        assert output.endswith("Some checks failed; see above.\n")

    def expect(self, name: str, result: str) -> None:
        """Expects no check to fail, and this one to have this result."""
        self.expect_results({name: result})

    def expect_results(self, expected: dict[str, str]) -> None:
        """Expects no check to fail, and these ones to have these results."""
        code, found, output = self.check()
        assert code == 0, output
        for name, result in expected.items():
            assert found[name].startswith(result), found[name]


@pytest.fixture
def deployment(program, tmp_path, secrets_manager, issuer, account, simulator) -> Deployment:
    return Deployment(program, tmp_path, secrets_manager, issuer, account, simulator)


def failed(found: dict[str, str]) -> set[str]:
    return {name for name, text in found.items() if text.startswith("FAIL ")}


def certificate_of(name: x509.GeneralName) -> tuple[bytes, bytes]:
    """A new key and a self-signed certificate of a server, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, str(name.value))])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


@contextmanager
def denying(code: str = "AccessDeniedException") -> Iterator[str]:
    """A service of the JSON protocol that denies every call."""
    with serving(lambda *_: (400, {"__type": code, "message": "not authorized"})) as url:
        yield url


# The whole.


def test_valid_deployment_passes(deployment, issuer, simulator):
    code, found, output = deployment.check()

    assert code == 0, output
    assert found == {
        "AWS credentials": "ok account 123456789012, arn:aws:sts::123456789012:user/moto",
        "region": "ok us-east-1",
        "stack": f"ok {deployment.stack} does not exist yet",
        "AllowedOrigins": "ok https://app.example.com,https://admin.example.com",
        "AirbyteOrganizationId": f"ok {Airbyte.ORGANIZATION}",
        "parameters": "ok 7 configured",
        "architecture": "ok arm64",
        "secret": f"ok {deployment.parameters['OrganizationTokenSecretArn']}",
        "secret value": "ok an Airbyte application",
        "secret key": "ok the AWS managed key",
        "Airbyte API": f"ok {simulator.url}/ has AirbyteApi=embedded",
        "Airbyte credential": "ok Airbyte accepts the application",
        "issuer": f"ok {issuer.url}, with 1 RSA key(s)",
        "alarms": f"ok sent to {EMAIL}, after the subscription is confirmed",
        "concurrency": "ok 1000 concurrent executions in the account",
    }
    assert output.endswith("All checks passed.\n")


def test_make_runs_it(deployment):
    """With a part of samconfig.toml that does not exist, so that nothing is configured."""
    run = subprocess.run(
        ["make", "deploy-check", "CONFIG_ENV=nothing"],
        cwd=REPOSITORY,
        env=clean_environment(**deployment.environment),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode != 0
    assert "ok    AWS credentials             account 123456789012" in run.stdout, run.stdout + run.stderr
    assert "FAIL  stack                       has no name" in run.stdout
    assert "FAIL  OrganizationTokenSecretArn  is required" in run.stdout
    assert run.stdout.endswith("Some checks failed; see above.\n")


def test_make_deploys_what_was_checked():
    """With the same overrides for the build and the deployment, so that they have the same architecture."""
    run = subprocess.run(
        ["make", "--dry-run", "deploy"], cwd=REPOSITORY, env=clean_environment(), capture_output=True, text=True, check=True
    )
    [check, build, deploy] = [line for line in run.stdout.splitlines() if "overrides" in line]
    assert "--package deploy-check" in check and check.endswith(" --overrides .aws-sam/overrides.yaml")
    assert "sam build" in build and build.endswith(" --parameter-overrides file://.aws-sam/overrides.yaml")
    assert "sam deploy" in deploy and deploy.endswith(" --parameter-overrides file://.aws-sam/overrides.yaml")


def test_value_that_the_sam_cli_rejects_is_reported(deployment):
    deployment.overrides = ["DomainName="]

    code, _, output = deployment.check()

    assert code == 1
    assert "DomainName= is not a valid format" in output


def test_reports_unreadable_configuration_file(deployment, tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("[default")

    code, _, output = deployment.check("--config-file", str(broken))

    assert code == 1
    assert "error: failed to read the settings of `sam deploy`; see above" in output


# Credentials, region, stack.


def test_missing_credentials_do_not_stop_other_checks(deployment):
    del deployment.environment["AWS_ACCESS_KEY_ID"], deployment.environment["AWS_SECRET_ACCESS_KEY"]

    code, found, output = deployment.check()

    assert (code, failed(found)) == (1, {"AWS credentials"})
    assert "none found" in found["AWS credentials"]
    assert "help: sign in" in output
    for name in ("stack", "secret", "secret value", "secret key", "concurrency"):
        assert found[name] == "skip no valid AWS credentials"
    assert found["issuer"].startswith("ok ")


def test_rejected_credentials_fail(deployment):
    with moto() as strict:
        strict.check_calls()
        deployment.environment["AWS_ENDPOINT_URL"] = strict.url
        deployment.expect_failure(
            "AWS credentials", "AWS rejects them: The security token included in the request is invalid", "sign in"
        )


def test_reads_credentials_of_profile(deployment):
    del deployment.environment["AWS_ACCESS_KEY_ID"], deployment.environment["AWS_SECRET_ACCESS_KEY"]
    credentials = Path(deployment.environment["HOME"]) / ".aws/credentials"
    credentials.parent.mkdir()
    credentials.write_text(f"[default]\naws_access_key_id = test\naws_secret_access_key = {CANARY}\n")

    deployment.expect("AWS credentials", "ok account 123456789012")


def test_missing_profile_fails(deployment):
    deployment.environment["AWS_PROFILE"] = "nothing"

    deployment.expect_failure("AWS credentials", "The config profile (nothing) could not be found", "sign in")


def test_missing_region_names_the_variable(deployment):
    deployment.environment["AWS_REGION"] = deployment.environment.pop("AWS_DEFAULT_REGION")

    code, found, output = deployment.check()

    assert (code, failed(found)) == (1, {"region"})
    assert "set AWS_DEFAULT_REGION (the SAM CLI does not read AWS_REGION)" in output
    assert found["secret"] == "skip no region configured"


def test_reports_state_of_stack(deployment):
    deployment.create_stack()

    deployment.expect("stack", f"ok {deployment.stack} is in CREATE_COMPLETE")


# Parameters, and where they come from.


def test_parameter_of_stack_is_kept(deployment):
    deployment.create_stack(LogLevel="debug", MemorySize="256", Gone="1")

    # MemorySize has its default, and the template has no parameter Gone any more.
    deployment.expect("parameters", "ok 7 configured, kept from the stack: LogLevel=debug")


def test_parameter_of_stack_breaks_rule(deployment):
    deployment.create_stack(AlarmTopicArn="arn:aws:sns:us-east-1:123456789012:on-call")

    code, found, output = deployment.check()

    assert (code, failed(found)) == (1, {"parameters", "alarms"}), output
    assert "kept from the stack: AlarmTopicArn=arn:aws:sns:us-east-1:123456789012:on-call" in output
    deployment.parameters["AlarmTopicArn"] = ""
    deployment.expect("alarms", f"ok sent to {EMAIL}")


def test_invalid_parameter_of_stack_can_be_unset(deployment):
    deployment.create_stack(LogLevel="loud")

    deployment.expect_failure(
        "LogLevel",
        '"loud" is invalid: must be one of error, warn, info, debug, trace',
        'the value is kept from the stack: set LogLevel in samconfig.toml, or `LogLevel=""` to unset it',
    )


def test_writes_architecture_of_stack_to_overrides(deployment):
    deployment.create_stack(Architecture="x86_64")
    file = deployment.folder / "overrides.yaml"

    code, found, output = deployment.check("--overrides", str(file))

    assert (code, found["architecture"]) == (0, "ok x86_64"), output
    overrides = CfnParameterOverridesType().convert(f"file://{file}", None, None)
    assert overrides == deployment.parameters | {"Architecture": "x86_64"}


def test_writes_no_overrides_after_failure(deployment):
    deployment.parameters["LogLevel"] = "loud"
    file = deployment.folder / "overrides.yaml"

    code, _, _ = deployment.check("--overrides", str(file))

    assert code == 1
    assert not file.exists()


def test_argument_overrides_file_and_environment_does_not(deployment):
    deployment.environment["AllowedOrigins"] = "https://environment.example"
    _, found, _ = deployment.check()
    assert found["AllowedOrigins"] == "ok https://app.example.com,https://admin.example.com"

    _, found, _ = deployment.check("AllowedOrigins=https://argument.example")
    assert found["AllowedOrigins"] == "ok https://argument.example"


def test_reports_every_invalid_parameter(deployment):
    deployment.parameters |= {
        "AllowedOrigins": "https://app.example.com,https://admin.example.com/",
        "AirbyteOrganizationId": "airbyte",
        "AirbyteApiUrl": "https://user@api.airbyte.example",
        "LogLevel": "loud",
        "Unknown": "1",
    }
    del deployment.parameters["OrganizationTokenSecretArn"]

    code, found, output = deployment.check()

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
    assert "AIRBYTE_API_URL" in found["AirbyteApiUrl"]
    assert "the template has no such parameter" in found["Unknown"]
    assert "is required" in found["OrganizationTokenSecretArn"]
    assert "help: set OrganizationTokenSecretArn under `parameter_overrides` in samconfig.toml" in output
    assert found["secret"] == "skip OrganizationTokenSecretArn is not set"
    assert found["issuer"].startswith("ok ")


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"JwtAudience": ""}, "JwtAudience"),
        ({"DomainName": DOMAIN}, "CertificateArn"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_broken_rule_fails(deployment, parameters, rule):
    """Each value is valid, but CloudFormation rejects them together, by the template's rules."""
    deployment.parameters |= parameters

    deployment.expect_failure("parameters", rule, "fix `parameter_overrides` in samconfig.toml")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("AirbyteSourcesBearer", "organization"),
        ("AirbyteRegionId", "645a183f-b12b-4c6e-8ad3-99e165603450"),
        ("SourceTemplateTags", "crm"),
        ("ConnectionTemplateTags", "daily"),
    ],
)
def test_setting_of_other_generation_fails(deployment, parameter, value):
    """By the template's rule, and because the functions would not start."""
    deployment.parameters[parameter] = value

    code, found, output = deployment.check()

    assert (code, failed(found)) == (1, {parameter, "parameters"}), output
    assert f"{parameter} " in found["parameters"]
    assert "must be unset unless AIRBYTE_API is `agents`" in found[parameter]
    deployment.parameters["AirbyteApi"] = "agents"
    deployment.expect("parameters", "ok 9 configured")


def test_space_after_comma_fails(deployment):
    """The SAM CLI cuts a value without quotes at the space."""
    deployment.overrides = [
        f"{name}={value}".replace("https://admin", " https://admin") for name, value in deployment.parameters.items()
    ]

    deployment.expect_failure(
        "AllowedOrigins",
        '"" is invalid',
        'remove the space after the comma in samconfig.toml, or put quotes around the value: `AllowedOrigins="…"`',
    )


def test_origin_in_other_form_than_browsers_fails(deployment):
    deployment.parameters["AllowedOrigins"] = "https://app.example.com,https://127.1"

    deployment.expect_failure(
        "AllowedOrigins", "browsers send https://127.1 as https://127.0.0.1", "fix `parameter_overrides`"
    )


def test_origin_of_developer_is_reported(deployment):
    deployment.parameters["AllowedOrigins"] += ",http://localhost:5173"

    deployment.expect("local origins", "skip http://localhost:5173 is on a developer's machine")


# The secret.


@pytest.mark.parametrize("secret", [CANARY, '{"organization_token": "%s"}' % CANARY])
def test_accepts_other_formats_of_secret(deployment, secret):
    deployment.store(secret)

    deployment.expect("secret value", "ok an organization token")


def test_missing_secret_fails(deployment):
    deployment.parameters["OrganizationTokenSecretArn"] = (
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:nothing-AbCdEf"
    )

    deployment.expect_failure("secret", "does not exist", "create it with `aws secretsmanager create-secret`")


def test_secret_scheduled_for_deletion_fails(deployment, secrets_manager):
    arn = deployment.parameters["OrganizationTokenSecretArn"]
    secrets_manager.delete(arn)

    deployment.expect_failure(
        "secret", "is scheduled for deletion", f"restore it: `aws secretsmanager restore-secret --secret-id {arn}`"
    )


def test_partial_arn_of_secret_fails(deployment):
    """A name whose end looks like the six random characters of an ARN."""
    arn = deployment.client("secretsmanager").create_secret(Name=f"a{uuid.uuid4()}-secret", SecretString=CANARY)["ARN"]
    deployment.parameters["OrganizationTokenSecretArn"] = partial = arn[:-7]

    deployment.expect_failure(
        "secret", f"{partial} is not its full ARN", f"set OrganizationTokenSecretArn to {arn}"
    )


def test_secret_without_value_fails(deployment):
    arn = deployment.client("secretsmanager").create_secret(Name=f"empty-{uuid.uuid4()}")["ARN"]
    deployment.parameters["OrganizationTokenSecretArn"] = arn

    deployment.expect_failure(
        "secret value", "the secret has no current value", f"store one: `aws secretsmanager put-secret-value --secret-id {arn}"
    )


def test_binary_secret_fails(deployment):
    created = deployment.client("secretsmanager").create_secret(Name=f"bytes-{uuid.uuid4()}", SecretBinary=b"\xff")
    deployment.parameters["OrganizationTokenSecretArn"] = created["ARN"]

    deployment.expect_failure("secret value", "is binary", "store it as a string")


@pytest.mark.parametrize("secret", ["{%s" % CANARY, '{"token": "%s"}' % CANARY, f"{CANARY} {CANARY}"])
def test_malformed_secret_fails(deployment, secret):
    deployment.store(secret)

    deployment.expect_failure("secret value", "the secret's value is malformed", "store a value in one of the formats")


def test_secret_that_deployer_may_not_see_is_skipped(deployment):
    with denying() as url:
        deployment.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = url
        deployment.expect("secret", "skip not permitted to check: secretsmanager:DescribeSecret is denied")


def test_secret_value_that_deployer_may_not_read_is_skipped(deployment):
    """The functions may, so that the deployment is not stopped."""
    with secrets_manager_that_rejects_reads(deployment, "AccessDeniedException", "not authorized") as url:
        deployment.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = url
        deployment.expect_results(
            {
                "secret value": "skip not permitted to check: secretsmanager:GetSecretValue is denied",
                "Airbyte credential": "skip not checked: the secret's value was not read",
            }
        )


@pytest.mark.parametrize(
    ("code", "message", "problem", "help"),
    [
        (
            "InvalidRequestException",
            "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS key",
            "the secret is in another account, and encrypted with that account's AWS managed key",
            "encrypt the secret with a customer managed key",
        ),
        (
            "DecryptionFailure",
            "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
            "the secret's KMS key cannot decrypt it",
            "enable the KMS key that encrypts the secret",
        ),
        ("InternalServiceError", "An error occurred", "InternalServiceError", "look up InternalServiceError"),
    ],
    ids=lambda value: value.split()[0],
)
def test_unreadable_secret_value_fails_with_its_cause(deployment, code, message, problem, help):
    with secrets_manager_that_rejects_reads(deployment, code, message) as url:
        deployment.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = url
        deployment.expect_failure("secret value", problem, help)


def test_key_that_deployer_may_not_use_is_skipped(deployment):
    message = "Access to KMS is not allowed"
    with secrets_manager_that_rejects_reads(deployment, "AccessDeniedException", message) as url:
        deployment.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = url
        deployment.expect("secret value", "skip not permitted to check: kms:Decrypt is denied")


@contextmanager
def secrets_manager_that_rejects_reads(deployment, code: str, message: str) -> Iterator[str]:
    """Describes the secret, and rejects to read its value."""
    secret = {"ARN": deployment.parameters["OrganizationTokenSecretArn"], "Name": "secret"}

    def respond(request: BaseHTTPRequestHandler, _: bytes) -> tuple[int, object]:
        if request.headers["x-amz-target"].endswith("DescribeSecret"):
            return 200, secret
        return 400, {"__type": code, "Message": message}

    with serving(respond) as url:
        yield url


def test_secret_value_is_not_read_on_request(deployment):
    deployment.store("{%s" % CANARY)

    code, found, output = deployment.check("--without-secret")

    assert (code, found["secret value"]) == (0, "skip not read, because of --without-secret"), output
    assert found["Airbyte credential"] == "skip not checked: the secret's value was not read"
    assert output.endswith("No check failed; 2 were skipped, see above.\n")


def test_unreachable_secrets_manager_fails(deployment):
    [unused] = free_ports(1)
    deployment.environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = f"http://127.0.0.1:{unused}"

    deployment.expect_failure("secret", "Could not connect to the endpoint URL", "check the region, and this machine's")


def test_secret_in_other_region_fails(deployment):
    deployment.environment["AWS_DEFAULT_REGION"] = "eu-central-1"

    deployment.expect_failure(
        "OrganizationTokenSecretArn", "is in us-east-1, and the stack is in eu-central-1", "fix `parameter_overrides`"
    )


def test_secret_with_unknown_key_fails(deployment):
    key = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"
    deployment.store(CANARY, KmsKeyId=key)

    deployment.expect_failure("secret key", f"encrypted with {key}", "set SecretKmsKeyArn to the ARN of that key")

    deployment.parameters["SecretKmsKeyArn"] = key
    deployment.expect("secret key", f"ok {key}")


def test_finds_key_of_alias(deployment):
    kms = deployment.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    alias = f"alias/{uuid.uuid4()}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    deployment.store(CANARY, KmsKeyId=alias)
    deployment.parameters["SecretKmsKeyArn"] = key

    deployment.expect("secret key", f"ok {key}")


def test_other_key_than_that_of_secret_fails(deployment):
    deployment.store(CANARY, KmsKeyId="arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d")
    deployment.parameters["SecretKmsKeyArn"] = "arn:aws:kms:us-east-1:123456789012:key/other"

    deployment.expect_failure("secret key", "not with SecretKmsKeyArn", "set SecretKmsKeyArn to the ARN of that key")


def test_key_without_use_fails(deployment):
    deployment.parameters["SecretKmsKeyArn"] = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d"

    deployment.expect_failure(
        "secret key", "encrypted with the AWS managed key", 'set `SecretKmsKeyArn=""`, or encrypt the secret'
    )


def test_key_in_other_region_fails(deployment):
    deployment.parameters["SecretKmsKeyArn"] = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"

    deployment.expect_failure(
        "SecretKmsKeyArn", "is in eu-west-1, and the stack is in us-east-1", "fix `parameter_overrides`"
    )


# Airbyte.

@pytest.fixture(params=MINT_PATHS)
def generation(request, deployment) -> str:
    deployment.parameters["AirbyteApi"] = request.param
    return request.param


def other(generation: str) -> str:
    [name] = MINT_PATHS.keys() - {generation}
    return name


def test_available_generation_passes(deployment, simulator, generation):
    simulator.change_settings(generations=[generation])

    deployment.expect_results(
        {
            "Airbyte API": f"ok {simulator.url}/ has AirbyteApi={generation}",
            "Airbyte credential": "ok Airbyte accepts the application",
        }
    )


def test_checks_change_nothing_at_airbyte(deployment, simulator, generation):
    deployment.check()

    assert simulator.workspaces() == []
    exchange, templates = "/api/v1/account/applications/token", TEMPLATES
    expected = [("POST", MINT_PATHS[generation], False), ("POST", exchange, False)]
    if generation == "agents":
        expected.append(("GET", templates, True))
    requests = simulator.requests()
    sent = [(r["method"], r["path"], any(name == "authorization" for name, _ in r["headers"])) for r in requests]
    assert sent == expected


def test_generation_that_is_switched_off_fails(deployment, simulator, generation):
    simulator.change_settings(generations=[other(generation)])

    deployment.expect_failure(
        "Airbyte API",
        f"{simulator.url}{MINT_PATHS[generation]} returns status 404: {simulator.url}/ does not have AirbyteApi={generation}",
        f"set AirbyteApi={other(generation)}, which responds there",
    )


def test_url_without_any_generation_fails(deployment, simulator, generation):
    simulator.change_settings(generations=[])

    deployment.expect_failure(
        "Airbyte API",
        f"does not have AirbyteApi={generation}",
        f"set AirbyteApiUrl to the base URL of Airbyte's API: AirbyteApi={other(generation)} does not respond there either",
    )


@pytest.mark.parametrize("status", [301, 307, 308])
def test_redirect_fails(deployment, simulator, status):
    """The query is not printed, because it may contain anything."""
    headers = [["location", f"https://api.example.com/v2?token={CANARY}"]]
    simulator.inject("widget-token", {"respond": {"status": status, "headers": headers}})

    deployment.expect_failure(
        "Airbyte API",
        f"{MINT_PATHS['embedded']} redirects to https://api.example.com/v2, and the functions follow no redirects",
        "set AirbyteApiUrl to the base URL of Airbyte's API",
    )


@pytest.mark.parametrize("status", [400, 401, 403, 405, 422])
def test_every_other_rejection_passes(deployment, simulator, status):
    simulator.inject("widget-token", {"respond": {"status": status, "body": CANARY}})

    deployment.expect("Airbyte API", f"ok {simulator.url}/ has AirbyteApi=embedded")


def test_page_that_is_not_airbyte_fails(deployment, generation):
    """No credential is sent there."""
    received = []

    def respond(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, object]:
        received.append((request.path, body, request.headers["authorization"]))
        return 200, {}

    with serving(respond) as page:
        deployment.parameters["AirbyteApiUrl"] = page
        deployment.expect_failure(
            "Airbyte API",
            "returns status 200 to a request without credentials, as Airbyte never does",
            "set AirbyteApiUrl to the base URL of Airbyte's API",
        )
    assert received == [(MINT_PATHS[generation], b"{}", None)]


def test_unreachable_airbyte_fails(deployment):
    [unused] = free_ports(1)
    deployment.parameters["AirbyteApiUrl"] = url = f"http://127.0.0.1:{unused}"

    deployment.expect_failure(
        "Airbyte API",
        f"{url}{MINT_PATHS['embedded']} cannot be reached (",
        "check AirbyteApiUrl, and this machine's network and proxy settings",
    )


@pytest.mark.parametrize("status", [429, 503])
def test_unavailable_airbyte_is_reported(deployment, simulator, status):
    """It may be over before the deployment is, so that the deployment is not stopped."""
    simulator.inject("widget-token", {"respond": {"status": status}})

    deployment.expect_results(
        {
            "Airbyte API": f"skip not checked: {simulator.url}{MINT_PATHS['embedded']} returns status {status}",
            "Airbyte credential": "skip not checked: the check of Airbyte's API did not succeed",
        }
    )


@pytest.mark.parametrize("name", ["AirbyteApi", "AirbyteApiUrl", "AirbyteOrganizationId"])
def test_invalid_parameter_of_airbyte_is_reported_once(deployment, simulator, name):
    deployment.parameters[name] = "invalid"

    code, found, output = deployment.check()

    assert (code, failed(found)) == (1, {name}), output
    assert found["Airbyte API"] == found["Airbyte credential"] == f"skip {name} is invalid"
    assert simulator.requests() == []


def test_rejected_application_fails(deployment, simulator, generation):
    accept(simulator, "another")

    deployment.expect_failure(
        "Airbyte credential",
        "Airbyte rejects the application with status 401",
        f"store a current credential of an admin of the organization {Airbyte.ORGANIZATION}: `aws secretsmanager",
    )


def test_application_rejected_with_400_fails(deployment, simulator):
    simulator.inject("application-token", {"error": "invalid-client"})

    deployment.expect_failure("Airbyte credential", "rejects the application with status 400", "store a current")


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        ({"status": 404, "body": CANARY}, "the exchange returns status 404"),
        ({"status": 307}, "the exchange returns status 307"),
        ({"status": 200, "body": CANARY}, "the exchange returns no token in the documented form"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_exchange_fails(deployment, simulator, response, problem):
    simulator.inject("application-token", {"respond": response})

    deployment.expect_failure("Airbyte credential", problem, "check AirbyteApiUrl")


def test_lost_connection_of_exchange_fails(deployment, simulator):
    simulator.inject("application-token", "close-before-response")

    deployment.expect_failure("Airbyte credential", "the exchange failed (", "check AirbyteApiUrl")


def test_unavailable_exchange_is_reported(deployment, simulator):
    simulator.inject("application-token", {"respond": {"status": 503}})

    deployment.expect("Airbyte credential", "skip not checked: the exchange returns status 503")


def test_organization_token_cannot_be_checked_in_embedded(deployment):
    deployment.store(CANARY)

    deployment.expect(
        "Airbyte credential",
        "skip not checked: Airbyte documents no call of AirbyteApi=embedded that verifies the organization token",
    )


class TestAgents:
    """What this generation alone has: a call that lists the source templates."""

    @pytest.fixture(autouse=True)
    def agents(self, deployment):
        deployment.parameters["AirbyteApi"] = "agents"

    @pytest.mark.parametrize("secret", [CANARY, '{"client_id": "%s", "client_secret": "%s"}' % (CANARY, CANARY)])
    def test_lists_source_templates(self, deployment, secret):
        deployment.store(secret)

        code, found, output = deployment.check()

        assert code == 0, output
        assert found["source templates"] == "ok 3, by source_config_template_id:"
        listed = [line.split(maxsplit=1) for line in output.splitlines() if line.startswith(" ")]
        assert listed == [
            ["6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01", "Postgres"],
            ["6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e02", "Faker"],
            ["6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e03", "Helpdesk (DIRECT: takes credentials)"],
        ]

    def test_names_organization(self, deployment, simulator):
        """Accounts with several organizations need it on every call."""
        deployment.check()

        names = [dict(r["headers"]).get("x-organization-id") for r in simulator.requests()]
        assert names[1:] == [Airbyte.ORGANIZATION, Airbyte.ORGANIZATION]

    def test_accepts_organization_token(self, deployment):
        deployment.store(CANARY)

        deployment.expect("Airbyte credential", "ok Airbyte accepts the organization token")

    def test_rejected_organization_token_fails(self, deployment, simulator):
        deployment.store(CANARY)
        accept(simulator, "another")

        deployment.expect_failure(
            "Airbyte credential", "Airbyte rejects the organization token with status 401", "store a current credential"
        )

    def test_credential_of_other_organization_fails(self, deployment, simulator):
        simulator.inject("templates", {"respond": {"status": 403, "body": CANARY}})

        deployment.expect_failure(
            "Airbyte credential", "Airbyte rejects the application with status 403", "store a current credential"
        )

    @pytest.mark.parametrize(
        ("kind", "problem"),
        [
            ({"respond": {"status": 404, "body": CANARY}}, "returns status 404"),
            ({"respond": {"status": 500}}, "returns status 500"),
            ({"respond": {"status": 200, "body": CANARY}}, "returns no list in the documented form"),
            ("close-before-response", "cannot be reached ("),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_list_that_fails_is_reported(self, deployment, simulator, kind, problem):
        """The functions do not need it, so that the deployment is not stopped."""
        simulator.inject("templates", kind)

        deployment.expect_results(
            {
                "source templates": f"skip not checked: {simulator.url}{TEMPLATES} {problem}",
                "Airbyte credential": "ok Airbyte accepts the application",
            }
        )

    def test_empty_list_is_reported(self, deployment, simulator):
        simulator.inject("templates", {"respond": {"status": 200, "body": '{"data": []}'}})

        deployment.expect("source templates", "skip the credential sees none; create one in Airbyte's dashboard")

    def test_names_are_printed_as_text(self, deployment, simulator):
        """Names from elsewhere control no terminal, and are bounded; so is their number."""
        name = "\x1b[31m" + "n" * 100
        data = [{"id": str(uuid.UUID(int=number)), "name": name} for number in range(52)]
        simulator.inject("templates", {"respond": {"status": 200, "body": json.dumps({"data": data})}})

        code, _, output = deployment.check()

        assert code == 0, output
        listed = [line.split(maxsplit=1) for line in output.splitlines() if line.startswith(" ")]
        assert len(listed) == 51
        assert listed[0] == [str(uuid.UUID(int=0)), "[31m" + "n" * 76]
        assert listed[-1] == ["and", "2 more"]


# The issuer.


def test_iam_needs_no_issuer(deployment):
    deployment.parameters |= {"AuthorizerType": "IAM", "JwtIssuer": "", "JwtAudience": ""}

    deployment.expect("issuer", "ok not needed: callers sign with IAM")


def test_issuer_with_other_name_fails(deployment, issuer):
    issuer.issuer = f"{issuer.url}/"

    deployment.expect_failure("issuer", f"has the issuer {issuer.url}/", "set JwtIssuer to exactly that")


def test_issuer_without_rsa_keys_fails(deployment, issuer):
    issuer.keys = [EC_KEY]

    deployment.expect_failure("issuer", "no RSA key", "configure the provider to sign with RS256")


def test_missing_issuer_fails(deployment, issuer):
    deployment.parameters["JwtIssuer"] = f"{issuer.url}/realms/other"

    deployment.expect_failure("issuer", "returns status 404", "set JwtIssuer to the issuer")


def test_unreachable_issuer_fails(deployment):
    [unused] = free_ports(1)
    deployment.parameters["JwtIssuer"] = f"http://127.0.0.1:{unused}"

    deployment.expect_failure(
        "issuer",
        "/.well-known/openid-configuration cannot be reached (",
        "set JwtIssuer to the issuer of an OpenID Connect provider",
    )


def test_unexpected_issuer_document_fails(deployment):
    with serving(lambda *_: (200, {"name": "something else"})) as other:
        deployment.parameters["JwtIssuer"] = other
        deployment.expect_failure("issuer", "is not the expected document", "set JwtIssuer to the issuer")


def test_unset_issuer_fails(deployment):
    del deployment.parameters["JwtIssuer"]

    code, found, output = deployment.check()

    assert (code, failed(found)) == (1, {"parameters"}), output
    assert "JwtIssuer" in found["parameters"]
    assert found["issuer"] == "skip JwtIssuer is not set"


def test_slow_issuer_is_reported(deployment, issuer):
    """This machine's network may be slower than API Gateway's, so that the deployment is not stopped."""
    issuer.delay = 1.6

    deployment.expect("issuer", f"skip {issuer.url} took 1.")


def test_too_many_keys_fail(deployment, issuer):
    issuer.keys = [RSA_KEY | {"kid": str(number)} for number in range(2500)]

    deployment.expect_failure("issuer", "/keys has 2", "remove keys at the identity provider: API Gateway accepts 150000")


def test_too_many_audiences_fail(deployment):
    deployment.parameters["JwtAudience"] = ",".join(f"app-{number}" for number in range(51))

    deployment.expect_failure("issuer", "51 audiences", "set JwtAudience to at most 50 audiences")


def test_local_issuer_and_airbyte_fail(deployment, simulator):
    """The real API Gateway and the functions cannot reach them."""
    for service in ("STS", "SECRETS_MANAGER", "CLOUDFORMATION"):
        deployment.environment[f"AWS_ENDPOINT_URL_{service}"] = deployment.environment["AWS_ENDPOINT_URL"]
    del deployment.environment["AWS_ENDPOINT_URL"]

    code, found, output = deployment.check()

    assert (code, failed(found)) == (1, {"issuer", "Airbyte API"}), output
    assert "API Gateway cannot reach" in found["issuer"]
    assert "help: set JwtIssuer to the https:// URL" in output
    assert found["Airbyte API"] == f"FAIL the functions cannot reach {simulator.url}, which is on this machine"
    assert "help: set AirbyteApiUrl to the https:// URL of Airbyte's API" in output
    assert simulator.requests() == []


def test_asks_issuer_through_proxy(deployment, issuer):
    [unused] = free_ports(1)
    proxy, issuer.url = issuer.url, f"http://localhost:{unused}"
    issuer.issuer = deployment.parameters["JwtIssuer"] = issuer.url
    # AWS's simulators are on 127.0.0.1.
    deployment.environment |= {"HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1"}

    deployment.expect("issuer", f"ok {issuer.url}, with 1 RSA key(s)")


def test_trusts_root_certificates_of_machine(deployment, issuer, tmp_path):
    """A company's proxy may sign every certificate with its own."""
    key, certificate = certificate_of(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "certificate.pem").write_bytes(certificate)
    with serving_tls(issuer, tmp_path) as url:
        issuer.url = issuer.issuer = deployment.parameters["JwtIssuer"] = url
        deployment.expect_failure("issuer", "certificate", "set JwtIssuer to the issuer")

        deployment.environment["SSL_CERT_FILE"] = str(tmp_path / "certificate.pem")
        deployment.expect("issuer", f"ok {url}, with 1 RSA key(s)")


@contextmanager
def serving_tls(issuer: Issuer, folder: Path) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, value = issuer.respond(self, b"")
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    # A client that rejects the certificate ends the handshake.
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Certificate, alarms, concurrency.


@pytest.mark.parametrize("name", [DOMAIN, "*.example.com"])
def test_certificate_of_domain_passes(deployment, name):
    deployment.certificate(name)

    deployment.expect("certificate", f"ok {deployment.parameters['CertificateArn']}")


def test_certificate_of_other_domain_fails(deployment):
    deployment.certificate("other.example.com")

    deployment.expect_failure(
        "certificate", f"it is for other.example.com, not for {DOMAIN}", "set CertificateArn to a certificate for DomainName"
    )


def test_certificate_that_is_not_issued_fails(deployment):
    requested = deployment.client("acm").request_certificate(DomainName=DOMAIN, ValidationMethod="DNS")
    deployment.parameters |= {"DomainName": DOMAIN, "CertificateArn": requested["CertificateArn"]}

    deployment.expect_failure("certificate", "its status is PENDING_VALIDATION", "validate the certificate")


def test_missing_certificate_fails(deployment):
    arn = f"arn:aws:acm:us-east-1:123456789012:certificate/{uuid.uuid4()}"
    deployment.parameters |= {"DomainName": DOMAIN, "CertificateArn": arn}

    deployment.expect_failure("certificate", "ResourceNotFoundException", "set CertificateArn to a certificate of AWS")


def test_certificate_in_other_region_fails(deployment):
    """Such as that of CloudFront, which is in us-east-1."""
    arn = f"arn:aws:acm:eu-west-1:123456789012:certificate/{uuid.uuid4()}"
    deployment.parameters |= {"DomainName": DOMAIN, "CertificateArn": arn}

    deployment.expect_failure(
        "CertificateArn", "is in eu-west-1, and the stack is in us-east-1", "fix `parameter_overrides`"
    )


def test_topic_with_subscription_passes(deployment):
    topic = deployment.topic()
    deployment.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:q")

    deployment.expect("alarms", f"ok sent to {topic}, with 1 confirmed subscription(s)")


def test_topic_without_subscription_fails(deployment):
    deployment.topic()

    deployment.expect_failure("alarms", "no confirmed subscription", "subscribe to the topic")


def test_topic_encrypted_with_aws_managed_key_fails(deployment):
    deployment.topic(KmsMasterKeyId="alias/aws/sns")

    deployment.expect_failure(
        "alarms", "CloudWatch cannot publish to a topic that is encrypted with alias/aws/sns", "encrypt the topic with your own"
    )


def test_topic_encrypted_with_own_key_is_reported(deployment):
    topic = deployment.topic(KmsMasterKeyId="alias/own")
    deployment.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:q")

    deployment.expect("alarms", f"skip sent to {topic}, if the policy of the key alias/own allows kms:Decrypt")


def test_missing_topic_fails(deployment):
    del deployment.parameters["AlarmEmail"]
    deployment.parameters["AlarmTopicArn"] = f"arn:aws:sns:us-east-1:123456789012:topic-{uuid.uuid4()}"

    deployment.expect_failure("alarms", "NotFound", "set AlarmTopicArn to a topic that exists")


def test_topic_in_other_region_fails(deployment):
    del deployment.parameters["AlarmEmail"]
    deployment.parameters["AlarmTopicArn"] = "arn:aws:sns:eu-west-1:123456789012:on-call"

    deployment.expect_failure(
        "AlarmTopicArn", "is in eu-west-1, and the stack is in us-east-1", "fix `parameter_overrides`"
    )


def test_alarms_without_recipient_are_reported(deployment):
    del deployment.parameters["AlarmEmail"]
    deployment.expect("alarms", "skip no recipient, so that they notify no one: set AlarmEmail or AlarmTopicArn")

    deployment.parameters["AlarmsEnabled"] = "false"
    deployment.expect("alarms", "ok disabled")


def test_new_account_fails(deployment, account):
    """Ten functions at a time, against fifty requests per second on each route."""
    account.limit = account.unreserved = 10
    deployment.expect_failure(
        "concurrency",
        "the account runs 10 functions at a time, and ThrottlingRateLimit admits 50 requests per second",
        "request a higher quota (Service Quotas, AWS Lambda, concurrent executions), or set ThrottlingRateLimit to 10",
    )

    deployment.parameters["ThrottlingRateLimit"] = "10"
    deployment.expect("concurrency", "ok 10 concurrent executions in the account")


def test_reservation_beyond_account_fails(deployment):
    deployment.parameters["ReservedConcurrency"] = "451"

    deployment.expect_failure(
        "concurrency", "ReservedConcurrency=451 for 2 functions leaves less than 100 of 1000", "set ReservedConcurrency to"
    )


def test_concurrency_that_deployer_may_not_see_is_skipped(deployment):
    with denying() as url:
        deployment.environment["AWS_ENDPOINT_URL_LAMBDA"] = url
        deployment.expect("concurrency", "skip not permitted to check: lambda:GetAccountSettings is denied")
