"""Programs that tests run: on free ports, for the duration of a `with` block."""

import functools
import json
import os
import platform
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

import samcli

REPOSITORY = Path(__file__).resolve().parents[2]
FUNCTIONS = ("mint-token", "create-source")
DEV_PYTHON = REPOSITORY / ".venv/dev/bin/python"

# This machine's architecture, as the template spells it.
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]

# Until a program listens, on a busy machine.
START_TIMEOUT = 60.0

# Beginnings of variables that no child process inherits.
NOT_INHERITED = ("AWS_", "CARGO_TERM_", "MAKE", "MFLAGS", "PIP_", "PYTHON", "RUST_LOG")

NO_AWS_PROFILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without the developer's settings and the calling make's, plus some variables.

    The developer's AWS profiles are hidden, unless the test has its own home folder.
    """
    # PYTHON alone selects the Python of scripts/setup.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name == "PYTHON" or not name.startswith(NOT_INHERITED)
    }
    return inherited | ({} if "HOME" in variables else NO_AWS_PROFILES) | variables


@functools.cache
def target_directory() -> Path:
    """Cargo's build output, which the environment or Cargo's configuration may place elsewhere."""
    command = ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"]
    metadata = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    return Path(json.loads(metadata.stdout)["target_directory"])


def free_ports(count: int) -> list[int]:
    """Distinct ports that were free when the function returned."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


def wait_for(condition: Callable[[], bool], what: str, timeout: float = START_TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout:.0f} s"
        time.sleep(0.05)


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def request_json(method: str, url: str, value=None, headers: dict[str, str] = {}):
    """Sends JSON and returns JSON; `None` stands for an empty body. A status of 400 or more raises an error."""
    data = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(
        url, data, {"content-type": "application/json"} | headers, method=method
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read() or b"null")


@contextmanager
def serving(respond: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, object]]) -> Iterator[str]:
    """Serves a function of request and body that returns a status and JSON. Yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, value = respond(self, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def listening(command: list, **options) -> Iterator[str]:
    """Runs a program that prints `listening on URL` first, and yields the URL."""
    process = subprocess.Popen(
        [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on "), f"{command} printed {line!r}"
        yield line.removeprefix("listening on ").strip()
    finally:
        process.kill()
        process.wait()


@contextmanager
def moto() -> Iterator["SecretsManager"]:
    """Runs moto's AWS APIs, including Secrets Manager and STS."""
    with listening([DEV_PYTHON, REPOSITORY / "local/moto_server.py", "0"], env=clean_environment()) as url:
        yield SecretsManager(url)


class SecretsManager:
    """Secrets Manager's API at a URL."""

    REGION = "us-east-1"

    def __init__(self, url: str):
        self.url = url

    def create(self, name: str, value: str, **more: str) -> str:
        """Creates a secret and returns its ARN."""
        return self._call("CreateSecret", Name=name, SecretString=value, **more)["ARN"]

    def put(self, arn: str, value: str) -> None:
        self._call("PutSecretValue", SecretId=arn, SecretString=value)

    def delete(self, arn: str) -> None:
        """Marks a secret for deletion."""
        self._call("DeleteSecret", SecretId=arn)

    def check_calls(self) -> None:
        """From now on, verifies every call as AWS does: access key, signature and policies."""
        request_json("POST", f"{self.url}/moto-api/reset-auth", 0)

    def _call(self, action: str, **parameters: str) -> dict:
        # moto reads service and region from the credential's scope, and verifies nothing else.
        scope = f"test/20260101/{self.REGION}/secretsmanager/aws4_request"
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": f"secretsmanager.{action}",
            "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        }
        return request_json("POST", self.url, parameters, headers)


@contextmanager
def airbyte() -> Iterator["Airbyte"]:
    """The Airbyte simulator."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--package", "airbyte-sim"], cwd=REPOSITORY, check=True)
    with listening([target_directory() / "debug/airbyte-sim", "--port", "0", "--quiet"]) as url:
        yield Airbyte(url)


class Airbyte:
    """Control client of a running simulator. Its defaults are those of local/airbyte-sim."""

    ORGANIZATION = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
    ORGANIZATION_TOKEN = "dev-organization-token"

    def __init__(self, url: str):
        self.url = url

    def sources(self) -> list[dict]:
        return request_json("GET", f"{self.url}/_sim/sources")

    def inject(self, route: str, kind) -> None:
        """Injects a failure into every further request on a route."""
        request_json("POST", f"{self.url}/_sim/faults", {"route": route, "kind": kind})

    def workspaces(self) -> list[dict]:
        return request_json("GET", f"{self.url}/_sim/workspaces")

    def requests(self) -> list[dict]:
        return request_json("GET", f"{self.url}/_sim/requests")

    def clear_requests(self) -> None:
        request_json("DELETE", f"{self.url}/_sim/requests")

    def change_settings(self, **settings) -> None:
        request_json("PUT", f"{self.url}/_sim/settings", settings)

    def accept_organization_tokens(self, *tokens: str) -> None:
        self.change_settings(organization_tokens=list(tokens))

    def revoke_scoped_tokens(self) -> None:
        request_json("POST", f"{self.url}/_sim/revoke-scoped-tokens")

    def restore(self) -> None:
        """Clears all injected failures and restores the settings."""
        request_json("DELETE", f"{self.url}/_sim/faults")
        self.accept_organization_tokens(self.ORGANIZATION_TOKEN)


def function_environment(airbyte: Airbyte, secrets_manager_url: str, secret: str) -> dict[str, str]:
    """A function's complete configuration, with credentials for services that do not verify them."""
    return {
        "AIRBYTE_API_URL": airbyte.url,
        "AIRBYTE_ORGANIZATION_ID": Airbyte.ORGANIZATION,
        "ALLOWED_ORIGINS": "http://localhost:5173",
        "ORGANIZATION_TOKEN_SECRET_ARN": secret,
        "AWS_REGION": SecretsManager.REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets_manager_url,
    }


@contextmanager
def lambda_emulator(
    bootstrap: Path, environment: dict[str, str], output: BinaryIO | None = None
) -> Iterator[Callable[[dict], dict]]:
    """Runs a function under AWS's Runtime Interface Emulator. Yields a function from an event to the result.

    Both print to `output`, by default to this process's own.
    """
    emulator = Path(samcli.__file__).parent / "local/rapid" / f"aws-lambda-rie-{ARCHITECTURE}"
    invoke_port, runtime_port = free_ports(2)
    command = [
        str(emulator),
        "--runtime-interface-emulator-address", f"127.0.0.1:{invoke_port}",
        "--runtime-api-address", f"127.0.0.1:{runtime_port}",
        str(bootstrap),
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_for(lambda: accepts_connections(invoke_port), "the Runtime Interface Emulator listens")
        url = f"http://127.0.0.1:{invoke_port}/2015-03-31/functions/function/invocations"
        yield lambda event: request_json("POST", url, event)
    finally:
        process.terminate()
        process.wait(timeout=START_TIMEOUT)
