"""The GitHub workflows: valid, without known weaknesses, and with no more rights than they need."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOOLS = Path(sys.executable).parent
WORKFLOWS = Path(__file__).resolve().parents[2] / ".github" / "workflows"


def load(name: str) -> dict:
    return yaml.load((WORKFLOWS / name).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize(
    "command",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        ["zizmor", "--offline", "--no-progress"],
    ],
    ids=lambda command: command[0],
)
def test_the_linters_have_nothing_to_say(command):
    files = sorted(WORKFLOWS.glob("*.yml"))
    assert {file.name for file in files} == {"ci.yml", "deploy.yml"}
    result = subprocess.run(
        [TOOLS / command[0], *command[1:], *files],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout


def test_ci_runs_what_everybody_runs():
    assert "bash .ci/run" in [step.get("run") for step in steps(load("ci.yml"))]


def test_a_tag_deploys_once_its_tests_have_passed():
    deploy = load("deploy.yml")
    assert deploy["on"] == {"push": {"tags": ["v*"]}}
    assert deploy["jobs"]["deploy"]["needs"] == "test"
    assert deploy["jobs"]["test"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in load("ci.yml")["on"]


def test_what_is_built_is_what_is_deployed():
    """A stack keeps its parameters, but not its architecture's binaries: both steps must be told the same one."""
    runs = [step["run"] for step in steps(load("deploy.yml")) if "sam " in step.get("run", "")]
    assert [re.search(r"sam (\w+)", run)[1] for run in runs] == ["build", "deploy"]
    assert all('--parameter-overrides "Architecture=$ARCHITECTURE"' in run for run in runs)


def test_rights_are_the_least_and_there_are_no_keys():
    ci, deploy = load("ci.yml"), load("deploy.yml")
    assert ci["permissions"] == {"contents": "read"}
    assert deploy["permissions"] == {}
    assert deploy["jobs"]["test"]["permissions"] == {"contents": "read"}
    assert deploy["jobs"]["deploy"]["permissions"] == {"contents": "read", "id-token": "write"}
    for name in ("ci.yml", "deploy.yml"):
        assert "secrets." not in (WORKFLOWS / name).read_text(encoding="utf-8")


def test_actions_are_pinned_to_commits():
    used = [step["uses"] for name in ("ci.yml", "deploy.yml") for step in steps(load(name)) if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
