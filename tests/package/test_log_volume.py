"""What a request leaves in CloudWatch is as much as docs/operations.md reckons with: bytes of logs, and metrics."""

import json
import re

import pytest

import documents
from programs import REPOSITORY, Airbyte, function_environment, lambda_emulator

# As CloudFormation names the functions of a stack that is called airbyte-embedded.
NAMES = {
    "mint-token": "airbyte-embedded-MintTokenFunction-AbCdEfGhIjKl",
    "create-source": "airbyte-embedded-CreateSourceFunction-AbCdEfGhIjKl",
}

# What the emulator does not hand to the function, and Lambda does.
TRACE = "Root=1-66f3a1b2-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=0;Lineage=1:01234567:0"

# Times and user ids have more digits at one time than at another.
TOLERANCE = 0.02


@pytest.fixture(scope="module")
def runs(bootstraps, simulator, secrets_manager, tmp_path_factory) -> list[tuple[list[str], dict]]:
    """For each function, what is logged of its first two requests, and its second answer."""
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
            answer = invoke(event)
        runs.append((log.read_text(encoding="utf-8").splitlines(), answer))
    return runs


def requests(lines: list[str]) -> list[dict]:
    return [json.loads(line) for line in lines if line.startswith("{")]


def told(label: str) -> list[float]:
    [cells] = [cells for name, *cells in documents.rows(REPOSITORY / "docs/operations.md", "measured, a request") if name == label]
    return [float(cell) for cell in cells]


def test_a_warm_requests_line_has_the_bytes_that_are_told(runs):
    lengths = []
    for lines, _ in runs:
        [_, warm] = requests(lines)
        assert not warm["coldStart"] and "traceId" not in warm
        lengths.append(len(json.dumps(warm | {"traceId": TRACE}, separators=(",", ":"))))
    assert lengths == pytest.approx(told("bytes of its log line"), rel=TOLERANCE)


def test_lambdas_own_lines_have_the_bytes_that_are_told(runs):
    lengths = []
    for lines, _ in runs:
        own = [line for line in lines if re.match("(START|END|REPORT) RequestId", line)]
        assert len(own) == 6
        lengths.append(sum(len(line) for line in own[3:]))
    assert lengths == pytest.approx(told("bytes of Lambda's own three log lines"), rel=TOLERANCE)


def test_an_answer_has_the_bytes_that_are_told(runs):
    lengths = [len(answer["body"]) for _, answer in runs]
    assert lengths == pytest.approx(told("bytes of its answer's body"), rel=TOLERANCE)


def test_while_all_is_well_as_many_metrics_are_sent_as_are_told(runs):
    sent = {
        (line["Function"], metric["Name"])
        for lines, _ in runs
        for line in requests(lines)
        for directive in line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    }
    [row] = [label for label, *_ in documents.rows(REPOSITORY / "docs/operations.md", "a month") if label.startswith("metrics: ")]
    assert int(re.search(r"\d+", row)[0]) == len(sent)
