"""Traffic of the deployed API: the log lines and metrics that requests leave behind, by what happens to them."""

from dataclasses import dataclass

from cloudwatch import CloudWatch, parse_access_log_format

FUNCTIONS = {"POST /token": "${MintTokenFunction}", "POST /sources": "${CreateSourceFunction}"}


@dataclass(frozen=True)
class Outcome:
    """What happens to a request."""

    status: int
    # Whether API Gateway invokes a function, and what the function logs: its status, and metrics besides the usual.
    is_invoked: bool = True
    function_status: int | None = None
    metrics: tuple[str, ...] = ()
    seconds: float = 0.3
    lambda_metric: str | None = None
    # What API Gateway logs of the integration: its status and error.
    integration_status: str = "-"
    integration_error: str = "-"

    @classmethod
    def returned(cls, status: int, *metrics: str, seconds: float = 0.3) -> "Outcome":
        """The function returns a response."""
        return cls(status, True, status, metrics, seconds, integration_status=str(status))


SUCCESS = Outcome.returned(200)
INVALID = Outcome.returned(422)
AIRBYTE_FAILS = Outcome.returned(502)
AIRBYTE_HANGS = Outcome.returned(504, seconds=27.5)
SLOW = Outcome.returned(200, seconds=25.0)
CREDENTIAL_REJECTED = Outcome.returned(502, "CredentialRejected")
SECRET_UNREADABLE = Outcome.returned(503, "CredentialUnavailable", "SecretRefreshFailed")
SECRET_CACHED = Outcome.returned(200, "SecretRefreshFailed")
STATE_TABLE_FAILS = Outcome.returned(200, "StateFailures")
# AWS documents two meanings of the integration's status. In one there is none here, in the other it is Lambda's.
CRASH = Outcome(500, lambda_metric="Errors", integration_error="The Lambda function failed.", integration_status="200")
CRASH_WITHOUT_ERROR = Outcome(500, lambda_metric="Errors")
FORBIDDEN_FUNCTION = Outcome(
    500, is_invoked=False, integration_error="API Gateway may not invoke the function.", integration_status="403"
)
MISSING_FUNCTION = Outcome(500, is_invoked=False)
LAMBDA_THROTTLES = Outcome(503, is_invoked=False, lambda_metric="Throttles", integration_status="429", integration_error="-")
GATEWAY_THROTTLES = Outcome(429, is_invoked=False)
UNAUTHORIZED = Outcome(401, is_invoked=False)
FORBIDDEN = Outcome(403, is_invoked=False)
PREFLIGHT = Outcome(204, is_invoked=False)
NOT_FOUND = Outcome(404, is_invoked=False)

# Minutes after which all that is sent because alarms were created is sent.
CREATED = 5


class Traffic:
    """Requests to a stack, over time."""

    def __init__(self, stack, spare_periods: int = 0):
        self.cloudwatch = CloudWatch(stack, spare_periods)
        self._format = parse_access_log_format(stack)

    def send(self, outcome: Outcome, minutes, every: float, route: str = "POST /token") -> None:
        """Sends a request every so many minutes, from the first minute to the last."""
        first, last = minutes
        for number in range(round((last - first) / every)):
            self._request(first + number * every, route, outcome)

    def messages(self, hours: float) -> list[tuple[int, str, str]]:
        """What is sent within so many hours: when, by which alarm, for which state. Without what creation sends."""
        return [message for message in self.cloudwatch.messages(round(hours * 60)) if message[0] >= CREATED]

    def _request(self, minute: float, route: str, outcome: Outcome) -> None:
        completed_at = minute + outcome.seconds / 60
        self.cloudwatch.access_log_line(completed_at, self._access_log_line(route, outcome))
        if outcome.is_invoked:
            milliseconds = 1000 * outcome.seconds
            self.cloudwatch.metric(completed_at, "AWS/ApiGateway", "IntegrationLatency", "ApiId", "${HttpApi}", milliseconds)
        # Lambda also sends the number of errors where it is zero.
        for name in {"Errors", outcome.lambda_metric} if outcome.is_invoked else {outcome.lambda_metric} - {None}:
            if name:
                value = float(name == outcome.lambda_metric)
                self.cloudwatch.metric(completed_at, "AWS/Lambda", name, "FunctionName", FUNCTIONS[route], value)
        if outcome.function_status:
            line = function_log_line(FUNCTIONS[route], outcome.function_status, *outcome.metrics)
            self.cloudwatch.function_log_line(completed_at, line)

    def _access_log_line(self, route: str, outcome: Outcome) -> dict:
        # A field that stands for nothing is "-".
        values = dict.fromkeys(self._format.values(), "-") | {
            "$context.apiId": "${HttpApi}",
            "$context.routeKey": route,
            "$context.status": str(outcome.status),
            "$context.integration.requestId": "6883632a-5eb4-4b28-af58-04a398c09bcd" if outcome.is_invoked else "-",
            "$context.integration.status": outcome.integration_status,
            "$context.integrationErrorMessage": outcome.integration_error,
        }
        return {name: values[variable] for name, variable in self._format.items()}


def function_log_line(function: str, status: int, *metrics: str) -> dict:
    """A request's line in a function's log, as far as CloudWatch reads it."""
    names = ["Requests", *metrics]
    names += ["ServerErrors"] if status >= 500 else ["ClientErrors"] if status >= 400 else []
    directive = {
        "Namespace": "AirbyteEmbedded",
        "Dimensions": [["Function"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in names],
    }
    return {"Function": function, "_aws": {"CloudWatchMetrics": [directive]}} | dict.fromkeys(names, 1)
