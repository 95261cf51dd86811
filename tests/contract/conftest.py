import pytest

from stack import Stack, local_stack


@pytest.fixture(scope="session")
def running_stack():
    """A stack whose limits no test reaches."""
    with local_stack(PARAMETER_OVERRIDES="ThrottlingRateLimit=10000 ThrottlingBurstLimit=10000") as stack:
        yield stack


@pytest.fixture
def stack(running_stack) -> Stack:
    """The same stack, restored after the test."""
    yield running_stack
    running_stack.restore()


@pytest.fixture(scope="session")
def throttled_stack():
    """A stack with one request per second and IAM authorization, which the local gateway denies."""
    overrides = "AuthorizerType=IAM ThrottlingRateLimit=1 ThrottlingBurstLimit=1"
    with local_stack(PARAMETER_OVERRIDES=overrides) as stack:
        yield stack
