"""The request examples of openapi.yaml succeed."""

import json

import pytest

import openapi
from stack import SUCCESS


def request_examples():
    for path, item in openapi.document()["paths"].items():
        for name, example in item["post"]["requestBody"]["content"]["application/json"]["examples"].items():
            yield pytest.param(path, openapi.dereference(example)["value"], id=f"{path} {name}")


@pytest.mark.parametrize(("path", "body"), list(request_examples()))
def test_request_example_succeeds(stack, path, body):
    response = stack.post(path, json.dumps(body).encode())
    assert response.status_code == SUCCESS[path], response.text
