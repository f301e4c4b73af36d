from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.labs import Labs


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Labs]:
    labs = Labs(tmp_path)
    yield labs
    labs.end()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    """One running lab for all tests that only look."""
    labs = Labs(tmp_path_factory.mktemp("lab"))
    labs.serve()
    yield labs
    labs.end()
