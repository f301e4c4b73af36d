from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ecrlab import samples

TOOL = Path(__file__).parents[2] / "tools" / "build_samples.py"


@pytest.fixture
def compiler_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kept from one run of the tests to the next: the C library takes the compiler most of its time."""
    base = tmp_path_factory.getbasetemp()
    own = next((folder for folder in base.parents if folder.name.startswith("pytest-of-")), base)
    return own / "zig-cache"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_when_the_samples_are_built_again_then_every_byte_is_the_same(tmp_path: Path, compiler_cache: Path) -> None:
    command = [sys.executable, str(TOOL), "--output", str(tmp_path / "images"), "--cache", str(compiler_cache)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    rebuilt = files(tmp_path / "images")
    committed = files(samples.layout("simplehttp").parent)
    assert rebuilt.keys() == committed.keys()
    assert [name for name in rebuilt if rebuilt[name] != committed[name]] == []
    assert [line.split()[0] for line in run.stdout.splitlines()] == list(samples.names())
