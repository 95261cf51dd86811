"""Every command in the documents works: it is run, or checked as far as possible here."""

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

# Kinds of commands, each with its test below, by patterns at their beginning.
CURL = r"curl -sS http://localhost:"
TABS = r"for tab in 1 2; do curl "
ATTEMPTS = r"for attempt in 1 2; do curl "
ITEM = r"printf '"
SMOKE = r'make smoke API_URL="\$API_URL" '
SIGNED = r'curl -sS -i "\$API_URL/token" .* --aws-sigv4 '
HASH = r"curl -sf URL \|"
INVOKE = r"\.venv/dev/bin/cargo-lambda lambda invoke "
AWS_SECRET = r"aws secretsmanager \S+ --"
AWS_DEPLOY = r"aws cloudformation deploy "
AWS_OPTIONS = r"aws (?!secretsmanager |cloudformation deploy )\S+ \S+ --"
AWS_NAME = r"aws \S+ \S+$"
CARGO_LAMBDA = r"cargo lambda \S+$"
MAKE = rf"({ASSIGNMENT})*make (?!smoke API_URL=\"\$)"
SAM_LIST = r"\.venv/test/bin/sam list "
SAM = r"sam "
RUSTUP = r"rustup target add "
CARGO_BUILD = r"cargo build$"
CARGO_TEST = r"cargo test "
NPM = r"npm "
PYTEST = r"\.venv/test/bin/pytest "
CI = r"\.ci/run$"

RUN = (CURL, TABS, ATTEMPTS, ITEM, SMOKE, SIGNED, HASH, INVOKE, AWS_SECRET, SAM_LIST)

# Kinds of which only the names and the options are checked, and why they are not run.
NOT_RUN = {
    AWS_NAME: "named without its arguments",
    AWS_OPTIONS: "needs a deployed stack",
    AWS_DEPLOY: "needs an AWS account; tests/template evaluates the template",
    CARGO_LAMBDA: "named as a part of `make dev` and `make build`, which have their own tests",
    MAKE: "make test runs this test, and the other targets take minutes, or need an AWS account",
    SAM: "needs an AWS account, or builds for minutes; tests/package runs `sam build`",
    RUSTUP: "installs from the network",
    CARGO_BUILD: "make test runs it",
    CARGO_TEST: "make test runs all Rust tests",
    NPM: "installs from the network; tests/web installs and builds",
    PYTEST: "collects tests only, because it would run this test",
    CI: "installs packages and runs this test",
}

# Commands of which nothing can be checked.
ONLY_LISTED = {
    "git pull": "there is no remote to pull from",
    "git checkout": "named without a version",
    "gh api repos/OWNER/REPOSITORY": "needs GitHub",
    "gh attestation verify bootstrap --repo OWNER/REPOSITORY": "needs GitHub",
}

COMMANDS = documents.commands()


def commands(kind: str):
    """Parametrizes a test by the commands of a kind."""
    return pytest.mark.parametrize("command", [c for c in COMMANDS if re.match(kind, c.text)], ids=str)


def run(command: str, *, cwd: Path = REPOSITORY, timeout: float = 60, **variables: str) -> str:
    """Runs a command in the project's folder, and returns its output."""
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
    """The command for a stack on other ports. The `Origin` header is unchanged, because it is only a name here."""
    return re.sub(
        r"(?<!origin: )http://localhost:(\d+)", lambda url: stack.at(DEFAULT_PORTS[url.group(1)]), command
    )


def shown_response(command: Found) -> dict:
    """The JSON that the document shows below a command."""
    tokens = [token for token in documents.parsed(command.document) if token.type == "fence"]
    [index] = [
        i for i, token in enumerate(tokens) if " ".join(token.content.replace("\\\n", " ").split()) == command.text
    ]
    assert tokens[index + 1].info == "json"
    return json.loads(tokens[index + 1].content)


def response_schema(url: str) -> dict:
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
def test_every_command_has_a_test_or_a_reason(command):
    kinds = [kind for kind in (*RUN, *NOT_RUN) if re.match(kind, command.text)]
    assert len(kinds) + (command.text in ONLY_LISTED) == 1, "which kind of command is this?"


@pytest.mark.parametrize("kind", (*RUN, *NOT_RUN))
def test_documents_have_each_kind_of_command(kind):
    assert any(re.match(kind, command.text) for command in COMMANDS)


def test_documents_have_each_listed_command():
    assert ONLY_LISTED.keys() <= {command.text for command in COMMANDS}


@commands(CURL)
def test_api_call_returns_shown_response(stack, command):
    response = json.loads(run(with_ports(stack, command.text)))
    assert openapi.errors(response_schema(command.text), response) == []
    assert shown_response(command).keys() - {"…"} <= response.keys()


def test_two_tabs_get_one_workspace(stack):
    [command] = [command for command in COMMANDS if re.match(TABS, command.text)]
    printed = run(with_ports(stack, command.text))
    assert len(re.findall('"token":', printed)) == 2, printed
    assert len(set(re.findall('"workspaceId":"([^"]+)"', printed))) == 1, printed


def test_key_sent_twice_creates_one_source(stack):
    [command] = [command for command in COMMANDS if re.match(ATTEMPTS, command.text)]
    printed = run(with_ports(stack, command.text))
    assert re.findall(r"HTTP/1.1 (\d+)", printed) == ["201", "201"], printed
    assert len(re.findall(r"^idempotent-replayed: true", printed, re.MULTILINE)) == 1, printed
    assert len(set(re.findall('"id":"([^"]+)"', printed))) == 1, printed


@commands(ITEM)
def test_command_prints_key_of_item(command):
    """`shared::state` tests that it is the function's."""
    [text] = re.findall(r"printf '([^']+)'", command.text)
    parts = [text.split("\\0")[0], *re.findall("[A-Z_]{3,}", command.text)]
    assert run(command.text).split()[0] == hashlib.sha256("\0".join(parts).encode()).hexdigest()


def test_commands_printed_by_make_dev_work(stack):
    check_printed_commands(stack)


def check_printed_commands(stack: Stack) -> None:
    printed = [line.strip() for line in stack.output.lines if line.startswith(("  curl ", "  .venv/"))]
    assert [command.split()[0] for command in printed] == ["curl", "curl", ".venv/dev/bin/cargo-lambda"]
    token, source, invocation = (json.loads(run(command)) for command in printed)
    assert openapi.errors({"$ref": "#/components/schemas/MintResponse"}, token) == []
    assert "id" in source
    assert invocation["statusCode"] == 200


def test_smoke_test_passes(stack):
    [command] = [command for command in COMMANDS if re.match(SMOKE, command.text)]
    token = stack.bearer("alice").removeprefix("Bearer ")
    printed = run(command.text, timeout=120, API_URL=stack.url, ORIGIN=ORIGIN, ACCESS_TOKEN=token)
    assert "skip " not in printed


def test_signed_call_has_signature_and_user():
    """Only AWS can verify the signature."""
    received = []

    def respond(request, body):
        received.append((request.headers, json.loads(body)))
        return 200, {}

    [command] = [command for command in COMMANDS if re.match(SIGNED, command.text)]
    variables = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "session"}
    with serving(respond) as url:
        run(command.text, API_URL=url, AWS_REGION="eu-central-1", **variables)
    [(headers, body)] = received
    assert re.match(r"AWS4-HMAC-SHA256 Credential=id/\d{8}/eu-central-1/execute-api/aws4_request, ", headers["authorization"])
    assert headers["x-amz-security-token"] == "session"
    assert openapi.errors(openapi.request_schema("/token"), body) == []


@commands(HASH)
def test_a_scripts_hash_is_what_browsers_compare_with(stack, command):
    url = f"{stack.at('DEMO_PORT')}/vendor-widget.js"
    printed = run(command.text.replace("URL", url))
    with urllib.request.urlopen(url, timeout=60) as response:
        assert base64.b64decode(printed, validate=True) == hashlib.sha384(response.read()).digest()


@commands(INVOKE)
def test_a_function_is_invoked(stack, command):
    response = json.loads(run(f"{command.text} --invoke-port {stack.ports['INVOKE_PORT']}"))
    assert response["statusCode"] in (200, 201), response


def aws_options(arguments: list[str]) -> dict[str, str]:
    assert len(arguments) % 2 == 0
    return {name.removeprefix("--"): value for name, value in zip(arguments[::2], arguments[1::2])}


def aws_operation(service: str, name: str):
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(operation, "-"): operation for operation in model.operation_names}
    return model.operation_model(names[name])


def test_aws_commands_work_in_order(secrets_manager, template_parameters):
    results = []
    for command in COMMANDS:
        if not re.match(AWS_SECRET, command.text):
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
        results.append((name, jmespath.search(query, call(**{members[option]: options[option] for option in options}))))
    [(create, arn), (put, _), (delete, _)] = results
    assert (create, put, delete) == ("create-secret", "put-secret-value", "delete-secret")
    # The first one prints an ARN that the template accepts.
    assert re.search(template_parameters["OrganizationTokenSecretArn"]["AllowedPattern"], arn)


@commands(AWS_NAME)
def test_aws_command_exists(command):
    _, service, name = command.text.split()
    assert aws_operation(service, name)


@commands(AWS_OPTIONS)
def test_aws_command_has_options(command):
    _, service, name, *arguments = shlex.split(command.text)
    members = {xform_name(member, "-") for member in aws_operation(service, name).input_shape.members}
    options = {argument.removeprefix("--") for argument in arguments if argument.startswith("--")}
    assert options <= members | {"query", "output"}


@commands(AWS_DEPLOY)
def test_deployed_template_has_parameters(command):
    arguments = shlex.split(command.text)
    template = REPOSITORY / arguments[arguments.index("--template-file") + 1]
    parameters = yaml.load(template.read_text(encoding="utf-8"), yaml.BaseLoader)["Parameters"]
    overrides = {argument.split("=")[0] for argument in arguments[arguments.index("--parameter-overrides") + 1 :]}
    assert overrides <= parameters.keys()
    assert {name for name, parameter in parameters.items() if "Default" not in parameter} <= overrides


@commands(CARGO_LAMBDA)
def test_cargo_lambda_command_exists(command):
    tools = os.pathsep.join([str(REPOSITORY / ".venv/dev/bin"), os.environ["PATH"]])
    run(f"PATH={shlex.quote(tools)} {command.text} --help")


@commands(MAKE)
def test_make_target_and_variables_exist(command):
    before, target, after = re.fullmatch(rf"((?:{ASSIGNMENT})*)make (\S+)((?: [A-Z_]+=\S+)*)", command.text).groups()
    assert run(f"{before} make --dry-run --always-make {target}{after}")
    assert re.search(rf"^make {target} +\S", run("make help"), re.MULTILINE), "not in make help"
    readers = {"smoke": "scripts/smoke.py"}
    known = (REPOSITORY / readers.get(target, "local/local-stack/src/stack/settings.rs")).read_text(encoding="utf-8")
    for variable in re.findall(r"([A-Z_]+)=", before):
        assert f'"{variable}"' in known
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for variable in re.findall(r"([A-Z_]+)=", after):
        assert f"$({variable})" in makefile


def test_make_dev_starts_the_tested_stack():
    assert "cargo run --locked --package local-stack" in run("make --dry-run dev").splitlines()


@commands(SAM_LIST)
def test_sam_prints_stack_outputs(secrets_manager, tmp_path, command):
    """With the configuration in the README, of a stack that has only the output."""
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
    listing = command.text.removeprefix(".venv/test/bin/")
    outputs = json.loads(run(listing, cwd=tmp_path, PATH=tools, HOME=str(tmp_path), **aws))
    assert [(output["OutputKey"], output["OutputValue"]) for output in outputs] == [("ApiUrl", address)]


@commands(SAM)
def test_sam_command_and_options_exist(command, template_parameters):
    _, name, *arguments = shlex.split(command.text)
    cli = importlib.import_module(f"samcli.commands.{name}.command").cli
    known = {option for parameter in cli.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("-")} <= known
    for override in (argument for argument in arguments if "=" in argument):
        parameter, value = override.split("=")
        assert value in template_parameters[parameter]["AllowedValues"]


@commands(RUSTUP)
def test_rust_target_exists(command):
    assert command.text.split()[-1] in run("rustc --print target-list").splitlines()


@commands(CARGO_TEST)
def test_rust_package_and_test_filter_exist(command):
    package, name = re.fullmatch(r"cargo test -p (\S+)(?: (\S+))?", command.text).groups()
    metadata = json.loads(run("cargo metadata --no-deps --offline --format-version 1"))
    [targets] = [found["targets"] for found in metadata["packages"] if found["name"] == package]
    folders = [Path(target["src_path"]).parent for target in targets]
    assert name is None or any((folder / f"{name}.rs").exists() for folder in folders)


@commands(NPM)
def test_npm_command_matches_package(command):
    _, name, *arguments = command.text.split()
    folder = command.document.parent
    if name == "ci":
        assert (folder / "package-lock.json").exists()
    elif name == "run":
        assert arguments[0] in json.loads((folder / "package.json").read_text(encoding="utf-8"))["scripts"]
    else:
        client = json.loads((REPOSITORY / "clients/web/package.json").read_text(encoding="utf-8"))
        assert (name, Path(arguments[0]).name) == ("install", f"{client['name']}-{client['version']}.tgz")


@commands(PYTEST)
def test_pytest_collects_tests(command):
    assert " tests collected" in run(f"{command.text} --collect-only --quiet", timeout=300)


@commands(CI)
def test_script_can_be_started(command):
    assert os.access(REPOSITORY / command.text, os.X_OK)
    run(f"bash -n {command.text}")
