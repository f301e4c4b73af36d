from __future__ import annotations

import platform
import sys

import pytest

from ecrlab import samples
from tests.samples.stored_samples import Stored

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@pytest.fixture(params=samples.names())
def sample(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stored(sample: str) -> Stored:
    return Stored(samples.layout(sample))


@pytest.fixture(scope="session")
def this_architecture() -> str:
    architecture = MACHINES.get(platform.machine())
    if sys.platform != "linux" or architecture is None:
        pytest.skip("the samples run on Linux, on x86_64 or aarch64")
    return architecture
