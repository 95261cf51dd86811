"""`make smoke` accepts the local stack and reports what is wrong with other APIs."""

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest

from programs import REPOSITORY, clean_environment, free_ports, serving
from stack import ORIGIN

PROGRAM = REPOSITORY / "scripts/smoke.py"


def smoke(*command: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command or [sys.executable, str(PROGRAM)],
        cwd=REPOSITORY,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )


def results(output: str, mark: str) -> dict[str, tuple[str, str]]:
    """The checks with a mark: what each expected and saw."""
    lines = output.splitlines()
    return {
        line.removeprefix(mark).strip(): tuple(lines[i + 1 + n].strip().split(maxsplit=1)[1] for n in (0, 1))
        for i, line in enumerate(lines)
        if line.startswith(f"{mark} ") and i + 2 < len(lines) and lines[i + 1].startswith(" ")
    }


def test_accepts_local_stack(running_stack):
    token = running_stack.bearer("smoke").removeprefix("Bearer ")

    done = smoke("make", "smoke", f"API_URL={running_stack.url}", f"ORIGIN={ORIGIN}", ACCESS_TOKEN=token)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(results(done.stdout, "ok")) == 10
    unverified = results(done.stdout, "report")
    assert unverified["API Gateway's own 404"][1] == f"404, Not Found, access-control-allow-origin: {ORIGIN}"
    # What is expected of AWS is what the local gateway does.
    for name in ("status of a foreign origin's preflight request", "preflight request of the origin in upper case"):
        expected, seen = unverified[name]
        assert seen == expected
    assert 'error="invalid_token"' in unverified["API Gateway's own 401 for an invalid token"][1]
    assert token not in done.stdout and "eyJ" not in done.stdout


def test_skips_checks_that_need_a_token(running_stack):
    done = smoke(API_URL=running_stack.url, ORIGIN=ORIGIN)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("skip ") == 6
    assert len(results(done.stdout, "ok")) == 6


def test_reports_origin_that_is_not_allowed(running_stack):
    done = smoke(API_URL=running_stack.url, ORIGIN="https://other.example")

    assert done.returncode == 1
    expected, seen = results(done.stdout, "FAIL")["preflight request for /token"]
    assert "access-control-allow-origin: https://other.example" in expected
    assert "no access-control-allow-origin" in seen


def test_reports_invalid_token(running_stack):
    done = smoke(API_URL=running_stack.url, ORIGIN=ORIGIN, ACCESS_TOKEN="not.a.token")

    assert done.returncode == 1
    _, seen = results(done.stdout, "FAIL")["POST /token with a token"]
    assert seen.startswith("401, Unauthorized") and "www-authenticate: Bearer" in seen


def test_reports_order_of_throttling(throttled_stack):
    done = smoke(API_URL=throttled_stack.url, ORIGIN=ORIGIN, CHECK="throttled")

    assert done.returncode == 0, done.stdout + done.stderr
    (_, seen), *_ = results(done.stdout, "report").values()
    assert set(seen.split(", ")) <= {"401", "403", "429"}


def open_api(request: BaseHTTPRequestHandler, _: bytes) -> tuple[int, object]:
    """An API without an authorizer, whose error text repeats what was sent."""
    return 200, {"echo": request.headers.get("authorization")}


def test_reports_api_without_authorizer():
    with serving(open_api) as url:
        done = smoke(API_URL=url, ORIGIN=ORIGIN, ACCESS_TOKEN="a.secret.token")

    assert done.returncode == 1
    assert results(done.stdout, "FAIL")["POST /token without a token"][1] == "200"
    assert "secret" not in done.stdout


def test_reports_redirect_without_following_it():
    reached = []

    def redirect(request: BaseHTTPRequestHandler, _: bytes) -> tuple[int, object]:
        reached.append(request.path)
        return 307, {}

    with serving(redirect) as url:
        done = smoke(API_URL=url, ORIGIN=ORIGIN, ACCESS_TOKEN="a.b.c")

    assert done.returncode == 1
    assert set(reached) <= {"/token", "/sources", "/unknown"}
    assert results(done.stdout, "FAIL")["POST /token with a token"][1].startswith("307")


def test_reports_unreachable_api():
    [port] = free_ports(1)

    done = smoke(API_URL=f"http://127.0.0.1:{port}", ORIGIN=ORIGIN)

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: no response from http://127.0.0.1:{port}: ")


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "API_URL is missing"),
        ({"API_URL": "https://api.example.com"}, "ORIGIN is missing"),
        ({"API_URL": "http://api.example.com", "ORIGIN": ORIGIN}, "API_URL must be https://host"),
        ({"API_URL": "https://api.example.com/token", "ORIGIN": ORIGIN}, "API_URL must be https://host"),
        ({"API_URL": "https://api.example.com", "ORIGIN": f"{ORIGIN}/"}, "ORIGIN must be scheme://host"),
        ({"API_URL": "https://api.example.com", "ORIGIN": ORIGIN, "ACCESS_TOKEN": "a b"}, "ACCESS_TOKEN must consist"),
        ({"API_URL": "https://api.example.com", "ORIGIN": ORIGIN, "CHECK": "everything"}, "CHECK must be"),
        ({"API_URL": "https://api.example.com", "ORIGIN": ORIGIN, "CHECK": "disabled"}, "CHECK=disabled needs"),
    ],
)
def test_rejects_invalid_variables(variables, problem):
    done = smoke(**variables)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {problem}")
    assert "help: make smoke API_URL=" in done.stderr


def test_needs_python_alone():
    done = smoke("python3", "-I", "-S", str(PROGRAM))

    assert done.returncode == 2, done.stderr


def test_survives_unexpected_bodies():
    """A body that is not JSON, or no object, does not end the program."""
    with serving(lambda *_: (200, [json.dumps({})])) as url:
        done = smoke(API_URL=url, ORIGIN=ORIGIN, ACCESS_TOKEN="a.b.c")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
