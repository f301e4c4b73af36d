"""Optional programs that some tests need."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> str:
    """Return the program's path. Without it the test is skipped, or fails where ECRLAB_REQUIRE_ALL=1 is set."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed"
        if os.environ.get("ECRLAB_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
