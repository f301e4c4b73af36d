"""What the end-to-end tests share: labs in processes of their own, and shells with the lab's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.labs import Labs
from tests.requires import require


@dataclass(frozen=True)
class Shell:
    """A learner's shell: an empty home, and the lab's environment from `ecrlab env`."""

    labs: Labs
    docker_host: str | None = None  # of a real Docker Engine

    def run(self, script: str, *, expect: int | None = 0, prefix: tuple[str, ...] = ()) -> str:
        """Run lines of bash that stop at the first failure; return what they print, errors among it."""
        connect = 'eval "$(ecrlab env)"\n'
        if self.docker_host:
            connect += f"export DOCKER_HOST={self.docker_host}\n"
        done = subprocess.run(
            [*prefix, "bash", "-euo", "pipefail", "-c", connect + script],
            env={**self.labs.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            cwd=self.labs.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert expect is None or done.returncode == expect, done.stdout
        return done.stdout

    def python(self, code: str) -> Any:
        return self.run(f"python - <<'CODE'\n{code}\nCODE")


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Labs]:
    for program in ("docker", "bash"):
        require(program)
    labs = Labs(tmp_path)
    yield labs
    labs.end()
