"""The browser client's package: its files, types, size, and what the lock files pin."""

import gzip
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from programs import REPOSITORY

CLIENT = REPOSITORY / "clients/web"
EXAMPLE = REPOSITORY / "examples/react"
NODE = REPOSITORY / ".venv/test/bin"

MODULES = ["client", "clock", "form", "index", "react", "renewal", "types", "widget"]
PACKED = {
    "package.json",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    *(f"{module}.js" for module in MODULES),
    *(f"types/{module}.d.ts" for module in MODULES),
}

# What a bundler makes of the package for a page: the entry, and the limit in bytes, compressed.
SIZES = {
    "client": ('export * from "./index.js"', 3 * 1024),
    "client and widget host": ('export * from "./index.js"; export * from "./widget.js"', 5 * 1024),
}


def node(*arguments, cwd, **options):
    environment = os.environ | {"PATH": f"{NODE}:{os.environ['PATH']}"}
    finished = subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The archive that `npm pack` makes."""
    folder = tmp_path_factory.mktemp("package")
    node("npm", "pack", "--pack-destination", folder, cwd=CLIENT)
    [archive] = folder.glob("*.tgz")
    return archive


def test_packs_modules_types_and_licenses(package):
    with tarfile.open(package) as archive:
        assert {name.removeprefix("package/") for name in archive.getnames()} == PACKED


def test_exports_name_packed_files():
    manifest = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))
    named = {path.removeprefix("./") for entry in manifest["exports"].values() for path in entry.values()}
    assert named <= PACKED
    assert "dependencies" not in manifest
    assert manifest["sideEffects"] is False


@pytest.mark.parametrize("name", ["LICENSE-MIT", "LICENSE-APACHE"])
def test_licenses_match_project(name):
    assert (CLIENT / name).read_bytes() == (REPOSITORY / name).read_bytes()


def test_strict_consumer_compiles(package, tmp_path):
    modules = tmp_path / "node_modules"
    modules.mkdir()
    with tarfile.open(package) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "package").rename(modules / "airbyte-embedded-web")
    for dependency in ("@types", "csstype"):
        (modules / dependency).symlink_to(CLIENT / "node_modules" / dependency)
    shutil.copy(REPOSITORY / "tests/web/consumer.tsx", tmp_path)
    compiler = CLIENT / "node_modules/.bin/tsc"
    options = "--strict --noEmit --module nodenext --target es2022 --lib es2023,dom,dom.iterable --jsx react-jsx --types react"
    node(compiler, *options.split(), "consumer.tsx", cwd=tmp_path)


def test_demo_page_has_no_type_errors(tmp_path):
    page = shutil.copytree(REPOSITORY / "examples/web", tmp_path / "page")
    modules = page / "airbyte-embedded-web"
    modules.mkdir()
    for module in set(MODULES) - {"react"}:
        shutil.copy(CLIENT / f"{module}.js", modules)
    compiler = CLIENT / "node_modules/.bin/tsc"
    options = "--allowJs --checkJs --strict --noEmit --module esnext --moduleResolution bundler --target es2022"
    node(compiler, *options.split(), "--lib", "es2023,dom,dom.iterable", "--types", "", *page.glob("*.js"), cwd=page)


def size(entry):
    bundler = EXAMPLE / "node_modules/.bin/esbuild"
    bundle = node(bundler, "--bundle", "--minify", "--format=esm", cwd=CLIENT, input=entry)
    return len(gzip.compress(bundle.encode(), mtime=0))


@pytest.mark.parametrize("name", SIZES)
def test_is_small(name):
    entry, limit = SIZES[name]
    assert size(entry) <= limit


def test_readme_states_sizes():
    text = (CLIENT / "README.md").read_text(encoding="utf-8")
    stated = [float(number) for number in re.findall(r"([\d.]+) KiB", text)][:2]
    measured = [size(entry) / 1024 for entry, _ in SIZES.values()]
    # Another version of zlib makes a few bytes more or less of it.
    assert stated == pytest.approx(measured, abs=0.15)


def test_react_example_builds_for_production():
    node("npm", "run", "build", cwd=EXAMPLE)
    assert "development" not in (EXAMPLE / "dist/main.js").read_text(encoding="utf-8")[:200]


@pytest.mark.parametrize("folder", [CLIENT, EXAMPLE], ids=["client", "example"])
def test_lock_file_pins_packages_and_names_no_host(folder):
    manifest = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    for kind in ("dependencies", "devDependencies"):
        for name, version in manifest.get(kind, {}).items():
            assert re.fullmatch(r"\d+\.\d+\.\d+|file:\.\./.*", version), f"{name}: {version}"
    lock = (folder / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in lock
    packages = json.loads(lock)["packages"]
    fetched = {name: entry for name, entry in packages.items() if name.startswith("node_modules/") and not entry.get("link")}
    assert fetched
    assert all("integrity" in entry for entry in fetched.values())
