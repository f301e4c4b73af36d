"""The Makefile's own decisions, with stand-ins for Python, uv and the programs that it calls."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.requires import require

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def make(tmp_path: Path, root: Path) -> Make:
    program_path = require("make")
    for name in (
        "Makefile",
        "pyproject.toml",
        "requirements.lock",
        "requirements-test.lock",
        "requirements-build.lock",
    ):
        (tmp_path / name).write_bytes((root / name).read_bytes())

    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program_path, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def program(folder: Path, name: str, *, status: int = 0) -> None:
    """A stand-in that notes how it was called, and where asked fails."""
    path = folder / ".venv" / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "{name} $*" >> "{folder}/calls"\nexit {status}\n')
    path.chmod(0o755)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_when_no_python_fits_then_make_says_which_do(make: Make, tmp_path: Path) -> None:
    result = make("lab", "PYTHON=false no-such-python")
    assert result.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13" in result.stderr
    assert "false no-such-python" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_when_environment_is_made_then_everything_is_installed_by_hash_and_the_project_last(
    make: Make, tmp_path: Path
) -> None:
    for name in ("python", "uv", "ecrlab"):
        program(tmp_path, name)
    assert make("lab", "ARGS=--no-browser").returncode == 0
    done = [call for call in calls(tmp_path) if " -c " not in call]
    assert len(done) == 4
    assert "--require-hashes" in done[0]
    assert done[0].endswith("-r requirements-build.lock")
    assert done[1].startswith("uv pip install ")
    assert "--require-hashes -r requirements.lock" in done[1]
    assert "--no-deps" in done[2]
    assert done[2].endswith("--editable .")
    assert done[3] == "ecrlab start --no-browser"


def test_when_nothing_changed_then_lab_only_starts(make: Make, tmp_path: Path) -> None:
    for name in ("python", "uv", "ecrlab"):
        program(tmp_path, name)
    make("lab")
    (tmp_path / "calls").unlink()
    assert make("lab").returncode == 0
    assert [call.strip() for call in calls(tmp_path)] == ["ecrlab start"]


def test_when_the_lock_changed_then_it_is_installed_again(make: Make, tmp_path: Path) -> None:
    for name in ("python", "uv", "ecrlab"):
        program(tmp_path, name)
    make("lab")
    (tmp_path / "calls").unlink()
    later = (tmp_path / ".venv" / ".lab").stat().st_mtime + 1
    os.utime(tmp_path / "requirements.lock", (later, later))
    assert make("lab").returncode == 0
    assert any(call.startswith("uv pip install") for call in calls(tmp_path))


def test_when_uv_fails_then_pip_installs_the_same_lock(make: Make, tmp_path: Path) -> None:
    program(tmp_path, "python")
    program(tmp_path, "ecrlab")
    program(tmp_path, "uv", status=2)
    assert make("lab").returncode == 0
    by_pip = [call for call in calls(tmp_path) if call.endswith("-r requirements.lock") and call.startswith("python")]
    assert len(by_pip) == 1
    assert "--require-hashes" in by_pip[0]


def test_when_installation_fails_then_the_lab_is_not_started_and_the_next_run_tries_again(
    make: Make, tmp_path: Path
) -> None:
    program(tmp_path, "python", status=1)
    program(tmp_path, "ecrlab")
    for _ in range(2):
        (tmp_path / "calls").unlink(missing_ok=True)
        assert make("lab").returncode != 0
        assert not any(call.startswith("ecrlab") for call in calls(tmp_path))


@pytest.mark.parametrize("failing", ["ruff", "mypy", "lint-imports", "python", None])
def test_when_one_check_fails_then_all_run_and_the_tests_last(make: Make, tmp_path: Path, failing: str | None) -> None:
    for name in ("python", "uv", "ruff", "mypy", "lint-imports"):
        program(tmp_path, name, status=int(name == failing))
    (tmp_path / ".venv" / ".test").touch()
    result = make("test", "ARGS=-k push")
    assert (result.returncode != 0) == (failing is not None)
    assert calls(tmp_path) == [
        "ruff check",
        "ruff format --check",
        "mypy ",
        "lint-imports ",
        "python -m pytest -n auto -k push",
    ]


def test_when_locks_are_made_then_all_three_hold_for_every_machine_with_hashes(make: Make, tmp_path: Path) -> None:
    program(tmp_path, "python")
    program(tmp_path, "uv")
    assert make("lock", "ARGS=--upgrade").returncode == 0
    compiled = [call for call in calls(tmp_path) if call.startswith("uv pip compile")]
    assert [call.split()[-1] for call in compiled] == [
        "requirements-test.lock",
        "requirements.lock",
        "requirements-build.lock",
    ]
    for call in compiled:
        assert {"--universal", "--generate-hashes", "--upgrade"} <= set(call.split())


def test_when_clean_runs_then_only_what_can_be_made_again_goes(make: Make, tmp_path: Path) -> None:
    notes, cache, package = (
        tmp_path / "notes.txt",
        tmp_path / "ecrlab" / "__pycache__",
        tmp_path / ".venv" / "__pycache__",
    )
    notes.touch()
    for folder in (cache, package, tmp_path / "dist"):
        folder.mkdir(parents=True)
    assert make("clean").returncode == 0
    assert (notes.exists(), cache.exists(), package.exists()) == (True, False, True)
    assert not (tmp_path / "dist").exists()
    assert make("distclean").returncode == 0
    assert (notes.exists(), (tmp_path / ".venv").exists()) == (True, False)


def test_when_make_is_called_alone_then_it_lists_every_target(make: Make, root: Path) -> None:
    listed = make().stdout
    targets = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert [name for name in targets[1].split() if name != "help" and f"make {name} " not in listed] == []
