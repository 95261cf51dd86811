"""The two functions: how they are built, run and configured."""

import re

import pytest

from parameters import JWT_PARAMETERS, SECRET_ARN

BINARIES = {"MintTokenFunction": "mint-token", "CreateSourceFunction": "create-source"}


@pytest.fixture(scope="module")
def functions(stack) -> dict:
    return stack.of_type("AWS::Lambda::Function")


def test_there_are_these_two(functions):
    assert functions.keys() == BINARIES.keys()


def test_they_run_on_the_os_only_runtime(functions):
    for function in functions.values():
        assert (function["Runtime"], function["Handler"]) == ("provided.al2023", "bootstrap")


def test_each_is_built_from_its_own_package(template, repository):
    for name, binary in BINARIES.items():
        function = template["Resources"][name]
        assert function["Metadata"] == {
            "BuildMethod": "rust-cargolambda",
            "BuildProperties": {"Binary": binary},
        }
        assert function["Properties"]["CodeUri"] == "."
        manifest = (repository / "functions" / binary / "Cargo.toml").read_text(encoding="utf-8")
        assert f'name = "{binary}"' in manifest.splitlines()


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_architecture_is_a_parameter(deploy, architecture):
    functions = deploy(Architecture=architecture).of_type("AWS::Lambda::Function")
    assert [function["Architectures"] for function in functions.values()] == [[architecture]] * 2


def test_arm64_is_the_default(functions):
    assert [function["Architectures"] for function in functions.values()] == [["arm64"]] * 2


def test_the_memory_is_a_parameter(deploy, functions):
    assert [str(function["MemorySize"]) for function in functions.values()] == ["256"] * 2
    functions = deploy(MemorySize="512").of_type("AWS::Lambda::Function")
    assert [function["MemorySize"] for function in functions.values()] == ["512"] * 2


@pytest.mark.parametrize(("parameters", "mode"), [({}, "PassThrough"), ({"TracingEnabled": "true"}, "Active")])
def test_tracing_is_off_unless_asked_for(deploy, parameters, mode):
    functions = deploy(**parameters).of_type("AWS::Lambda::Function")
    assert [function["TracingConfig"] for function in functions.values()] == [{"Mode": mode}] * 2


def test_no_concurrency_is_reserved_unless_asked_for(deploy, functions):
    assert not [function for function in functions.values() if "ReservedConcurrentExecutions" in function]
    for reserved in ("0", "25"):
        functions = deploy(ReservedConcurrency=reserved).of_type("AWS::Lambda::Function")
        assert [function["ReservedConcurrentExecutions"] for function in functions.values()] == [reserved] * 2


def test_the_environment_is_the_documented_configuration(functions):
    for function in functions.values():
        assert function["Environment"]["Variables"] == {
            "ORGANIZATION_TOKEN_SECRET_ARN": SECRET_ARN,
            "AIRBYTE_ORGANIZATION_ID": JWT_PARAMETERS["AirbyteOrganizationId"],
            "ALLOWED_ORIGINS": JWT_PARAMETERS["AllowedOrigins"],
            "AIRBYTE_API_URL": "https://api.airbyte.ai",
            "EXTERNAL_USER_ID_CLAIM": "sub",
            "SECRET_TTL_SECONDS": "300",
            "RUST_LOG": "info",
        }


def test_every_variable_follows_its_parameter(deploy):
    functions = deploy(
        AirbyteApiUrl="https://airbyte.example.com",
        ExternalUserIdClaim="custom:user",
        SecretTtlSeconds="60",
        LogLevel="debug",
    ).of_type("AWS::Lambda::Function")
    for function in functions.values():
        variables = function["Environment"]["Variables"]
        assert variables["AIRBYTE_API_URL"] == "https://airbyte.example.com"
        assert variables["EXTERNAL_USER_ID_CLAIM"] == "custom:user"
        assert variables["SECRET_TTL_SECONDS"] == "60"
        assert variables["RUST_LOG"] == "debug"


def test_no_secret_is_written_into_the_environment(template):
    """Of the secret, only its ARN is known to the template; its value is never resolved at deployment."""
    assert "{{resolve:" not in str(template)
    assert not [p for p in template["Parameters"].values() if p.get("NoEcho")]
    with_secret = [name for name in template["Parameters"] if re.search("secret|token|password", name, re.IGNORECASE)]
    assert sorted(with_secret) == ["OrganizationTokenSecretArn", "SecretKmsKeyArn", "SecretTtlSeconds"]


def test_log_lines_arrive_as_they_are_printed_in_the_functions_own_group(stack, functions):
    for name, function in functions.items():
        group = name.replace("Function", "LogGroup")
        assert function["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"${{{group}}}"}
        assert group in stack.of_type("AWS::Logs::LogGroup")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("AirbyteOrganizationId", "my-organization"),
        ("AirbyteApiUrl", "http://api.airbyte.ai"),
        ("OrganizationTokenSecretArn", "airbyte/organization-token"),
        ("OrganizationTokenSecretArn", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:*"),
        ("SecretKmsKeyArn", "arn:aws:kms:eu-central-1:123456789012:alias/key"),
        ("ExternalUserIdClaim", ""),
        ("SecretTtlSeconds", "0"),
        ("Architecture", "riscv64"),
        ("LogLevel", "chatty"),
        ("LogRetentionDays", "2"),
        ("ReservedConcurrency", "-2"),
        ("TracingEnabled", "yes"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_deployed(deploy, parameter, value):
    with pytest.raises(AssertionError, match=f"{parameter} does not take"):
        deploy(**{parameter: value})
