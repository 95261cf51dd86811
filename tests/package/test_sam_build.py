"""`sam build` builds the same programs as `make build`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from programs import ARCHITECTURE, REPOSITORY, clean_environment

# Below target/, so that .aws-sam/ keeps what a deployment needs.
BUILD = REPOSITORY / "target/sam/build"


@pytest.fixture(scope="module")
def built(zips) -> dict[str, Path]:
    """The folders that `sam build` created, by the functions' logical IDs."""
    tools = os.pathsep.join([str(REPOSITORY / ".venv/dev/bin"), os.environ["PATH"]])
    subprocess.run(
        [Path(sys.executable).with_name("sam"), "build", "--build-dir", BUILD]
        + ["--parameter-overrides", f"Architecture={ARCHITECTURE}"],
        cwd=REPOSITORY,
        env=clean_environment(PATH=tools, SAM_CLI_TELEMETRY="0", AWS_DEFAULT_REGION="us-east-1"),
        check=True,
    )
    template = yaml.load((BUILD / "template.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    return {
        name: BUILD / resource["Properties"]["CodeUri"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def test_builds_program_of_each_package(built, bootstraps):
    assert built.keys() == {"MintTokenFunction", "CreateSourceFunction"}
    for name, function in (("MintTokenFunction", "mint-token"), ("CreateSourceFunction", "create-source")):
        assert [path.name for path in built[name].iterdir()] == ["bootstrap"]
        assert (built[name] / "bootstrap").read_bytes() == bootstraps[function].read_bytes()
