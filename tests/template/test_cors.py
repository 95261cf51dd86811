"""The API's CORS configuration and the functions' own check use one parameter."""

import copy

import pytest

import cloudformation
from parameters import JWT_PARAMETERS

ORIGINS = ["https://app.example.com", "https://admin.example.com:8443"]


ALLOWED_HEADERS = [
    "authorization",
    "content-type",
    "idempotency-key",
    "x-amzn-trace-id",
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-origin",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
]


def cors(stack) -> dict:
    return stack.of_type("AWS::ApiGatewayV2::Api")["HttpApi"]["CorsConfiguration"]


def test_keeps_all_settings_with_several_origins(stack):
    assert cors(stack) == {
        "AllowOrigins": ORIGINS,
        "AllowMethods": ["POST"],
        "AllowHeaders": ALLOWED_HEADERS,
        "ExposeHeaders": ["retry-after", "idempotent-replayed"],
        "MaxAge": 7200,
    }


def test_allows_extra_headers(deploy):
    stack = deploy(ExtraAllowedHeaders="b3, x-b3-traceid")
    assert cors(stack)["AllowHeaders"] == [*ALLOWED_HEADERS, "b3", "x-b3-traceid"]


@pytest.mark.parametrize("header", ["X-B3-TraceId", "x b3", "x-b3:", "*é"])
def test_rejects_invalid_extra_header(deploy, header):
    with pytest.raises(cloudformation.TemplateError, match="^Parameters.ExtraAllowedHeaders: "):
        deploy(ExtraAllowedHeaders=header)


def test_keeps_one_origin_as_a_list(deploy):
    assert cors(deploy(AllowedOrigins="https://app.example.com"))["AllowOrigins"] == ["https://app.example.com"]


def test_functions_receive_the_same_origins(stack):
    functions = stack.of_type("AWS::Lambda::Function").values()
    assert [f["Environment"]["Variables"]["ALLOWED_ORIGINS"] for f in functions] == [",".join(ORIGINS)] * 2


@pytest.mark.parametrize("value", [JWT_PARAMETERS["AllowedOrigins"], ORIGINS], ids=["string", "list"])
def test_transform_keeps_reference_to_parameter(template, value):
    """Whether the transform receives a string or a list, it does not write the value into the template."""
    translated = cloudformation.translate(template, JWT_PARAMETERS | {"AllowedOrigins": value})
    api = translated["Resources"]["HttpApi"]["Properties"]
    assert api["CorsConfiguration"]["AllowOrigins"] == {"Ref": "AllowedOrigins"}
    for name in ("MintTokenFunction", "CreateSourceFunction"):
        variables = translated["Resources"][name]["Properties"]["Environment"]["Variables"]
        assert variables["ALLOWED_ORIGINS"] == {"Fn::Join": [",", {"Ref": "AllowedOrigins"}]}


def test_sam_api_type_still_loses_methods(template):
    """The reason to use CloudFormation's own type. When this fails, SAM was fixed."""
    trap = copy.deepcopy(template)
    configuration = trap["Resources"]["HttpApi"]["Properties"]["CorsConfiguration"]
    configuration["AllowOrigins"] = {"Fn::Split": [",", {"Ref": "AllowedOrigins"}]}
    trap["Resources"]["HttpApi"] = {"Type": "AWS::Serverless::HttpApi", "Properties": {"CorsConfiguration": configuration}}
    translated = cloudformation.translate(trap, JWT_PARAMETERS)
    api = next(r for r in translated["Resources"].values() if r["Type"] == "AWS::ApiGatewayV2::Api")
    assert api["Properties"]["Body"]["x-amazon-apigateway-cors"].keys() == {"Fn::Split"}


@pytest.mark.parametrize(
    "origins",
    [
        "https://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com:80,https://app.example.com:44,https://app.example.com:444,https://app.example.com:4430",
        "http://localhost:8,http://localhost:81,http://localhost:443,http://localhost:8080",
        "https://app.example.com, https://xn--bcher-kva.example",
        "http://localhost:5173,http://127.0.0.1:5173,http://app.localhost:3000",
        "https://my_app.example.com",
    ],
)
def test_accepts_origins(deploy, origins):
    deploy(AllowedOrigins=origins)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "*",
        "null",
        "app.example.com",
        "https://*.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://App.example.com",
        "https://app.example.com:",
        "https://app.example.com:443",
        "https://app.example.com:0443",
        "http://localhost:80",
        "https://user@app.example.com",
        "http://app.example.com",
        "http://localhost.example.com",
        "http://mylocalhost",
        "http://[::1]:5173",
    ],
)
def test_rejects_invalid_origin(deploy, origin):
    with pytest.raises(cloudformation.TemplateError, match="^Parameters.AllowedOrigins: "):
        deploy(AllowedOrigins=f"https://first.example.com,{origin}")
