"""The costs in docs/operations.md match the template: its figures are counted and calculated again here."""

import json
import re
from decimal import ROUND_HALF_UP, Decimal

import pytest

import documents
import openapi

README = documents.REPOSITORY / "README.md"
OPERATIONS = documents.REPOSITORY / "docs/operations.md"

# Memory in MiB for which Lambda allocates a whole processor. Source: AWS, "Configure Lambda function memory".
WHOLE_PROCESSOR = 1769

# The request's, the access log's, and Lambda's three; and the bytes that CloudWatch adds to each. Source: AWS, PutLogEvents.
LOG_LINES = 5
BYTES_OF_A_LINE = 26

# API Gateway's values, of the usual lengths.
ACCESS = {
    "requestId": "JKJaXmPLvHcESHA=",
    "integration.requestId": "6883632a-5eb4-4b28-af58-04a398c09bcd",
    "apiId": "a1b2c3d4e5",
    "requestTime": "10/Mar/2026:12:34:56 +0000",
    "identity.sourceIp": "203.0.113.195",
    "protocol": "HTTP/1.1",
    "status": "200",
    "responseLength": "1540",
    "responseLatency": "345",
    "integration.status": "200",
    "integration.integrationStatus": "200",
    "integration.latency": "343",
    "integrationErrorMessage": "-",
    "authorizer.error": "-",
    "error.message": "-",
    "error.responseType": "-",
}


def numbers(text: str) -> list[Decimal]:
    return [Decimal(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def table(first_heading: str) -> dict[str, list[Decimal]]:
    """The rows of the manual's table with this first heading: a label, and the numbers in the other cells."""
    rows = documents.rows(OPERATIONS, first_heading)
    assert rows, first_heading
    return {label: [number for cell in cells for number in numbers(cell)] for label, *cells in rows}


def dollars(value: Decimal) -> Decimal:
    """Rounded like in the manual."""
    return round(value, 2)


@pytest.fixture(scope="module")
def text() -> str:
    return " ".join(OPERATIONS.read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def prices() -> dict[str, Decimal]:
    return {label: price for label, [price] in table("price").items()}


@pytest.fixture(scope="module")
def measured() -> dict[str, list[Decimal]]:
    return table("measured per request")


@pytest.fixture(scope="module")
def memory(template) -> Decimal:
    return Decimal(template["Parameters"]["MemorySize"]["Default"])


def test_access_log_line_has_documented_size(stack, measured):
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    lengths = []
    for route in ("POST /token", "POST /sources"):
        values = ACCESS | {"routeKey": route}
        line = re.sub(r"\$context\.([A-Za-z.]+)", lambda found: values[found[1]], stage["AccessLogSettings"]["Format"])
        assert json.loads(line)
        lengths.append(len(line))
    assert measured["bytes of its access log line"] == lengths


def test_times_match_readme(measured, memory):
    """They were measured on a whole processor. Lambda allocates a part of one."""
    performance = {row[0]: row[2:] for row in documents.rows(README, "measurement")}
    share = memory / WHOLE_PROCESSOR
    p99 = [numbers(cell)[1] / 1000 / share for cell in performance["warm call, p50 / p99, µs"]]
    most = measured["the function's own time, p99, ms, at most"]
    # An upper bound, but not more than twice the measured time.
    assert all(most / 2 <= time <= most for time, most in zip(p99, most, strict=True))
    cold = [numbers(cell)[0] / share for cell in performance["CPU of a cold start, ms"]]
    about = measured["processor time of a cold start, ms, about"]
    assert all(abs(time - about) <= about / 5 for time, about in zip(cold, about, strict=True))


def test_cost_of_million_requests_is_correct(prices, measured, memory, template, text):
    assert template["Parameters"]["Architecture"]["Default"] == "arm64"
    assert measured["bytes that CloudWatch adds to these five lines"] == [LOG_LINES * BYTES_OF_A_LINE] * 2
    [own, _] = measured["the function's own time, p99, ms, at most"]
    # In a million requests a byte is a megabyte, and a millisecond 1,000 seconds.
    millisecond = 1000 * prices["Lambda, a GB-second on arm64"]
    fixed = [prices["HTTP API, a million requests"], prices["Lambda, a million requests"]]

    def cost_by_size(route: int) -> list[Decimal]:
        _, _, *lines, response = (values[route] for values in measured.values())
        logs = sum(lines) / 1000
        return [
            logs * prices["logs, a GB ingested"],
            logs * prices["logs, a GB stored for a month"],
            response / 1000 * prices["a GB to the internet"],
        ]

    by_size, by_size_of_sources = cost_by_size(0), cost_by_size(1)

    rows = table("Airbyte takes")
    assert len(rows) >= 3
    for label, documented in rows.items():
        [upstream] = numbers(label)
        parts = [*fixed, (upstream + own) * memory / 1024 * millisecond, *by_size]
        assert documented[:-1] == [dollars(part) for part in parts]
        assert documented[-1] == sum(documented[:-1])

    rest = sum(map(dollars, by_size))
    formula = f"${sum(fixed):.2f} + (T + {own}) × MemorySize / 1024 × ${millisecond:.7f} + ${rest:.2f}"
    assert formula in text
    assert f"for `POST /sources`, the last part is ${sum(map(dollars, by_size_of_sources)):.2f}." in text
    rejected = (measured["bytes of its access log line"][0] + BYTES_OF_A_LINE) / 1000 * prices["logs, a GB ingested"]
    assert f"A million rejected requests still cost ${rejected:.2f} of access log." in text
    [seconds] = re.findall(r"From T = ([\d.]+) s on, Lambda's time costs more than everything else", text)
    others = (sum(fixed) + rest) / (memory / 1024 * millisecond) - own
    assert Decimal(seconds) * 1000 - 100 < others <= Decimal(seconds) * 1000


def test_cost_of_state_table_is_correct(prices, text):
    write = prices["DynamoDB, a million writes on demand"]
    assert f"at most ${2 * write:.2f} for a million requests with an `Idempotency-Key`, which write twice" in text
    assert f"writes once, ${write.quantize(Decimal('0.01'), ROUND_HALF_UP)} for a million times" in text


def test_cost_per_month_is_correct(prices, deploy, stack, emitted_by_function, text):
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    on_metrics = sum(1 if "MetricName" in alarm else sum("MetricStat" in query for query in alarm["Metrics"]) for alarm in alarms)
    problems = openapi.document()["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    filters = stack.of_type("AWS::Logs::MetricFilter").values()
    of_access_log = {transformation["MetricName"] for f in filters for transformation in f["MetricTransformations"]}
    most = emitted_by_function + len(stack.of_type("AWS::Lambda::Function")) * len(problems) + len(of_access_log)
    composites = stack.of_type("AWS::CloudWatch::CompositeAlarm")
    dashboards = len(stack.of_type("AWS::CloudWatch::Dashboard"))

    rows = table("per month")
    [metrics, alarm_row, composite_row, *others] = rows.items()
    [usual, documented_most] = numbers(metrics[0])
    assert documented_most == most
    assert metrics[1] == [usual * prices["a metric for a month"], most * prices["a metric for a month"]]
    assert numbers(alarm_row[0]) == [len(alarms), on_metrics]
    watched = on_metrics * prices["a metric of an alarm for a month"]
    assert alarm_row[1] == [watched, watched]
    assert numbers(composite_row[0]) == [len(composites)]
    combined = len(composites) * prices["a composite alarm for a month"]
    assert composite_row[1] == [combined, combined]
    dashboard, secret = dashboards * prices["a dashboard for a month"], prices["a secret for a month"]
    assert dict(others[:-1]) == {"dashboard": [dashboard, dashboard], "secret": [secret, secret]}
    assert others[-1][1] == [sum(column) for column in zip(*(row for label, row in rows.items() if label != "total"))]

    # What can be disabled.
    without = deploy(AlarmsEnabled="false", DashboardEnabled="false")
    assert not without.of_type("AWS::CloudWatch::Alarm") and not without.of_type("AWS::CloudWatch::Dashboard")
    assert f"`DashboardEnabled=false` saves ${dashboard:.2f}, `AlarmsEnabled=false` ${watched + combined:.2f}" in text


@pytest.fixture(scope="module")
def emitted_by_function() -> int:
    """The number of metrics that both functions send by their names alone."""
    source = (documents.REPOSITORY / "shared/src/telemetry/request_line.rs").read_text(encoding="utf-8")
    [by_function] = re.findall(r"let by_function = \[(.*?)\n    \];", source, re.DOTALL)
    names = set(re.findall(r'\(\s*"(\w+)",', by_function))
    assert "Requests" in names
    # Each of these is of one function only.
    of_one = {"TokensMinted", "SourcesCreated", "SourcesReplayed"}
    assert of_one < names
    return 2 * len(names) - len(of_one)


def test_cost_of_cold_starts_and_reads_is_correct(prices, memory, template, text):
    read = prices["10,000 reads of a secret"]
    starts = 10_000 * Decimal("0.1") * memory / 1024 * prices["Lambda, a GB-second on arm64"]
    assert f"of 100 ms each cost ${starts:.3f}, and their reads of the secret ${read:.2f}." in text
    reads = 30 * 24 * 60 * 60 // int(template["Parameters"]["SecretTtlSeconds"]["Default"])
    assert f"reads the secret {reads:,} times a month (`SecretTtlSeconds`), for ${reads * read / 10_000:.2f}." in text
