"""CloudWatch, as far as the template uses it: metric filters, embedded metrics, metric math and alarms.

Log lines and metrics go in by the minute; the messages that the alarms send come out. Only what the template uses is
known here; anything else is an error, so that a test never passes over it.
"""

import ast
import bisect
import functools
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import CodeType

# What identifies a metric: namespace, name, and dimensions.
Metric = tuple[str, str, frozenset[tuple[str, str]]]


@functools.cache
def metric_filter(pattern: str) -> Callable[[dict], bool]:
    """Whether a metric filter's JSON pattern matches a log line.

    Source: AWS, "Filter pattern syntax for metric filters".
    """
    tokens = re.findall(r'\$\.\w+|"[^"]*"|!=|=|&&|\|\||[(){}]', pattern)
    assert "".join(tokens) == re.sub(r"\s", "", pattern), f"not a pattern: {pattern}"
    assert (tokens[0], tokens[-1]) == ("{", "}")
    tokens = tokens[1:-1]

    def any_of() -> Callable[[dict], bool]:
        terms = [all_of()]
        while tokens and tokens[0] == "||":
            tokens.pop(0)
            terms.append(all_of())
        return lambda line: any(term(line) for term in terms)

    def all_of() -> Callable[[dict], bool]:
        terms = [comparison()]
        while tokens and tokens[0] == "&&":
            tokens.pop(0)
            terms.append(comparison())
        return lambda line: all(term(line) for term in terms)

    def comparison() -> Callable[[dict], bool]:
        first = tokens.pop(0)
        if first == "(":
            inner = any_of()
            assert tokens.pop(0) == ")"
            return inner
        field, operator = first.removeprefix("$."), tokens.pop(0)
        value = re.compile(".*".join(map(re.escape, tokens.pop(0)[1:-1].split("*"))))
        assert operator in ("=", "!=")
        # A field that the line does not have matches neither `=` nor `!=`.
        return lambda line: field in line and (value.fullmatch(line[field]) is None) == (operator == "!=")

    found = any_of()
    assert not tokens, f"not a pattern: {pattern}"
    return found


def embedded_metrics(line: dict) -> Iterator[tuple[Metric, float]]:
    """The metrics in a log line in embedded metric format, with their values."""
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for dimensions in directive["Dimensions"]:
            values = frozenset((name, line[name]) for name in dimensions)
            for metric in directive["Metrics"]:
                yield (directive["Namespace"], metric["Name"], values), line[metric["Name"]]


def statistic(name: str, values: list[float]) -> float | None:
    """A statistic of the values in one period; `None` if there are none."""
    if not values:
        return None
    if percentile := re.fullmatch(r"p(\d+)", name):
        return sorted(values)[math.ceil(int(percentile[1]) / 100 * len(values)) - 1]
    return {"Sum": sum(values), "Average": sum(values) / len(values)}[name]


def metric_math(expression: str, values: dict[str, float | None]) -> float | None:
    """The value of an expression in one period; `None` if a metric in it has none there.

    Source: AWS, "Using math expressions with CloudWatch metrics".
    """

    def evaluate(node):
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return values[name]
            case ast.Call(func=ast.Name(id="IF"), args=[condition, yes, no]):
                return evaluate(yes) if evaluate(condition) else evaluate(no)
            case ast.Call(func=ast.Name(id="FILL"), args=[ast.Name(id=name), ast.Constant(value=value)]):
                return value if values[name] is None else values[name]
            case ast.BoolOp(op=ast.And()):
                return all(map(evaluate, node.values))
            case ast.BoolOp(op=ast.Or()):
                return any(map(evaluate, node.values))
            case ast.Compare(ops=[operator], comparators=[right]):
                left, right = evaluate(node.left), evaluate(right)
                return {
                    ast.Gt: left > right,
                    ast.GtE: left >= right,
                    ast.LtE: left <= right,
                    ast.Eq: left == right,
                }[type(operator)]
            case ast.BinOp(op=ast.Mult()):
                return evaluate(node.left) * evaluate(node.right)
            case ast.BinOp(op=ast.Div()):
                return evaluate(node.left) / evaluate(node.right)
        raise NotImplementedError(ast.dump(node))

    tree, names = parse_metric_math(expression)
    if not expression.startswith("FILL(") and any(values[name] is None for name in names):
        return None
    return float(evaluate(tree))


@functools.cache
def parse_metric_math(expression: str) -> tuple[ast.expr, frozenset[str]]:
    """An expression as one of Python's, and the names of the metrics in it."""
    tree = ast.parse(re.sub(r"\b(AND|OR)\b", lambda word: word[0].lower(), expression), mode="eval").body
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return tree, frozenset(names - {"IF", "FILL"})


class CloudWatch:
    """The alarms and metric filters of a stack.

    CloudWatch looks back further than an alarm's evaluation periods where some have no data, by a number of periods
    that is not documented: `spare_periods`.
    """

    def __init__(self, stack, spare_periods: int):
        self._alarms = stack.of_type("AWS::CloudWatch::Alarm")
        self._composites = stack.of_type("AWS::CloudWatch::CompositeAlarm")
        self._filters = stack.of_type("AWS::Logs::MetricFilter").values()
        self._spare_periods = spare_periods
        self._points: dict[tuple[str, float], float | None] = {}
        self._times: dict[Metric, list[float]] = defaultdict(list)
        self._values: dict[Metric, list[float]] = defaultdict(list)

    def access_log_line(self, minute: float, line: dict) -> None:
        for resource in self._filters:
            if metric_filter(resource["FilterPattern"])(line):
                (to,) = resource["MetricTransformations"]
                dimensions = frozenset((d["Key"], line[d["Value"].removeprefix("$.")]) for d in to["Dimensions"])
                self._put(minute, (to["MetricNamespace"], to["MetricName"], dimensions), float(to["MetricValue"]))

    def function_log_line(self, minute: float, line: dict) -> None:
        for metric, value in embedded_metrics(line):
            self._put(minute, metric, value)

    def metric(self, minute: float, namespace: str, name: str, dimension: str, owner: str, value: float) -> None:
        self._put(minute, (namespace, name, frozenset({(dimension, owner)})), value)

    def messages(self, minutes: int) -> list[tuple[int, str, str]]:
        """What the alarms send while so many minutes pass: when, the alarm's name, and its new state."""
        sent = []
        states = dict.fromkeys([*self._alarms, *self._composites], "INSUFFICIENT_DATA")
        # Since when an alarm has its state, while nothing has been sent for that.
        unsent: dict[str, int] = {}
        left_alarm: dict[str, int] = {}
        for minute in range(1, minutes + 1):
            before = dict(states)
            for name, alarm in self._alarms.items():
                states[name] = self._state(name, alarm, minute)
            for _ in self._composites:  # as often as they can depend on one another
                for name, composite in self._composites.items():
                    states[name] = "ALARM" if rule_holds(composite["AlarmRule"], states) else "OK"
            for name in states:
                if states[name] != before[name]:
                    unsent[name] = minute
                    if before[name] == "ALARM":
                        left_alarm[name] = minute
            for name, since in list(unsent.items()):
                alarm = self._alarms.get(name) or self._composites[name]
                if suppressor := alarm.get("ActionsSuppressor", "").strip("${}"):
                    if states[suppressor] == "ALARM":
                        # What is suppressed is sent later if it is still so, but only the worse state is.
                        if states[name] == "OK":
                            del unsent[name]
                        continue
                    if minute - since < alarm["ActionsSuppressorWaitPeriod"] / 60:
                        continue
                    if minute - left_alarm.get(suppressor, -math.inf) < alarm["ActionsSuppressorExtensionPeriod"] / 60:
                        continue
                del unsent[name]
                actions = alarm.get("AlarmActions" if states[name] == "ALARM" else "OKActions", [])
                sent += [(minute, alarm["AlarmName"], states[name]) for _ in actions]
        return sent

    def is_on(self, name: str, minute: int) -> bool:
        """Whether a metric alarm is in the state ALARM."""
        return self._state(name, self._alarms[name], minute) == "ALARM"

    def _put(self, minute: float, metric: Metric, value: float) -> None:
        at = bisect.bisect(self._times[metric], minute)
        self._times[metric].insert(at, minute)
        self._values[metric].insert(at, value)

    def _state(self, name: str, alarm: dict, minute: int) -> str:
        assert alarm["TreatMissingData"] == "notBreaching"
        period = alarm.get("Period") or next(q["MetricStat"]["Period"] for q in alarm["Metrics"] if "MetricStat" in q)
        periods = alarm["EvaluationPeriods"]
        breaching = []
        for ago in range(periods + self._spare_periods):
            end = minute - ago * period / 60
            if (name, end) not in self._points:
                self._points[name, end] = self._point(alarm, end)
            if (point := self._points[name, end]) is not None:
                breaching.append(self._breaches(alarm, point))
        # Missing points are filled in only where there are too few others.
        return "ALARM" if sum(breaching[:periods]) >= alarm.get("DatapointsToAlarm", periods) else "OK"

    def _breaches(self, alarm: dict, point: float) -> bool:
        match alarm["ComparisonOperator"]:
            case "GreaterThanOrEqualToThreshold":
                return point >= alarm["Threshold"]
            case "GreaterThanThreshold":
                return point > alarm["Threshold"]
        raise NotImplementedError(alarm["ComparisonOperator"])

    def _point(self, alarm: dict, end: float) -> float | None:
        """The value of an alarm's metric or expression in the period that ends at a minute.

        That is any minute, because the windows slide.
        """
        if "MetricName" in alarm:
            stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
            return statistic(stat, self._window(alarm, alarm["Period"], end))
        values = {}
        # The expression that the alarm is about stands first, and uses those below it.
        for query in reversed(alarm["Metrics"]):
            if "Expression" in query:
                values[query["Id"]] = metric_math(query["Expression"], values)
            else:
                stat = query["MetricStat"]
                values[query["Id"]] = statistic(stat["Stat"], self._window(stat["Metric"], stat["Period"], end))
        (returned,) = [query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True)]
        return values[returned]

    def _window(self, metric: dict, period: int, end: float) -> list[float]:
        dimensions = frozenset((dimension["Name"], dimension["Value"]) for dimension in metric["Dimensions"])
        name = (metric["Namespace"], metric["MetricName"], dimensions)
        first, last = (bisect.bisect(self._times[name], at) for at in (end - period / 60, end))
        return self._values[name][first:last]


def rule_holds(rule: str, states: dict[str, str]) -> bool:
    """Whether a composite alarm's rule holds, which names alarms by references: `ALARM("${ServerErrorsAlarm}")`."""
    return eval(parse_rule(rule), {"ALARM": lambda name: states[name] == "ALARM"})  # noqa: S307


@functools.cache
def parse_rule(rule: str) -> CodeType:
    python = re.sub(r"\b(AND|OR|NOT)\b", lambda word: word[0].lower(), rule.replace("${", "").replace("}", ""))
    assert re.fullmatch(r'(ALARM\("\w+"\)|and|or|not|[()\s])+', python), rule
    return compile(python, rule, "eval")


def parse_access_log_format(stack) -> dict[str, str]:
    """The fields of the access log, with the variable that each comes from."""
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    return json.loads(stage["AccessLogSettings"]["Format"])
