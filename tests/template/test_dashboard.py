"""The dashboard shows metrics that exist, of this stack."""

import json
import re

import pytest

LAMBDA_METRICS = {"Errors", "Throttles", "Duration"}
# Source: AWS, "Monitor CloudWatch metrics for HTTP APIs".
GATEWAY_METRICS = {"Count", "4xx", "5xx"}


@pytest.fixture(scope="module")
def widgets(stack) -> list:
    (dashboard,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    assert dashboard["DashboardName"] == "stack-eu-central-1"
    return json.loads(dashboard["DashboardBody"])["widgets"]


def test_widgets_show_region_of_stack(widgets):
    assert {widget["properties"]["region"] for widget in widgets} == {"eu-central-1"}


def test_widgets_do_not_overlap(widgets):
    cells = [
        (x, y)
        for w in widgets
        for x in range(w["x"], w["x"] + w["width"])
        for y in range(w["y"], w["y"] + w["height"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_shows_metrics_that_exist(widgets, emitted):
    known = {
        ("AirbyteEmbedded", "Function"): emitted,
        ("AWS/Lambda", "FunctionName"): LAMBDA_METRICS,
        ("AWS/ApiGateway", "ApiId"): GATEWAY_METRICS,
    }
    owners = {
        "Function": {"${MintTokenFunction}", "${CreateSourceFunction}"},
        "FunctionName": {"${MintTokenFunction}", "${CreateSourceFunction}"},
        "ApiId": {"${HttpApi}"},
    }
    shown = [m for w in widgets if w["type"] == "metric" for m in w["properties"]["metrics"] if isinstance(m[0], str)]
    assert shown
    for namespace, metric, dimension, owner, *_ in shown:
        assert metric in known[namespace, dimension]
        assert owner in owners[dimension]


def test_shows_problems_by_type(widgets, emitted):
    searches = [m[0] for w in widgets for m in w["properties"].get("metrics", []) if isinstance(m[0], dict)]
    assert [search["expression"] for search in searches] == [
        "SEARCH('{AirbyteEmbedded,Function,outcome} MetricName=\"Problems\" "
        f"Function=\"${{{function}}}\"', 'Sum', 300)"
        for function in ("MintTokenFunction", "CreateSourceFunction")
    ]
    assert all(search["label"].endswith("${PROP('Dim.outcome')}") for search in searches)
    assert {"Problems", "Function", "outcome"} <= emitted


def test_shows_failures_from_both_logs(widgets):
    (log,) = [widget for widget in widgets if widget["type"] == "log"]
    sources = re.findall(r"SOURCE '([^']+)'", log["properties"]["query"])
    assert sources == ["${MintTokenLogGroup}", "${CreateSourceLogGroup}"]


def test_creates_no_dashboard_if_disabled(deploy):
    assert deploy(DashboardEnabled="false").of_type("AWS::CloudWatch::Dashboard") == {}
