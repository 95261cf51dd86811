"""Alarms: on metrics that exist, sent to somebody, and off when they are not wanted."""

import re

import pytest

FUNCTIONS = {"MintTokenFunction", "CreateSourceFunction"}
TOPIC = "arn:aws:sns:eu-central-1:123456789012:on-call"
# Source: AWS, "Types of metrics for Lambda functions".
LAMBDA_METRICS = {"Errors", "Throttles", "Duration"}
# Counted by a filter, with the status that it looks for.
OF_THE_ACCESS_LOG = {
    "ThrottledRequests": '($.status = "429") && ($.functionRequestId = "-")',
    "UnansweredRequests": '($.status = "5*") && ($.integrationStatus = "-")',
}


@pytest.fixture(scope="module")
def alarms(stack) -> dict:
    return stack.of_type("AWS::CloudWatch::Alarm")


def metrics(alarm: dict) -> list[dict]:
    """The metrics that an alarm looks at, with or without an expression between."""
    if "MetricName" in alarm:
        return [alarm]
    return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]


def watched(alarms: dict) -> set[tuple]:
    return {
        (metric["Namespace"], metric["MetricName"], dimension["Name"], dimension["Value"].strip("${}"))
        for alarm in alarms.values()
        for metric in metrics(alarm)
        for dimension in metric["Dimensions"]
    }


def test_what_an_owner_must_act_on_is_watched_for_each_function(alarms):
    ours = ["CredentialRejected", "SecretRefreshFailed", "ServerErrors", "Requests"]
    expected = {("AirbyteEmbedded", metric, "Function", function) for metric in ours for function in FUNCTIONS}
    expected |= {("AWS/Lambda", metric, "FunctionName", function) for metric in LAMBDA_METRICS for function in FUNCTIONS}
    expected |= {("AirbyteEmbedded", metric, "ApiId", "HttpApi") for metric in OF_THE_ACCESS_LOG}
    assert watched(alarms) == expected


def test_the_metrics_are_emitted_under_these_names(alarms, emitted, stack):
    ours = {metric for namespace, metric, *_ in watched(alarms) if namespace == "AirbyteEmbedded"}
    filtered = {
        transformation["MetricName"]
        for metric_filter in stack.of_type("AWS::Logs::MetricFilter").values()
        for transformation in metric_filter["MetricTransformations"]
    }
    assert filtered == set(OF_THE_ACCESS_LOG)
    assert ours - filtered <= emitted
    assert {"AirbyteEmbedded", "Function"} <= emitted


@pytest.mark.parametrize(("metric", "pattern"), OF_THE_ACCESS_LOG.items())
def test_what_api_gateway_answers_by_itself_is_counted_from_the_access_log(stack, metric, pattern):
    metric_filter = stack.of_type("AWS::Logs::MetricFilter")[metric]
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    assert metric_filter["LogGroupName"] == "${AccessLogGroup}"
    # "-" stands for what there is not.
    assert metric_filter["FilterPattern"] == f"{{ {pattern} }}"
    (transformation,) = metric_filter["MetricTransformations"]
    assert (transformation["MetricNamespace"], transformation["MetricName"]) == ("AirbyteEmbedded", metric)
    assert transformation["Dimensions"] == [{"Key": "ApiId", "Value": "$.apiId"}]
    for field in [*re.findall(r"\$\.(\w+)", pattern), "apiId"]:
        assert f'"{field}":' in stage["AccessLogSettings"]["Format"]


def test_slow_means_near_the_timeout(stack, alarms):
    for function in FUNCTIONS:
        timeout = stack.of_type("AWS::Lambda::Function")[function]["Timeout"] * 1000
        alarm = alarms[function.replace("Function", "SlowAlarm")]
        assert (alarm["MetricName"], alarm["ExtendedStatistic"]) == ("Duration", "p99")
        assert alarm["Threshold"] == 0.8 * timeout


def test_server_errors_are_a_share_of_the_requests(alarms):
    for function in FUNCTIONS:
        alarm = alarms[function.replace("Function", "ServerErrorsAlarm")]
        (expression,) = [query for query in alarm["Metrics"] if "Expression" in query]
        assert expression["Expression"] == "IF(errors >= 5, 100 * errors / requests, 0)"
        inputs = {query["Id"]: query for query in alarm["Metrics"] if "MetricStat" in query}
        assert {name: query["MetricStat"]["Metric"]["MetricName"] for name, query in inputs.items()} == {
            "errors": "ServerErrors",
            "requests": "Requests",
        }
        assert not any(query["ReturnData"] for query in inputs.values())
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 5)


def test_silence_is_no_alarm_and_each_says_what_it_means(alarms):
    names = [alarm["AlarmName"] for alarm in alarms.values()]
    assert len(set(names)) == len(names)
    for alarm in alarms.values():
        assert alarm["AlarmName"].startswith("stack-")
        assert alarm["AlarmDescription"]
        assert alarm["TreatMissingData"] == "notBreaching"


def test_each_has_a_heading_in_the_operations_manual(alarms, repository):
    manual = (repository / "docs" / "operations.md").read_text(encoding="utf-8")
    headings = {name for line in re.findall(r"^### (.+)$", manual, re.MULTILINE) for name in line.split(", ")}
    kinds = {re.sub("^stack-((mint-token|create-source)-)?", "", alarm["AlarmName"]) for alarm in alarms.values()}
    assert kinds <= headings


def test_a_topic_is_made_and_mail_sent(deploy):
    stack = deploy(AlarmEmail="on-call@example.com")
    assert stack.of_type("AWS::SNS::Subscription") == {
        "AlarmSubscription": {"TopicArn": "${AlarmTopic}", "Protocol": "email", "Endpoint": "on-call@example.com"}
    }
    assert stack.of_type("AWS::SNS::Topic").keys() == {"AlarmTopic"}
    assert stack.outputs["AlarmTopicArn"] == "${AlarmTopic}"
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == ["${AlarmTopic}"]


def test_a_topic_of_the_owners_is_used(deploy):
    stack = deploy(AlarmTopicArn=TOPIC)
    assert not stack.of_type("AWS::SNS::Topic") and not stack.of_type("AWS::SNS::Subscription")
    assert stack.outputs["AlarmTopicArn"] == TOPIC
    for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]


def test_mail_through_the_owners_topic_is_refused(deploy):
    (description,) = deploy(AlarmTopicArn=TOPIC, AlarmEmail="on-call@example.com").broken_rules()
    assert "AlarmEmail or AlarmTopicArn" in description


@pytest.mark.parametrize("others", [{}, {"AlarmTopicArn": TOPIC}, {"AlarmEmail": "on-call@example.com"}])
def test_they_can_be_left_out(deploy, others):
    stack = deploy(AlarmsEnabled="false", **others)
    unwanted = ("AWS::CloudWatch::Alarm", "AWS::SNS::", "AWS::Logs::MetricFilter")
    assert not [name for name, resource in stack.resources.items() if resource["Type"].startswith(unwanted)]
    assert "AlarmTopicArn" not in stack.outputs
