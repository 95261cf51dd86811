"""The programs in the packages run on Lambda: under AWS's own emulator, and by what they need of the machine."""

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

# Amazon Linux 2023, which provided.al2023 is, has this one; a program that needs a newer symbol does not start there.
AMAZON_LINUX_GLIBC = (2, 34)

# Parts of glibc: nothing else can be relied on in provided.al2023.
GLIBC_LIBRARIES = {"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}

# Bytes that a package may have: some 15 % more than it has. Whatever makes it larger makes each cold start longer.
LARGEST_PACKAGE = 2_170_000

# Bytes that the tables for unwinding have at least. Where a panic aborts, 5,000 are left of some 110,000.
LEAST_LANDING_PADS = 50_000

EVENTS = sorted((REPOSITORY / "events").glob("*.json"))


@pytest.fixture(scope="session")
def invoke(bootstraps, simulator, secrets_manager):
    """Invokes a function, which runs as long as the tests do."""
    secret = secrets_manager.create("package-test", json.dumps({"organization_token": Airbyte.ORGANIZATION_TOKEN}))
    environment = function_environment(simulator, secrets_manager.url, secret)
    with (
        lambda_emulator(bootstraps["mint-token"], environment) as mint_token,
        lambda_emulator(bootstraps["create-source"], environment) as create_source,
    ):
        yield {"mint-token": mint_token, "create-source": create_source}


def test_there_are_events_for_both_functions():
    assert {name for name in FUNCTIONS for path in EVENTS if path.stem.startswith(name)} == set(FUNCTIONS)


@pytest.mark.parametrize("path", [path for path in EVENTS if path.stem.startswith("mint-token")], ids=lambda path: path.stem)
def test_an_event_in_and_a_token_out(invoke, simulator, path):
    answer = invoke["mint-token"](json.loads(path.read_text(encoding="utf-8")))
    assert answer["statusCode"] == 200, answer
    body = json.loads(answer["body"])
    assert openapi.errors({"$ref": "#/components/schemas/MintResponse"}, body) == []
    opened = json.loads(base64.b64decode(body["token"]))
    assert opened == {"token": body["scopedToken"], "widgetUrl": body["widgetUrl"]}
    assert body["widgetUrl"].startswith(f"{simulator.url}/embedded-widget?workspaceId={body['workspaceId']}&")


@pytest.mark.parametrize("path", [path for path in EVENTS if path.stem.startswith("create-source")], ids=lambda path: path.stem)
def test_an_event_in_and_a_source_out(invoke, simulator, path):
    before = {source["id"] for source in simulator.sources()}
    answer = invoke["create-source"](json.loads(path.read_text(encoding="utf-8")))
    assert answer["statusCode"] == 201, answer
    created = [source for source in simulator.sources() if source["id"] not in before]
    assert [source["id"] for source in created] == [json.loads(answer["body"])["id"]]
    assert [source["external_user_id"] for source in created] == ["alice"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_executable(bootstraps, name):
    assert bootstraps[name].name == "bootstrap"
    assert os.access(bootstraps[name], os.X_OK)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_small(zips, name):
    assert zips[name].stat().st_size <= LARGEST_PACKAGE


@pytest.fixture(params=FUNCTIONS)
def program(bootstraps, request):
    with bootstraps[request.param].open("rb") as file:
        yield ELFFile(file)


def test_it_is_for_the_architecture(program):
    assert program.get_machine_arch() == {"x86_64": "x64", "arm64": "AArch64"}[ARCHITECTURE]


def test_amazon_linux_has_the_libraries_that_it_needs(program):
    needed = {tag.needed for tag in program.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}
    assert needed
    assert needed <= GLIBC_LIBRARIES


def test_amazon_linux_has_the_symbols_that_it_needs(program):
    versions = set()
    for section in program.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            versions |= {version.name for _, needed in section.iter_versions() for version in needed}
    numbers = {tuple(map(int, number.split("."))) for number in re.findall(r"GLIBC_([0-9.]+)", " ".join(versions))}
    assert numbers
    assert max(numbers) <= AMAZON_LINUX_GLIBC


def test_a_panic_unwinds(program):
    """A handler's panic is answered with a problem. `cargo lambda build` would have panics end the process by default."""
    assert program.get_section_by_name(".gcc_except_table").data_size > LEAST_LANDING_PADS
