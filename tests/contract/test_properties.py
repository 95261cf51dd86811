"""Every response conforms to openapi.yaml, for valid and invalid requests generated from its schemas."""

import uuid

import pytest
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation

import openapi
from stack import CONFIGURATION, HELPDESK, ORIGIN, SUCCESS, TEMPLATE, each_generation, load_schema

USER = "alice"

# The fields that only AIRBYTE_API=agents has; with the other API, they result in 400.
AGENTS_FIELDS = {"name": "Mine", "credentials": {"api_token": "not-a-real-token"}, "environment": {}}

schema = load_schema()


@pytest.fixture(scope="module")
def caller(running_stack) -> dict[str, str]:
    # With this spelling, schemathesis recognizes the header, and also tests without it and with an invalid one.
    return {"Authorization": running_stack.bearer(USER)}


@pytest.fixture(scope="module")
def own(running_stack, generation) -> dict:
    """A value for each field of the bodies that belongs to the caller and that Airbyte accepts."""
    minted = running_stack.call("/token", user=USER).json()
    return {
        "allowedOrigin": ORIGIN,
        "externalUserId": USER,
        "workspace_id": minted["workspaceId"],
        "token": minted["token"],
        "source_config_template_id": TEMPLATE,
        "connection_configuration": CONFIGURATION,
    } | (AGENTS_FIELDS if generation == "agents" else {})


def supported(body: dict, generation: str) -> dict:
    """The same without the fields that the generation lacks, and with the configuration that they may replace."""
    if generation == "agents" or "source_config_template_id" not in body:
        return body
    body = {name: value for name, value in body.items() if name not in AGENTS_FIELDS}
    has_configuration = body.get("connection_configuration") is not None
    return body if has_configuration else body | {"connection_configuration": CONFIGURATION}


def fields(path: str) -> dict:
    return openapi.dereference(openapi.request_schema(path))["properties"]


def is_valid(case: Case) -> bool:
    """Whether it may succeed. A missing Content-Type is generated as invalid, but documented as valid."""
    modes = {location: part.mode for location, part in case.meta.components.items() if location != ParameterLocation.HEADER}
    return all(mode.is_positive for mode in modes.values())


def use_new_key(case: Case) -> None:
    """A generated key may have been used with another body, which is a conflict, as documented."""
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schema.parametrize()
def test_generated_request_gets_documented_response(case, running_stack, generation, caller):
    if is_valid(case) and isinstance(case.body, dict):
        # A string that only matches the pattern of a token results in 400, as documented: no schema can express it.
        case.body = {name: value for name, value in supported(case.body, generation).items() if name != "token"}
    header = case.meta.components.get(ParameterLocation.HEADER)
    if header is not None and header.mode.is_positive:
        use_new_key(case)
    case.call_and_validate(base_url=running_stack.url, headers=caller)


@each_generation
@schema.parametrize()
def test_valid_generated_request_succeeds(case, running_stack, generation, caller, own):
    if is_valid(case) and isinstance(case.body, dict):
        case.body = supported(case.body, generation)
    if isinstance(case.body, dict):
        # null stays, because it stands for an omitted field. Values that the schema forbids stay, too.
        case.body = {
            name: own[name]
            if name in own and value is not None and not openapi.errors(fields(case.path).get(name, False), value)
            else value
            for name, value in case.body.items()
        }
    if is_valid(case) and isinstance(case.body, dict) and "source_config_template_id" in case.body:
        # A template whose mode takes credentials takes no configuration.
        has_configuration = case.body.get("connection_configuration") is not None
        case.body["source_config_template_id"] = TEMPLATE if has_configuration else HELPDESK
    use_new_key(case)
    response = case.call_and_validate(base_url=running_stack.url, headers=caller)
    if is_valid(case):
        assert response.status_code == SUCCESS[case.path], response.text


def test_all_fields_have_values_of_the_caller(own):
    documented = {name for path in SUCCESS for name in fields(path)}
    assert own.keys() == documented - AGENTS_FIELDS.keys()


def test_all_operations_require_authentication():
    """Otherwise the tests above would not generate requests without it."""
    assert openapi.document()["security"] == [{"jwt": []}]
    assert not any("security" in item["post"] for item in openapi.document()["paths"].values())
