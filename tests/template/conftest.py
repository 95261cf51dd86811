import re
from pathlib import Path

import pytest

import cloudformation
from parameters import JWT_PARAMETERS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def template() -> dict:
    return cloudformation.load(REPOSITORY / "template.yaml")


@pytest.fixture(scope="session")
def deploy(template):
    """The stack that the template makes of JWT_PARAMETERS (or `base`) and others given by name."""

    def deploy(base: dict = JWT_PARAMETERS, **parameters: str) -> cloudformation.Stack:
        return cloudformation.Stack(template, base | parameters)

    return deploy


@pytest.fixture(scope="session")
def stack(deploy) -> cloudformation.Stack:
    """The stack with the parameters that an owner must give."""
    return deploy()


@pytest.fixture(scope="session")
def emitted() -> set[str]:
    """What the functions print metrics with: the words in quotation marks in the one module that prints them."""
    source = (REPOSITORY / "shared" / "src" / "telemetry.rs").read_text(encoding="utf-8")
    return set(re.findall(r'"([A-Za-z]+)"', source.split("#[cfg(test)]")[0]))
