"""The request examples of openapi.yaml succeed, each with the generation of Airbyte's API that it is for."""

import json

import pytest

import openapi
from stack import SUCCESS


def request_examples(generation: str):
    """The examples for a generation. Those that name none are for all."""
    for path, item in openapi.document()["paths"].items():
        for name, example in item["post"]["requestBody"]["content"]["application/json"]["examples"].items():
            example = openapi.dereference(example)
            if example.get("x-airbyte-api", generation) == generation:
                yield pytest.param(path, example["value"], id=f"{path} {name}")


@pytest.mark.parametrize(("path", "body"), list(request_examples("embedded")))
def test_request_example_succeeds(stack, path, body):
    response = stack.post(path, json.dumps(body).encode())
    assert response.status_code == SUCCESS[path], response.text
