"""`AIRBYTE_API=agents make dev`: the whole stack on the other generation of Airbyte's API, without another change."""

import json
from collections.abc import Iterator

import pytest

from programs import request_json
from stack import HELPDESK, ORIGIN, SUCCESS, Stack, local_stack, program, start
from test_commands import check_printed_commands, run
from test_examples import request_examples
from test_smoke import smoke

REGION = "645a183f-b12b-4c6e-8ad3-99e165603450"

# Each with another value than the default.
SETTINGS = {
    "AIRBYTE_SOURCES_BEARER": "organization",
    "AIRBYTE_REGION_ID": REGION,
    "SOURCE_TEMPLATE_TAGS": "sample,support",
    "SOURCE_TEMPLATE_TAGS_MODE": "all",
    "CONNECTION_TEMPLATE_TAGS": "daily",
    "CONNECTION_TEMPLATE_TAGS_MODE": "all",
}


@pytest.fixture(scope="module")
def agents_stack() -> Iterator[Stack]:
    """A stack whose simulator serves no other generation."""
    with local_stack(AIRBYTE_API="agents", AIRBYTE_SIM_GENERATIONS="agents") as stack:
        yield stack


def test_printed_commands_work(agents_stack):
    check_printed_commands(agents_stack)
    assert any("AIRBYTE_API=agents" in line for line in agents_stack.output.lines)


@pytest.mark.parametrize(("path", "body"), list(request_examples("agents")))
def test_request_example_succeeds(agents_stack, path, body):
    response = agents_stack.post(path, json.dumps(body).encode())
    assert response.status_code == SUCCESS[path], response.text


def test_smoke_test_accepts_stack(agents_stack):
    token = agents_stack.bearer("smoke").removeprefix("Bearer ")

    done = smoke(API_URL=agents_stack.url, ORIGIN=ORIGIN, ACCESS_TOKEN=token)

    assert done.returncode == 0, done.stdout + done.stderr


def test_event_of_generation_creates_source(agents_stack):
    invoke = ".venv/dev/bin/cargo-lambda lambda invoke create-source --data-file events/create-source-agents.json"
    response = json.loads(run(f"{invoke} --invoke-port {agents_stack.ports['INVOKE_PORT']}"))
    assert response["statusCode"] == 201, response
    assert json.loads(response["body"])["name"] == "Tickets"


def test_demo_page_has_templates_of_generation(agents_stack):
    templates = request_json("GET", f"{agents_stack.at('DEMO_PORT')}/config.json")["templates"]
    modes = {template["id"]: template["mode"] for template in templates}
    assert modes[HELPDESK] == "DIRECT"
    assert "credentials" in next(t for t in templates if t["id"] == HELPDESK)["connection_specification"]["properties"]


def test_default_generation_has_no_other_templates(stack):
    templates = request_json("GET", f"{stack.at('DEMO_PORT')}/config.json")["templates"]
    assert {template["mode"] for template in templates} == {"REPLICATION"}


def test_settings_reach_airbyte():
    with local_stack(AIRBYTE_API="agents", AIRBYTE_SIM_SOURCES_BEARER="organization", **SETTINGS) as stack:
        assert stack.call("/sources").status_code == 201
        [mint, create] = [r for r in stack.airbyte.requests() if r["method"] == "POST"]

    assert json.loads(mint["body"]) == {
        "workspace_name": "alice",
        "allowed_origin": ORIGIN,
        "region_id": REGION,
        "selected_source_template_tags": ["sample", "support"],
        "selected_source_template_tags_mode": "all",
        "selected_connection_template_tags": ["daily"],
        "selected_connection_template_tags_mode": "all",
    }
    assert dict(create["headers"])["authorization"] == f"Bearer {stack.airbyte.ORGANIZATION_TOKEN}"


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"AIRBYTE_API": "next"}, "error: AIRBYTE_API=next is invalid: expected embedded or agents"),
        (
            {"AIRBYTE_API": "agents", "AIRBYTE_REGION_ID": "eu"},
            'Parameters.AirbyteRegionId: "eu" is invalid: must be a UUID such as 0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d\n'
            "help: set it with AIRBYTE_REGION_ID or PARAMETER_OVERRIDES",
        ),
        (
            {"SOURCE_TEMPLATE_TAGS": "crm"},
            "SOURCE_TEMPLATE_TAGS is not valid: it must be unset unless AIRBYTE_API is `agents`",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_invalid_setting_is_reported(variables, error):
    process, _ = start(program(), **variables)
    printed, _ = process.communicate(timeout=120)

    assert process.returncode == 1
    assert error in printed
