"""The release packages, built once by `make build`."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from programs import ARCHITECTURE, FUNCTIONS, REPOSITORY, airbyte, clean_environment, moto, target_directory


@pytest.fixture(scope="session")
def zips() -> dict[str, Path]:
    """The packages by function."""
    subprocess.run(["make", "build", f"ARCH={ARCHITECTURE}"], cwd=REPOSITORY, env=clean_environment(), check=True)
    return {name: target_directory() / "lambda" / name / "bootstrap.zip" for name in FUNCTIONS}


@pytest.fixture(scope="session")
def bootstraps(zips, tmp_path_factory) -> dict[str, Path]:
    """The programs in the packages, unpacked like by Lambda."""
    unpacked = {}
    for name, path in zips.items():
        folder = tmp_path_factory.mktemp(name)
        with zipfile.ZipFile(path) as package:
            [entry] = package.infolist()
            unpacked[name] = Path(package.extract(entry, folder))
            unpacked[name].chmod(entry.external_attr >> 16)
    return unpacked


@pytest.fixture(scope="session")
def secrets_manager():
    with moto() as running:
        yield running


@pytest.fixture(scope="session")
def simulator():
    """The Airbyte simulator."""
    with airbyte() as running:
        yield running
