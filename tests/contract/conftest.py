import pytest

from stack import Stack, local_stack


@pytest.fixture(scope="session")
def running_stack():
    """The stack with limits that no test comes near."""
    with local_stack(PARAMETER_OVERRIDES="ThrottlingRateLimit=10000 ThrottlingBurstLimit=10000") as stack:
        yield stack


@pytest.fixture
def stack(running_stack) -> Stack:
    """The same, healthy again after the test."""
    yield running_stack
    running_stack.restore()


@pytest.fixture(scope="session")
def refusing_stack():
    """The stack that lets one request through in a second, and none without a signature."""
    overrides = "AuthorizerType=IAM ThrottlingRateLimit=1 ThrottlingBurstLimit=1"
    with local_stack(PARAMETER_OVERRIDES=overrides) as stack:
        yield stack
