"""The local stack of `make dev`, and calls to its API with validation against openapi.yaml."""

import itertools
import json
import re
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks

import openapi
from programs import REPOSITORY, Airbyte, SecretsManager, clean_environment, free_ports, target_directory, wait_for

# The generations of Airbyte's API.
DEFAULT_GENERATION = "embedded"
GENERATIONS = (DEFAULT_GENERATION, "agents")

# Runs a test once for each generation.
each_generation = pytest.mark.parametrize("generation", GENERATIONS, indirect=True, scope="session")

# The only allowed origin of the stack, as in the examples of openapi.yaml.
ORIGIN = "http://localhost:5173"

# The simulator's template for sample data, and a valid configuration.
TEMPLATE = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e02"
CONFIGURATION = {"count": 1}

# The simulator's template that takes credentials instead, with AIRBYTE_API=agents.
HELPDESK = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e03"

# A valid body of each route, and the status of success.
VALID = {"/token": {}, "/sources": {"source_config_template_id": TEMPLATE, "connection_configuration": CONFIGURATION}}
SUCCESS = {"/token": 200, "/sources": 201}

# Includes a build of the functions if they have changed.
START_TIMEOUT = 900.0

STOP_TIMEOUT = 60.0

PORTS = ("GATEWAY_PORT", "ISSUER_PORT", "AIRBYTE_PORT", "DEMO_PORT", "INVOKE_PORT")

load_all_checks()
# Status, media type, headers and body are documented in openapi.yaml for the route.
CONFORMANCE = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)


@contextmanager
def local_stack(**variables: str) -> Iterator["Stack"]:
    """Starts the stack with additional variables of `make dev`, and stops it."""
    # The supervisor stops the stack when its standard input closes, at the latest when the tests are killed.
    process, ports = start(program(), "supervise", program(), **variables)
    try:
        yield Stack.of(process, ports)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=STOP_TIMEOUT)
        finally:
            process.kill()


def start(*command: Path | str, **variables: str) -> tuple[subprocess.Popen, dict[str, int]]:
    """Runs a command of the stack on free ports, in its own session."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--package", "local-stack"], cwd=REPOSITORY, check=True)
    ports = dict(zip(PORTS, free_ports(len(PORTS))))
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=clean_environment(
            ALLOWED_ORIGINS=ORIGIN,
            # One instance of each function, so that all requests share its state.
            FUNCTION_CONCURRENCY="1",
            **{name: str(port) for name, port in ports.items()},
            **variables,
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return process, ports


class Output:
    """The output of a program, read continuously so that the program never blocks."""

    def __init__(self, stream):
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=[stream], daemon=True).start()

    def _read(self, stream) -> None:
        for line in stream:
            self._append(line)
        self._append("", ended=True)

    def _append(self, text: str, ended: bool = False) -> None:
        with self._changed:
            self._text += text
            self._ended = ended
            self._changed.notify_all()

    @property
    def lines(self) -> list[str]:
        """The lines printed so far."""
        return self._text.splitlines()

    def wait_for(self, pattern: str, timeout: float) -> re.Match:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or re.search(pattern, self._text), timeout)
            found = re.search(pattern, self._text)
            assert found, f"the local stack did not print {pattern!r}, but:\n{self._text}"
            return found


@dataclass
class Stack:
    """A running local stack."""

    # The secret's name and value.
    SECRET = "airbyte/organization-token"
    CREDENTIAL = json.dumps({"organization_token": Airbyte.ORGANIZATION_TOKEN})

    ports: dict[str, int]
    output: Output
    secrets_manager: SecretsManager
    schema: schemathesis.schemas.BaseSchema = field(default_factory=lambda: load_schema())
    _users: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, process: subprocess.Popen, ports: dict[str, int]) -> "Stack":
        """Returns the stack of a started program, once everything runs."""
        output = Output(process.stdout)
        # The last lines of the banner, which is printed at once.
        output.wait_for("Ctrl-C stops everything", START_TIMEOUT)
        return cls(ports, output, SecretsManager(output.wait_for(r"Secrets +(http\S+)", 0).group(1)))

    def __post_init__(self):
        self.url = self.at("GATEWAY_PORT")
        self.airbyte = Airbyte(self.at("AIRBYTE_PORT"))

    def at(self, port: str) -> str:
        return f"http://localhost:{self.ports[port]}"

    def restore(self) -> None:
        """Clears all injected failures, and waits until the functions have recovered."""
        self.airbyte.restore()
        self.secrets_manager.put(self.SECRET, self.CREDENTIAL)
        for path in VALID:
            # A function pauses after its credential was rejected twice.
            wait_for(lambda: self.call(path, user=self.new_user()).ok, f"POST {path} succeeds again")

    def new_user(self) -> str:
        """A user without requests so far, so that create-source has no cached token."""
        return f"user-{next(self._users)}"

    def bearer(self, user: str) -> str:
        """The value of a signed-in user's Authorization header."""
        query = urllib.parse.urlencode({"sub": user})
        with urllib.request.urlopen(f"{self.at('ISSUER_PORT')}/token?{query}", timeout=60) as response:
            return f"Bearer {response.read().decode()}"

    def call(self, path: str, *, user: str | None = "alice", headers: dict = {}, **fields) -> requests.Response:
        """Calls a route with a valid body, with some fields replaced."""
        return self.post(path, json.dumps(VALID[path] | fields).encode(), user=user, **headers)

    def post(self, path: str, body: bytes, *, user: str | None = "alice", **headers: str) -> requests.Response:
        """Calls a route, and validates the response against openapi.yaml."""
        sent = {"content-type": "application/json"} | headers
        if user is not None:
            sent["authorization"] = self.bearer(user)
        response = requests.post(self.url + path, data=body, headers=sent, timeout=60, allow_redirects=False)
        self.schema[path]["POST"].Case().validate_response(response, checks=CONFORMANCE)
        return response


def program() -> Path:
    return target_directory() / "debug/local-stack"


def load_schema() -> schemathesis.schemas.BaseSchema:
    config = schemathesis.Config.from_path(Path(__file__).with_name("schemathesis.toml"))
    return schemathesis.openapi.from_path(openapi.ROOT, config=config)
