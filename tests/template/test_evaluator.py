"""The evaluator of the template (local/template) does what CloudFormation does, and reports what it cannot do."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cloudformation
from cloudformation import Stack, TemplateError
from parameters import JWT_PARAMETERS

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Origins: {Type: CommaDelimitedList, Default: "https://a.example,https://b.example"}
  Caller: {Type: String, AllowedValues: [JWT, IAM], Default: JWT}
  Rate: {Type: Number, Default: 50}
Rules:
  JwtNeedsOrigins:
    RuleCondition: !Equals [!Ref Caller, JWT]
    Assertions:
      - {Assert: !Not ["Fn::EachMemberEquals": [!Ref Origins, ""]], AssertDescription: origins for JWT}
  Always:
    Assertions:
      - {Assert: !Not [!Equals [!Ref Rate, "0"]], AssertDescription: some rate}
Conditions:
  UsesJwt: !Equals [!Ref Caller, JWT]
Globals:
  Function:
    Timeout: 28
    Environment:
      Variables:
        ORIGINS: !Join [",", !Ref Origins]
        SHARED: globals
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: .
      Environment: {Variables: {SHARED: own, RATE: !If [UsesJwt, !Ref Rate, !Ref AWS::NoValue]}}
  OnlyJwt:
    Type: AWS::SNS::Topic
    Condition: UsesJwt
    Properties: {TopicName: VALUE}
"""


def stack(value: object = "x", **parameters: str) -> Stack:
    """A stack with one property that a test chooses."""
    template = cloudformation.yaml_parse(TEMPLATE)
    template["Resources"]["OnlyJwt"]["Properties"]["TopicName"] = value
    return Stack(template, parameters)


def topic_name(value: object, **parameters: str) -> object:
    return stack(value, **parameters).resources["OnlyJwt"]["Properties"]["TopicName"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Rate"}, "50"),
        ({"Ref": "Origins"}, ["https://a.example", "https://b.example"]),
        ({"Ref": "AWS::Region"}, "eu-central-1"),
        ({"Ref": "Function"}, "${Function}"),
        ({"Fn::GetAtt": ["Function", "Arn"]}, "${Function.Arn}"),
        ({"Fn::GetAtt": "Function.Arn"}, "${Function.Arn}"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Rate"}]]}, "a-50"),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::Select": ["1", {"Ref": "Origins"}]}, "https://b.example"),
        ({"Fn::Sub": "${Rate} ${!Rate} ${Function.Arn}"}, "50 ${Rate} ${Function.Arn}"),
        ({"Fn::Sub": ["${Own}/${Rate}", {"Own": {"Ref": "Caller"}}]}, "JWT/50"),
        ({"Fn::If": ["UsesJwt", "yes", "no"]}, "yes"),
        (["a", {"Ref": "AWS::NoValue"}], ["a"]),
    ],
    ids=json.dumps,
)
def test_evaluates_intrinsic_function(value, expected):
    assert topic_name(value) == expected


def test_condition_removes_resource():
    assert set(stack(Caller="IAM").resources) == {"Function", "FunctionRole"}


def test_function_overrides_globals():
    function = stack().of_type("AWS::Lambda::Function")["Function"]

    assert function["Timeout"] == 28
    assert function["Environment"]["Variables"] == {
        "ORIGINS": "https://a.example,https://b.example",
        "SHARED": "own",
        "RATE": "50",
    }


def test_names_parameters_behind_environment_variables():
    assert stack().variables() == {"ORIGINS": ["Origins"], "SHARED": [], "RATE": ["Caller", "Rate"]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Ref": "Rat"}, "the template has no parameter or resource Rat"),
        ({"Fn::Sub": "${Nothing.Arn}"}, "the template has no parameter or resource Nothing"),
        ({"Fn::If": ["Unknown", "a", "b"]}, "the template has no condition Unknown"),
        ({"Fn::Select": [2, {"Ref": "Origins"}]}, "the list has no item 2"),
        ({"Fn::Join": [",", {"Ref": "Rate"}]}, 'expected a list, found "50"'),
        ({"Fn::ImportValue": "x"}, 'Fn::ImportValue cannot be evaluated with "x"'),
        ({"Fn::If": ["UsesJwt", "a"]}, 'Fn::If cannot be evaluated with ["UsesJwt", "a"]'),
    ],
    ids=json.dumps,
)
def test_reports_resource_and_property(value, message):
    with pytest.raises(TemplateError) as raised:
        topic_name(value)

    assert str(raised.value) == f"Resources.OnlyJwt.Properties.TopicName: {message}"


def test_reports_reference_to_resource_that_does_not_exist():
    template = cloudformation.yaml_parse(TEMPLATE)
    template["Outputs"] = {"Topic": {"Value": {"Ref": "OnlyJwt"}}}

    with pytest.raises(TemplateError, match="^Outputs.Topic.Value: the resource OnlyJwt does not exist under these"):
        Stack(template, {"Caller": "IAM"}).outputs


def test_evaluates_selected_types_only():
    unsupported = stack({"Fn::ImportValue": "x"})

    assert set(unsupported.select("AWS::Lambda::")) == {"Function"}


@pytest.mark.parametrize(
    ("parameters", "broken"),
    [
        ({}, []),
        ({"Origins": ""}, ["origins for JWT"]),
        ({"Origins": "", "Caller": "IAM"}, []),
        ({"Origins": ",", "Rate": "0"}, ["origins for JWT", "some rate"]),
        ({"Origins": "https://a.example,"}, []),
    ],
    ids=str,
)
def test_reports_broken_rules(parameters, broken):
    assert stack(**parameters).broken_rules() == broken


@pytest.mark.parametrize(
    ("declaration", "value", "message"),
    [
        ({"Type": "String"}, None, "is required"),
        ({"Type": "Number"}, "many", '"many" is invalid: must be a number'),
        ({"Type": "Number"}, "nan", '"nan" is invalid: must be a number'),
        ({"Type": "Number", "MinValue": 1}, "0", '"0" is invalid: must be at least 1'),
        ({"Type": "Number", "MaxValue": 9}, "10", '"10" is invalid: must be at most 9'),
        ({"Type": "String", "MinLength": 1}, "", '"" is invalid: must have at least 1 characters'),
        ({"Type": "String", "MaxLength": 1}, "ab", '"ab" is invalid: must have at most 1 characters'),
        ({"Type": "String", "AllowedValues": ["JWT", "IAM"]}, "NONE", '"NONE" is invalid: must be one of JWT, IAM'),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, "a1", '"a1" is invalid: must match [a-z]+'),
        (
            {"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]+", "ConstraintDescription": "must be lower case"},
            "a, B",
            '"B" is invalid: must be lower case',
        ),
    ],
)
def test_reports_invalid_parameter(declaration, value, message):
    values = {} if value is None else {"P": value}

    [diagnostic] = cloudformation.invalid_parameters({"Parameters": {"P": declaration}}, values)

    assert str(diagnostic) == f"Parameters.P: {message}"


def test_accepts_valid_parameters():
    declared = {
        "List": {"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]+"},
        "Number": {"Type": "Number", "MinValue": 1, "MaxValue": 9},
        "Fraction": {"Type": "Number", "Default": 0.5},
    }

    assert not list(cloudformation.invalid_parameters({"Parameters": declared}, {"List": "a, b", "Number": "9"}))


def test_reports_unknown_parameter():
    with pytest.raises(TemplateError, match="^Parameters.Nothing: the template has no such parameter$"):
        stack(Nothing="1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\n", "not valid YAML: while parsing a flow sequence"),
        ("", "Resources: is missing"),
        ("Resources: []", "Resources: is missing"),
    ],
)
def test_reports_file_that_is_not_a_template(tmp_path, text, message):
    path = tmp_path / "template.yaml"
    path.write_text(text)

    with pytest.raises(TemplateError) as raised:
        cloudformation.load(path)

    assert str(raised.value).startswith(message)


def test_reports_missing_file(tmp_path):
    with pytest.raises(TemplateError, match="^No such file or directory$"):
        cloudformation.load(tmp_path / "template.yaml")


def test_reports_resource_that_the_transform_rejects(template):
    broken = copy.deepcopy(template)
    del broken["Resources"]["MintTokenFunction"]["Properties"]["Role"]
    broken["Resources"]["MintTokenFunction"]["Properties"]["Policies"] = [{"NoSuchPolicyTemplate": {}}]
    broken["Resources"]["MintTokenFunction"]["Properties"]["Events"] = {"E": {"Type": "NoSuchType"}}

    with pytest.raises(TemplateError, match="MintTokenFunction"):
        Stack(broken, JWT_PARAMETERS)


def run(repository: Path, request: dict) -> dict:
    done = subprocess.run(
        [sys.executable, repository / "local/template/evaluate.py"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_program_continues_with_substitutes(repository):
    response = run(
        repository,
        {
            "template": str(repository / "template.yaml"),
            "region": "us-east-1",
            "parameters": JWT_PARAMETERS | {"JwtIssuer": "ftp://issuer", "DomainName": "airbyte.example.com"},
            "substitutes": {"JwtIssuer": "https://issuer.example.com/"},
            "types": ["AWS::ApiGatewayV2::Authorizer"],
        },
    )

    assert [diagnostic["path"] for diagnostic in response["diagnostics"]] == ["Parameters.JwtIssuer"]
    assert [rule.split()[0] for rule in response["broken_rules"]] == ["DomainName"]
    [authorizer] = response["resources"].values()
    assert authorizer["Properties"]["JwtConfiguration"]["Issuer"] == "https://issuer.example.com/"


def test_program_reports_template_that_cannot_be_evaluated(repository, tmp_path):
    request = {"template": str(tmp_path / "none.yaml"), "region": "", "parameters": {}, "substitutes": {}, "types": [""]}

    response = run(repository, request)

    assert response["resources"] is None
    assert response["diagnostics"] == [{"path": "", "message": "No such file or directory"}]


def test_both_virtual_environments_have_one_version_of_the_transform(repository):
    pins = [
        {line for line in (repository / path).read_text().splitlines() if line.startswith("aws-sam-translator==")}
        for path in ("local/requirements.txt", "tests/requirements.txt")
    ]

    assert pins[0] == pins[1] != set()
