"""The programs in the packages run on Lambda: under AWS's own emulator, and by their binary format."""

import base64
import json
import os
import re
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

import openapi
from programs import ARCHITECTURE, FUNCTIONS, REPOSITORY, Airbyte, function_environment, lambda_emulator

# The version in Amazon Linux 2023 (provided.al2023). A program that needs a newer symbol does not start there.
AMAZON_LINUX_GLIBC = (2, 34)

# Parts of glibc, the only libraries that provided.al2023 guarantees.
GLIBC_LIBRARIES = {"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}

# About 7 % more than the current size. A larger package means a longer cold start.
MAX_PACKAGE_BYTES = 2_350_000

# The unwinding tables have about 110,000 bytes, but only 5,000 if a panic aborts.
MIN_LANDING_PAD_BYTES = 50_000

EVENTS = sorted((REPOSITORY / "events").glob("*.json"))


@pytest.fixture(scope="session")
def invoke(bootstraps, simulator, secrets_manager):
    """Functions that invoke the running functions, by name."""
    secret = secrets_manager.create("package-test", json.dumps({"organization_token": Airbyte.ORGANIZATION_TOKEN}))
    environment = function_environment(simulator, secrets_manager.url, secret)
    with (
        lambda_emulator(bootstraps["mint-token"], environment) as mint_token,
        lambda_emulator(bootstraps["create-source"], environment) as create_source,
        lambda_emulator(bootstraps["create-source"], environment | {"AIRBYTE_API": "agents"}) as create_source_agents,
    ):
        yield {"mint-token": mint_token, "create-source": create_source, "create-source-agents": create_source_agents}


def test_has_events_for_both_functions():
    assert {name for name in FUNCTIONS for path in EVENTS if path.stem.startswith(name)} == set(FUNCTIONS)


@pytest.mark.parametrize("path", [path for path in EVENTS if path.stem.startswith("mint-token")], ids=lambda path: path.stem)
def test_mints_token(invoke, simulator, path):
    response = invoke["mint-token"](json.loads(path.read_text(encoding="utf-8")))
    assert response["statusCode"] == 200, response
    body = json.loads(response["body"])
    assert openapi.errors({"$ref": "#/components/schemas/MintResponse"}, body) == []
    opened = json.loads(base64.b64decode(body["token"]))
    assert opened == {"token": body["scopedToken"], "widgetUrl": body["widgetUrl"]}
    assert body["widgetUrl"].startswith(f"{simulator.url}/embedded-widget?workspaceId={body['workspaceId']}&")


@pytest.mark.parametrize("path", [path for path in EVENTS if path.stem.startswith("create-source")], ids=lambda path: path.stem)
def test_creates_source(invoke, simulator, path):
    before = {source["id"] for source in simulator.sources()}
    function = path.stem if path.stem in invoke else "create-source"
    response = invoke[function](json.loads(path.read_text(encoding="utf-8")))
    assert response["statusCode"] == 201, response
    created = [source for source in simulator.sources() if source["id"] not in before]
    assert [source["id"] for source in created] == [json.loads(response["body"])["id"]]
    assert [source["external_user_id"] for source in created] == ["alice"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_executable(bootstraps, name):
    assert bootstraps[name].name == "bootstrap"
    assert os.access(bootstraps[name], os.X_OK)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_small(zips, name):
    assert zips[name].stat().st_size <= MAX_PACKAGE_BYTES


@pytest.fixture(params=FUNCTIONS)
def program(bootstraps, request):
    with bootstraps[request.param].open("rb") as file:
        yield ELFFile(file)


def test_has_architecture(program):
    assert program.get_machine_arch() == {"x86_64": "x64", "arm64": "AArch64"}[ARCHITECTURE]


def test_needs_libraries_of_amazon_linux_only(program):
    needed = {tag.needed for tag in program.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}
    assert needed
    assert needed <= GLIBC_LIBRARIES


def test_needs_symbols_of_amazon_linux_only(program):
    versions = set()
    for section in program.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            versions |= {version.name for _, needed in section.iter_versions() for version in needed}
    numbers = {tuple(map(int, number.split("."))) for number in re.findall(r"GLIBC_([0-9.]+)", " ".join(versions))}
    assert numbers
    assert max(numbers) <= AMAZON_LINUX_GLIBC


def test_unwinds_panics(program):
    """A panic must result in a problem. By default, `cargo lambda build` makes panics abort the process."""
    assert program.get_section_by_name(".gcc_except_table").data_size > MIN_LANDING_PAD_BYTES
