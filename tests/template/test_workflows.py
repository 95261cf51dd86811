"""The GitHub workflows: valid, without known weaknesses, and with no more rights than they need."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

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
def test_linters_accept_workflows(command):
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


def jobs(name: str) -> dict:
    return load(name)["jobs"]


def test_ci_runs_the_script_for_everyone():
    assert "bash .ci/run" in [step.get("run") for step in steps(load("ci.yml"))]


def test_deploys_tags_after_their_tests():
    deploy = load("deploy.yml")
    assert deploy["on"] == {"push": {"tags": ["v*"]}}
    assert deploy["jobs"]["test"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in load("ci.yml")["on"]
    assert set(deploy["jobs"]["deploy"]["needs"]) == {"test", "build"}
    # Nothing is built or tested of a tag that is not on the default branch.
    assert deploy["jobs"]["build"]["needs"] == deploy["jobs"]["test"]["needs"] == "tag"


def test_smoke_test_is_the_last_step():
    assert "make smoke" in jobs("deploy.yml")["deploy"]["steps"][-1]["run"]


def test_builds_and_deploys_one_architecture():
    """A stack keeps its parameters, but not the binaries of its architecture."""
    build, deploy = jobs("deploy.yml")["build"], jobs("deploy.yml")["deploy"]
    [built] = [step for step in build["steps"] if "sam build" in step.get("run", "")]
    [deployed] = [step for step in deploy["steps"] if "sam deploy" in step.get("run", "")]
    for step in (built, deployed):
        assert '--parameter-overrides "Architecture=$ARCHITECTURE"' in step["run"]
    assert 'architecture=$ARCHITECTURE" >> "$GITHUB_OUTPUT"' in built["run"]
    assert build["outputs"] == {"architecture": "${{ steps.build.outputs.architecture }}"}
    assert deploy["env"]["ARCHITECTURE"] == "${{ needs.build.outputs.architecture }}"


def test_permissions_are_minimal():
    assert load("ci.yml")["permissions"] == {"contents": "read"}
    assert load("deploy.yml")["permissions"] == {}
    read = {"contents": "read"}
    assert {name: job["permissions"] for name, job in jobs("deploy.yml").items()} == {
        "tag": read,
        "test": read,
        # What compiles dependencies gets no token.
        "build": read,
        "attest": {"attestations": "write", "id-token": "write"},
        "deploy": {**read, "id-token": "write"},
    }


def test_only_the_environment_reaches_aws():
    with_credentials = [
        name
        for name, job in jobs("deploy.yml").items()
        if any("configure-aws-credentials" in step.get("uses", "") for step in job.get("steps", []))
    ]
    assert with_credentials == ["deploy"]
    assert [name for name, job in jobs("deploy.yml").items() if "environment" in job] == ["deploy"]


def test_uses_no_secrets():
    for name in ("ci.yml", "deploy.yml"):
        assert "secrets." not in (WORKFLOWS / name).read_text(encoding="utf-8")


def test_actions_are_pinned_to_commits():
    used = [step["uses"] for name in ("ci.yml", "deploy.yml") for step in steps(load(name)) if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def requirements(path: Path) -> dict[str, str]:
    """The pinned versions, by the packages' normalized names."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pins = [re.match(r"([\w.-]+)==([^\s;\\]+)", line) for line in lines]
    return {re.sub(r"[-_.]+", "-", pin[1]).lower(): pin[2] for pin in pins if pin}


REQUIREMENTS = {"aws-sam-cli": "tests/requirements.txt", "cargo-lambda": "local/requirements.txt"}


@pytest.mark.parametrize(("tool", "pins"), REQUIREMENTS.items())
def test_hashed_tools_are_those_of_the_makefile(repository, tool, pins):
    """Other versions than those that are tested must not deploy."""
    path = repository / f".github/requirements/{tool}.txt"
    hashed, pinned = requirements(path), requirements(repository / pins)
    assert hashed[tool] == pinned[tool]
    assert hashed.items() <= pinned.items()
    entries = re.split(r"^(?=[\w.-]+==)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(entries) == len(hashed)
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_installs_packages_by_their_hashes():
    installs = [step["run"] for step in steps(load("deploy.yml")) if "pip install" in step.get("run", "")]
    assert len(installs) == 2
    for script in installs:
        assert "--require-hashes --no-deps --only-binary :all:" in script
        files = re.findall(r"--requirement (\S+)", script)
        assert files and all((WORKFLOWS.parents[1] / file).exists() for file in files)


def test_hashed_tools_are_complete(repository):
    """They are installed without looking up dependencies, so that nothing without a hash is."""
    listed = requirements(repository / ".github/requirements/aws-sam-cli.txt").keys()
    missing, seen, queue = set(), set(), [("aws-sam-cli", frozenset())]
    while queue:
        package, extras = queue.pop()
        if (package, extras) in seen:
            continue
        seen.add((package, extras))
        if package not in listed:
            missing.add(package)
            continue
        for requirement in map(Requirement, importlib.metadata.requires(package) or []):
            environments = [{"extra": extra, "python_version": "3.12", "python_full_version": "3.12.3"} for extra in extras | {""}]
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                name = re.sub(r"[-_.]+", "-", requirement.name).lower()
                queue.append((name, frozenset(requirement.extras)))
    assert missing == set()
    assert len(seen) > 50
