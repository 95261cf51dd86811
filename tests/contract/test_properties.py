"""Whatever is sent, the answer is one that openapi.yaml has: requests made from its schemas, good ones and bad ones."""

import pytest
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation

import openapi
from stack import CONFIGURATION, ORIGIN, SUCCESS, TEMPLATE, load_schema

USER = "alice"

schema = load_schema()


@pytest.fixture(scope="module")
def caller(running_stack) -> dict[str, str]:
    # Written like this, schemathesis knows it again, and tries also without and with a wrong one.
    return {"Authorization": running_stack.bearer(USER)}


@pytest.fixture(scope="module")
def own(running_stack) -> dict:
    """For each member of the bodies, a value that is the caller's own and that Airbyte takes."""
    minted = running_stack.good("/token", user=USER).json()
    return {
        "allowedOrigin": ORIGIN,
        "externalUserId": USER,
        "workspace_id": minted["workspaceId"],
        "token": minted["token"],
        "source_config_template_id": TEMPLATE,
        "connection_configuration": CONFIGURATION,
    }


def members(path: str) -> dict:
    return openapi.dereference(openapi.request_schema(path))["properties"]


def is_good(case: Case) -> bool:
    """Whether it may succeed. Generated as bad, but good by the document, is one that does not say that it is JSON."""
    modes = {place: part.mode for place, part in case.meta.components.items() if place != ParameterLocation.HEADER}
    return all(mode.is_positive for mode in modes.values())


@schema.parametrize()
def test_a_generated_request_is_answered_as_documented(case, running_stack, caller):
    if is_good(case) and isinstance(case.body, dict):
        # What only looks like a token is answered 400, as the document says: no schema can tell.
        case.body = {name: value for name, value in case.body.items() if name != "token"}
    case.call_and_validate(base_url=running_stack.url, headers=caller)


@schema.parametrize()
def test_a_generated_request_with_the_callers_own_values_fails_only_for_its_faults(case, running_stack, caller, own):
    if isinstance(case.body, dict):
        # null stays: it is as good as nothing. What the schema forbids stays too.
        case.body = {
            name: own[name]
            if name in own and value is not None and not openapi.faults(members(case.path).get(name, False), value)
            else value
            for name, value in case.body.items()
        }
    answer = case.call_and_validate(base_url=running_stack.url, headers=caller)
    if is_good(case):
        assert answer.status_code == SUCCESS[case.path], answer.text


def test_every_member_of_a_request_has_a_value_of_the_callers_own(own):
    assert own.keys() == {name for path in SUCCESS for name in members(path)}


def test_every_operation_asks_for_a_token():
    """Or else nothing above tries it without."""
    assert openapi.document()["security"] == [{"jwt": []}]
    assert not any("security" in item["post"] for item in openapi.document()["paths"].values())
