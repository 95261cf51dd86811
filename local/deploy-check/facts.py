"""Prints, as JSON, the settings of `sam deploy`, and what AWS knows about the deployment.

Usage: facts.py [--without-secret] CONFIG_FILE CONFIG_ENV TEMPLATE [Name=Value ...]

The SAM CLI's own code reads the configuration file, so that both read it alike. The output has the secret's value: it is
for the program that started this one. That program judges; this one only collects.

A lookup is `{"value": …}`, where null stands for something that does not exist, or `{"error": {"code", "message"}}`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["SAM_CLI_TELEMETRY"] = "0"  # read while the SAM CLI is imported

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from samcli.cli.types import CfnParameterOverridesType
from samcli.commands._utils.template import get_template_parameters
from samcli.lib.config.exceptions import SamConfigFileReadException, SamConfigVersionException
from samcli.lib.config.samconfig import SamConfig

CALLS = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})


def options(file: Path, env: str, command: str) -> dict:
    """The options of a command in the configuration file."""
    return SamConfig(file.parent, file.name).get_all([command], "parameters", env)


def overrides(text) -> dict[str, str]:
    """Parameter overrides, in any form that the SAM CLI accepts."""
    return CfnParameterOverridesType().convert(text, None, None)


def lookup(call: Callable[[], object], absent: str | None = None) -> dict:
    """The result of a call. An error whose message contains `absent` means that there is no such thing."""
    try:
        return {"value": call()}
    except ClientError as error:
        details = error.response["Error"]
        if absent and absent in details.get("Message", ""):
            return {"value": None}
        return {"error": {"code": details.get("Code", ""), "message": details.get("Message") or str(error)}}
    except BotoCoreError as error:
        return {"error": {"code": "", "message": str(error)}}


class Account:
    """The AWS account and region of a session."""

    def __init__(self, session: boto3.Session):
        self._session = session

    def client(self, service: str):
        return self._session.client(service, config=CALLS)

    def stack(self, name: str) -> dict:
        [stack] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        parameters = {p["ParameterKey"]: p.get("ParameterValue", "") for p in stack.get("Parameters", [])}
        return {"status": stack["StackStatus"], "parameters": parameters}

    def secret(self, arn: str) -> dict:
        secret = self.client("secretsmanager").describe_secret(SecretId=arn)
        return {"arn": secret["ARN"], "key": secret.get("KmsKeyId"), "is_deleted": "DeletedDate" in secret}

    def secret_value(self, arn: str) -> str | None:
        # A binary value has no string.
        return self.client("secretsmanager").get_secret_value(SecretId=arn).get("SecretString")

    def key_arn(self, key: str) -> str:
        return self.client("kms").describe_key(KeyId=key)["KeyMetadata"]["Arn"]

    def certificate(self, arn: str) -> dict:
        certificate = self.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
        names = [certificate["DomainName"], *certificate.get("SubjectAlternativeNames", [])]
        return {"status": certificate["Status"], "names": sorted(set(names))}

    def topic(self, arn: str) -> dict:
        client = self.client("sns")
        attributes = client.get_topic_attributes(TopicArn=arn)["Attributes"]
        # The first hundred are enough to know whether there is one. A pending one has no ARN yet.
        subscriptions = client.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
        return {
            "subscriptions": sum(s["SubscriptionArn"].startswith("arn:") for s in subscriptions),
            "key": attributes.get("KmsMasterKeyId") or None,
        }

    def concurrency(self) -> dict:
        limit = self.client("lambda").get_account_settings()["AccountLimit"]
        return {"limit": limit["ConcurrentExecutions"], "unreserved": limit["UnreservedConcurrentExecutions"]}

    def lookups(self, parameters: dict[str, str], with_secret: bool) -> dict:
        """What the values of the parameters refer to, by parameter or service."""
        found = {"concurrency": lookup(self.concurrency)}
        if arn := parameters.get("OrganizationTokenSecretArn"):
            found["secret"] = secret = lookup(lambda: self.secret(arn))
            if with_secret:
                found["secret_value"] = lookup(lambda: self.secret_value(arn))
            if key := (secret.get("value") or {}).get("key"):
                found["secret_key"] = lookup(lambda: self.key_arn(key))
        if arn := parameters.get("CertificateArn"):
            found["certificate"] = lookup(lambda: self.certificate(arn))
        if arn := parameters.get("AlarmTopicArn"):
            found["topic"] = lookup(lambda: self.topic(arn))
        return found


def session_of(options: dict) -> tuple[boto3.Session | None, dict]:
    """A session of `sam deploy`, if there can be one, and whose it is."""
    profile, region = options.get("profile"), options.get("region")
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        credentials = session.get_credentials()
    except BotoCoreError as error:  # there is no such profile, or a file is invalid
        return None, {"error": {"code": "", "message": str(error)}}
    if credentials is None:
        return session, {"value": None}
    # Needs no permission, but a region even though it does not matter.
    sts = lambda: session.client("sts", region_name=session.region_name or "us-east-1", config=CALLS)
    return session, lookup(lambda: {k.lower(): v for k, v in sts().get_caller_identity().items() if k in ("Account", "Arn")})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--without-secret", action="store_true")
    parser.add_argument("config_file", type=Path)
    parser.add_argument("config_env")
    parser.add_argument("template")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()

    try:
        deploy = options(arguments.config_file.absolute(), arguments.config_env, "deploy")
        configured = overrides(deploy.get("parameter_overrides")) | overrides(arguments.overrides)
    except (click.BadParameter, SamConfigFileReadException, SamConfigVersionException) as error:
        sys.exit(f"{arguments.config_file}: {error}")
    declared = get_template_parameters(arguments.template)
    session, identity = session_of(deploy)
    facts = {
        "stack_name": deploy.get("stack_name"),
        "region": session.region_name if session else deploy.get("region") or os.environ.get("AWS_DEFAULT_REGION"),
        "identity": identity,
        "configured": configured,
        "declared": {name: str(p["Default"]) if "Default" in p else None for name, p in declared.items()},
        "stack": None,
        "lookups": {},
    }
    if identity.get("value") and facts["region"]:
        account = Account(session)
        kept = {}
        if facts["stack_name"]:
            facts["stack"] = lookup(lambda: account.stack(facts["stack_name"]), absent="does not exist")
            kept = (facts["stack"].get("value") or {}).get("parameters", {})
        # As `sam deploy` does: a parameter that is not configured keeps the value that it has in the stack.
        effective = {name: value for name, value in kept.items() if name in declared} | configured
        facts["lookups"] = account.lookups(effective, not arguments.without_secret)
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main()
