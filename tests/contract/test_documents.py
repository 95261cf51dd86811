"""What the documents name is there: files, headings, fields of the log, parameters, variables, and problems."""

import json
import re

import pytest
import tomlkit
import yaml

import documents
import openapi
from programs import REPOSITORY

README = REPOSITORY / "README.md"
OPERATIONS = REPOSITORY / "docs/operations.md"

# Code that has the form of a path, or ends like a file's name.
PATH = r"[\w.@*+-]*(/[\w.@*+-]+)+/?|[\w.-]+/|[\w-]+\.(rs|js|py|yaml|toml|json|html|css|md|lock)"

# What only looks like it.
NO_FILES = {
    "/token": "a route",
    "/sources": "a route",
    "application/problem+json": "a media type",
    "/aws/lambda/STACK-mint-token": "a log group",
    "/aws/lambda/STACK-create-source": "a log group",
    "/aws/vendedlogs/apigateway/STACK": "a log group",
    "config.json": "is made by whoever serves the demo page",
    ".venv/": "is made by make",
}

# What a query of CloudWatch Logs Insights has beside fields: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/
QUERY_WORDS = set("and asc as bin by desc display fields filter in like limit not or sort stats".split())


# What Lambda says of an invocation that ended without an answer.
LAMBDAS_MESSAGES = {"Runtime exited", "signal: killed", "Task timed out"}

# What CloudWatch finds in every line, and in Lambda's own line at the end of an invocation.
DISCOVERED = {"@timestamp", "@message", "@type", "@billedDuration", "@initDuration", "@maxMemoryUsed"}


def code_like_paths():
    found = {code for code in documents.inline_code() if re.fullmatch(PATH, code.text)}
    return sorted(found, key=str)


def test_what_is_no_file_is_still_in_the_documents():
    assert NO_FILES.keys() <= {code.text for code in code_like_paths()}


@pytest.mark.parametrize("code", [code for code in code_like_paths() if code.text not in NO_FILES], ids=str)
def test_a_path_in_a_document_exists(code):
    """In the project's folder or the document's own; a name alone may be one of the functions' files, or of a link."""
    places = [REPOSITORY, code.document.parent]
    if "/" not in code.text:
        places += (REPOSITORY / "functions").glob("*/src")
        linked = (link.text for link in documents.links() if link.document == code.document)
        places += [(code.document.parent / link).parent for link in linked if link.endswith(f"/{code.text}")]
    assert any(list(place.glob(code.text)) for place in places)


@pytest.mark.parametrize("link", sorted(set(documents.links()), key=str), ids=str)
def test_a_link_leads_somewhere(link):
    address, _, anchor = link.text.partition("#")
    if re.match("[a-z]+:", address):
        # Others' pages are theirs; nothing is asked of the network here.
        assert address.startswith(("https://", "http://localhost:"))
        return
    target = (link.document.parent / address).resolve() if address else link.document
    assert target.is_relative_to(REPOSITORY)
    assert target.exists()
    if anchor:
        assert anchor in documents.anchors(target)


@pytest.fixture(scope="module")
def log_line(running_stack) -> dict:
    """The line of a request that succeeded."""
    running_stack.good("/token")
    return json.loads(running_stack.output.wait_for(r'\{.*"outcome":"token-minted".*\}', 60).group())


@pytest.fixture(scope="module")
def access_log_line() -> dict:
    """The line that the template has API Gateway write."""
    template = yaml.load((REPOSITORY / "template.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    return json.loads(template["Resources"]["Stage"]["Properties"]["AccessLogSettings"]["Format"])


def query_fields(query: str) -> set[str]:
    text = re.sub(r'"[^"]*"|like /[^/]*/|^#.*', " ", query, flags=re.MULTILINE)  # texts and comments
    given = re.findall(r"\bas (\w+)", text)
    text = re.sub(rf"\bas \w+|\b({'|'.join(given) or '$^'})\b", " ", text)  # names given
    text = re.sub(r"\w+ *\(", "(", text)  # functions
    text = re.sub(r"\b\d+\w*", " ", text)  # numbers and durations
    return {word for word in re.findall(r"[@A-Za-z_][\w@]*", text) if word not in QUERY_WORDS}


@pytest.mark.parametrize("query", [b for b in documents.blocks("text") if b.document == OPERATIONS], ids=str)
def test_a_query_asks_for_fields_that_the_log_has(query, log_line, access_log_line):
    fields = query_fields(query.text)
    assert fields
    text = OPERATIONS.read_text(encoding="utf-8")
    is_about_api_gateway = text.index("`/aws/vendedlogs/apigateway/STACK`") < text.index(query.text)
    assert fields <= (access_log_line if is_about_api_gateway else log_line).keys() | DISCOVERED


def test_the_dashboards_query_asks_for_fields_that_the_log_has(log_line):
    template = (REPOSITORY / "template.yaml").read_text(encoding="utf-8")
    [query] = re.findall(r'"query": "([^"]+)"', template)
    fields = query_fields(re.sub(r"SOURCE '[^']+'", " ", query))
    assert fields <= log_line.keys() | {"@timestamp"}


def test_the_fields_of_the_log_are_those_of_the_table(log_line):
    named = {name for row in documents.rows(OPERATIONS, "field") for name in re.findall(r"`(\w+)`", row[0])}
    # The others are in all lines, or the metrics', which the text has.
    others = {"timestamp", "level", "message", "Function", "_aws"} | {m for m in log_line if m[0].isupper()}
    assert named == log_line.keys() - others


def test_a_message_that_the_manual_has_its_reader_look_for_is_one():
    commands = {command.text for command in documents.commands()}
    words = {code.text for code in documents.inline_code() if code.document == OPERATIONS and " " in code.text}
    messages = {text for text in words - commands if not re.match(r"POST /|\{", text)} - LAMBDAS_MESSAGES
    sources = [*REPOSITORY.glob("shared/src/**/*.rs"), *REPOSITORY.glob("functions/*/src/*.rs")]
    code = "".join(source.read_text(encoding="utf-8") for source in sources)
    assert len(messages) > 5
    assert {text for text in messages if text not in code} == set()


def test_every_variable_of_the_tables_is_read_somewhere():
    sources = [*REPOSITORY.glob("shared/src/**/*.rs"), *REPOSITORY.glob("local/local-stack/src/stack/*.rs")]
    read = set(re.findall(r'"([A-Z][A-Z_]+)"', "".join(source.read_text(encoding="utf-8") for source in sources)))
    told = {name for row in documents.rows(README, "variable") for name in re.findall(r"`([A-Z_]+)`", row[0])}
    assert len(told) > 10
    assert told <= read


def test_the_parameters_of_the_samconfig_are_the_templates():
    parameters = yaml.load((REPOSITORY / "template.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)["Parameters"]
    [shown] = documents.blocks("toml")
    given = tomlkit.parse(shown.text).unwrap()["default"]["global"]["parameters"]["parameter_overrides"]
    for name, value in (override.split("=") for override in given):
        assert re.search(parameters[name].get("AllowedPattern", ""), value), name
    required = {name for name, parameter in parameters.items() if "Default" not in parameter}
    assert required <= {override.split("=")[0] for override in given}


def test_the_policy_that_is_shown_lets_the_workflows_environment_in():
    [policy] = [json.loads(block.text) for block in documents.blocks("json") if '"Statement"' in block.text]
    [statement] = policy["Statement"]
    workflow = yaml.load((REPOSITORY / ".github/workflows/deploy.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
    deploy = workflow["jobs"]["deploy"]
    issuer = "token.actions.githubusercontent.com"
    assert statement["Principal"]["Federated"].endswith(f":oidc-provider/{issuer}")
    assert statement["Condition"]["StringEquals"] == {
        f"{issuer}:aud": "sts.amazonaws.com",
        f"{issuer}:sub": f"repo:OWNER/REPOSITORY:environment:{deploy['environment']}",
    }
    used = set(re.findall(r"\bvars\.([A-Z_]+)", json.dumps(deploy)))
    told = OPERATIONS.read_text(encoding="utf-8")
    assert used and all(f"`{name}`" in told for name in used)


def test_the_table_of_problems_is_the_apis():
    told = {(re.sub("`", "", kind), int(status)) for kind, status, *_ in documents.rows(README, "type")}
    schemas = openapi.document()["components"]["schemas"]
    kinds = schemas["Problem"]["properties"]["type"]["enum"]
    pairs = set()
    for schema in schemas.values():
        for rules in schema.get("allOf", [])[1:]:
            types, status = rules["properties"]["type"], rules["properties"]["status"]["const"]
            pairs |= {(kind, status) for kind in types.get("enum", [types.get("const")])}
    assert told == pairs
    assert sorted(kinds) == sorted(kind for kind, _ in told)


def test_the_problem_that_is_shown_is_one():
    shown = [json.loads(block.text) for block in documents.blocks("json") if '"requestId"' in block.text]
    assert [openapi.faults({"$ref": "#/components/schemas/InvalidRequest"}, problem) for problem in shown] == [[]]


def test_the_request_that_is_shown_has_all_members():
    [shown] = [json.loads(block.text) for block in documents.blocks("json") if '"optional: ' in block.text]
    members = openapi.dereference(openapi.request_schema("/sources"))["properties"]
    # Only backends name a user, of which the text tells.
    assert shown.keys() == members.keys() - {"externalUserId"}
