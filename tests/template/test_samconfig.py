"""What samconfig.toml has `sam deploy` do is what the template needs and the README says."""

import pytest
import tomlkit


@pytest.fixture(scope="module")
def settings(repository) -> dict:
    return tomlkit.parse((repository / "samconfig.toml").read_text(encoding="utf-8")).unwrap()["default"]


def test_roles_may_be_made_and_none_has_a_name(settings, deploy):
    """A name would need CAPABILITY_NAMED_IAM, and keep a second stack out of the account."""
    assert settings["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
    for kind, name in {"AWS::IAM::Role": "RoleName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName"}.items():
        made = deploy(TracingEnabled="true").of_type(kind)
        assert made and not [properties for properties in made.values() if name in properties]


def test_it_asks_first_and_needs_no_bucket(settings):
    deploy = settings["deploy"]["parameters"]
    assert (deploy["confirm_changeset"], deploy["resolve_s3"]) == (True, True)
    # What is deployed by a tag twice is no failure.
    assert deploy["fail_on_empty_changeset"] is False


def test_the_stack_has_the_name_that_the_workflow_takes_for_granted(settings, repository):
    name = settings["global"]["parameters"]["stack_name"]
    workflow = (repository / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    assert f"vars.STACK_NAME || '{name}'" in workflow
