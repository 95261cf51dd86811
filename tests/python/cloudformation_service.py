"""CloudFormation's and S3's APIs as far as `sam deploy` calls them: an existing stack, and every change set succeeds.

What CloudFormation would do is not done. The calls are kept, so that tests see what was asked for.
"""

import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

BUCKET = "aws-sam-cli-managed-default-samclisourcebucket-0123456789ab"
ACCOUNT = "123456789012"
TIME = "2026-01-01T00:00:00.000Z"
LATER = "2026-01-01T00:00:01.000Z"


class Call(dict):
    """A call's parameters, flat as AWS's query protocol has them, and its action: `service:Action`."""

    def __init__(self, action: str, parameters: dict[str, str]):
        super().__init__(parameters)
        self.action = action

    def members(self, name: str) -> list[dict[str, str]]:
        """The members of a list of structures."""
        found: dict[int, dict[str, str]] = {}
        for key, value in self.items():
            if member := re.fullmatch(rf"{name}\.member\.(\d+)\.(\w+)", key):
                found.setdefault(int(member[1]), {})[member[2]] = value
        return [found[number] for number in sorted(found)]


class Service:
    """The running service at a URL, with one stack that has parameters and outputs."""

    def __init__(self, stack_name: str, parameters: dict[str, str], outputs: dict[str, str]):
        self.stack_name = stack_name
        self.parameters = parameters
        self.outputs = outputs
        self.calls: list[Call] = []
        self.url = ""

    def environment(self) -> dict[str, str]:
        """Variables that lead AWS's programs here."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": self.url,
            "SAM_CLI_POLL_DELAY": "0.1",
        }

    def of(self, action: str) -> list[Call]:
        return [call for call in self.calls if call.action == action]

    def respond(self, action: str, call: Call) -> str:
        """The body of a response, or an error's code."""
        name = call.get("StackName", "")
        match action:
            case "DescribeStacks" if "aws-sam-cli-managed-default" in name:
                return self._stacks(name, {}, {"SourceBucket": BUCKET}, {"ManagedStackSource": "AwsSamCli"})
            case "DescribeStacks" if self.stack_name in name:
                return self._stacks(self.stack_name, self.parameters, self.outputs, {})
            case "GetTemplateSummary":
                keys = "".join(f"<member><ParameterKey>{key}</ParameterKey></member>" for key in self.parameters)
                return f"<Parameters>{keys}</Parameters>"
            case "CreateChangeSet":
                return f"<Id>{self._arn('changeSet', 'change-set')}</Id><StackId>{self._arn('stack', name)}</StackId>"
            case "DescribeChangeSet":
                return (
                    f"<Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus>"
                    f"<StackName>{self.stack_name}</StackName><Changes><member><Type>Resource</Type><ResourceChange>"
                    "<Action>Modify</Action><LogicalResourceId>MintTokenFunction</LogicalResourceId>"
                    "<ResourceType>AWS::Lambda::Function</ResourceType><Replacement>False</Replacement>"
                    "</ResourceChange></member></Changes>"
                )
            case "ExecuteChangeSet":
                return ""
            case "DescribeStackEvents":
                time = LATER if self.of("cloudformation:ExecuteChangeSet") else TIME
                return (
                    f"<StackEvents><member><StackId>{self._arn('stack', self.stack_name)}</StackId>"
                    f"<EventId>{time}</EventId><StackName>{self.stack_name}</StackName>"
                    f"<PhysicalResourceId>{self._arn('stack', self.stack_name)}</PhysicalResourceId>"
                    f"<LogicalResourceId>{self.stack_name}</LogicalResourceId><Timestamp>{time}</Timestamp>"
                    "<ResourceType>AWS::CloudFormation::Stack</ResourceType>"
                    "<ResourceStatus>UPDATE_COMPLETE</ResourceStatus></member></StackEvents>"
                )
        raise NotImplementedError(f"{action} of {name}")

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:cloudformation:eu-central-1:{ACCOUNT}:{kind}/{name}/0"

    def _stacks(self, name: str, parameters: dict, outputs: dict, tags: dict) -> str:
        def members(values: dict, key: str, value: str) -> str:
            return "".join(
                f"<member><{key}>{escape(k)}</{key}><{value}>{escape(v)}</{value}></member>" for k, v in values.items()
            )

        return (
            f"<Stacks><member><StackId>{self._arn('stack', name)}</StackId><StackName>{name}</StackName>"
            f"<CreationTime>{TIME}</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus>"
            f"<Parameters>{members(parameters, 'ParameterKey', 'ParameterValue')}</Parameters>"
            f"<Outputs>{members(outputs, 'OutputKey', 'OutputValue')}</Outputs>"
            f"<Tags>{members(tags, 'Key', 'Value')}</Tags></member></Stacks>"
        )


@contextmanager
def running(stack_name: str, parameters: dict[str, str], outputs: dict[str, str]) -> Iterator[Service]:
    service = Service(stack_name, parameters, outputs)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            parameters = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
            action = parameters.pop("Action")
            call = Call(f"cloudformation:{action}", parameters)
            service.calls.append(call)
            result = service.respond(action, call)
            text = f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"
            self._send(200, text.encode())

        def do_HEAD(self):
            self._object("s3:GetObject", 404)

        def do_PUT(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self._object("s3:PutObject", 200)

        def do_GET(self):
            self._object("s3:GetObject", 404)

        def _object(self, action: str, status: int) -> None:
            path = urllib.parse.unquote(self.path.partition("?")[0])
            service.calls.append(Call(action, {"Resource": f"arn:aws:s3::{path.replace('/', ':', 1)}"}))
            self._send(status, b"")

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "text/xml")
            self.send_header("etag", '"0"')
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
