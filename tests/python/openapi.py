"""openapi.yaml, and validation by its schemas."""

import functools
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).resolve().parents[2] / "openapi.yaml"
URI = "urn:openapi"


@functools.cache
def document() -> dict:
    return yaml.safe_load(ROOT.read_text(encoding="utf-8"))


def dereference(value: dict) -> dict:
    """The object itself, which may be a reference to a component."""
    while "$ref" in value:
        target = document()
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def errors(schema: dict, value) -> list[str]:
    """The validation errors of a value, by a schema whose references are to the document."""
    registry = Registry().with_resource(URI, Resource(contents=document(), specification=DRAFT202012))
    validator = Draft202012Validator(
        _absolute(schema), registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def request_schema(path: str) -> dict:
    return document()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def _absolute(schema):
    if isinstance(schema, dict):
        return {k: f"{URI}{v}" if k == "$ref" else _absolute(v) for k, v in schema.items()}
    return [_absolute(item) for item in schema] if isinstance(schema, list) else schema
