"""What the packaging tests look at: the project's own files."""

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.requires import require

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def project_files() -> list[Path]:
    """Every file that is in the repository or would be with the next commit."""
    git = require("git")
    if not (ROOT / ".git").exists():
        # What git does not keep (the learner's notes, a build) is nobody's concern, and only git can tell.
        pytest.skip("this is a copy and not a clone")
    listed = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for name in sorted(set(listed.split("\0")) - {""}) if (path := ROOT / name).is_file()]
