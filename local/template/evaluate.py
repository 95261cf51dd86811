"""Evaluates a template for a program: reads one JSON request on standard input, prints one JSON response.

Request:
- `template`: the path of the template,
- `region`: the value of `AWS::Region`,
- `parameters`: values by parameter; the others have their defaults,
- `types`: beginnings of the resource types to evaluate,
- `substitutes`: values to continue with where a parameter is missing or invalid.

Response:
- `diagnostics`: everything that is wrong, each with `path` and `message`,
- `broken_rules`: descriptions of the template's rules that the parameters break,
- `resources`: the resources of the types, evaluated; null if that is impossible,
- `variables`: the parameters behind each environment variable of a function.
"""

import json
import sys
from pathlib import Path

import cloudformation
from cloudformation import Diagnostic, Stack, TemplateError


def evaluate(request: dict) -> dict:
    diagnostics: list[Diagnostic] = []
    response = {"broken_rules": [], "resources": None, "variables": {}}
    try:
        template = cloudformation.load(Path(request["template"]))
        values = dict(request["parameters"])
        diagnostics += cloudformation.invalid_parameters(template, values)
        for diagnostic in diagnostics:
            name = diagnostic.path.removeprefix("Parameters.")
            values.pop(name, None)
            if name in request["substitutes"]:
                values[name] = request["substitutes"][name]
        if not list(cloudformation.invalid_parameters(template, values)):
            stack = Stack(template, values, request["region"])
            response["variables"] = stack.variables()
            response["broken_rules"] = stack.broken_rules()
            response["resources"] = stack.select(*request["types"])
    except TemplateError as error:
        diagnostics += error.diagnostics
    return response | {"diagnostics": [vars(diagnostic) for diagnostic in diagnostics]}


if __name__ == "__main__":
    json.dump(evaluate(json.load(sys.stdin)), sys.stdout)
