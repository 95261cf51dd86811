"""AWS's own linters have nothing to say about the template."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(sys.executable).parent


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


def test_sam_validate_is_clean(repository, tmp_path):
    result = run(repository, tmp_path, "sam", "validate", "--lint", "--template-file", "template.yaml")
    assert result.returncode == 0, result.stdout
    assert "is a valid SAM Template" in result.stdout


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1"])
def test_cfn_lint_is_clean(repository, tmp_path, region):
    result = run(repository, tmp_path, "cfn-lint", "--regions", region, "--template", "template.yaml")
    assert (result.returncode, result.stdout) == (0, "")


def test_the_linters_do_look(repository, tmp_path):
    broken = tmp_path / "template.yaml"
    text = (repository / "template.yaml").read_text(encoding="utf-8")
    broken.write_text(text.replace("AutoDeploy:", "AutoDeployment:"), encoding="utf-8")
    for command in (["sam", "validate", "--lint", "--template-file"], ["cfn-lint", "--template"]):
        result = run(repository, tmp_path, *command, str(broken))
        assert result.returncode != 0
        assert "AutoDeployment" in result.stdout
