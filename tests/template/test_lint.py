"""AWS's linters accept the template, and what SAM and the parameters make of it."""

import copy
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import cfnlint.api
import pytest

import cloudformation
from parameters import EVERYTHING, IAM_PARAMETERS, JWT_PARAMETERS

TOOLS = Path(sys.executable).parent

# Of each of AWS's partitions one region.
REGIONS = ["eu-central-1", "us-east-1", "us-gov-west-1", "cn-north-1"]


def run(repository: Path, home: Path, *command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"AWS_DEFAULT_REGION": "eu-central-1", "SAM_CLI_TELEMETRY": "0", "HOME": str(home)}
    return subprocess.run(
        [TOOLS / command[0], *command[1:]],
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


def test_sam_validate_accepts_template(repository, tmp_path):
    result = run(repository, tmp_path, "sam", "validate", "--lint", "--template-file", "template.yaml")
    assert result.returncode == 0, result.stdout
    assert "is a valid SAM Template" in result.stdout


@pytest.mark.parametrize("region", REGIONS)
def test_cfn_lint_accepts_template(repository, tmp_path, region):
    result = run(repository, tmp_path, "cfn-lint", "--regions", region, "--template", "template.yaml")
    assert (result.returncode, result.stdout) == (0, "")


def test_linters_report_an_invalid_property(repository, tmp_path):
    broken = tmp_path / "template.yaml"
    text = (repository / "template.yaml").read_text(encoding="utf-8")
    broken.write_text(text.replace("AutoDeploy:", "AutoDeployment:"), encoding="utf-8")
    for command in (["sam", "validate", "--lint", "--template-file"], ["cfn-lint", "--template"]):
        result = run(repository, tmp_path, *command, str(broken))
        assert result.returncode != 0
        assert "AutoDeployment" in result.stdout


# How each condition of the template becomes true and false. A condition of several parameters is listed by those.
CHOICES = {
    "UsesJwt": [JWT_PARAMETERS | {"AuthorizerType": "JWT"}, IAM_PARAMETERS],
    "HasJwtScopes": [{"JwtScopes": "airbyte/use,openid"}, {"JwtScopes": ""}],
    "HasExtraAllowedHeaders": [{"ExtraAllowedHeaders": "b3"}, {"ExtraAllowedHeaders": ""}],
    "HasSecretKmsKey": [{"SecretKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1"}, {"SecretKmsKeyArn": ""}],
    "UsesOrganizationBearer": [{"AirbyteSourcesBearer": "organization"}, {"AirbyteSourcesBearer": "scoped"}],
    "HasAirbyteRegionId": [{"AirbyteRegionId": "11111111-2222-3333-4444-555555555555"}, {"AirbyteRegionId": ""}],
    "HasSourceTemplateTags": [{"SourceTemplateTags": "a,b"}, {"SourceTemplateTags": ""}],
    "HasConnectionTemplateTags": [{"ConnectionTemplateTags": "a,b"}, {"ConnectionTemplateTags": ""}],
    "HasStateTable": [{"StateTable": "true"}, {"StateTable": "false"}],
    "ShiftsTraffic": [{"Deployment": "Canary10Percent5Minutes"}, {"Deployment": "AllAtOnce"}],
    "HasPermissionsBoundary": [
        {"PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary"},
        {"PermissionsBoundary": ""},
    ],
    "ReservesConcurrency": [{"ReservedConcurrency": "0"}, {"ReservedConcurrency": "-1"}],
    "HasLogKmsKey": [{"LogKmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1"}, {"LogKmsKeyArn": ""}],
    "ProtectsLogs": [{"LogDeletionProtection": "true"}, {"LogDeletionProtection": "false"}],
    "HasAlarms": [{"AlarmsEnabled": "true"}, {"AlarmsEnabled": "false"}],
    "HasAlarmTopicArn": [
        {"AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:on-call", "AlarmEmail": ""},
        {"AlarmTopicArn": ""},
    ],
    "CreateEmailSubscription": [{"AlarmEmail": "on-call@example.com", "AlarmTopicArn": ""}, {"AlarmEmail": ""}],
    "HasRecoveryMessages": [{"RecoveryMessagesEnabled": "true"}, {"RecoveryMessagesEnabled": "false"}],
    "HasDashboard": [{"DashboardEnabled": "true"}, {"DashboardEnabled": "false"}],
    "HasTraces": [{"TracingEnabled": "true"}, {"TracingEnabled": "false"}],
    "IsDualStack": [{"IpAddressType": "dualstack"}, {"IpAddressType": "ipv4"}],
    "HasDomainName": [
        {name: EVERYTHING[name] for name in ("DomainName", "CertificateArn")},
        {"DomainName": "", "CertificateArn": "", "HostedZoneId": "", "DisableExecuteApiEndpoint": "false"},
    ],
    "CreateDnsRecord": [{"HostedZoneId": "Z0123456789ABC"}, {"HostedZoneId": ""}],
    "DisablesExecuteApiEndpoint": [{"DisableExecuteApiEndpoint": "true"}, {"DisableExecuteApiEndpoint": "false"}],
}
# Conditions that combine others.
COMBINED = {"CreateAlarmTopic", "CreateIpv6DnsRecord", "WatchesStateTable"}


def conditions_of(part, template: dict) -> set[str]:
    """The conditions that a part of a template depends on."""
    found = set()
    if isinstance(part, list):
        for item in part:
            found |= conditions_of(item, template)
    elif isinstance(part, dict):
        if isinstance(part.get("Condition"), str):
            found |= {part["Condition"]} | conditions_of(template["Conditions"].get(part["Condition"]), template)
        if "Fn::If" in part:
            name = part["Fn::If"][0]
            found |= {name} | conditions_of(template["Conditions"][name], template)
        for item in part.values():
            found |= conditions_of(item, template)
    return found


def parameters(row: dict[str, int]) -> dict:
    # The authorizer first, because it has all of the required parameters.
    values = dict(CHOICES["UsesJwt"][row.get("UsesJwt", 0)])
    for name, choices in CHOICES.items():
        if name != "UsesJwt" and name in row:
            values |= choices[row[name]]
    return values


def test_combinations_know_every_condition(template):
    assert template["Conditions"].keys() == CHOICES.keys() | COMBINED


def applied(stack: cloudformation.Stack, resources: dict) -> dict:
    """Resources with parameters and conditions replaced by their values."""

    def simplified(value):
        match value:
            case list():
                return [item for item in map(simplified, value) if item is not cloudformation.NO_VALUE]
            case {"Fn::If": [condition, yes, no]}:
                return simplified(yes if stack.holds(condition) else no)
            case {"Ref": "AWS::NoValue"}:
                return cloudformation.NO_VALUE
            case {"Ref": name} if name in stack.parameters:
                return stack.parameters[name]
            case {"Fn::Sub": str(text)}:
                for name, given in stack.parameters.items():
                    text = text.replace(f"${{{name}}}", str(given))
                return {"Fn::Sub": text} if "${" in text else text
            case dict():
                items = {name: simplified(item) for name, item in value.items() if name != "Condition" or isinstance(item, dict)}
                return {name: item for name, item in items.items() if item is not cloudformation.NO_VALUE}
        return value

    return simplified({name: resource for name, resource in resources.items() if stack.holds(resource.get("Condition"))})


def lint(resources: dict, *ignored: str, regions: list[str] = REGIONS) -> list[str]:
    # W3011 wants a DeletionPolicy where there is an UpdateReplacePolicy, which SAM also sets on functions and aliases.
    config = cfnlint.api.ManualArgs(regions=regions, ignore_checks=["W3011", *ignored])
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
    return [str(match) for match in cfnlint.api.lint(json.dumps(template), config=config)]


def variants(template: dict) -> list[tuple[str, dict]]:
    """Every resource, as it is under every combination of the conditions that it depends on."""
    found = []
    for deployment in CHOICES["ShiftsTraffic"]:
        stack = cloudformation.Stack(template, EVERYTHING | deployment)
        for name, resource in stack.template["Resources"].items():
            conditions = sorted(conditions_of(resource, stack.template) & CHOICES.keys())
            distinct = {}
            for indexes in itertools.product((0, 1), repeat=len(conditions)):
                row = dict(zip(conditions, indexes))
                applicable = with_parameters(stack, EVERYTHING | parameters(row) | deployment)
                if applicable.holds(resource.get("Condition")):
                    variant = applied(applicable, {name: resource})[name]
                    distinct[json.dumps(variant)] = variant
            found += [(name, variant) for variant in distinct.values()]
    return found


def with_parameters(stack: cloudformation.Stack, values: dict) -> cloudformation.Stack:
    """The stack with other values of parameters that the transform does not evaluate."""
    other = copy.copy(stack)
    other.parameters = dict(stack.parameters)
    for name, declaration in cloudformation.declared_parameters(stack.template).items():
        value = str(values.get(name, declaration.get("Default")))
        is_list = cloudformation.is_list(declaration)
        other.parameters[name] = cloudformation.items_of(declaration, value) if is_list else value
    other._known = cloudformation.PSEUDO_PARAMETERS | other.parameters
    return other


# CloudFormation takes 500 resources, of which the template has about 60.
VARIANTS_PER_TEMPLATE = 400


def test_cfn_lint_accepts_what_is_deployed(template):
    """The linter does not expand SAM's resources, so it gets them expanded here: all variants beside each other."""
    stack = cloudformation.Stack(template, EVERYTHING)
    resources = applied(stack, stack.template["Resources"])
    assert lint(resources) == []
    all_variants = variants(template)
    assert {name for name, _ in all_variants} >= resources.keys()
    for start in range(0, len(all_variants), VARIANTS_PER_TEMPLATE):
        chunk = all_variants[start : start + VARIANTS_PER_TEMPLATE]
        named = {f"{name}Variant{number}": variant for number, (name, variant) in enumerate(chunk)}
        # E3019: variants have the same names.
        assert lint(resources | named, "E3019") == []


def test_cfn_lint_reports_what_is_deployed(template):
    stack = cloudformation.Stack(template, EVERYTHING)
    resources = applied(stack, stack.template["Resources"])
    (alias, *_) = [resource for resource in resources.values() if resource["Type"] == "AWS::Lambda::Alias"]
    alias["Properties"]["FunctionVersio"] = alias["Properties"].pop("FunctionVersion")
    assert any("FunctionVersio" in message for message in lint(resources, regions=REGIONS[:1]))
