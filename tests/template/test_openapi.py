"""openapi.yaml is valid, matches the template, and has all problems."""

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import openapi

# Each problem, and the routes that return it.
BOTH = {"/token", "/sources"}
PROBLEMS = {
    ("400", "invalid-request"): BOTH,
    ("400", "invalid-token"): {"/sources"},
    ("401", "unauthenticated"): BOTH,
    ("401", "token-expired"): {"/sources"},
    ("403", "forbidden"): BOTH,
    ("403", "origin-not-allowed"): BOTH,
    ("413", "payload-too-large"): BOTH,
    ("422", "source-rejected"): {"/sources"},
    ("429", "rate-limited"): BOTH,
    ("500", "internal-error"): BOTH,
    ("502", "upstream-error"): BOTH,
    ("502", "credential-rejected"): BOTH,
    ("503", "credential-unavailable"): BOTH,
    ("504", "upstream-timeout"): BOTH,
    ("409", "create-in-progress"): {"/sources"},
    ("409", "create-outcome-unknown"): {"/sources"},
    ("422", "idempotency-key-reused"): {"/sources"},
    ("503", "idempotency-unavailable"): {"/sources"},
}


def operations():
    return {path: item["post"] for path, item in openapi.document()["paths"].items()}


def contents():
    """Every body in the document: its location, and its media type object."""
    for path, operation in operations().items():
        yield f"{path} request", operation["requestBody"]["content"]["application/json"]
        for status, response in operation["responses"].items():
            for media_type, content in openapi.dereference(response)["content"].items():
                yield f"{path} {status} {media_type}", content


def examples():
    for location, content in contents():
        for name, example in content["examples"].items():
            yield pytest.param(content["schema"], openapi.dereference(example)["value"], id=f"{location} {name}")


def problem(type: str, status: int) -> dict:
    return {"type": type, "title": "Title", "status": status, "detail": "Detail.", "requestId": "id"}


def test_document_is_valid():
    OpenAPIV31SpecValidator(openapi.document()).validate()


def test_routes_match_template(stack):
    documented = {
        f"{method.upper()} {path}" for path, item in openapi.document()["paths"].items() for method in item
    }
    assert documented == {route["RouteKey"] for route in stack.of_type("AWS::ApiGatewayV2::Route").values()}


@pytest.mark.parametrize(("schema", "value"), list(examples()))
def test_examples_match_schemas(schema, value):
    assert openapi.errors(schema, value) == []


def test_bodies_have_examples():
    assert [location for location, content in contents() if not content["examples"]] == []


@pytest.mark.parametrize("path", sorted(BOTH))
def test_route_has_statuses_of_its_problems(path):
    success = {"/token": "200", "/sources": "201"}[path]
    expected = {status for (status, _), paths in PROBLEMS.items() if path in paths} | {success}
    assert operations()[path]["responses"].keys() == expected


@pytest.mark.parametrize("path", sorted(BOTH))
def test_status_has_its_problems(path):
    kinds = openapi.document()["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert sorted(kinds) == sorted(kind for _, kind in PROBLEMS)
    for status, response in operations()[path]["responses"].items():
        content = openapi.dereference(response)["content"].get("application/problem+json")
        if content is None:
            continue
        allowed = {kind for kind in kinds if not openapi.errors(content["schema"], problem(kind, int(status)))}
        assert allowed == {kind for (at, kind), paths in PROBLEMS.items() if at == status and path in paths}
        assert openapi.errors(content["schema"], problem(next(iter(allowed)), 418))
        shown = {openapi.dereference(example)["value"]["type"] for example in content["examples"].values()}
        assert shown == allowed


def test_rejects_unknown_fields():
    """An additional or missing field makes a body invalid, so that tests can use the document as an oracle."""
    assert openapi.errors({"$ref": "#/components/schemas/Problem"}, problem("forbidden", 403)) == []
    unknown = problem("forbidden", 403) | {"upstream": "…"}
    assert openapi.errors({"$ref": "#/components/schemas/Problem"}, unknown)
    minted = openapi.document()["components"]["examples"]["Minted"]["value"]
    for change in ({"workspaceId": "no-uuid"}, {"expiresAt": "tomorrow"}, {"expiresIn": -1}, {"expiresIn": 1.5}, {"extra": 1}):
        assert openapi.errors({"$ref": "#/components/schemas/MintResponse"}, minted | change)
    for path in BOTH:
        assert openapi.errors(openapi.request_schema(path), {"workspace": "…"})
