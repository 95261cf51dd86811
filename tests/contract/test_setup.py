"""scripts/setup on machines that lack something, and the environments that it creates."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from programs import REPOSITORY

# Programs that every machine has, and that the script uses.
BASE = "sh awk cat cksum dirname mktemp rm sed".split()

DEBIAN = 'ID=debian\nVERSION_ID="13"\n'
UBUNTU = "ID=ubuntu\nID_LIKE=debian\n"
OTHER = "ID=fedora\n"


def python(version: str = "3.12.1", *, has_venv: bool = True) -> str:
    """A Python that answers the script's questions, and creates virtual environments with itself in them."""
    return f"""case "$*" in
        *version_info*) echo {version} ;;
        *ensurepip*) exit {int(not has_venv)} ;;
        "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    esac
    :"""


def version(text: str) -> str:
    return f"echo '{text}'"


# A machine that has everything, by its programs.
COMPLETE = {
    "uname": "echo Linux",
    "id": "echo 1000",
    "make": "",
    "cc": "",
    "curl": "",
    "openssl": "",
    "rustc": version("rustc 1.94.1 (0123456789 2026-03-05)"),
    "cargo": version("cargo 1.94.1"),
    "rustup": "",
    "python3": python(),
    "chromium": version("Chromium 142.0.7444.59 built on Debian"),
    "chromedriver": version("ChromeDriver 142.0.7444.59 (0123456789)"),
    # In reality a part of .venv/test.
    "npm": 'echo "$PWD: $*" >>"$HOME/npm"; mkdir -p node_modules',
}

NPM_FOLDERS = ("clients/web", "examples/react")


class Machine:
    """A copy of the project, and the only programs that it finds."""

    def __init__(self, folder: Path, distribution: str = DEBIAN):
        self.project = folder / "project"
        self.bin = folder / "bin"
        self.environment = {"PATH": str(self.bin), "HOME": str(folder), "OS_RELEASE": str(folder / "os-release")}
        (folder / "os-release").write_text(distribution, encoding="utf-8")
        locks = (f"{name}/package-lock.json" for name in NPM_FOLDERS)
        for name in ("scripts/setup", "Cargo.toml", "local/requirements.txt", "tests/requirements.txt", *locks):
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, self.project / name)
        self.bin.mkdir()
        for name in (*BASE, "mkdir", "cp", "chmod"):
            (self.bin / name).symlink_to(shutil.which(name))
        for name, script in COMPLETE.items():
            self.add(name, script)

    def add(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.bin / name).unlink()

    def setup(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.project / "scripts/setup", *arguments],
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def report(target: str, missing: list[str], remedies: list[str]) -> str:
    """What the script prints about prerequisites that it cannot install."""
    return "\n  ".join(
        [f"error: `make {target}` needs the following, which this machine does not have:", *missing]
    ) + "\n  ".join([f"\nhelp: install it, then run `make {target}` again:", *remedies, ""]).rstrip(" ")


class Lack(NamedTuple):
    name: str
    missing: str
    remedy: str
    removed: tuple[str, ...] = ()
    added: dict[str, str] = {}
    distribution: str = DEBIAN


APT = "sudo apt-get update && sudo apt-get install --yes --no-install-recommends"
RUSTUP = """curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y; . "$HOME/.cargo/env\""""
CHROME = "install Google Chrome and its chromedriver (https://googlechromelabs.github.io/chrome-for-testing/)"
PYTHON = "install Python 3.10 or newer (https://www.python.org/downloads/), or set PYTHON to one"
COMPILER = "a C compiler and linker (cc)"
MAC = {"uname": "echo Darwin"}
LACKS = [
    Lack("compiler", COMPILER, f"{APT} build-essential", ("cc",)),
    Lack("headers", COMPILER, f"{APT} build-essential", added={"cc": "exit 1"}),
    Lack(
        "compiler elsewhere",
        COMPILER,
        "install a C compiler, such as gcc, with your system's package manager",
        ("cc",),
        distribution=OTHER,
    ),
    Lack("compiler on macOS", COMPILER, "xcode-select --install", ("cc",), MAC, OTHER),
    Lack("curl", "curl", f"{APT} curl", ("curl",)),
    Lack("openssl on Ubuntu", "openssl", f"{APT} openssl", ("openssl",), distribution=UBUNTU),
    Lack("rust", "Rust 1.94.1 or newer, with cargo", RUSTUP, ("rustc", "cargo", "rustup")),
    Lack(
        "old rust",
        "Rust 1.94.1 or newer, with cargo (found 1.94.0)",
        "rustup update stable",
        added={"rustc": version("rustc 1.94.0 (0123456789 2026-01-01)")},
    ),
    Lack(
        "rust without rustup",
        "Rust 1.94.1 or newer, with cargo (found 1.63.0)",
        RUSTUP,
        ("rustup",),
        {"rustc": version("rustc 1.63.0")},
    ),
    Lack(
        "rustup without a toolchain",
        "Rust 1.94.1 or newer, with cargo",
        "rustup default stable",
        added={"rustc": "exit 1", "cargo": "exit 1"},
    ),
    Lack(
        "rust components",
        "rustfmt\n  clippy",
        "rustup component add rustfmt clippy",
        added={"cargo": 'test "$1" = --version'},
    ),
    Lack("python", "Python 3.10 or newer", f"{APT} python3 python3-venv", ("python3",)),
    Lack("old python", "Python 3.10 or newer (found 3.9.18)", PYTHON, added={"python3": python("3.9.18")}),
    Lack(
        "old python on macOS",
        "Python 3.10 or newer (found 3.9.6)",
        "brew install python",
        added={"python3": python("3.9.6")} | MAC,
        distribution=OTHER,
    ),
    Lack(
        "venv",
        "the venv module of Python 3.12.1",
        f"{APT} python3-venv",
        added={"python3": python(has_venv=False)},
    ),
    Lack("browser", "Chromium or Google Chrome", f"{APT} chromium", ("chromium",)),
    Lack("browser on Ubuntu", "Chromium or Google Chrome", CHROME, ("chromium",), distribution=UBUNTU),
    Lack("driver", "chromedriver", f"{APT} chromium-driver", ("chromedriver",)),
    Lack("driver on macOS", "chromedriver", "brew install --cask chromedriver", ("chromedriver",), MAC, OTHER),
    Lack(
        "driver of another version",
        "chromedriver of the browser's version (found 120, the browser is 142)",
        CHROME,
        added={"chromedriver": version("ChromeDriver 120.0.1")},
    ),
]


def test_reports_nothing_on_complete_machine(machine):
    done = machine.setup("test")

    assert (done.returncode, done.stderr) == (0, "")
    assert [re.split(r",| \(", line)[0] for line in done.stdout.splitlines()] == [
        "Setting up .venv/dev",
        "Setting up .venv/test",
        *(f"Installing the npm packages of {name}" for name in NPM_FOLDERS),
    ]
    installed = (machine.bin.parent / "npm").read_text(encoding="utf-8").splitlines()
    assert installed == [
        f"{machine.project / name}: ci --ignore-scripts --no-progress --loglevel=error" for name in NPM_FOLDERS
    ]
    assert machine.setup("test").stdout == ""


@pytest.mark.parametrize("lack", LACKS, ids=lambda lack: lack.name)
def test_reports_missing_prerequisite(tmp_path, lack):
    machine = Machine(tmp_path, lack.distribution)
    machine.add("apt-get", "echo never run without root; exit 1")
    machine.remove(*lack.removed)
    for name, script in lack.added.items():
        machine.add(name, script)

    done = machine.setup("test")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == report("test", [lack.missing], [lack.remedy])
    assert not (machine.project / ".venv").exists()


def test_reports_all_missing_prerequisites_at_once(machine):
    machine.add("apt-get", "exit 1")
    machine.remove("cc", "cargo", "rustc", "rustup", "curl", "openssl", "chromium", "chromedriver")
    machine.add("python3", python("3.9.18"))

    done = machine.setup("test")

    assert done.stderr == report(
        "test",
        [
            COMPILER,
            "Rust 1.94.1 or newer, with cargo",
            "Python 3.10 or newer (found 3.9.18)",
            "curl",
            "openssl",
            "Chromium or Google Chrome",
            "chromedriver",
        ],
        [f"{APT} build-essential curl openssl chromium chromium-driver", RUSTUP, PYTHON],
    )


def test_dev_needs_no_browser(machine):
    machine.remove("chromium", "chromedriver", "openssl")

    done = machine.setup("dev")

    assert (done.returncode, done.stderr) == (0, "")
    assert not (machine.project / ".venv/test").exists()


def test_installs_debian_packages_as_root(machine):
    machine.remove("cc", "chromium", "chromedriver")
    machine.add("id", "echo 0")
    machine.add(
        "apt-get",
        """echo "$*" >>"$HOME/apt-get"
        case "$*" in *" install "*)
            for name in cc chromium chromedriver; do printf '#!/bin/sh\\necho 142.0' >"$PATH/$name"; chmod +x "$PATH/$name"; done
        esac""",
    )

    done = machine.setup("test")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Installing Debian packages: build-essential chromium chromium-driver\n" in done.stdout
    assert (machine.bin.parent / "apt-get").read_text(encoding="utf-8") == (
        "update -qq\n"
        "-o DPkg::Lock::Timeout=300 install -qq --yes --no-install-recommends build-essential chromium chromium-driver\n"
    )


def test_installs_rust_components_as_root(machine):
    machine.add("id", "echo 0")
    machine.add("cargo", 'test "$1" = --version || test -e "$HOME/$1"')
    machine.add("rustup", ': >"$HOME/fmt"; : >"$HOME/clippy"; test "$*" = "component add rustfmt clippy"')

    done = machine.setup("test")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Installing Rust components: rustfmt clippy\n" in done.stdout


def test_reports_what_could_not_be_installed(machine):
    machine.remove("cc")
    machine.add("id", "echo 0")
    machine.add("apt-get", "echo 'E: Unable to fetch some archives' >&2; exit 100")

    done = machine.setup("dev")

    apt = "apt-get update && apt-get install --yes --no-install-recommends build-essential"
    unable = "E: Unable to fetch some archives\n"
    assert (done.returncode, done.stderr) == (1, 2 * unable + report("dev", [COMPILER], [apt]))


def test_prefers_newer_python_to_outdated_default(machine):
    machine.add("python3", python("3.9.18"))
    machine.add("python3.11", python("3.11.2"))

    assert machine.setup("environment", "dev").returncode == 0
    assert "3.11.2" in (machine.project / ".venv/dev/bin/python").read_text(encoding="utf-8")


def test_uses_python_variable(machine):
    machine.add("other", python("3.13.0"))

    assert machine.setup("environment", "dev", PYTHON=str(machine.bin / "other")).returncode == 0
    assert "3.13.0" in (machine.project / ".venv/dev/bin/python").read_text(encoding="utf-8")
    assert "found 3.9.0" in _setup_with_python(machine, "3.9.0").stderr


def _setup_with_python(machine: Machine, found: str) -> subprocess.CompletedProcess:
    machine.add("other", python(found))
    return machine.setup("environment", "test", PYTHON=str(machine.bin / "other"))


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["environment"], ["environment", "other"]], ids=str)
def test_rejects_unknown_target(machine, arguments):
    done = machine.setup(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: scripts/setup TARGET ")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A package to install, without a network."""
    path = tmp_path_factory.mktemp("wheels") / "installed_here-1.0-py3-none-any.whl"
    about = "installed_here-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("installed_here.py", "")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: installed-here\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", f"installed_here.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    return path


def test_creates_environment_despite_user_settings(machine, wheel, tmp_path):
    """With this Python and its pip, under settings that would install elsewhere and import from elsewhere."""
    (machine.project / "tests/requirements.txt").write_text(f"{wheel}\n", encoding="utf-8")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/pip.py").write_text("raise SystemExit('not the pip of the environment')", encoding="utf-8")

    done = machine.setup(
        "environment",
        "test",
        PYTHON=sys.executable,
        PIP_USER="1",
        PIP_TARGET=str(tmp_path / "target"),
        PYTHONPATH=str(tmp_path / "foreign"),
        PATH=os.environ["PATH"],
    )

    assert (done.returncode, done.stderr) == (0, "")
    subprocess.run([machine.project / ".venv/test/bin/python", "-c", "import installed_here"], check=True)
    assert not (tmp_path / "target").exists()


def move_project(machine: Machine) -> None:
    machine.project = machine.project.rename(machine.bin.parent / "moved")


def change_requirements(machine: Machine) -> None:
    with (machine.project / "tests/requirements.txt").open("a", encoding="utf-8") as requirements:
        requirements.write("# changed\n")


def remove_interpreter(machine: Machine) -> None:
    interpreter = machine.project / ".venv/test/bin/python"
    interpreter.unlink()
    interpreter.symlink_to(machine.bin / "uninstalled")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (move_project, "its requirements or its location have changed"),
        (change_requirements, "its requirements or its location have changed"),
        (remove_interpreter, "its Python has changed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_recreates_outdated_environment(machine, change, reason):
    machine.setup("environment", "test")
    change(machine)

    done = machine.setup("environment", "test")

    assert (done.returncode, done.stderr) == (0, "")
    assert f"Setting up .venv/test, the Python tools of the tests, because {reason} (" in done.stdout
    assert machine.setup("environment", "test").stdout == ""


def test_reports_failed_installation(machine):
    machine.add("python3", f'{python()}\n[ "$2" != pip ] || {{ echo "ERROR: no matching distribution" >&2; exit 1; }}')

    done = machine.setup("environment", "test")

    assert done.returncode == 1
    assert done.stderr == (
        "ERROR: no matching distribution\n"
        "error: the packages in tests/requirements.txt could not be installed (see pip's message above)\n"
        "help: check the network and pip's package index, then run `make .venv/test/.stamp` again\n"
    )
    # The next run does not take the environment for complete.
    assert machine.setup("environment", "test").returncode == 1


def test_reports_failed_npm_installation(machine):
    machine.add("npm", "echo 'npm error network' >&2; exit 1")

    done = machine.setup("test")

    assert done.returncode == 1
    assert done.stderr == (
        "npm error network\n"
        "error: the packages in clients/web/package-lock.json could not be installed (see npm's message above)\n"
        "help: check the network and npm's registry, then run `make test` again\n"
    )


def test_scripts_pass_shellcheck():
    shellcheck = Path(sys.executable).with_name("shellcheck")
    subprocess.run([shellcheck, REPOSITORY / "scripts/setup", REPOSITORY / ".ci/run"], check=True)
