"""The two functions: how they are built, run and configured."""

import copy
import re

import cfnlint.schema
import pytest

import cloudformation
from parameters import JWT_PARAMETERS, SECRET_ARN

BINARIES = {"MintTokenFunction": "mint-token", "CreateSourceFunction": "create-source"}


@pytest.fixture(scope="module")
def functions(stack) -> dict:
    return stack.of_type("AWS::Lambda::Function")


def test_creates_two_functions(functions):
    assert functions.keys() == BINARIES.keys()


def test_uses_os_only_runtime(functions):
    for function in functions.values():
        assert (function["Runtime"], function["Handler"]) == ("provided.al2023", "bootstrap")


def test_builds_each_from_its_own_package(template, repository):
    for name, binary in BINARIES.items():
        function = template["Resources"][name]
        assert function["Metadata"]["BuildMethod"] == "rust-cargolambda"
        assert function["Metadata"]["BuildProperties"] == {"Binary": binary}
        assert function["Properties"]["CodeUri"] == "."
        manifest = (repository / "functions" / binary / "Cargo.toml").read_text(encoding="utf-8")
        assert f'name = "{binary}"' in manifest.splitlines()


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_architecture_follows_parameter(deploy, architecture):
    functions = deploy(Architecture=architecture).of_type("AWS::Lambda::Function")
    assert [function["Architectures"] for function in functions.values()] == [[architecture]] * 2


def test_architecture_defaults_to_arm64(functions):
    assert [function["Architectures"] for function in functions.values()] == [["arm64"]] * 2


def test_memory_follows_parameter(deploy, functions):
    assert [str(function["MemorySize"]) for function in functions.values()] == ["256"] * 2
    functions = deploy(MemorySize="512").of_type("AWS::Lambda::Function")
    assert [function["MemorySize"] for function in functions.values()] == ["512"] * 2


@pytest.mark.parametrize(("parameters", "mode"), [({}, "PassThrough"), ({"TracingEnabled": "true"}, "Active")])
def test_traces_only_if_enabled(deploy, parameters, mode):
    functions = deploy(**parameters).of_type("AWS::Lambda::Function")
    assert [function["TracingConfig"] for function in functions.values()] == [{"Mode": mode}] * 2


def test_reserves_concurrency_only_if_set(deploy, functions):
    assert not [function for function in functions.values() if "ReservedConcurrentExecutions" in function]
    for reserved in ("0", "25"):
        functions = deploy(ReservedConcurrency=reserved).of_type("AWS::Lambda::Function")
        assert [function["ReservedConcurrentExecutions"] for function in functions.values()] == [reserved] * 2


def test_environment_is_documented_configuration(functions):
    for function in functions.values():
        assert function["Environment"]["Variables"] == {
            "ORGANIZATION_TOKEN_SECRET_ARN": SECRET_ARN,
            "AIRBYTE_ORGANIZATION_ID": JWT_PARAMETERS["AirbyteOrganizationId"],
            "ALLOWED_ORIGINS": JWT_PARAMETERS["AllowedOrigins"],
            "AIRBYTE_API_URL": "https://api.airbyte.ai",
            "EXTERNAL_USER_ID_CLAIM": "sub",
            "SECRET_TTL_SECONDS": "300",
            "AIRBYTE_API": "embedded",
            "STATE_TABLE": "${State}",
            "RUST_LOG": "info",
        }


def test_variables_follow_parameters(deploy):
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


REGION_ID = "11111111-2222-3333-4444-555555555555"

# Parameters of the generation `agents`, and the variables that they add. A variable is there only if its parameter is.
AGENTS = {
    "nothing": ({}, {}),
    "bearer": ({"AirbyteSourcesBearer": "organization"}, {"AIRBYTE_SOURCES_BEARER": "organization"}),
    "region": ({"AirbyteRegionId": REGION_ID}, {"AIRBYTE_REGION_ID": REGION_ID}),
    "source tags": (
        {"SourceTemplateTags": "a, b"},
        {"SOURCE_TEMPLATE_TAGS": "a,b", "SOURCE_TEMPLATE_TAGS_MODE": "any"},
    ),
    "connection tags": (
        {"ConnectionTemplateTags": "a", "ConnectionTemplateTagsMode": "all"},
        {"CONNECTION_TEMPLATE_TAGS": "a", "CONNECTION_TEMPLATE_TAGS_MODE": "all"},
    ),
}


@pytest.mark.parametrize(("parameters", "variables"), AGENTS.values(), ids=AGENTS)
def test_sets_variables_of_agents_api(deploy, functions, parameters, variables):
    stack = deploy(AirbyteApi="agents", **parameters)
    assert stack.broken_rules() == []
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        usual = functions[name]["Environment"]["Variables"]
        assert function["Environment"]["Variables"] == usual | {"AIRBYTE_API": "agents"} | variables


@pytest.mark.parametrize("parameter", ["AirbyteSourcesBearer", "AirbyteRegionId", "SourceTemplateTags", "ConnectionTemplateTags"])
def test_embedded_api_rejects_settings_of_agents_api(deploy, parameter):
    [parameters] = [parameters for parameters, _ in AGENTS.values() if parameter in parameters]
    (description,) = deploy(**parameters).broken_rules()
    assert parameter in description


@pytest.mark.parametrize("parameter", ["SourceTemplateTags", "ConnectionTemplateTags"])
def test_tags_mode_needs_tags(deploy, parameter):
    (description,) = deploy(AirbyteApi="agents", **{f"{parameter}Mode": "all"}).broken_rules()
    assert f"{parameter}Mode" in description


def test_environment_contains_no_secret(template):
    """The template contains the secret's ARN only; CloudFormation never resolves its value."""
    assert "{{resolve:" not in str(template)
    assert not [p for p in template["Parameters"].values() if p.get("NoEcho")]
    with_secret = [name for name in template["Parameters"] if re.search("secret|token|password", name, re.IGNORECASE)]
    assert sorted(with_secret) == ["OrganizationTokenSecretArn", "SecretKmsKeyArn", "SecretTtlSeconds"]


def test_logs_unchanged_lines_to_own_group(stack, functions):
    for name, function in functions.items():
        group = name.replace("Function", "LogGroup")
        assert function["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"${{{group}}}"}
        assert group in stack.of_type("AWS::Logs::LogGroup")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("AirbyteOrganizationId", "my-organization"),
        ("AirbyteApi", "cloud"),
        ("AirbyteRegionId", "eu"),
        ("Deployment", "Linear10PercentEvery1Minute"),
        ("PermissionsBoundary", "boundary"),
        ("LogKmsKeyArn", "alias/logs"),
        ("IpAddressType", "ipv6"),
        ("AlarmTopicArn", "arn:aws:sns:eu-central-1:123456789012:on-call.fifo"),
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
def test_rejects_invalid_value(deploy, parameter, value):
    with pytest.raises(cloudformation.TemplateError, match=f"^Parameters.{parameter}: "):
        deploy(**{parameter: value})


def versioned(stack) -> dict[str, dict]:
    """What a published version of each function contains. The concurrency is the function's, not the version's."""
    return {
        name: {key: value for key, value in function.items() if key != "ReservedConcurrentExecutions"}
        for name, function in stack.of_type("AWS::Lambda::Function").items()
    }


def versions(stack) -> dict[str, dict]:
    return stack.of_type("AWS::Lambda::Version")


def test_alias_is_the_published_version(stack):
    aliases = stack.of_type("AWS::Lambda::Alias")
    assert {alias["FunctionName"].strip("${}"): alias["Name"] for alias in aliases.values()} == dict.fromkeys(BINARIES, "live")
    published = {f"${{{name}.Version}}": version["FunctionName"] for name, version in versions(stack).items()}
    assert {alias["FunctionVersion"]: alias["FunctionName"] for alias in aliases.values()} == published


def another_value(name: str, parameter: dict) -> str:
    """A value that the parameter takes and that is not its value in `JWT_PARAMETERS` or its default."""
    known = {
        "AllowedOrigins": "https://other.example.com",
        "ExtraAllowedHeaders": "b3",
        "JwtIssuer": "https://other.example.com",
        "JwtScopes": "airbyte/use",
        "AirbyteOrganizationId": "11111111-2222-3333-4444-555555555555",
        "AirbyteApiUrl": "https://airbyte.example.com",
        "OrganizationTokenSecretArn": SECRET_ARN.replace("AbCdEf", "GhIjKl"),
        "AirbyteRegionId": REGION_ID,
        "SecretKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1",
        "PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
        "LogKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1",
        "AlarmEmail": "on-call@example.com",
        "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:on-call",
        "DomainName": "airbyte.example.com",
        "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/1",
        "HostedZoneId": "Z1",
    }
    if name in known:
        return known[name]
    if "AllowedValues" in parameter:
        return next(str(value) for value in parameter["AllowedValues"] if value != parameter["Default"])
    return str(parameter["Default"] + 1) if parameter["Type"] == "Number" else "other"


def test_parameters_that_change_a_function_publish_a_version(template, deploy):
    """SAM does not publish for them, so the numbered configuration must contain every one of them."""
    changing = set()
    for name, parameter in template["Parameters"].items():
        # A mode has an effect only together with tags.
        tags = {name.removesuffix("Mode"): "a"} if name.endswith("TagsMode") else {}
        before, changed = deploy(**tags), deploy(**tags, **{name: another_value(name, parameter)})
        content = [s.resources["Configuration"]["Properties"]["Content"] for s in (before, changed)]
        if versioned(changed) != versioned(before):
            changing.add(name)
            assert content[0] != content[1], name
        else:
            # Lambda rejects publishing a version of a function that has not changed.
            assert content[0] == content[1], name
    assert {"AllowedOrigins", "MemorySize", "TracingEnabled", "SourceTemplateTagsMode"} <= changing


def test_configuration_number_is_part_of_function_and_version(stack):
    """CloudFormation replaces a version when its description changes, and the function has changed then as well."""
    for version in versions(stack).values():
        assert version["Description"] == "configuration ${Configuration.VersionNumber}"
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert function["Description"].endswith("(configuration ${Configuration.VersionNumber})")


def test_description_change_replaces_a_version():
    """By the schema that CloudFormation publishes; likewise the number is new when the content changes."""
    schemas = cfnlint.schema.PROVIDER_SCHEMA_MANAGER
    for kind, property in {"AWS::Lambda::Version": "Description", "AWS::AppConfig::HostedConfigurationVersion": "Content"}.items():
        schema = schemas.get_resource_schema("eu-central-1", kind).schema
        assert f"/properties/{property}" in schema["createOnlyProperties"]


def test_code_change_publishes_a_version(template, stack, monkeypatch):
    monkeypatch.setattr(cloudformation, "CODE_URI", "s3://bucket/other-package.zip")
    assert versions(cloudformation.Stack(template, JWT_PARAMETERS)).keys().isdisjoint(versions(stack))


def test_template_change_publishes_a_version(template, stack):
    changed = copy.deepcopy(template)
    changed["Globals"]["Function"]["Timeout"] = 27
    assert versions(cloudformation.Stack(changed, JWT_PARAMETERS)).keys().isdisjoint(versions(stack))


def test_keeps_versions_to_roll_back_to(stack):
    for resource in stack.resources.values():
        if resource["Type"] == "AWS::Lambda::Version":
            assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
        else:
            assert resource.get("DeletionPolicy", "Delete") == "Delete"


def test_shifts_traffic_at_once_by_default(stack):
    assert not [name for name, resource in stack.resources.items() if resource["Type"].startswith("AWS::CodeDeploy::")]
    assert not [name for name, resource in stack.resources.items() if "UpdatePolicy" in resource]


def test_canary_rolls_back_by_alarms(deploy):
    stack = deploy(Deployment="Canary10Percent5Minutes")
    for name in BINARIES:
        policy = stack.resources[f"{name}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = stack.of_type("AWS::CodeDeploy::DeploymentGroup")[policy["DeploymentGroupName"].strip("${}")]
        assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
        assert group["ServiceRoleArn"] == "${DeploymentRole.Arn}"
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert group["AlarmConfiguration"]["Enabled"] is True
        alarms = {alarm["Name"].strip("${}") for alarm in group["AlarmConfiguration"]["Alarms"]}
        assert alarms <= stack.of_type("AWS::CloudWatch::Alarm").keys()
        assert f"{name.removesuffix('Function')}FailedInvocationsAlarm" in alarms
        assert f"{name.removesuffix('Function')}ServerErrorsAlarm" in alarms


def test_canary_requires_alarms(deploy):
    (description,) = deploy(Deployment="Canary10Percent5Minutes", AlarmsEnabled="false").broken_rules()
    assert "AlarmsEnabled" in description
    assert deploy(AlarmsEnabled="false").broken_rules() == []
