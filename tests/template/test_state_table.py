"""The state table: on demand, with expiry, deleted with the stack, and optional."""

import pytest

import cloudformation


def test_creates_table_on_demand_with_expiry(stack):
    assert stack.of_type("AWS::DynamoDB::Table") == {
        "State": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
        }
    }


def test_deletes_table_with_stack(stack):
    table = stack.resources["State"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Delete", "Delete")


def variables(stack) -> list[dict]:
    return [f["Environment"]["Variables"] for f in stack.of_type("AWS::Lambda::Function").values()]


def test_functions_receive_name_of_table(stack):
    assert [v["STATE_TABLE"] for v in variables(stack)] == ["${State}"] * 2


def test_creates_nothing_of_it_if_disabled(deploy):
    stack = deploy(StateTable="false")
    assert not stack.of_type("AWS::DynamoDB::Table")
    assert not [v for v in variables(stack) if "STATE_TABLE" in v]
    assert not {"StatePolicy", "StateTableAlarm", "MintTokenStateFailuresAlarm"} & stack.resources.keys()


@pytest.mark.parametrize("value", ["", "yes", "True"])
def test_rejects_other_values(deploy, value):
    with pytest.raises(cloudformation.TemplateError, match="^Parameters.StateTable: "):
        deploy(StateTable=value)
