"""A request leaves as many bytes of logs and as many metrics in CloudWatch as docs/operations.md says."""

import json
import re

import pytest

import cloudformation
import documents
from programs import REPOSITORY, Airbyte, function_environment, lambda_emulator

# CloudFormation's names for the functions of the stack airbyte-embedded.
NAMES = {
    "mint-token": "airbyte-embedded-MintTokenFunction-AbCdEfGhIjKl",
    "create-source": "airbyte-embedded-CreateSourceFunction-AbCdEfGhIjKl",
}

# Lambda passes this to the function, and the emulator does not.
TRACE = "Root=1-66f3a1b2-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=0;Lineage=1:01234567:0"

# The number of digits of times and user IDs varies.
TOLERANCE = 0.02


@pytest.fixture(scope="module")
def runs(bootstraps, simulator, secrets_manager, tmp_path_factory) -> list[tuple[list[str], dict]]:
    """For each function, the log of its first two requests, and its second response."""
    secret = secrets_manager.create("log-volume", json.dumps({"organization_token": Airbyte.ORGANIZATION_TOKEN}))
    environment = function_environment(simulator, secrets_manager.url, secret)
    runs = []
    for function, name in NAMES.items():
        event = json.loads((REPOSITORY / "events" / f"{function}-jwt.json").read_text(encoding="utf-8"))
        log = tmp_path_factory.mktemp(function) / "log"
        with (
            log.open("wb") as output,
            lambda_emulator(bootstraps[function], environment | {"AWS_LAMBDA_FUNCTION_NAME": name}, output) as invoke,
        ):
            invoke(event)
            response = invoke(event)
        runs.append((log.read_text(encoding="utf-8").splitlines(), response))
    return runs


def requests(lines: list[str]) -> list[dict]:
    return [json.loads(line) for line in lines if line.startswith("{")]


def documented(label: str) -> list[float]:
    [cells] = [cells for name, *cells in documents.rows(REPOSITORY / "docs/operations.md", "measured per request") if name == label]
    return [float(cell) for cell in cells]


def test_log_line_has_documented_size(runs):
    lengths = []
    for lines, _ in runs:
        [_, warm] = requests(lines)
        assert not warm["coldStart"] and "traceId" not in warm
        lengths.append(len(json.dumps(warm | {"traceId": TRACE}, separators=(",", ":"))))
    assert lengths == pytest.approx(documented("bytes of its log line"), rel=TOLERANCE)


def test_lambdas_own_lines_have_documented_size(runs):
    lengths = []
    for lines, _ in runs:
        own = [line for line in lines if re.match("(START|END|REPORT) RequestId", line)]
        assert len(own) == 6
        lengths.append(sum(len(line) for line in own[3:]))
    assert lengths == pytest.approx(documented("bytes of Lambda's own three log lines"), rel=TOLERANCE)


def test_response_has_documented_size(runs):
    lengths = [len(response["body"]) for _, response in runs]
    assert lengths == pytest.approx(documented("bytes of its response body"), rel=TOLERANCE)


def test_sends_documented_number_of_metrics_without_problems(runs):
    sent = {
        (line["Function"], metric["Name"])
        for lines, _ in runs
        for line in requests(lines)
        for directive in line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    }
    [row] = [label for label, *_ in documents.rows(REPOSITORY / "docs/operations.md", "per month") if label.startswith("metrics: ")]
    # The access log's filters send a value for each request, too.
    template = cloudformation.load(REPOSITORY / "template.yaml")
    filters = [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == "AWS::Logs::MetricFilter"]
    of_access_log = [f for f in filters if f["MetricTransformations"][0]["MetricValue"] == "0"]
    assert int(re.search(r"\d+", row)[0]) == len(sent) + len(of_access_log)
