"""Alarms: each fires in the situation that it is for, once, and in no other."""

import re

import pytest

import cloudwatch
import traffic
from traffic import Traffic

FUNCTIONS = {"MintTokenFunction", "CreateSourceFunction"}
TOPIC = "arn:aws:sns:eu-central-1:123456789012:on-call"
# Source: AWS, "Types of metrics for Lambda functions" and "Monitor CloudWatch metrics for HTTP APIs".
LAMBDA_METRICS = {"Errors", "Throttles"}
GATEWAY_METRICS = {"IntegrationLatency"}


@pytest.fixture(scope="module")
def alarms(stack) -> dict:
    return stack.of_type("AWS::CloudWatch::Alarm")


@pytest.fixture(scope="module")
def composites(stack) -> dict:
    return stack.of_type("AWS::CloudWatch::CompositeAlarm")


@pytest.fixture(scope="module")
def all_alarms(alarms, composites) -> dict:
    return alarms | composites


@pytest.fixture(params=[0, 2], ids=["no-spare-periods", "two-spare-periods"])
def requests(stack, request) -> Traffic:
    """No traffic yet. How far CloudWatch looks back where data are missing must not matter."""
    return Traffic(stack, request.param)


def alarmed(messages: list[tuple[int, str, str]]) -> list[str]:
    """The alarms that sent a message, without the stack's name."""
    assert {state for _, _, state in messages} <= {"ALARM"}
    return [name.removeprefix("stack-") for _, name, _ in messages]


BUSY, QUIET, RARE = 0.2, 10.0, 60.0  # minutes between requests

# What goes wrong for every request, the alarm that reports it, and the minutes until then at five requests a minute. An
# outage begins after an hour and lasts as long.
OUTAGES = {
    "Airbyte fails": (traffic.AIRBYTE_FAILS, "requests", 5),
    "Airbyte hangs": (traffic.AIRBYTE_HANGS, "requests", 5),
    "credential rejected": (traffic.CREDENTIAL_REJECTED, "credential", 2),
    "secret unreadable": (traffic.SECRET_UNREADABLE, "credential", 3),
    "secret unreadable, value cached": (traffic.SECRET_CACHED, "credential", 3),
    "state table fails": (traffic.STATE_TABLE_FAILS, "state-table", 3),
    "function crashes": (traffic.CRASH, "functions", 3),
    "function crashes, no error logged": (traffic.CRASH_WITHOUT_ERROR, "functions", 3),
    "permission removed": (traffic.FORBIDDEN_FUNCTION, "functions", 3),
    "function removed": (traffic.MISSING_FUNCTION, "functions", 3),
    "Lambda throttles": (traffic.LAMBDA_THROTTLES, "functions", 3),
    "authorizer returns 401": (traffic.UNAUTHORIZED, "denied-requests", 15),
    "authorizer returns 403": (traffic.FORBIDDEN, "denied-requests", 15),
    "API Gateway throttles": (traffic.GATEWAY_THROTTLES, "throttled-requests", 10),
}
START, END = 60, 120


@pytest.mark.parametrize(("outcome", "alarm", "minutes"), OUTAGES.values(), ids=OUTAGES)
def test_sends_one_message_per_outage(requests, outcome, alarm, minutes):
    requests.send(traffic.SUCCESS, (0, START), BUSY)
    requests.send(outcome, (START, END), BUSY)
    requests.send(traffic.SUCCESS, (END, END + 180), BUSY)

    messages = requests.messages(hours=5)

    assert alarmed(messages) == [alarm]
    assert START < messages[0][0] <= START + minutes


def test_sends_one_message_when_both_functions_fail(requests):
    for route in traffic.FUNCTIONS:
        requests.send(traffic.SUCCESS, (0, START), BUSY, route)
        requests.send(traffic.AIRBYTE_HANGS, (START, END), BUSY, route)

    assert alarmed(requests.messages(hours=3)) == ["requests"]


@pytest.mark.parametrize(("outcome", "alarm", "_"), OUTAGES.values(), ids=OUTAGES)
def test_watches_create_source_like_mint_token(stack, outcome, alarm, _):
    requests = Traffic(stack)
    requests.send(outcome, (START, END), BUSY, "POST /sources")

    assert alarmed(requests.messages(hours=2)) == [alarm]


def test_sends_a_message_for_each_of_two_outages(requests):
    requests.send(traffic.AIRBYTE_FAILS, (5, 30), BUSY)
    requests.send(traffic.SUCCESS, (30, 120), BUSY)
    requests.send(traffic.CRASH, (120, 150), BUSY)
    requests.send(traffic.SUCCESS, (150, 240), BUSY)
    requests.send(traffic.AIRBYTE_FAILS, (240, 270), BUSY)

    assert alarmed(requests.messages(hours=5)) == ["requests", "functions", "requests"]


def test_sends_airbyte_outage_that_outlasts_credential_problem(requests):
    """While the credential is the cause nothing is sent about requests; when it is no longer, what remains is."""
    requests.send(traffic.CREDENTIAL_REJECTED, (5, 30), BUSY)
    requests.send(traffic.AIRBYTE_FAILS, (30, 300), BUSY)

    assert alarmed(requests.messages(hours=5)) == ["credential", "requests"]


# What fails every request of an API with one an hour, and the alarm that reports it.
RARE_OUTAGES = {
    "Airbyte fails": (traffic.AIRBYTE_FAILS, "requests"),
    "Airbyte hangs": (traffic.AIRBYTE_HANGS, "requests"),
    "credential rejected": (traffic.CREDENTIAL_REJECTED, "credential"),
    "secret unreadable": (traffic.SECRET_UNREADABLE, "requests"),
    "function crashes": (traffic.CRASH, "requests"),
    "permission removed": (traffic.FORBIDDEN_FUNCTION, "requests"),
    "Lambda throttles": (traffic.LAMBDA_THROTTLES, "requests"),
}


@pytest.mark.parametrize(("outcome", "alarm"), RARE_OUTAGES.values(), ids=RARE_OUTAGES)
def test_notices_total_failure_at_one_request_per_hour(requests, outcome, alarm):
    requests.send(traffic.SUCCESS, (7, 4 * 60), RARE)
    requests.send(outcome, (4 * 60 + 7, 10 * 60), RARE)

    messages = requests.messages(hours=10)

    assert alarmed(messages) == [alarm]
    assert messages[0][0] <= 4 * 60 + 2 * 60 + 10


@pytest.mark.parametrize("every", [1.0, 4.0, QUIET, 20.0, RARE])
@pytest.mark.parametrize(("outcome", "_"), RARE_OUTAGES.values(), ids=RARE_OUTAGES)
def test_does_not_flap_while_an_outage_lasts(requests, outcome, _, every):
    requests.send(outcome, (traffic.CREATED, 8 * 60), every)

    assert len(requests.messages(hours=8)) == 1


@pytest.mark.parametrize("outcome", [traffic.CRASH, traffic.FORBIDDEN_FUNCTION, traffic.AIRBYTE_FAILS], ids=["crash", "permission", "5xx"])
def test_rolls_canary_back_within_its_five_minutes(deploy, outcome):
    """A canary that always fails, at twenty requests per minute, of which it gets one in ten."""
    stack = deploy(Deployment="Canary10Percent5Minutes")
    requests = Traffic(stack)
    requests.send(traffic.SUCCESS, (0, 60), 1 / 20)
    requests.send(traffic.SUCCESS, (60, 65), 1 / 18)
    requests.send(outcome, (60, 65), 1 / 2)

    (group,) = [
        group
        for name, group in stack.of_type("AWS::CodeDeploy::DeploymentGroup").items()
        if name.startswith("MintToken")
    ]
    alarms = [alarm["Name"].strip("${}") for alarm in group["AlarmConfiguration"]["Alarms"]]
    assert not any(requests.cloudwatch.is_on(alarm, 60) for alarm in alarms)
    assert any(requests.cloudwatch.is_on(alarm, 64) for alarm in alarms)


def test_recovers_at_once_at_little_traffic(requests):
    """Nothing else is sent when a problem of an API with one request per hour ends."""
    requests.send(traffic.CREDENTIAL_REJECTED, (60, 8 * 60), RARE)
    requests.send(traffic.SUCCESS, (8 * 60, 14 * 60), RARE)

    assert alarmed(requests.messages(hours=14)) == ["credential"]


# Minutes between requests, what happens to them, and how often something else happens instead.
UNREMARKABLE = {
    "no requests": [],
    "five requests per minute": [(BUSY, traffic.SUCCESS)],
    "one request per hour": [(RARE, traffic.SUCCESS)],
    "users' mistakes only": [(QUIET, traffic.INVALID)],
    "2 % of 5xx": [(BUSY, traffic.SUCCESS), (5.0, traffic.AIRBYTE_FAILS)],
    "a failed request now and then": [(QUIET, traffic.SUCCESS), (180.0, traffic.AIRBYTE_FAILS)],
    "a crash every two hours": [(1.0, traffic.SUCCESS), (120.0, traffic.CRASH)],
    "a slow request every half hour": [(QUIET, traffic.SUCCESS), (30.0, traffic.SLOW)],
    "a tab of a user who is signed out": [(20.0, traffic.UNAUTHORIZED), (20.01, traffic.UNAUTHORIZED)],
    "scanners on a quiet API": [(RARE, traffic.SUCCESS), (2.0, traffic.NOT_FOUND), (7.0, traffic.UNAUTHORIZED)],
    "expired tokens, renewed at once": [(1.0, traffic.UNAUTHORIZED), (1.0, traffic.SUCCESS)],
    "preflight requests": [(1.0, traffic.PREFLIGHT), (1.0, traffic.SUCCESS)],
    "a failure of the state table every hour": [(1.0, traffic.SUCCESS), (60.0, traffic.STATE_TABLE_FAILS)],
    "a Secrets Manager failure every hour": [(1.0, traffic.SUCCESS), (60.0, traffic.SECRET_CACHED)],
}


@pytest.mark.parametrize("shares", UNREMARKABLE.values(), ids=UNREMARKABLE)
def test_stays_silent_without_a_problem(requests, shares):
    for every, outcome in shares:
        requests.send(outcome, (3, 8 * 60), every)

    assert requests.messages(hours=8) == []


def test_burst_of_denied_requests_is_no_alarm(requests):
    requests.send(traffic.UNAUTHORIZED, (60, 62), 0.02)

    assert requests.messages(hours=3) == []


def test_sends_nothing_at_creation(requests):
    assert requests.cloudwatch.messages(60) == []


def test_sends_recovery_if_enabled(deploy):
    requests = Traffic(deploy(RecoveryMessagesEnabled="true"))
    requests.send(traffic.AIRBYTE_FAILS, (START, END), BUSY)
    requests.send(traffic.SUCCESS, (END, END + 60), BUSY)

    assert [(name, state) for _, name, state in requests.messages(hours=3)] == [
        ("stack-requests", "ALARM"),
        ("stack-requests", "OK"),
    ]
    # Why it is off by default: each new alarm that sends messages goes to OK.
    at_creation = requests.cloudwatch.messages(traffic.CREATED)
    assert [state for *_, state in at_creation] == ["OK"] * 6


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        ('{ $.status = "5*" }', {"status": "503"}, True),
        ('{ $.status = "5*" }', {"status": "403"}, False),
        ('{ $.status = "5*" }', {}, False),
        ('{ $.error != "-" }', {"error": "-"}, False),
        ('{ $.error != "-" }', {"error": "broken"}, True),
        ('{ $.error != "-" }', {}, False),
        ('{ ($.a = "1") && (($.b = "1") || ($.c = "1")) }', {"a": "1", "b": "0", "c": "1"}, True),
        ('{ ($.a = "1") && (($.b = "1") || ($.c = "1")) }', {"a": "0", "b": "1", "c": "1"}, False),
    ],
)
def test_evaluator_reads_filter_patterns(pattern, line, expected):
    assert cloudwatch.metric_filter(pattern)(line) is expected


def metrics(alarm: dict) -> list[dict]:
    """The metrics that an alarm watches, with or without an expression."""
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


def filtered(stack) -> set[str]:
    return {
        transformation["MetricName"]
        for metric_filter in stack.of_type("AWS::Logs::MetricFilter").values()
        for transformation in metric_filter["MetricTransformations"]
    }


def test_watches_both_functions_and_the_api(alarms, stack):
    own = ["CredentialRejected", "SecretRefreshFailed", "StateFailures", "ServerErrors", "Requests"]
    expected = {("AirbyteEmbedded", metric, "Function", function) for metric in own for function in FUNCTIONS}
    expected |= {("AWS/Lambda", metric, "FunctionName", function) for metric in LAMBDA_METRICS for function in FUNCTIONS}
    expected |= {("AWS/ApiGateway", metric, "ApiId", "HttpApi") for metric in GATEWAY_METRICS}
    expected |= {("AirbyteEmbedded", metric, "ApiId", "HttpApi") for metric in filtered(stack)}
    assert watched(alarms) == expected


def test_watches_metrics_that_are_sent(alarms, emitted, stack):
    own = {metric for namespace, metric, *_ in watched(alarms) if namespace == "AirbyteEmbedded"}
    assert own - filtered(stack) <= emitted
    assert {"AirbyteEmbedded", "Function"} <= emitted


def test_filters_read_fields_of_the_access_log(stack):
    for metric_filter in stack.of_type("AWS::Logs::MetricFilter").values():
        assert metric_filter["LogGroupName"] == "${AccessLogGroup}"
        fields = {"apiId", *re.findall(r"\$\.(\w+)", metric_filter["FilterPattern"])}
        assert fields <= cloudwatch.parse_access_log_format(stack).keys()
        (transformation,) = metric_filter["MetricTransformations"]
        assert transformation["Dimensions"] == [{"Key": "ApiId", "Value": "$.apiId"}]


def test_slow_is_80_percent_of_the_timeout(stack, alarms):
    (timeout,) = {function["Timeout"] for function in stack.of_type("AWS::Lambda::Function").values()}
    assert alarms["SlowAlarm"]["Threshold"] == 800 * timeout


def test_expressions_alone_are_compared_with_the_threshold(alarms):
    for alarm in alarms.values():
        for query in alarm.get("Metrics", []):
            assert "Expression" in query or query["ReturnData"] is False


def test_periods_are_within_the_limits_of_cloudwatch(alarms):
    """Source: AWS, PutMetricAlarm: with periods below an hour, at most a day altogether; otherwise a week."""
    for alarm in alarms.values():
        periods = {alarm.get("Period"), *(q["MetricStat"]["Period"] for q in alarm.get("Metrics", []) if "MetricStat" in q)}
        (period,) = periods - {None}
        assert period % 60 == 0
        assert period * alarm["EvaluationPeriods"] <= (86_400 if period < 3600 else 604_800)
        assert alarm.get("DatapointsToAlarm", 1) <= alarm["EvaluationPeriods"]


def test_each_alarm_sends_itself_or_through_another(alarms, composites):
    rules = " ".join(composite["AlarmRule"] for composite in composites.values())
    for name, alarm in alarms.items():
        assert ("AlarmActions" in alarm) != (f'ALARM("${{{name}}}")' in rules), name
    assert all(composite["AlarmActions"] for composite in composites.values())


def test_alarms_have_unique_names_and_descriptions(all_alarms):
    names = [alarm["AlarmName"] for alarm in all_alarms.values()]
    assert len(set(names)) == len(names)
    for alarm in all_alarms.values():
        assert alarm["AlarmName"].startswith("stack-")
        assert alarm["AlarmDescription"]


def test_manual_has_a_heading_for_each_alarm(all_alarms, repository):
    manual = (repository / "docs" / "operations.md").read_text(encoding="utf-8")
    headings = {name for line in re.findall(r"^### (.+)$", manual, re.MULTILINE) for name in line.split(", ")}
    kinds = {re.sub("^stack-((mint-token|create-source)-)?", "", alarm["AlarmName"]) for alarm in all_alarms.values()}
    assert kinds <= headings


def with_actions(stack) -> list[dict]:
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    return [alarm for kind in kinds for alarm in stack.of_type(kind).values() if "AlarmActions" in alarm]


def test_creates_topic_and_email_subscription(deploy):
    stack = deploy(AlarmEmail="on-call@example.com")
    assert stack.of_type("AWS::SNS::Subscription") == {
        "AlarmSubscription": {"TopicArn": "${AlarmTopic}", "Protocol": "email", "Endpoint": "on-call@example.com"}
    }
    assert stack.of_type("AWS::SNS::Topic").keys() == {"AlarmTopic"}
    assert stack.outputs["AlarmTopicArn"] == "${AlarmTopic}"
    assert with_actions(stack)
    for alarm in with_actions(stack):
        assert alarm["AlarmActions"] == ["${AlarmTopic}"]
        assert "OKActions" not in alarm


def test_creates_topic_without_email_to_subscribe_to(stack):
    assert stack.of_type("AWS::SNS::Topic").keys() == {"AlarmTopic"}
    assert stack.of_type("AWS::SNS::Subscription") == {}


def test_uses_given_topic(deploy):
    stack = deploy(AlarmTopicArn=TOPIC, RecoveryMessagesEnabled="true")
    assert not stack.of_type("AWS::SNS::Topic") and not stack.of_type("AWS::SNS::Subscription")
    assert stack.outputs["AlarmTopicArn"] == TOPIC
    for alarm in with_actions(stack):
        assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]


def test_rejects_email_with_given_topic(deploy):
    (description,) = deploy(AlarmTopicArn=TOPIC, AlarmEmail="on-call@example.com").broken_rules()
    assert "AlarmEmail or AlarmTopicArn" in description


@pytest.mark.parametrize("others", [{}, {"AlarmTopicArn": TOPIC}, {"AlarmEmail": "on-call@example.com"}])
def test_creates_no_alarms_if_disabled(deploy, others):
    stack = deploy(AlarmsEnabled="false", **others)
    unwanted = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm", "AWS::SNS::", "AWS::Logs::MetricFilter")
    assert not [name for name, resource in stack.resources.items() if resource["Type"].startswith(unwanted)]
    assert "AlarmTopicArn" not in stack.outputs
