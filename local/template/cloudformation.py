"""Evaluates a SAM template as CloudFormation does: transform, parameters, rules, conditions and intrinsic functions.

Only what CloudFormation can evaluate without AWS is known here. Anything else is a `TemplateError`, so that nothing is
skipped silently.
"""

import copy
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import boto3
import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

# The translator warns of its own metrics and feature toggles, which exist only at AWS.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}

# The functions' packages, which `sam deploy` uploads.
CODE_URI = "s3://bucket/package.zip"

# What Fn::Sub replaces: ${Name}, and not ${!Literal}.
SUBSTITUTION = r"\$\{([^!}]+)\}"


@dataclass(frozen=True)
class Diagnostic:
    """A problem of a template or of a parameter's value."""

    # Keys from the root, joined by dots: `Resources.Stage.Properties`. Empty for the whole file.
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class TemplateError(Exception):
    """The template cannot be evaluated under these parameters."""

    def __init__(self, *diagnostics: Diagnostic):
        super().__init__("\n".join(map(str, diagnostics)))
        self.diagnostics = diagnostics


def error(path: str, message: str) -> TemplateError:
    return TemplateError(Diagnostic(path, message))


def load(path: Path) -> dict:
    """Reads a template, and expands the short forms of intrinsic functions."""
    try:
        template = yaml_parse(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise error("", problem.strerror) from problem
    except (UnicodeDecodeError, yaml.YAMLError) as problem:
        raise error("", f"not valid YAML: {' '.join(str(problem).split())}") from problem
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise error("Resources", "is missing")
    return template


def translate(template: dict, parameters: Mapping[str, str], region: str | None = None) -> dict:
    """Returns the template that SAM's transform gives to CloudFormation."""
    packaged = copy.deepcopy(template)
    for resource in packaged["Resources"].values():
        if isinstance(resource, dict) and resource.get("Type") == "AWS::Serverless::Function":
            resource.setdefault("Properties", {})["CodeUri"] = CODE_URI
    session = boto3.Session(region_name=region or PSEUDO_PARAMETERS["AWS::Region"])
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session)
    try:
        return translator.translate(packaged, parameter_values=dict(parameters))
    except InvalidDocumentException as problem:
        # Each cause names its resource.
        raise TemplateError(*(Diagnostic("", cause.message) for cause in problem.causes)) from problem


def declared_parameters(template: dict) -> dict[str, dict]:
    return template.get("Parameters") or {}


def is_list(declaration: dict) -> bool:
    return declaration["Type"] == "CommaDelimitedList" or declaration["Type"].startswith("List<")


def items_of(declaration: dict, value: str) -> list[str]:
    """The values that a parameter's constraints apply to: the items of a list, or the one value."""
    return [item.strip() for item in value.split(",")] if is_list(declaration) else [value]


def violation(declaration: dict, item: str) -> str | None:
    """The constraint that a value violates, if any, as a phrase."""
    violated = None
    allowed = [str(value) for value in declaration.get("AllowedValues", [item])]
    if declaration["Type"] == "Number" and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", item):
        violated = "must be a number"
    elif item not in allowed:
        violated = f"must be one of {', '.join(allowed)}"
    elif "AllowedPattern" in declaration and not re.fullmatch(declaration["AllowedPattern"], item):
        violated = f"must match {declaration['AllowedPattern']}"
    elif len(item) < int(declaration.get("MinLength", 0)):
        violated = f"must have at least {declaration['MinLength']} characters"
    elif len(item) > int(declaration.get("MaxLength", len(item))):
        violated = f"must have at most {declaration['MaxLength']} characters"
    elif declaration["Type"] == "Number" and float(item) < float(declaration.get("MinValue", item)):
        violated = f"must be at least {declaration['MinValue']}"
    elif declaration["Type"] == "Number" and float(item) > float(declaration.get("MaxValue", item)):
        violated = f"must be at most {declaration['MaxValue']}"
    return violated and str(declaration.get("ConstraintDescription", violated))


def invalid_parameters(template: dict, values: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Checks every parameter as CloudFormation does before it changes anything."""
    declared = declared_parameters(template)
    for name in values.keys() - declared.keys():
        yield Diagnostic(f"Parameters.{name}", "the template has no such parameter")
    for name, declaration in declared.items():
        value = values.get(name, declaration.get("Default"))
        if value is None:
            yield Diagnostic(f"Parameters.{name}", "is required")
            continue
        for item in items_of(declaration, str(value)):
            if phrase := violation(declaration, item):
                yield Diagnostic(f"Parameters.{name}", f"{json.dumps(item)} is invalid: {phrase}")
                break


class Stack:
    """A translated template with its parameters, conditions and intrinsic functions evaluated.

    References to other resources, whose values exist only in AWS, are kept in `Fn::Sub`'s notation: `${HttpApi}`,
    `${MintTokenLogGroup.Arn}`.
    """

    def __init__(self, template: dict, parameters: Mapping[str, str], region: str | None = None):
        if invalid := list(invalid_parameters(template, parameters)):
            raise TemplateError(*invalid)
        # As SAM's transform returns it.
        self.template = translate(template, parameters, region)
        # Values of all parameters: a string, or a list of strings.
        self.parameters: dict[str, str | list[str]] = {}
        for name, declaration in declared_parameters(template).items():
            value = str(parameters.get(name, declaration.get("Default")))
            self.parameters[name] = items_of(declaration, value) if is_list(declaration) else value
        self._known = PSEUDO_PARAMETERS | ({"AWS::Region": region} if region else {}) | self.parameters

    @cached_property
    def resources(self) -> dict:
        """All resources that exist under the parameters."""
        return self.select("")

    @cached_property
    def outputs(self) -> dict:
        return {
            name: self._resolve(output["Value"], f"Outputs.{name}.Value")
            for name, output in self.template.get("Outputs", {}).items()
            if self.holds(output.get("Condition"), f"Outputs.{name}.Condition")
        }

    def select(self, *prefixes: str) -> dict:
        """The resources that exist, of the types that begin with one of the prefixes. Others are not evaluated."""
        selected, diagnostics = {}, []
        for name, resource in self.template["Resources"].items():
            if not resource["Type"].startswith(prefixes):
                continue
            try:
                if self._exists(name):
                    selected[name] = self._resolve(resource, f"Resources.{name}")
            except TemplateError as problem:
                diagnostics += problem.diagnostics
        if diagnostics:
            raise TemplateError(*diagnostics)
        return selected

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
        for name, rule in self.template.get("Rules", {}).items():
            path = f"Rules.{name}"
            if "RuleCondition" in rule and not self._condition(rule["RuleCondition"], path):
                continue
            broken += [a["AssertDescription"] for a in rule["Assertions"] if not self._condition(a["Assert"], path)]
        return broken

    def variables(self) -> dict[str, list[str]]:
        """The parameters that each environment variable of a function depends on."""
        found: dict[str, set[str]] = {}
        for resource in self.template["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                environment = resource["Properties"].get("Environment", {}).get("Variables", {})
                for variable, value in environment.items():
                    found.setdefault(variable, set()).update(self._parameters_of(value))
        return {variable: sorted(parameters) for variable, parameters in found.items()}

    def _parameters_of(self, value) -> set[str]:
        if isinstance(value, list):
            return {name for item in value for name in self._parameters_of(item)}
        if not isinstance(value, dict):
            return set()
        found = set()
        for key, argument in value.items():
            match key, argument:
                case "Ref", str():
                    found.add(argument)
                case "Fn::Sub", str() | [str(), *_]:
                    text = argument if isinstance(argument, str) else argument[0]
                    found.update(re.findall(SUBSTITUTION, text))
                case ("Condition", str() as name) | ("Fn::If", [str() as name, *_]):
                    found |= self._parameters_of(self.template.get("Conditions", {}).get(name))
            found |= self._parameters_of(argument)
        return found & self.parameters.keys()

    def _exists(self, name: str) -> bool:
        return self.holds(self.template["Resources"][name].get("Condition"), f"Resources.{name}.Condition")

    def holds(self, condition: str | None, path: str = "") -> bool:
        """Whether a condition of the template holds; one that is absent does."""
        if condition is None:
            return True
        if condition not in self.template.get("Conditions", {}):
            raise error(path, f"the template has no condition {condition}")
        return self._condition(self.template["Conditions"][condition], f"Conditions.{condition}")

    def _condition(self, expression: dict, path: str) -> bool:
        if not isinstance(expression, dict) or len(expression) != 1:
            raise error(path, f"expected a condition, found {json.dumps(expression)}")
        ((function, argument),) = expression.items()
        match function, argument:
            case "Condition", str():
                return self.holds(argument, path)
            case "Fn::Not", [condition]:
                return not self._condition(condition, path)
            case "Fn::And", [*conditions]:
                return all(self._condition(condition, path) for condition in conditions)
            case "Fn::Or", [*conditions]:
                return any(self._condition(condition, path) for condition in conditions)
            case "Fn::Equals", [left, right]:
                return self._resolve(left, path) == self._resolve(right, path)
            case "Fn::EachMemberEquals", [members, value]:
                return all(member == self._resolve(value, path) for member in self._resolve(members, path))
        raise error(path, f"{function} cannot be evaluated as a condition")

    def _resolve(self, value, path: str):
        if isinstance(value, list):
            resolved = [self._resolve(item, f"{path}[{index}]") for index, item in enumerate(value)]
            return [item for item in resolved if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, argument, path)
        resolved = {key: self._resolve(item, f"{path}.{key}") for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def _call(self, function: str, argument, path: str):
        match function, argument:
            case "Ref", "AWS::NoValue":
                return NO_VALUE
            case "Ref", str():
                return self._reference(argument, path)
            case "Fn::GetAtt", str():
                return self._reference(argument, path)
            case "Fn::GetAtt", [str() as resource, str() as attribute]:
                return self._reference(f"{resource}.{attribute}", path)
            case "Fn::Join", [str() as separator, items]:
                return separator.join(map(str, self._list(items, path)))
            case "Fn::Split", [str() as separator, text]:
                return str(self._resolve(text, path)).split(separator)
            case "Fn::Select", [index, items]:
                resolved, index = self._list(items, path), int(index)
                if index not in range(len(resolved)):
                    raise error(path, f"the list has no item {index}")
                return resolved[index]
            case "Fn::Sub", str():
                return self._substitute(argument, {}, path)
            case "Fn::Sub", [str() as text, dict() as variables]:
                return self._substitute(text, self._resolve(variables, path), path)
            case "Fn::If", [str() as condition, yes, no]:
                return self._resolve(yes if self.holds(condition, path) else no, path)
        raise error(path, f"{function} cannot be evaluated with {json.dumps(argument)}")

    def _list(self, items, path: str) -> list:
        resolved = self._resolve(items, path)
        if not isinstance(resolved, list):
            raise error(path, f"expected a list, found {json.dumps(resolved)}")
        return resolved

    def _substitute(self, text: str, variables: dict, path: str) -> str:
        def value(found: re.Match) -> str:
            name = found[1].strip()
            return str(variables[name] if name in variables else self._reference(name, path))

        return re.sub(SUBSTITUTION, value, text).replace("${!", "${")

    def _reference(self, name: str, path: str):
        if name in self._known:
            return self._known[name]
        resource = name.split(".")[0]
        if resource not in self.template["Resources"]:
            raise error(path, f"the template has no parameter or resource {resource}")
        if not self._exists(resource):
            raise error(path, f"the resource {resource} does not exist under these parameters")
        return f"${{{name}}}"


NO_VALUE = object()
