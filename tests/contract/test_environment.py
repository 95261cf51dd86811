"""`make dev` on a developer's machine whose own settings would break it."""

import os
from pathlib import Path

import pytest

from stack import SUCCESS, VALID, local_stack, program, start


@pytest.fixture
def hostile(tmp_path) -> dict[str, str]:
    """Variables that would keep a child process from working, each if it were inherited."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile broken\n")
    (tmp_path / ".aws" / "credentials").write_text("= neither\n")
    modules = tmp_path / "modules"
    modules.mkdir()
    for module in ("boto3", "moto", "yaml"):
        (modules / f"{module}.py").write_text("raise SystemExit('a module of another project')\n")
    return {
        "HOME": str(tmp_path),
        # Which are in the real home directory by default.
        "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
        "AWS_PROFILE": "nothing",
        "AWS_DEFAULT_PROFILE": "nothing",
        "AWS_CONFIG_FILE": str(tmp_path / ".aws" / "config"),
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:9",
        "AWS_SESSION_TOKEN": "of-another-account",
        "AWS_REGION": "nowhere-1",
        "PYTHONPATH": str(modules),
        "PYTHONHOME": str(tmp_path),
        "PIP_USER": "1",
        "CARGO_TERM_COLOR": "always",
        "CARGO_TERM_VERBOSE": "true",
        "CARGO_LAMBDA_INVOKE_PORT": "1",
        "CARGO_PKG_NAME": "another",
        "RUST_LOG": "loud",
    }


def test_stack_works_despite_settings_of_developer(hostile):
    with local_stack(**hostile) as stack:
        for path in VALID:
            assert stack.call(path).status_code == SUCCESS[path]

        printed = "\n".join(stack.output.lines)
        assert "\x1b[" not in printed.partition("Starting the functions")[2]
        assert "rustc --crate-name" not in printed


def test_removes_quotes_around_parameter():
    """Quotes around a value are not part of it, as in `sam deploy --parameter-overrides`."""
    with local_stack(PARAMETER_OVERRIDES='JwtAudience="airbyte-embedded-dev,another" LogLevel=debug') as stack:
        assert stack.call("/token").status_code == SUCCESS["/token"]
        # LogLevel is that of the functions alone: cargo-lambda's own debug lines would be many.
        assert not [line for line in stack.output.lines if line.lstrip().startswith(("DEBUG", "functions | DEBUG"))]


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        ("LogLevel=loud", 'error: template.yaml: Parameters.LogLevel: "loud" is invalid: must be one of error, warn,'),
        ("Nothing=1", "error: template.yaml: Parameters.Nothing: the template has no such parameter"),
    ],
)
def test_invalid_parameter_is_reported(overrides, error):
    process, _ = start(program(), PARAMETER_OVERRIDES=overrides)
    printed, _ = process.communicate(timeout=120)

    assert process.returncode == 1
    assert error in printed
    assert "help: set it with PARAMETER_OVERRIDES" in printed
