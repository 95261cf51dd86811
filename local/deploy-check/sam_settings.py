"""Prints, as JSON, what `sam deploy` would work with: parameters, region, credentials and whose they are.

Usage: sam_settings.py CONFIG_FILE CONFIG_ENV TEMPLATE [Name=Value ...]

The SAM CLI's own code reads the configuration file, so that nothing is understood differently here. Credentials are in
the output: it is for the program that started this one.
"""

import json
import os
import sys
from pathlib import Path

os.environ["SAM_CLI_TELEMETRY"] = "0"  # read while the SAM CLI is imported

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError
from samcli.cli.types import CfnParameterOverridesType
from samcli.commands._utils.template import get_template_parameters
from samcli.lib.config.exceptions import SamConfigFileReadException, SamConfigVersionException
from samcli.lib.config.samconfig import SamConfig


def options(file: Path, env: str, command: str) -> dict:
    """What the configuration file says for a command."""
    return SamConfig(file.parent, file.name).get_all([command], "parameters", env)


def overrides(text) -> dict[str, str]:
    """Parameter overrides in any of the forms that the SAM CLI takes."""
    return CfnParameterOverridesType().convert(text, None, None)


def aws(profile: str | None, region: str | None) -> dict:
    """Region, credentials and whose they are; or what is the matter with them."""
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
    except BotoCoreError as error:  # there is no such profile
        return {"region": region, "credentials": {"problem": str(error)}}
    return {"region": session.region_name, "credentials": credentials(session)}


def credentials(session: boto3.Session) -> dict:
    try:
        found = session.get_credentials()
        if found is None:
            return {"problem": "there are none, neither in the environment nor in a profile"}
        keys = found.get_frozen_credentials()
        # Asked for by anyone: needs no permission, and thus tells whether the credentials are good.
        caller = session.client("sts", region_name=session.region_name or "us-east-1").get_caller_identity()
    except ClientError as error:
        return {"problem": f"AWS does not accept them: {error.response['Error'].get('Message', error)}"}
    except BotoCoreError as error:
        return {"problem": str(error)}
    return {
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "session_token": keys.token,
        "account": caller["Account"],
        "arn": caller["Arn"],
    }


def main() -> None:
    file, env, template = Path(sys.argv[1]).absolute(), sys.argv[2], sys.argv[3]
    deploy = options(file, env, "deploy")
    configured = overrides(deploy.get("parameter_overrides"))
    built = overrides(options(file, env, "build").get("parameter_overrides"))
    declared = get_template_parameters(template)
    from_environment = {name: os.environ[name] for name in declared if os.environ.get(name)}
    deployed = configured | from_environment | overrides(sys.argv[4:])

    def architecture(parameters: dict[str, str]) -> str:
        return parameters.get("Architecture", declared["Architecture"]["Default"])

    settings = {
        "parameters": deployed,
        "architectures": {"built": architecture(built), "deployed": architecture(deployed)},
    } | aws(deploy.get("profile"), deploy.get("region"))
    json.dump(settings, sys.stdout)


if __name__ == "__main__":
    try:
        main()
    except (click.BadParameter, SamConfigFileReadException, SamConfigVersionException) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
