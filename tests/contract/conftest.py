import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from stack import DEFAULT_GENERATION, Stack, local_stack


@pytest.fixture(scope="session")
def stacks() -> Iterator[Callable[[str], Stack]]:
    """One stack for each generation of Airbyte's API, started when first used, whose limits no test reaches."""
    with ExitStack() as running:

        @functools.cache
        def start(generation: str) -> Stack:
            overrides = f"ThrottlingRateLimit=10000 ThrottlingBurstLimit=10000 AirbyteApi={generation}"
            return running.enter_context(local_stack(PARAMETER_OVERRIDES=overrides))

        yield start


@pytest.fixture(scope="session")
def generation(request) -> str:
    """The generation of Airbyte's API. Tests that depend on it are marked with `stack.each_generation`."""
    return getattr(request, "param", DEFAULT_GENERATION)


@pytest.fixture(scope="session")
def running_stack(stacks, generation) -> Stack:
    return stacks(generation)


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
