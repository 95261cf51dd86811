import re
from pathlib import Path

import pytest

import cloudformation
from parameters import EVERYTHING, JWT_PARAMETERS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def template() -> dict:
    return cloudformation.load(REPOSITORY / "template.yaml")


@pytest.fixture(scope="session")
def deploy(template):
    """The stack with JWT_PARAMETERS (or `base`), and other parameters by name."""

    def deploy(base: dict = JWT_PARAMETERS, **parameters: str) -> cloudformation.Stack:
        return cloudformation.Stack(template, base | parameters)

    return deploy


@pytest.fixture(scope="session")
def stack(deploy) -> cloudformation.Stack:
    """The stack with the required parameters alone."""
    return deploy()


@pytest.fixture(scope="session")
def everything(template) -> dict:
    """Parameter values with which every resource of the template exists."""
    made = cloudformation.Stack(template, EVERYTHING).resources
    assert template["Resources"].keys() <= made.keys()
    return EVERYTHING


@pytest.fixture(scope="session")
def emitted() -> set[str]:
    """The string literals of the modules that print the functions' metrics."""
    files = (REPOSITORY / "shared/src/telemetry").glob("*.rs")
    sources = (path.read_text(encoding="utf-8").split("#[cfg(test)]")[0] for path in files)
    return {literal for source in sources for literal in re.findall(r'"([A-Za-z]+)"', source)}
