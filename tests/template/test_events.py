"""events/*.json are events that API Gateway sends for the template's routes."""

import base64
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import openapi

EVENTS = sorted((Path(__file__).resolve().parents[2] / "events").glob("*.json"))
ROUTES = {"mint-token": "/token", "create-source": "/sources"}
CALLERS = ("jwt", "iam", "base64-body")
# A body with the fields of AIRBYTE_API=agents, by a JWT caller.
AGENTS = "create-source-agents"

TEXT = {"type": "string", "minLength": 1}
# Source: AWS, "Create AWS Lambda proxy integrations for HTTP APIs", payload format 2.0.
PAYLOAD_2_0 = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext", "isBase64Encoded"],
    "properties": {
        "version": {"const": "2.0"},
        "routeKey": TEXT,
        "rawPath": TEXT,
        "rawQueryString": {"type": "string"},
        "headers": {
            "type": "object",
            "propertyNames": {"pattern": "^[a-z0-9-]+$"},
            "additionalProperties": {"type": "string"},
            "required": ["host", "x-amzn-trace-id", "x-forwarded-for"],
        },
        "requestContext": {
            "type": "object",
            "additionalProperties": False,
            "required": ["accountId", "apiId", "authorizer", "domainName", "http", "requestId", "routeKey", "stage"],
            "properties": {
                "accountId": TEXT,
                "apiId": TEXT,
                "authorizer": {
                    "oneOf": [
                        {
                            "additionalProperties": False,
                            "required": ["jwt"],
                            "properties": {
                                "jwt": {
                                    "additionalProperties": False,
                                    "required": ["claims", "scopes"],
                                    "properties": {
                                        "claims": {"additionalProperties": {"type": "string"}, "required": ["sub"]},
                                        "scopes": {"type": "null"},
                                    },
                                }
                            },
                        },
                        {
                            "additionalProperties": False,
                            "required": ["iam"],
                            "properties": {
                                "iam": {
                                    "additionalProperties": False,
                                    "required": ["accessKey", "accountId", "callerId", "userArn", "userId"],
                                    "properties": {
                                        "accessKey": TEXT,
                                        "accountId": TEXT,
                                        "callerId": TEXT,
                                        "cognitoIdentity": {"type": "null"},
                                        "principalOrgId": TEXT,
                                        "userArn": TEXT,
                                        "userId": TEXT,
                                    },
                                }
                            },
                        },
                    ]
                },
                "domainName": TEXT,
                "domainPrefix": TEXT,
                "http": {
                    "additionalProperties": False,
                    "required": ["method", "path", "protocol", "sourceIp", "userAgent"],
                    "properties": {k: TEXT for k in ("method", "path", "protocol", "sourceIp", "userAgent")},
                },
                "requestId": TEXT,
                "routeKey": TEXT,
                "stage": {"const": "$default"},
                "time": TEXT,
                "timeEpoch": {"type": "integer"},
            },
        },
        "body": {"type": "string"},
        "isBase64Encoded": {"type": "boolean"},
    },
}


def body_of(event: dict) -> str:
    body = event.get("body", "")
    return base64.b64decode(body, validate=True).decode() if event["isBase64Encoded"] else body


def test_has_event_of_each_kind_for_each_function():
    names = [f"{name}-{caller}" for name in ROUTES for caller in CALLERS]
    assert [path.stem for path in EVENTS] == sorted([*names, AGENTS])


@pytest.fixture(params=EVENTS, ids=lambda path: path.stem)
def named_event(request) -> tuple[str, dict]:
    return request.param.stem, json.loads(request.param.read_text(encoding="utf-8"))


def test_has_payload_format_2(named_event):
    _, event = named_event
    assert [error.message for error in Draft202012Validator(PAYLOAD_2_0).iter_errors(event)] == []


def test_uses_route_of_template(named_event, stack):
    name, event = named_event
    path = next(path for function, path in ROUTES.items() if name.startswith(function))
    assert f"POST {path}" in {route["RouteKey"] for route in stack.of_type("AWS::ApiGatewayV2::Route").values()}
    context = event["requestContext"]
    assert event["routeKey"] == context["routeKey"] == f"POST {path}"
    assert event["rawPath"] == context["http"]["path"] == path
    assert context["http"]["method"] == "POST"
    assert event["headers"]["host"] == context["domainName"]
    assert event["headers"]["user-agent"] == context["http"]["userAgent"]


def test_caller_and_body_match_name(named_event):
    name, event = named_event
    assert event["isBase64Encoded"] == name.endswith("base64-body")
    authorizer = event["requestContext"]["authorizer"]
    assert authorizer.keys() == {"iam" if name.endswith("iam") else "jwt"}
    if "iam" in authorizer:
        assert json.loads(event["body"])["externalUserId"] == "alice"
    else:
        assert event["headers"]["origin"] == "http://localhost:5173"


def test_body_is_valid_request(named_event):
    _, event = named_event
    body = body_of(event)
    if "content-length" in event["headers"]:
        assert int(event["headers"]["content-length"]) == len(body.encode())
    assert openapi.errors(openapi.request_schema(event["rawPath"]), json.loads(body or "{}")) == []


def test_body_has_fields_of_generation(named_event):
    name, event = named_event
    fields = {"name", "credentials", "environment"} & json.loads(body_of(event) or "{}").keys()
    assert fields == ({"name", "credentials", "environment"} if name == AGENTS else set())


def test_authorization_is_recognizable_fake(named_event):
    _, event = named_event
    authorization = event["headers"]["authorization"]
    if "iam" in event["requestContext"]["authorizer"]:
        assert authorization.endswith("Signature=this-is-not-a-signature")
        return

    def decode(part: str) -> bytes:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    scheme, _, jwt = authorization.partition(" ")
    _, payload, signature = map(decode, jwt.split("."))
    assert (scheme, signature) == ("Bearer", b"this is not a signature")
    claims = {name: str(value) for name, value in json.loads(payload).items()}
    assert claims == event["requestContext"]["authorizer"]["jwt"]["claims"]
