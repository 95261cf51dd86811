"""Every status and every body in openapi.yaml can be reached, and matches its example."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from requests import Response

import openapi
from programs import wait_for
from stack import DEFAULT_GENERATION, GENERATIONS, ORIGIN, Stack

# Over API Gateway's limit.
OVER_10_MB = b" " * (10 * 1024 * 1024 + 1)

# The functions' limits.
LIMITS = {"/token": 64 * 1024, "/sources": 1024 * 1024}

# Bodies with two invalid fields each.
INVALID = {"/token": b'{"allowedOrigin": 1, "userId": "bob"}', "/sources": b'{"source_config_template_id": "x"}'}

# The simulator's template for a database, and a configuration without a required field.
POSTGRES = "6e4c9d0a-1b7f-4f0e-9a53-2f6b8c1d7e01"
WITHOUT_HOST = {"database": "shop", "username": "airbyte", "password": "not-a-real-password"}

# Kinds of bodies other than problems: API Gateway's errors, and success.
GATEWAY = "gateway"
SUCCESS = "success"


def inject_response(stack: Stack, path: str, status: int, **headers: str) -> None:
    """Injects a response into the last call of the route to Airbyte."""
    response = {"status": status, "headers": list(headers.items())}
    stack.airbyte.inject({"/token": "widget-token", "/sources": "sources"}[path], {"respond": response})


def success(stack, path):
    return stack.call(path)


def invalid_fields(stack, path):
    return stack.post(path, INVALID[path])


def not_json(stack, path):
    return stack.post(path, b'{"token": eyJ0b2tlbiI6}')


def malformed_key(stack, path):
    return stack.call(path, headers={"idempotency-key": "a, b"})


def replayed(stack, path):
    key = {"idempotency-key": str(uuid.uuid4())}
    first, second = (stack.call(path, headers=key) for _ in range(2))
    assert (second.headers["idempotent-replayed"], second.json()["id"]) == ("true", first.json()["id"])
    return second


def key_reused(stack, path):
    key = {"idempotency-key": str(uuid.uuid4())}
    assert stack.call(path, headers=key).ok
    return stack.call(path, headers=key, connection_configuration={"count": 2})


def create_outcome_unknown(stack, path):
    key = {"idempotency-key": str(uuid.uuid4())}
    inject_response(stack, path, 500)
    assert stack.call(path, headers=key).status_code == 502
    return stack.call(path, headers=key)


def invalid_token(stack, path):
    return stack.call(path, token="not base64")


def no_caller(stack, path):
    return stack.call(path, user=None)


def token_expired(stack, path):
    token = stack.call("/token").json()["token"]
    stack.airbyte.revoke_scoped_tokens()
    return stack.call(path, token=token)


def forbidden(stack, path):
    return stack.call(path, externalUserId="bob")


def origin_not_allowed(stack, path):
    return stack.call(path, headers={"origin": f"{ORIGIN}.example"})


def payload_too_large(stack, path):
    return stack.post(path, b" " * (LIMITS[path] + 1))


def too_large_for_api_gateway(stack, path):
    return stack.post(path, OVER_10_MB)


def source_rejected(stack, path):
    return stack.call(path, source_config_template_id=POSTGRES, connection_configuration=WITHOUT_HOST)


def rate_limited(stack, path):
    # Longer than the function waits.
    inject_response(stack, path, 429, **{"retry-after": "60"})
    return stack.call(path)


def upstream_error(stack, path):
    inject_response(stack, path, 500)
    return stack.call(path)


def credential_rejected(stack, path):
    stack.airbyte.accept_organization_tokens()
    return stack.call(path, user=stack.new_user())


def credential_unavailable(stack, path):
    # Airbyte rejects the cached value, so that the function reads the secret again.
    stack.airbyte.accept_organization_tokens()
    stack.secrets_manager.put(stack.SECRET, "not one of the formats")
    return stack.call(path, user=stack.new_user())


def upstream_timeout(stack, path):
    stack.airbyte.inject("any", "hang")
    return stack.call(path)


def unsigned(stack, path):
    return until(403, stack, path)


def throttled(stack, path):
    return until(429, stack, path)


def until(status: int, stack: Stack, path: str) -> Response:
    """Calls until the status occurs: of two calls within a second, one is denied, and the other throttled."""
    responses = []

    def has_status() -> bool:
        responses.append(stack.post(path, b"", user=None))
        return responses[-1].status_code == status

    wait_for(has_status, f"a response with status {status}")
    return responses[-1]


class Reached(NamedTuple):
    status: int
    kind: str  # a problem's type, GATEWAY or SUCCESS
    paths: tuple[str, ...]
    by: Callable[[Stack, str], Response]
    # Those to test: all of them if the response depends on what Airbyte sent.
    generations: tuple[str, ...] = (DEFAULT_GENERATION,)


TOKEN, SOURCES, BOTH = ("/token",), ("/sources",), ("/token", "/sources")
REACHED = [
    Reached(200, SUCCESS, TOKEN, success, GENERATIONS),
    Reached(201, SUCCESS, SOURCES, success, GENERATIONS),
    Reached(201, SUCCESS, SOURCES, replayed, GENERATIONS),
    Reached(400, "invalid-request", BOTH, invalid_fields),
    Reached(400, "invalid-request", BOTH, not_json),
    Reached(400, "invalid-request", SOURCES, malformed_key),
    Reached(400, "invalid-token", SOURCES, invalid_token),
    Reached(401, GATEWAY, BOTH, no_caller),
    Reached(401, "token-expired", SOURCES, token_expired, GENERATIONS),
    Reached(403, "forbidden", BOTH, forbidden),
    Reached(403, "origin-not-allowed", BOTH, origin_not_allowed),
    Reached(413, "payload-too-large", BOTH, payload_too_large),
    Reached(413, GATEWAY, BOTH, too_large_for_api_gateway),
    Reached(409, "create-outcome-unknown", SOURCES, create_outcome_unknown, GENERATIONS),
    Reached(422, "source-rejected", SOURCES, source_rejected, GENERATIONS),
    Reached(422, "idempotency-key-reused", SOURCES, key_reused),
    Reached(429, "rate-limited", BOTH, rate_limited, GENERATIONS),
    Reached(502, "upstream-error", BOTH, upstream_error, GENERATIONS),
    Reached(502, "credential-rejected", BOTH, credential_rejected, GENERATIONS),
    Reached(503, "credential-unavailable", BOTH, credential_unavailable),
]
REACHED_LATE = [Reached(504, "upstream-timeout", BOTH, upstream_timeout)]
REACHED_WITH_THROTTLED_STACK = [Reached(403, GATEWAY, BOTH, unsigned), Reached(429, GATEWAY, BOTH, throttled)]

# Responses that no request to a working stack can cause, and why.
NOT_REACHABLE = {
    (409, "create-in-progress"): "the stack of the tests has one instance, which serves one request after the other",
    (503, "idempotency-unavailable"): "the state table must fail",
    (401, "unauthenticated"): "API Gateway's authorizer rejects such requests first",
    (500, "internal-error"): "a bug: no request is known to cause one",
    (500, GATEWAY): "the function did not start, crashed, or ran out of time or memory",
    (503, GATEWAY): "no concurrency is left, or API Gateway's 30 s elapsed before the function's 28 s",
}


def cases(reached: list[Reached]) -> list:
    return [
        pytest.param(path, case, id=f"{path} {case.status} {case.kind} {case.by.__name__}")
        for case in reached
        for path in case.paths
    ]


def cases_of_generations(reached: list[Reached]) -> list:
    return [
        pytest.param(generation, *param.values, id=f"{generation} {param.id}")
        for generation in GENERATIONS
        for param in cases([case for case in reached if generation in case.generations])
    ]


def check(response: Response, path: str, case: Reached, generation: str = DEFAULT_GENERATION) -> None:
    assert (response.status_code, kind_of(response)) == (case.status, case.kind), response.text
    body = response.json()
    shown = examples(path, case.status, response.headers["content-type"])
    if generation != DEFAULT_GENERATION and path == "/sources":
        # The examples show the default generation's words.
        body, shown = without_airbytes(body), [without_airbytes(example) for example in shown]
    if case.kind == SUCCESS:
        assert any(example.keys() <= body.keys() for example in shown)
    elif case.kind == GATEWAY:
        assert body in shown
    else:
        assert without_id(body) in [without_id(example) for example in shown], body


def kind_of(response: Response) -> str:
    if response.headers["content-type"] == "application/problem+json":
        return response.json()["type"]
    return GATEWAY if response.status_code >= 400 else SUCCESS


def without_airbytes(body: dict) -> dict:
    """Without what Airbyte chooses: the fields of its response but the ID, and the message of its error."""
    if "type" not in body:
        return {"id": body["id"]}
    return {name: value for name, value in body.items() if name != "detail"} if body["status"] == 422 else body


def without_id(problem: dict) -> dict:
    return {name: value for name, value in problem.items() if name != "requestId"}


def contents(path: str) -> dict[int, dict[str, dict]]:
    """The documented responses of a route, by status and media type."""
    responses = openapi.document()["paths"][path]["post"]["responses"]
    return {int(status): openapi.dereference(response)["content"] for status, response in responses.items()}


def examples(path: str, status: int, media_type: str) -> list[dict]:
    shown = contents(path)[status][media_type]["examples"].values()
    return [openapi.dereference(example)["value"] for example in shown]


def documented(path: str) -> set[tuple[int, str]]:
    """All documented statuses with the kinds of bodies that their schemas allow."""
    types = openapi.document()["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    found = set()
    for status, bodies in contents(path).items():
        for media_type, content in bodies.items():
            if media_type == "application/problem+json":
                problem = {"title": "Title", "status": status, "detail": "Detail.", "requestId": "id"}
                allowed = (kind for kind in types if not openapi.errors(content["schema"], problem | {"type": kind}))
                found |= {(status, kind) for kind in allowed}
            else:
                found.add((status, GATEWAY if status >= 400 else SUCCESS))
    return found


@pytest.mark.parametrize(
    ("generation", "path", "case"), cases_of_generations(REACHED), indirect=["generation"], scope="session"
)
def test_response_matches_example(stack, generation, path, case):
    check(case.by(stack, path), path, case, generation)


@pytest.mark.parametrize(("path", "case"), cases(REACHED_WITH_THROTTLED_STACK))
def test_gateway_error_matches_example(throttled_stack, path, case):
    check(case.by(throttled_stack, path), path, case)


@pytest.mark.parametrize("case", REACHED_LATE, ids=lambda case: case.kind)
def test_timeout_matches_example(stack, case):
    # On both routes at the same time, because each takes 28 s.
    with ThreadPoolExecutor() as threads:
        responses = {path: threads.submit(case.by, stack, path) for path in case.paths}
    for path, response in responses.items():
        check(response.result(), path, case)


@pytest.mark.parametrize("path", BOTH)
def test_all_documented_responses_are_reached(path):
    reached = {
        (case.status, case.kind)
        for case in REACHED + REACHED_LATE + REACHED_WITH_THROTTLED_STACK
        if path in case.paths
    }
    assert documented(path) == reached | {kind for kind in NOT_REACHABLE if kind in documented(path)}
    assert not reached & NOT_REACHABLE.keys()
