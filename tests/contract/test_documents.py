"""Names in the documents exist: files, headings, log fields, parameters, variables, problem types and versions."""

import json
import re

import pytest
import tomlkit
import yaml

import documents
import openapi
from programs import REPOSITORY

REFERENCE = REPOSITORY / "docs/reference.md"
OPERATIONS = REPOSITORY / "docs/operations.md"

# Code that looks like a path or a file name.
PATH = r"[\w.@*+-]*(/[\w.@*+-]+)+/?|[\w.-]+/|[\w-]+\.(rs|js|py|yaml|toml|json|html|css|md|lock)"

# Code that only looks like a path.
NO_FILES = {
    "/token": "a route",
    "/sources": "a route",
    "application/problem+json": "a media type",
    "/aws/lambda/STACK-mint-token": "a log group",
    "/aws/lambda/STACK-create-source": "a log group",
    "/aws/vendedlogs/apigateway/STACK": "a log group",
    "config.json": "created by the server of the demo page",
    "alias/aws/sns": "an alias of a KMS key",
    "airbyte/use": "an OAuth scope",
    "/.well-known/openid-configuration": "a path of the issuer",
}

# Keywords of CloudWatch Logs Insights: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/
QUERY_WORDS = set("and asc as bin by desc display fields filter in like limit not or sort stats".split())


# Lambda's messages about an invocation without a response.
LAMBDAS_MESSAGES = {"Runtime exited", "signal: killed", "Task timed out"}

# Fields that CloudWatch discovers in every line, and in Lambda's own line at the end of an invocation.
DISCOVERED = {"@timestamp", "@message", "@type", "@billedDuration", "@initDuration", "@maxMemoryUsed"}


def code_like_paths():
    found = {code for code in documents.inline_code() if re.fullmatch(PATH, code.text)}
    return sorted(found, key=str)


def test_documents_have_each_exception():
    assert NO_FILES.keys() <= {code.text for code in code_like_paths()}


@pytest.mark.parametrize("code", [code for code in code_like_paths() if code.text not in NO_FILES], ids=str)
def test_path_exists(code):
    """In the project's or the document's folder. A bare file name may be one of the functions' files, or of a link."""
    folders = [REPOSITORY, code.document.parent]
    if "/" not in code.text:
        folders += (REPOSITORY / "functions").glob("*/src")
        linked = (link.text for link in documents.links() if link.document == code.document)
        folders += [(code.document.parent / link).parent for link in linked if link.endswith(f"/{code.text}")]
    assert any(list(folder.glob(code.text)) for folder in folders)


@pytest.mark.parametrize("link", sorted(set(documents.links()), key=str), ids=str)
def test_link_target_exists(link):
    address, _, anchor = link.text.partition("#")
    if re.match("[a-z]+:", address):
        # External pages are not requested, because tests do not use the network.
        assert address.startswith(("https://", "http://localhost:"))
        return
    target = (link.document.parent / address).resolve() if address else link.document
    assert target.is_relative_to(REPOSITORY)
    assert target.exists()
    if anchor:
        assert anchor in documents.anchors(target)


@pytest.fixture(scope="module")
def log_line(running_stack) -> dict:
    """The log line of a successful request."""
    running_stack.call("/token")
    return json.loads(running_stack.output.wait_for(r'\{.*"outcome":"token-minted".*\}', 60).group())


@pytest.fixture(scope="module")
def access_log_line() -> dict:
    """The access log line that the template configures."""
    template = yaml.load((REPOSITORY / "template.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    return json.loads(template["Resources"]["Stage"]["Properties"]["AccessLogSettings"]["Format"])


def query_fields(query: str) -> set[str]:
    text = re.sub(r'"[^"]*"|like /[^/]*/|^#.*', " ", query, flags=re.MULTILINE)  # strings and comments
    aliases = re.findall(r"\bas (\w+)", text)
    text = re.sub(rf"\bas \w+|\b({'|'.join(aliases) or '$^'})\b", " ", text)  # aliases
    text = re.sub(r"\w+ *\(", "(", text)  # functions
    text = re.sub(r"\b\d+\w*", " ", text)  # numbers and durations
    return {word for word in re.findall(r"[@A-Za-z_][\w@]*", text) if word not in QUERY_WORDS}


@pytest.mark.parametrize("query", [b for b in documents.blocks("text") if b.document == OPERATIONS], ids=str)
def test_query_fields_are_logged(query, log_line, access_log_line):
    fields = query_fields(query.text)
    assert fields
    text = OPERATIONS.read_text(encoding="utf-8")
    is_about_api_gateway = text.index("`/aws/vendedlogs/apigateway/STACK`") < text.index(query.text)
    known = access_log_line.keys() if is_about_api_gateway else log_line.keys() | {"cause"}  # in the lines of 5xx only
    assert fields <= known | DISCOVERED


def test_dashboard_query_fields_are_logged(log_line):
    template = (REPOSITORY / "template.yaml").read_text(encoding="utf-8")
    [query] = re.findall(r'"query": "([^"]+)"', template)
    fields = query_fields(re.sub(r"SOURCE '[^']+'", " ", query))
    assert fields <= log_line.keys() | {"@timestamp"}


def test_table_lists_all_log_fields(log_line):
    named = {name for row in documents.rows(OPERATIONS, "field") for name in re.findall(r"`(\w+)`", row[0])}
    # The other fields are in all lines, or are metrics, which the text lists.
    others = {"timestamp", "level", "message", "Function", "_aws"} | {m for m in log_line if m[0].isupper()}
    assert named == log_line.keys() - others


def test_log_messages_in_manual_exist():
    commands = {command.text for command in documents.commands()}
    words = {code.text for code in documents.inline_code() if code.document == OPERATIONS and " " in code.text}
    messages = {text for text in words - commands if not re.match(r"POST /|\{", text)} - LAMBDAS_MESSAGES
    sources = [*REPOSITORY.glob("shared/src/**/*.rs"), *REPOSITORY.glob("functions/*/src/*.rs")]
    code = "".join(source.read_text(encoding="utf-8") for source in sources)
    assert len(messages) > 5
    assert {text for text in messages if text not in code} == set()


def test_documented_variables_are_read():
    folders = ("shared/src", "local/local-stack/src/stack", "local/airbyte-sim/src")
    sources = [source for folder in folders for source in (REPOSITORY / folder).glob("**/*.rs")]
    read = set(re.findall(r'"([A-Z][A-Z_]+)"', "".join(source.read_text(encoding="utf-8") for source in sources)))
    documented = {name for row in documents.rows(REFERENCE, "variable") for name in re.findall(r"`([A-Z_]+)`", row[0])}
    assert len(documented) > 10
    assert documented <= read


def test_samconfig_parameters_match_template():
    parameters = yaml.load((REPOSITORY / "template.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)["Parameters"]
    [shown] = documents.blocks("toml")
    overrides = tomlkit.parse(shown.text).unwrap()["default"]["global"]["parameters"]["parameter_overrides"]
    for name, value in (override.split("=") for override in overrides):
        assert re.search(parameters[name].get("AllowedPattern", ""), value), name
    required = {name for name, parameter in parameters.items() if "Default" not in parameter}
    assert required <= {override.split("=")[0] for override in overrides}


def test_parameters_in_reference_exist():
    parameters = yaml.load((REPOSITORY / "template.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)["Parameters"]
    documented = {name for row in documents.rows(REFERENCE, "parameter") for name in re.findall(r"`(\w+)`", row[0])}
    assert documented <= parameters.keys()
    assert {name for name, parameter in parameters.items() if "Default" not in parameter} <= documented


def test_documented_subjects_match_deployer():
    """Both forms of the tokens' `sub`, for the environment of the workflow."""
    text = OPERATIONS.read_text(encoding="utf-8")
    workflow = yaml.load((REPOSITORY / ".github/workflows/deploy.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
    subjects = re.findall(r"`(repo:[^`]+)`", text)
    assert len(subjects) == 2
    deployer = yaml.load((REPOSITORY / "deployer.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    for subject in subjects:
        assert subject.endswith(f":environment:{workflow['jobs']['deploy']['environment']}")
        example = re.sub(r"\w+_ID", "1234", subject)
        assert re.search(deployer["Parameters"]["Subject"]["AllowedPattern"], example), subject


def test_manual_lists_variables_of_workflow():
    workflow = (REPOSITORY / ".github/workflows/deploy.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"\bvars\.([A-Z_]+)", workflow))
    text = OPERATIONS.read_text(encoding="utf-8")
    assert used and all(f"`{name}`" in text for name in used)


def test_manual_lists_all_causes():
    documented = {name for row in documents.rows(OPERATIONS, "cause") for name in re.findall(r"`(\w+)`", row[0])}
    functions = []
    literals = set()
    for path in [*REPOSITORY.glob("shared/src/**/*.rs"), *REPOSITORY.glob("functions/*/src/*.rs")]:
        source = path.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
        functions += re.findall(r"fn cause\(&?self\) -> &'static str \{(.*?)\n    \}", source, re.DOTALL)
        literals |= set(re.findall(r'(?:with_cause|internal)\("(\w+)"\)', source))
    literals |= set(re.findall(r'"(\w+)"', "".join(functions)))
    assert len(literals) > 10
    assert documented == literals


def test_problem_table_matches_openapi():
    documented = {(re.sub("`", "", kind), int(status)) for kind, status, *_ in documents.rows(REFERENCE, "type")}
    schemas = openapi.document()["components"]["schemas"]
    kinds = schemas["Problem"]["properties"]["type"]["enum"]
    pairs = set()
    for schema in schemas.values():
        for rules in schema.get("allOf", [])[1:]:
            types, status = rules["properties"]["type"], rules["properties"]["status"]["const"]
            pairs |= {(kind, status) for kind in types.get("enum", [types.get("const")])}
    assert documented == pairs
    assert sorted(kinds) == sorted(kind for kind, _ in documented)


def test_example_problem_is_valid():
    shown = [json.loads(block.text) for block in documents.blocks("json") if '"requestId"' in block.text]
    assert [openapi.errors({"$ref": "#/components/schemas/InvalidRequest"}, problem) for problem in shown] == [[]]


def test_example_request_has_all_fields():
    [shown] = [json.loads(block.text) for block in documents.blocks("json") if '"optional: ' in block.text]
    fields = openapi.dereference(openapi.request_schema("/sources"))["properties"]
    # Only backends send it, as the text says.
    assert shown.keys() == fields.keys() - {"externalUserId"}


def test_documents_state_minimum_versions():
    setup = (REPOSITORY / "scripts/setup").read_text(encoding="utf-8")
    rust = tomlkit.parse((REPOSITORY / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["rust-version"]
    [python] = re.findall(r"^MINIMUM_PYTHON=(\S+)$", setup, re.MULTILINE)
    for name in ("README.md", "CONTRIBUTING.md"):
        text = " ".join((REPOSITORY / name).read_text(encoding="utf-8").split())
        assert f"Rust {rust} or newer" in text
        assert f"Python {python} or newer" in text


def test_table_of_levels_matches_enforced_levels():
    page = (REPOSITORY / "shared/src/lib.rs").read_text(encoding="utf-8")
    rows = re.findall(r"^//! \| (\d) \| (.+?) \|", page, re.MULTILINE)
    documented = {int(level): re.findall(r"`(\w+)`", modules) for level, modules in rows}
    test = (REPOSITORY / "shared/tests/levels.rs").read_text(encoding="utf-8")
    [levels] = re.findall(r"const LEVELS: [^=]*= (\[.*?\n\]);", test, re.DOTALL)
    assert documented == dict(enumerate(re.findall(r'"(\w+)"', modules) for modules in levels.split("&[")[1:]))
