"""The local stack, as `make dev` starts it, and calls to its API that are checked against openapi.yaml."""

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

import requests
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks

import openapi
from programs import REPOSITORY, Airbyte, SecretsManager, clean_environment, free_ports, wait_for

# The one origin that the stack allows: the one in openapi.yaml's examples.
ORIGIN = "http://localhost:5173"

# The simulator's template for sample data, and a configuration that it takes.
TEMPLATE = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e02"
CONFIGURATION = {"count": 1}

# A body of each route that leads to success, and the status of success.
GOOD = {"/token": {}, "/sources": {"source_config_template_id": TEMPLATE, "connection_configuration": CONFIGURATION}}
SUCCESS = {"/token": 200, "/sources": 201}

# The functions are built first if they have changed.
START_TIMEOUT = 900.0

STOP_TIMEOUT = 60.0

PROGRAM = REPOSITORY / "target/debug/local-stack"

PORTS = ("GATEWAY_PORT", "ISSUER_PORT", "AIRBYTE_PORT", "DEMO_PORT", "INVOKE_PORT")

load_all_checks()
# An answer is one that openapi.yaml has for the route: its status, media type, headers and body.
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
    """Starts everything, under further variables of `make dev`, and ends it."""
    # The stack's own guard ends it when the pipe to the guard closes: at the latest when the tests are killed.
    process, ports = start(PROGRAM, "guard", PROGRAM, **variables)
    try:
        yield Stack.of(process, ports)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=STOP_TIMEOUT)
        finally:
            process.kill()


def start(*command: Path | str, **variables: str) -> tuple[subprocess.Popen, dict[str, int]]:
    """Runs the stack's program on free ports, in a session of its own."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--package", "local-stack"], cwd=REPOSITORY, check=True)
    ports = dict(zip(PORTS, free_ports(len(PORTS))))
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=clean_environment(
            ALLOWED_ORIGINS=ORIGIN,
            # One instance of each function, so that all requests meet the same state.
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
    """What a program prints, read all the time so that it never has to wait."""

    def __init__(self, stream):
        self._text = ""
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=[stream], daemon=True).start()

    def _read(self, stream) -> None:
        for line in stream:
            self._note(line)
        self._note("", ended=True)

    def _note(self, text: str, ended: bool = False) -> None:
        with self._changed:
            self._text += text
            self._ended = ended
            self._changed.notify_all()

    @property
    def lines(self) -> list[str]:
        """What was printed so far."""
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

    # Its secret, and what is in it.
    SECRET = "airbyte/organization-token"
    CREDENTIAL = json.dumps({"organization_token": Airbyte.ORGANIZATION_TOKEN})

    ports: dict[str, int]
    output: Output
    secrets_manager: SecretsManager
    schema: schemathesis.schemas.BaseSchema = field(default_factory=lambda: load_schema())
    _users: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def of(cls, process: subprocess.Popen, ports: dict[str, int]) -> "Stack":
        """The stack of a program that was started, when all of it runs."""
        output = Output(process.stdout)
        # It is printed last, and at once.
        output.wait_for("Ctrl-C ends everything", START_TIMEOUT)
        return cls(ports, output, SecretsManager(output.wait_for(r"Secrets +(http\S+)", 0).group(1)))

    def __post_init__(self):
        self.url = self.at("GATEWAY_PORT")
        self.airbyte = Airbyte(self.at("AIRBYTE_PORT"))

    def at(self, port: str) -> str:
        return f"http://localhost:{self.ports[port]}"

    def restore(self) -> None:
        """Takes back what went wrong on purpose, and waits until the functions have noticed."""
        self.airbyte.restore()
        self.secrets_manager.put(self.SECRET, self.CREDENTIAL)
        for path in GOOD:
            # A function whose credential was refused twice asks nobody for a while.
            wait_for(lambda: self.good(path, user=self.newcomer()).ok, f"POST {path} succeeds again")

    def newcomer(self) -> str:
        """A user of whom nobody has heard yet, so that create-source has no token for them."""
        return f"newcomer-{next(self._users)}"

    def bearer(self, user: str) -> str:
        """An Authorization header's value, for a user who has signed in."""
        query = urllib.parse.urlencode({"sub": user})
        with urllib.request.urlopen(f"{self.at('ISSUER_PORT')}/token?{query}", timeout=60) as response:
            return f"Bearer {response.read().decode()}"

    def good(self, path: str, *, user: str | None = "alice", headers: dict = {}, **members) -> requests.Response:
        """Calls a route with a good body, but for some members."""
        return self.post(path, json.dumps(GOOD[path] | members).encode(), user=user, **headers)

    def post(self, path: str, body: bytes, *, user: str | None = "alice", **headers: str) -> requests.Response:
        """Calls a route and checks that the answer is one that openapi.yaml has for it."""
        sent = {"content-type": "application/json"} | headers
        if user is not None:
            sent["authorization"] = self.bearer(user)
        response = requests.post(self.url + path, data=body, headers=sent, timeout=60, allow_redirects=False)
        self.schema[path]["POST"].Case().validate_response(response, checks=CONFORMANCE)
        return response


def load_schema() -> schemathesis.schemas.BaseSchema:
    config = schemathesis.Config.from_path(Path(__file__).with_name("schemathesis.toml"))
    return schemathesis.openapi.from_path(openapi.ROOT, config=config)
