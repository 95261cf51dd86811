#!/usr/bin/env python3
"""Smoke test of a deployed API. Needs Python 3 alone.

Environment variables:
  API_URL       base URL of the API: the stack's output ApiUrl
  ORIGIN        one of the stack's AllowedOrigins
  ACCESS_TOKEN  access token of a user; without it, checks behind the authorizer are skipped
  CHECK         instead of all checks: `throttled`, for a stack with ThrottlingRateLimit=1 and ThrottlingBurstLimit=1, or
                `disabled`, for one with ReservedConcurrency=0

Prints what each check expected and saw. `report` marks behavior of AWS that is neither documented nor measured: such a
check does not fail, and its result is of interest to the project. The exit code is 0 if no check failed, 1 if one did, and
2 if a variable is missing or invalid. Prints no token, and creates nothing but the user's Airbyte workspace.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message

FOREIGN_ORIGIN = "https://foreign.example"

# API Gateway waits 30 s for a function.
TIMEOUT_SECONDS = 40

# More than Lambda takes for an event (6 MB) and less than API Gateway takes for a request (10 MB).
LARGE_BODY_BYTES = 7_000_000

MINTED_FIELDS = {"token", "scopedToken", "widgetUrl", "workspaceId", "expiresAt"}


class UsageError(Exception):
    """A variable that is missing or invalid."""


@dataclass
class Response:
    status: int
    headers: Message
    body: bytes

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def json(self) -> dict:
        """The body, if it is a JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def summary(self, *names: str) -> str:
        """The status, why it is an error, and some headers. Never the body of a success: that has tokens in it."""
        parts = [str(self.status)]
        if self.status >= 400:
            body = self.json()
            parts += [str(body[key]) for key in ("type", "detail", "message") if isinstance(body.get(key), str)]
            parts += [f"{error.get('pointer')} {error.get('detail')}" for error in body.get("errors", [])[:3]]
        parts += [f"{name}: {self.header(name)}" if self.header(name) else f"no {name}" for name in names]
        return ", ".join(parts)


class Unreachable(Exception):
    """No HTTP response was received."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Returns redirects like other responses, because following them would send the token elsewhere."""

    def redirect_request(self, *_):
        return None


class Api:
    def __init__(self, url: str):
        self.url = url
        self._opener = urllib.request.build_opener(NoRedirects)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """Sends a request. Underscores in the names of headers stand for hyphens."""
        request = urllib.request.Request(self.url + path, body, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return Response(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.headers, error.read())
        except (urllib.error.URLError, OSError) as error:
            raise Unreachable(str(getattr(error, "reason", error)) or type(error).__name__) from error

    def preflight(self, origin: str, path: str = "/token") -> Response:
        return self.send(
            "OPTIONS",
            path,
            origin=origin,
            access_control_request_method="POST",
            access_control_request_headers="authorization,content-type,idempotency-key",
        )


class Report:
    """The checks' results, printed as they come."""

    def __init__(self):
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0, "report": 0}

    def check(self, name: str, expected: str, seen: str, passed: bool) -> None:
        self._add("ok" if passed else "FAIL", name, expected, seen)

    def unverified(self, name: str, expected: str, seen: str) -> None:
        self._add("report", name, expected, seen)

    def skip(self, name: str, reason: str) -> None:
        self.counts["skip"] += 1
        print(f"{'skip':<7} {name}: {reason}", flush=True)

    def _add(self, mark: str, name: str, expected: str, seen: str) -> None:
        self.counts[mark] += 1
        print(f"{mark:<7} {name}\n{'':8}expected {expected}\n{'':8}seen     {seen}", flush=True)

    def finish(self) -> int:
        counts = self.counts
        print(f"\n{counts['ok']} ok, {counts['FAIL']} failed, {counts['skip']} skipped, {counts['report']} to report")
        if counts["report"]:
            print("Please send the lines marked `report` to the project: they settle what is unverified on AWS.")
        return 1 if counts["FAIL"] else 0


def allows(response: Response, origin: str) -> bool:
    return response.header("access-control-allow-origin") == origin


def listed(response: Response, header: str) -> set[str]:
    return {item.strip().lower() for item in response.header(header).split(",")}


def check_callers(api: Api, origin: str, report: Report) -> None:
    """What callers without a token see."""
    for path in ("/token", "/sources"):
        preflight = api.preflight(origin, path)
        report.check(
            f"preflight request for {path}",
            f"204, access-control-allow-origin: {origin}, with POST, authorization, content-type and idempotency-key allowed",
            preflight.summary(
                "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"
            ),
            preflight.status == 204
            and allows(preflight, origin)
            and "post" in listed(preflight, "access-control-allow-methods")
            and {"authorization", "content-type", "idempotency-key"} <= listed(preflight, "access-control-allow-headers"),
        )
        unauthenticated = api.send("POST", path, b"{}", origin=origin, content_type="application/json")
        report.check(
            f"POST {path} without a token",
            "401 (AuthorizerType JWT) or 403 (AuthorizerType IAM)",
            unauthenticated.summary(),
            unauthenticated.status in (401, 403) and set(unauthenticated.json()) == {"message"},
        )
    foreign = api.preflight(FOREIGN_ORIGIN)
    report.check(
        "preflight request of a foreign origin",
        "no access-control-allow-origin",
        foreign.summary("access-control-allow-origin"),
        not foreign.header("access-control-allow-origin"),
    )
    unknown = api.send("GET", "/unknown", origin=origin)
    report.check("unknown path", "404", unknown.summary(), unknown.status == 404)

    report.unverified("status of a foreign origin's preflight request", "204", str(foreign.status))
    report.unverified("OPTIONS without Origin", "204", api.send("OPTIONS", "/token").summary())
    upper = urllib.parse.urlsplit(origin)
    upper_case = f"{upper.scheme}://{upper.netloc.upper()}"
    report.unverified(
        "preflight request of the origin in upper case",
        "204, no access-control-allow-origin",
        api.preflight(upper_case).summary("access-control-allow-origin"),
    )
    report.unverified(
        "API Gateway's own 404", f"404, access-control-allow-origin: {origin}", unknown.summary("access-control-allow-origin")
    )
    without = api.send("POST", "/token", b"{}", origin=origin, content_type="application/json")
    report.unverified(
        "API Gateway's own 401 without a token",
        f"401, access-control-allow-origin: {origin}, no vary, www-authenticate: Bearer",
        without.summary("access-control-allow-origin", "vary", "www-authenticate"),
    )
    invalid = api.send("POST", "/token", b"{}", origin=origin, content_type="application/json", authorization="Bearer x.y.z")
    report.unverified(
        "API Gateway's own 401 for an invalid token",
        '401, www-authenticate: Bearer scope="" error="invalid_token" error_description="…"',
        invalid.summary("www-authenticate"),
    )


NEED_TOKEN = (
    "POST /token with a token",
    "POST /token of a foreign origin",
    "POST /sources with an invalid body",
    "POST /sources with an expired Airbyte token",
    "challenge of a function's 401",
    "body of 7 MB",
)


def check_user(api: Api, origin: str, access_token: str, report: Report) -> None:
    """What a signed-in user sees."""
    user = {"authorization": f"Bearer {access_token}", "content_type": "application/json"}
    minted, foreign, invalid, expired, challenge, large = NEED_TOKEN

    response = api.send("POST", "/token", b"{}", origin=origin, **user)
    fields = set(response.json()) if response.status == 200 else set()
    headers = ["cache-control", "access-control-allow-origin"]
    # API Gateway says there what is wrong with the token.
    headers += ["www-authenticate"] if response.status == 401 else []
    report.check(
        minted,
        f"200, {', '.join(sorted(MINTED_FIELDS))}, cache-control: no-store, access-control-allow-origin: {origin}",
        ", ".join([response.summary(*headers), *sorted(fields)]),
        response.status == 200
        and MINTED_FIELDS <= fields
        and response.header("cache-control") == "no-store"
        and allows(response, origin),
    )
    response = api.send("POST", "/token", b"{}", origin=FOREIGN_ORIGIN, **user)
    report.check(
        foreign,
        "403, origin-not-allowed, no access-control-allow-origin",
        response.summary("access-control-allow-origin"),
        response.status == 403
        and response.json().get("type") == "origin-not-allowed"
        and not response.header("access-control-allow-origin"),
    )
    response = api.send("POST", "/sources", b"{}", origin=origin, **user)
    report.check(
        invalid,
        "400, invalid-request, with errors",
        response.summary(),
        response.status == 400 and response.json().get("type") == "invalid-request" and bool(response.json().get("errors")),
    )
    body = {
        "token": expired_token(),
        "source_config_template_id": "00000000-0000-4000-8000-000000000000",
        "connection_configuration": {},
    }
    response = api.send("POST", "/sources", json.dumps(body).encode(), origin=origin, **user)
    report.check(
        expired,
        "401, token-expired",
        response.summary(),
        response.status == 401 and response.json().get("type") == "token-expired",
    )
    report.unverified(
        challenge,
        "401, no www-authenticate, x-amzn-remapped-www-authenticate: Bearer …",
        response.summary("www-authenticate", "x-amzn-remapped-www-authenticate"),
    )
    try:
        seen = api.send("POST", "/token", b"a" * LARGE_BODY_BYTES, origin=origin, **user)
        report.unverified(large, "413", seen.summary("access-control-allow-origin"))
    except Unreachable as error:
        report.unverified(large, "413", f"no response: {error}")


def expired_token() -> str:
    """An Airbyte token as the widget takes it, which has expired. Nothing verifies its signature before its expiry."""

    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    workspace = "00000000-0000-4000-8000-000000000000"
    claims = {"exp": int(time.time()) - 3600, "io.airbyte.auth.workspace_scope": {"workspaceId": workspace}}
    jwt = ".".join([part({"alg": "HS256"}), part(claims), base64.urlsafe_b64encode(b"none").decode().rstrip("=")])
    widget = {"token": jwt, "widgetUrl": f"https://airbyte.example/widget?workspaceId={workspace}"}
    return base64.b64encode(json.dumps(widget).encode()).decode()


def check_throttled(api: Api, origin: str, report: Report) -> None:
    with ThreadPoolExecutor(6) as pool:
        responses = [pool.submit(api.send, "POST", "/token", b"", origin=origin) for _ in range(6)]
        seen = [future.result() for future in responses]
    statuses = sorted(response.status for response in seen)
    report.unverified(
        "six requests without a token at once",
        "429 and 401 if throttling precedes the authorizer, 401 alone if not",
        ", ".join(map(str, statuses)),
    )
    throttled = [response for response in seen if response.status == 429]
    if throttled:
        report.unverified(
            "API Gateway's own 429",
            f"429, Too Many Requests, access-control-allow-origin: {origin}, no retry-after",
            throttled[0].summary("access-control-allow-origin", "retry-after"),
        )


def check_disabled(api: Api, origin: str, access_token: str, report: Report) -> None:
    response = api.send(
        "POST", "/token", b"{}", origin=origin, content_type="application/json", authorization=f"Bearer {access_token}"
    )
    report.unverified(
        "POST /token of a disabled function",
        f"503, Service Unavailable, access-control-allow-origin: {origin}",
        response.summary("access-control-allow-origin"),
    )


def settings() -> tuple[str, str, str, str]:
    def required(name: str) -> str:
        if not os.environ.get(name):
            raise UsageError(f"{name} is missing")
        return os.environ[name]

    url, origin = required("API_URL").rstrip("/"), required("ORIGIN")
    # A token must not travel unencrypted.
    if not re.fullmatch(r"https://[^/?#@\s]+|http://(localhost|127\.0\.0\.1)(:\d+)?", url):
        raise UsageError("API_URL must be https://host, without a path")
    if not re.fullmatch(r"https?://[^/?#@\s]+", origin):
        raise UsageError("ORIGIN must be scheme://host[:port], without a path or a trailing slash")
    access_token, check = os.environ.get("ACCESS_TOKEN", ""), os.environ.get("CHECK", "")
    if not re.fullmatch(r"[\x21-\x7e]*", access_token):
        raise UsageError("ACCESS_TOKEN must consist of visible ASCII characters")
    if check not in ("", "throttled", "disabled"):
        raise UsageError("CHECK must be `throttled` or `disabled`")
    if check == "disabled" and not access_token:
        raise UsageError("CHECK=disabled needs ACCESS_TOKEN")
    return url, origin, access_token, check


def main() -> int:
    try:
        url, origin, access_token, check = settings()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        print("help: make smoke API_URL=https://… ORIGIN=https://… [ACCESS_TOKEN=…]", file=sys.stderr)
        return 2
    api, report = Api(url), Report()
    try:
        if check == "throttled":
            check_throttled(api, origin, report)
        elif check == "disabled":
            check_disabled(api, origin, access_token, report)
        else:
            check_callers(api, origin, report)
            if access_token:
                check_user(api, origin, access_token, report)
            for name in () if access_token else NEED_TOKEN:
                report.skip(name, "no ACCESS_TOKEN")
    except Unreachable as error:
        print(f"error: no response from {url}: {error}", file=sys.stderr)
        print("help: check API_URL, the DNS record of a custom domain name, and your proxy", file=sys.stderr)
        return 1
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
