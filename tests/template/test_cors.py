"""One parameter of origins feeds the API's CORS answers and the functions' own check."""

import copy

import pytest

import cloudformation
from parameters import JWT_PARAMETERS

ORIGINS = ["https://app.example.com", "https://admin.example.com:8443"]


def test_several_origins_come_out_as_a_list_and_the_rest_survives(stack):
    assert stack.of_type("AWS::ApiGatewayV2::Api")["HttpApi"]["CorsConfiguration"] == {
        "AllowOrigins": ORIGINS,
        "AllowMethods": ["POST"],
        "AllowHeaders": ["authorization", "content-type", "x-amzn-trace-id"],
        "ExposeHeaders": ["retry-after"],
        "MaxAge": 3600,
    }


def test_one_origin_comes_out_as_a_list_of_one(deploy):
    stack = deploy(AllowedOrigins="https://app.example.com")
    cors = stack.of_type("AWS::ApiGatewayV2::Api")["HttpApi"]["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://app.example.com"]


def test_the_functions_get_the_same_origins(stack):
    functions = stack.of_type("AWS::Lambda::Function").values()
    assert [f["Environment"]["Variables"]["ALLOWED_ORIGINS"] for f in functions] == [",".join(ORIGINS)] * 2


@pytest.mark.parametrize("value", [JWT_PARAMETERS["AllowedOrigins"], ORIGINS], ids=["text", "list"])
def test_the_transform_leaves_the_parameter_to_cloudformation(template, value):
    """Whichever way the transform is told the value, it does not write it into the template."""
    translated = cloudformation.translate(template, JWT_PARAMETERS | {"AllowedOrigins": value})
    api = translated["Resources"]["HttpApi"]["Properties"]
    assert api["CorsConfiguration"]["AllowOrigins"] == {"Ref": "AllowedOrigins"}
    for name in ("MintTokenFunction", "CreateSourceFunction"):
        variables = translated["Resources"][name]["Properties"]["Environment"]["Variables"]
        assert variables["ALLOWED_ORIGINS"] == {"Fn::Join": [",", {"Ref": "AllowedOrigins"}]}


def test_sams_own_api_type_would_lose_the_methods(template):
    """Why the API is CloudFormation's own type; when this fails, SAM has been mended."""
    trap = copy.deepcopy(template)
    cors = trap["Resources"]["HttpApi"]["Properties"]["CorsConfiguration"]
    cors["AllowOrigins"] = {"Fn::Split": [",", {"Ref": "AllowedOrigins"}]}
    trap["Resources"]["HttpApi"] = {"Type": "AWS::Serverless::HttpApi", "Properties": {"CorsConfiguration": cors}}
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
        "http://localhost:5173,http://127.0.0.1:5173,http://[::1]:5173",
    ],
)
def test_origins_are_taken(deploy, origins):
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
    ],
)
def test_what_is_no_origin_is_refused_before_anything_is_deployed(deploy, origin):
    with pytest.raises(AssertionError, match="AllowedOrigins does not take"):
        deploy(AllowedOrigins=f"https://first.example.com,{origin}")
