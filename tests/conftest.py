"""The environment of all Python tests."""

import os

from programs import NO_AWS_PROFILES

# The developer's AWS profile, credentials and endpoints have no effect on the tests.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ.update(NO_AWS_PROFILES)
