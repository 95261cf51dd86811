"""samconfig.toml has the settings that the template needs and the README describes."""

import pytest
import tomlkit


@pytest.fixture(scope="module")
def settings(repository) -> dict:
    return tomlkit.parse((repository / "samconfig.toml").read_text(encoding="utf-8")).unwrap()["default"]


def test_allows_unnamed_roles(settings, deploy):
    """A name would need CAPABILITY_NAMED_IAM, and keep a second stack out of the account."""
    assert settings["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
    for kind, name in {"AWS::IAM::Role": "RoleName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName"}.items():
        made = deploy(TracingEnabled="true").of_type(kind)
        assert made and not [properties for properties in made.values() if name in properties]


def test_asks_first_and_needs_no_bucket(settings):
    deploy = settings["deploy"]["parameters"]
    assert (deploy["confirm_changeset"], deploy["resolve_s3"]) == (True, True)
    # Deploying the same version again is not an error.
    assert deploy["fail_on_empty_changeset"] is False


def test_stack_name_is_default_of_workflow(settings, repository):
    name = settings["global"]["parameters"]["stack_name"]
    workflow = (repository / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    assert f"vars.STACK_NAME || '{name}'" in workflow


def test_packages_are_where_the_deployer_may_write(settings, repository):
    prefix = settings["deploy"]["parameters"]["s3_prefix"]
    assert f"aws-sam-cli-managed-default-*/{prefix}/*" in (repository / "deployer.yaml").read_text(encoding="utf-8")
