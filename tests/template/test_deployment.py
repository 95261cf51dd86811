"""The commands of deploy.yml, run with the real SAM CLI against services that only record what they are asked for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import cloudformation_service
from cloudformation_service import Service
from parameters import JWT_PARAMETERS
from programs import clean_environment
from test_deployer import is_allowed, statements, deployer  # noqa: F401

STACK_NAME = "airbyte-embedded"
EXECUTION_ROLE = "arn:aws:iam::123456789012:role/deployer/ExecutionRole"
API_URL = "https://a1b2c3.execute-api.eu-central-1.amazonaws.com"
TOOLS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def steps(repository) -> dict[str, str]:
    """The scripts of the workflow's steps, by name."""
    workflow = yaml.load((repository / ".github/workflows/deploy.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
    named = {step["name"]: step["run"] for job in workflow["jobs"].values() for step in job.get("steps", []) if "run" in step}
    return named


@pytest.fixture(scope="module")
def checkout(repository, tmp_path_factory) -> Path:
    """The files that the job has: those of the repository, the SAM CLI, and what the job before built."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(repository / "samconfig.toml", folder)
    tools = folder / ".venv/deploy/bin"
    tools.mkdir(parents=True)
    (tools / "sam").symlink_to(TOOLS / "sam")
    template = (repository / "template.yaml").read_text(encoding="utf-8")
    for name in ("MintTokenFunction", "CreateSourceFunction"):
        built = folder / ".aws-sam/build" / name
        built.mkdir(parents=True)
        (built / "bootstrap").write_text(name, encoding="utf-8")
        (built / "bootstrap").chmod(0o755)
        template = template.replace("CodeUri: .\n", f"CodeUri: {name}\n", 1)
    (folder / ".aws-sam/build/template.yaml").write_text(template, encoding="utf-8")
    return folder


def run(script: str, folder: Path, **variables: str) -> str:
    """Runs a step as GitHub does."""
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=clean_environment(HOME=str(folder), SAM_CLI_TELEMETRY="0", **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def deployed(steps, checkout) -> Service:
    """The service after the step `Deploy`."""
    parameters = JWT_PARAMETERS | {"Architecture": "x86_64", "LogLevel": "debug"}
    with cloudformation_service.running(STACK_NAME, parameters, {"ApiUrl": API_URL}) as service:
        variables = {"STACK_NAME": STACK_NAME, "CLOUDFORMATION_ROLE_ARN": EXECUTION_ROLE, "ARCHITECTURE": "arm64"}
        run(steps["Deploy"], checkout, **variables, **service.environment())
        yield service


def test_deploys_with_parameters_of_the_stack(deployed):
    [change_set] = deployed.of("cloudformation:CreateChangeSet")
    given = {member["ParameterKey"]: member for member in change_set.members("Parameters")}
    # The one that must fit the package; CloudFormation keeps the others.
    assert given.pop("Architecture")["ParameterValue"] == "arm64"
    assert given.keys() == deployed.parameters.keys() - {"Architecture"}
    assert all(member["UsePreviousValue"] == "true" for member in given.values())
    assert len(deployed.of("cloudformation:ExecuteChangeSet")) == 1


def test_deploys_with_settings_of_samconfig(deployed):
    [change_set] = deployed.of("cloudformation:CreateChangeSet")
    assert change_set["RoleARN"] == EXECUTION_ROLE
    assert change_set["Capabilities.member.1"] == "CAPABILITY_IAM"
    assert change_set.members("Tags") == [{"Key": "application", "Value": "airbyte-embedded"}]
    assert all("/airbyte-embedded/" in upload["Resource"] for upload in deployed.of("s3:PutObject"))
    # Two packages and the template.
    assert len(deployed.of("s3:PutObject")) == 3


def test_role_allows_every_call(deployed, deployer):  # noqa: F811
    policy = statements(deployer, "DeployRole")
    role = {"cloudformation_RoleArn": "${ExecutionRole.Arn}", "aws_ResourceAccount": cloudformation_service.ACCOUNT}
    for call in deployed.calls:
        resource = call.get("Resource") or f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{call['StackName']}/0"
        assert is_allowed(policy, call.action, resource, **role), (call.action, resource)


def test_artifact_keeps_executables(steps, checkout, tmp_path):
    run(steps["Pack"], checkout)
    # `actions/upload-artifact` and `actions/download-artifact` between them lose a file's mode.
    (tmp_path / "package.tar").write_bytes((checkout / "package.tar").read_bytes())
    run(steps["Unpack"], tmp_path)
    assert os.access(tmp_path / ".aws-sam/build/MintTokenFunction/bootstrap", os.X_OK)
    assert (tmp_path / ".aws-sam/build/template.yaml").exists()


AWS = """#!{python}
# Stands for the AWS CLI: applies --query to what the stack is.
import jmespath, json, sys
arguments = dict(zip(sys.argv[3::2], sys.argv[4::2]))
assert sys.argv[1:3] == ["cloudformation", "describe-stacks"] and arguments["--output"] == "text", sys.argv
assert arguments["--stack-name"] == "{stack}"
print(jmespath.search(arguments["--query"], json.loads({stacks!r})))
"""


def test_smoke_test_uses_address_and_origin_of_the_stack(steps, tmp_path):
    stacks = {
        "Stacks": [
            {
                "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in JWT_PARAMETERS.items()],
                "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": API_URL}],
            }
        ]
    }
    programs = {
        "aws": AWS.format(python=sys.executable, stack=STACK_NAME, stacks=json.dumps(stacks)),
        "make": '#!/bin/sh\nprintf "%s\\n" "$@"\n',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    printed = run(steps["Smoke test"], tmp_path, STACK_NAME=STACK_NAME, PATH=path)
    assert printed.splitlines() == ["smoke", f"API_URL={API_URL}", "ORIGIN=https://app.example.com"]


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone with a branch `main` of two commits, and a commit beside it."""
    origin, folder = tmp_path / "origin", tmp_path / "clone"
    git = "git -c user.name=test -c user.email=test@example.com -c commit.gpgsign=false"
    run(
        f"""git init --quiet --initial-branch main {origin} && cd {origin}
        {git} commit --quiet --allow-empty --message one && git tag v1
        {git} commit --quiet --allow-empty --message two
        git checkout --quiet -b other && {git} commit --quiet --allow-empty --message other && git tag v2
        git clone --quiet {origin} {folder}""",
        tmp_path,
    )
    return folder


def test_accepts_tag_of_an_older_commit_on_main(steps, clone):
    run(f"git checkout --quiet v1\n{steps['Require the tag on the default branch']}", clone, BRANCH="main", GITHUB_REF_NAME="v1")


def test_rejects_tag_beside_main(steps, clone):
    with pytest.raises(AssertionError, match="::error::v2 is not on main"):
        run(f"git checkout --quiet v2\n{steps['Require the tag on the default branch']}", clone, BRANCH="main", GITHUB_REF_NAME="v2")
