"""What CloudFormation makes of a template: the SAM transform, parameters, conditions and intrinsic functions.

Only what the template uses is known here; anything else is an error, so that a test never passes over it.
"""

import copy
import re
from pathlib import Path

import boto3
import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}

# The packages, which `sam deploy` uploads.
CODE_URI = "s3://bucket/package.zip"


def load(path: Path) -> dict:
    """The template as it is written, with the short forms of intrinsic functions spelled out."""
    return yaml_parse(path.read_text(encoding="utf-8"))


def translate(template: dict, parameters: dict) -> dict:
    """The template as SAM's transform hands it to CloudFormation."""
    packaged = copy.deepcopy(template)
    for resource in packaged["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = CODE_URI
    session = boto3.Session(region_name=PSEUDO_PARAMETERS["AWS::Region"])
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session)
    return translator.translate(packaged, parameter_values=dict(parameters))


class Stack:
    """A translated template with its parameters, conditions and intrinsic functions evaluated.

    References to other resources, whose values exist only in AWS, are kept in `Fn::Sub`'s notation: `${HttpApi}`,
    `${MintTokenLogGroup.Arn}`.
    """

    def __init__(self, template: dict, parameters: dict):
        self._template = translate(template, parameters)
        self._parameters = self._parameter_values(parameters)
        self.resources = {
            name: self._resolve(resource)
            for name, resource in self._template["Resources"].items()
            if self._holds(resource.get("Condition"))
        }
        self.outputs = {
            name: self._resolve(output["Value"])
            for name, output in self._template["Outputs"].items()
            if self._holds(output.get("Condition"))
        }

    def of_type(self, kind: str) -> dict:
        """The properties of all resources of a type, by their logical names."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def broken_rules(self) -> list[str]:
        """The descriptions of the assertions that the parameters fail."""
        broken = []
        for rule in self._template.get("Rules", {}).values():
            if "RuleCondition" in rule and not self._condition(rule["RuleCondition"]):
                continue
            broken += [a["AssertDescription"] for a in rule["Assertions"] if not self._condition(a["Assert"])]
        return broken

    def _parameter_values(self, given: dict) -> dict:
        unknown = given.keys() - self._template["Parameters"].keys()
        assert not unknown, f"not parameters of the template: {unknown}"
        values = {}
        for name, parameter in self._template["Parameters"].items():
            value = given.get(name, parameter.get("Default"))
            assert value is not None, f"the parameter {name} is required"
            members = str(value).split(",") if parameter["Type"] == "CommaDelimitedList" else [str(value)]
            members = [member.strip() for member in members]
            for member in members:
                refused = f"{name} does not take {member!r}"
                assert re.fullmatch(parameter.get("AllowedPattern", ".*"), member), refused
                assert member in map(str, parameter.get("AllowedValues", [member])), refused
                assert len(member) >= parameter.get("MinLength", 0), refused
                if parameter["Type"] == "Number":
                    assert parameter.get("MinValue", float("-inf")) <= float(member), refused
                    assert float(member) <= parameter.get("MaxValue", float("inf")), refused
            values[name] = members if parameter["Type"] == "CommaDelimitedList" else members[0]
        return values

    def _holds(self, condition: str | None) -> bool:
        return condition is None or self._condition(self._template["Conditions"][condition])

    def _condition(self, expression: dict) -> bool:
        ((function, argument),) = expression.items()
        match function:
            case "Condition":
                return self._holds(argument)
            case "Fn::Not":
                return not self._condition(argument[0])
            case "Fn::And":
                return all(map(self._condition, argument))
            case "Fn::Or":
                return any(map(self._condition, argument))
            case "Fn::Equals":
                return self._resolve(argument[0]) == self._resolve(argument[1])
            case "Fn::EachMemberEquals":
                return all(member == argument[1] for member in self._resolve(argument[0]))
        raise NotImplementedError(function)

    def _resolve(self, value):
        if isinstance(value, list):
            return [item for item in map(self._resolve, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, argument)
        resolved = {name: self._resolve(item) for name, item in value.items()}
        return {name: item for name, item in resolved.items() if item is not NO_VALUE}

    def _call(self, function: str, argument):
        match function:
            case "Ref" if argument == "AWS::NoValue":
                return NO_VALUE
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                return self._reference(argument if isinstance(argument, str) else ".".join(argument))
            case "Fn::Join":
                separator, items = argument
                items = self._resolve(items)
                assert isinstance(items, list), f"Fn::Join of what is not a list: {items!r}"
                return separator.join(items)
            case "Fn::Split":
                separator, text = argument
                return self._resolve(text).split(separator)
            case "Fn::Sub":
                text, variables = (argument, {}) if isinstance(argument, str) else argument
                variables = self._resolve(variables)
                substituted = re.sub(
                    r"\$\{([^!}]+)\}", lambda found: str(variables.get(found[1]) or self._reference(found[1])), text
                )
                return substituted.replace("${!", "${")
            case "Fn::If":
                condition, yes, no = argument
                return self._resolve(yes if self._holds(condition) else no)
        raise NotImplementedError(function)

    def _reference(self, name: str):
        known = PSEUDO_PARAMETERS | self._parameters
        if name in known:
            return known[name]
        resource = self._template["Resources"].get(name.split(".")[0])
        assert resource, f"a reference to {name}, which is neither a parameter nor a resource"
        assert self._holds(resource.get("Condition")), f"a reference to {name}, which these parameters leave out"
        return f"${{{name}}}"


NO_VALUE = object()
