"""Every command in the documents works: it is run, or as much of it is checked as can be here."""

import base64
import hashlib
import importlib
import json
import os
import re
import shlex
import subprocess
import urllib.request
from pathlib import Path

import botocore.session
import jmespath
import pytest
import tomlkit
import yaml
from botocore import xform_name

import documents
import openapi
from documents import ASSIGNMENT, Found
from programs import REPOSITORY, SecretsManager, clean_environment, moto, serving
from stack import ORIGIN, Stack

# The documents' ports are the defaults of `make dev`; the stack here has others.
DEFAULT_PORTS = {"3000": "GATEWAY_PORT", "3001": "ISSUER_PORT", "3002": "AIRBYTE_PORT"}

# Which commands a test below is for, by their beginnings.
CURL = r"curl -sS http://localhost:"
DEPLOYED = r'curl -sS -i "\$API_URL/token" -X \w+ -H "origin: '
SIGNED = r'curl -sS -i "\$API_URL/token" .* --aws-sigv4 '
HASH = r"curl -sf URL \|"
INVOKE = r"\.venv/dev/bin/cargo-lambda lambda invoke "
AWS_CALL = r"aws \S+ \S+ --"
AWS_NAME = r"aws \S+ \S+$"
CARGO_LAMBDA = r"cargo lambda \S+$"
MAKE = rf"({ASSIGNMENT})*make "
SAM_LIST = r"sam list "
SAM = r"sam (?!list )"
PIP = r"pip install "
RUSTUP = r"rustup target add "
CI = r"\.ci/run$"

RUN = (CURL, DEPLOYED, SIGNED, HASH, INVOKE, AWS_CALL, SAM_LIST)

# Why the others are only looked at: whether there is such a thing, and whether it has these options.
NOT_RUN = {
    AWS_NAME: "names what to use, and leaves out with what",
    CARGO_LAMBDA: "named as the part of `make dev` and `make build` that it is; both have tests of their own",
    MAKE: "make test runs this test, and what the others do takes minutes, or an AWS account",
    SAM: "needs an AWS account, or builds for minutes; tests/package runs `sam build`",
    PIP: "installs from the network; its version is compared with the one that make dev uses",
    RUSTUP: "installs from the network; its target is looked up in rustc's list",
    CI: "installs packages and runs this test",
}

# Of which nothing can be checked.
ONLY_LISTED = {
    "git pull": "there is nowhere to pull from",
    "git checkout": "of which version, only the reader knows",
}

COMMANDS = documents.commands()


def commands(kind: str):
    """Has a test get each command of a kind."""
    return pytest.mark.parametrize("command", [c for c in COMMANDS if re.match(kind, c.text)], ids=str)


def run(command: str, *, cwd: Path = REPOSITORY, timeout: float = 60, **variables: str) -> str:
    """Runs a command as somebody in the project's folder does, and gives what it prints."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=cwd,
        env=clean_environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def with_ports(stack: Stack, command: str) -> str:
    """The command for a stack on other ports. An origin stays what it is: it is a name here."""
    return re.sub(
        r"(?<!origin: )http://localhost:(\d+)", lambda url: stack.at(DEFAULT_PORTS[url.group(1)]), command
    )


def shown_answer(command: Found) -> dict:
    """The JSON that the document shows below a command."""
    tokens = [token for token in documents.parsed(command.document) if token.type == "fence"]
    [place] = [
        i for i, token in enumerate(tokens) if " ".join(token.content.replace("\\\n", " ").split()) == command.text
    ]
    assert tokens[place + 1].info == "json"
    return json.loads(tokens[place + 1].content)


def schema_of_answer(url: str) -> dict:
    path = re.search(r":\d+(/\w+)", url).group(1)
    responses = openapi.document()["paths"][path]["post"]["responses"]
    [success] = [response for status, response in responses.items() if status.startswith("2")]
    return success["content"]["application/json"]["schema"]


@pytest.fixture(scope="module")
def template_parameters() -> dict:
    return yaml.load((REPOSITORY / "template.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)["Parameters"]


@pytest.fixture(scope="module")
def secrets_manager():
    with moto() as running:
        yield running


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_run_or_it_is_said_why_not(command):
    kinds = [kind for kind in (*RUN, *NOT_RUN) if re.match(kind, command.text)]
    assert len(kinds) + (command.text in ONLY_LISTED) == 1, "which test is this command for?"


@pytest.mark.parametrize("kind", (*RUN, *NOT_RUN))
def test_a_kind_of_command_is_still_in_the_documents(kind):
    assert any(re.match(kind, command.text) for command in COMMANDS)


def test_what_is_only_listed_is_still_in_the_documents():
    assert ONLY_LISTED.keys() <= {command.text for command in COMMANDS}


@commands(CURL)
def test_a_call_of_the_api_is_answered_as_the_document_shows(stack, command):
    answer = json.loads(run(with_ports(stack, command.text)))
    assert openapi.faults(schema_of_answer(command.text), answer) == []
    assert shown_answer(command).keys() - {"…"} <= answer.keys()


def test_the_commands_that_make_dev_prints_work(stack):
    printed = [line.strip() for line in stack.output.lines if line.startswith(("  curl ", "  .venv/"))]
    assert [command.split()[0] for command in printed] == ["curl", "curl", ".venv/dev/bin/cargo-lambda"]
    token, source, invocation = (json.loads(run(command)) for command in printed)
    assert openapi.faults({"$ref": "#/components/schemas/MintAnswer"}, token) == []
    assert "id" in source
    assert invocation["statusCode"] == 200


def test_a_deployed_api_is_tried_out_as_the_document_says(stack):
    variables = {"API_URL": stack.url, "ORIGIN": ORIGIN, "ACCESS_TOKEN": stack.bearer("alice").removeprefix("Bearer ")}
    tried = [command for command in COMMANDS if re.match(DEPLOYED, command.text)]
    answers = [run(command.text, **variables) for command in tried]
    told = (REPOSITORY / "README.md").read_text(encoding="utf-8").split('"authorization: Bearer $ACCESS_TOKEN"')[1]
    assert [answer.split()[1] for answer in answers] == re.findall(r"answers\s(\d{3})\b", told)[: len(answers)]
    assert f"access-control-allow-origin: {ORIGIN}" in answers[0].lower()
    assert "www-authenticate: " in answers[1].lower()


def test_a_signed_call_carries_signature_and_user():
    """Whether AWS accepts the signature, only AWS can tell."""
    received = []

    def answer(request, body):
        received.append((request.headers, json.loads(body)))
        return 200, {}

    [command] = [command for command in COMMANDS if re.match(SIGNED, command.text)]
    variables = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "session"}
    with serving(answer) as url:
        run(command.text, API_URL=url, AWS_REGION="eu-central-1", **variables)
    [(headers, body)] = received
    assert re.match(r"AWS4-HMAC-SHA256 Credential=id/\d{8}/eu-central-1/execute-api/aws4_request, ", headers["authorization"])
    assert headers["x-amz-security-token"] == "session"
    assert openapi.faults(openapi.request_schema("/token"), body) == []


@commands(HASH)
def test_a_scripts_hash_is_what_browsers_compare_with(stack, command):
    url = f"{stack.at('DEMO_PORT')}/widget.js"
    printed = run(command.text.replace("URL", url))
    with urllib.request.urlopen(url, timeout=60) as response:
        assert base64.b64decode(printed, validate=True) == hashlib.sha384(response.read()).digest()


@commands(INVOKE)
def test_a_function_is_invoked(stack, command):
    answer = json.loads(run(f"{command.text} --invoke-port {stack.ports['INVOKE_PORT']}"))
    assert answer["statusCode"] in (200, 201), answer


def aws_options(arguments: list[str]) -> dict[str, str]:
    assert len(arguments) % 2 == 0
    return {name.removeprefix("--"): value for name, value in zip(arguments[::2], arguments[1::2])}


def aws_operation(service: str, name: str):
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(operation, "-"): operation for operation in model.operation_names}
    return model.operation_model(names[name])


def test_the_aws_commands_work_one_after_the_other(secrets_manager, template_parameters):
    made = []
    for command in COMMANDS:
        if not re.match(AWS_CALL, command.text):
            continue
        _, service, name, *arguments = shlex.split(command.text)
        options = aws_options(arguments)
        query, _ = options.pop("query", "@"), options.pop("output", None)
        operation = aws_operation(service, name)
        members = {xform_name(member, "-"): member for member in operation.input_shape.members}
        client = botocore.session.get_session().create_client(
            service,
            region_name=SecretsManager.REGION,
            endpoint_url=secrets_manager.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        call = getattr(client, xform_name(operation.name))
        made.append((name, jmespath.search(query, call(**{members[option]: options[option] for option in options}))))
    [(create, arn), (put, _), (delete, _)] = made
    assert (create, put, delete) == ("create-secret", "put-secret-value", "delete-secret")
    # What the first one prints is what the template wants.
    assert re.search(template_parameters["OrganizationTokenSecretArn"]["AllowedPattern"], arn)


@commands(AWS_NAME)
def test_an_aws_command_exists(command):
    _, service, name = command.text.split()
    assert aws_operation(service, name)


@commands(CARGO_LAMBDA)
def test_a_command_of_cargo_lambda_exists(command):
    tools = os.pathsep.join([str(REPOSITORY / ".venv/dev/bin"), os.environ["PATH"]])
    run(f"PATH={shlex.quote(tools)} {command.text} --help")


@commands(MAKE)
def test_make_has_the_target_and_the_variables(command):
    variables, target = re.fullmatch(rf"((?:{ASSIGNMENT})*)make (\S+)", command.text).groups()
    assert run(f"{variables} make --dry-run --always-make {target}")
    assert re.search(rf"^make {target} +\S", run("make help"), re.MULTILINE), "not a target for people"
    known = (REPOSITORY / "local/local-stack/src/stack/settings.rs").read_text(encoding="utf-8")
    for variable in re.findall(r"([A-Z_]+)=", variables):
        assert f'"{variable}"' in known


def test_make_dev_starts_what_is_tested_here():
    assert "cargo run --locked --package local-stack" in run("make --dry-run dev").splitlines()


@commands(SAM_LIST)
def test_the_address_of_the_api_is_shown_again(secrets_manager, tmp_path, command):
    """With the configuration that the README shows, of a stack that has nothing but the output."""
    address = "https://id.execute-api.eu-central-1.amazonaws.com"
    [configuration] = documents.blocks("toml")
    (tmp_path / "samconfig.toml").write_text(f"version = 0.1\n{configuration.text}", encoding="utf-8")
    settings = tomlkit.parse(configuration.text).unwrap()["default"]["global"]["parameters"]
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    botocore.session.get_session().create_client(
        "cloudformation",
        region_name=settings["region"],
        endpoint_url=secrets_manager.url,
        **{name.lower(): value for name, value in keys.items()},
    ).create_stack(
        StackName=settings["stack_name"],
        TemplateBody=json.dumps(
            {
                "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
                "Outputs": {"ApiUrl": {"Value": address}},
            }
        ),
    )
    tools = os.pathsep.join([str(REPOSITORY / ".venv/test/bin"), os.environ["PATH"]])
    aws = {"AWS_ENDPOINT_URL": secrets_manager.url, "SAM_CLI_TELEMETRY": "0", **keys}
    outputs = json.loads(run(command.text, cwd=tmp_path, PATH=tools, HOME=str(tmp_path), **aws))
    assert [(output["OutputKey"], output["OutputValue"]) for output in outputs] == [("ApiUrl", address)]


@commands(SAM)
def test_sam_has_the_command_and_the_options(command, template_parameters):
    _, name, *arguments = shlex.split(command.text)
    cli = importlib.import_module(f"samcli.commands.{name}.command").cli
    known = {option for parameter in cli.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("-")} <= known
    for override in (argument for argument in arguments if "=" in argument):
        parameter, value = override.split("=")
        assert value in template_parameters[parameter]["AllowedValues"]


@commands(PIP)
def test_what_pip_installs_is_the_version_that_make_dev_uses(command):
    pins = (REPOSITORY / "local/requirements.txt").read_text(encoding="utf-8").splitlines()
    assert command.text.split()[-1] in pins


@commands(RUSTUP)
def test_rust_has_the_target(command):
    assert command.text.split()[-1] in run("rustc --print target-list").splitlines()


@commands(CI)
def test_a_script_of_the_project_can_be_started(command):
    assert os.access(REPOSITORY / command.text, os.X_OK)
    run(f"bash -n {command.text}")
