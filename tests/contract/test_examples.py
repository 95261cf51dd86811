"""The requests that openapi.yaml shows can be sent as they are."""

import json

import pytest

import openapi
from stack import SUCCESS


def request_examples():
    for path, item in openapi.document()["paths"].items():
        for name, example in item["post"]["requestBody"]["content"]["application/json"]["examples"].items():
            yield pytest.param(path, openapi.dereference(example)["value"], id=f"{path} {name}")


@pytest.mark.parametrize(("path", "body"), list(request_examples()))
def test_an_example_of_a_request_succeeds(stack, path, body):
    answer = stack.post(path, json.dumps(body).encode())
    assert answer.status_code == SUCCESS[path], answer.text
