from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from ecrlab.course import load_ipython_extension
from ecrlab.course.errors import ExpectedErrorMissingError
from ecrlab.course.terminal import CommandError, terminal


def test_when_commands_succeed_then_output_and_errors_are_shown_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    terminal("", "echo one\necho two >&2\necho three")
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


@pytest.mark.parametrize("cell", ["false\necho later", "false | true", "exit 3", "nosuchcommand_"])
def test_when_a_command_fails_then_the_cell_stops_and_fails(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="exit status"):
        terminal("", cell)
    assert "later" not in capsys.readouterr().out


def test_when_the_expected_error_comes_then_the_cell_passes(capsys: pytest.CaptureFixture[str]) -> None:
    terminal('--fails "no basic auth"', "echo 'no basic auth credentials' >&2; exit 1")
    assert "Expected error. `no basic auth`" in capsys.readouterr().out


@pytest.mark.parametrize(("cell", "words"), [("true", "every command succeeded"), ("echo denied; exit 1", "another")])
def test_when_nothing_or_another_error_comes_then_the_cell_fails(cell: str, words: str) -> None:
    with pytest.raises(ExpectedErrorMissingError, match=words):
        terminal("--fails expired", cell)


@pytest.mark.parametrize("line", ["--fails", "--fails ''", "--fails a b", "bash"])
def test_when_the_options_are_unclear_then_they_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="--fails and one text"):
        terminal(line, "true")


@pytest.mark.parametrize(
    "cell", ["docker images", "echo a | docker login", "x=$(docker ps)", "if true; then true; fi; docker ps"]
)
def test_when_a_program_is_not_installed_then_the_cell_is_not_run_and_says_so(
    cell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path))
    terminal("", cell)
    assert capsys.readouterr().out.startswith("Not run. The command `docker` is not installed")
    monkeypatch.setenv("ECRLAB_VALIDATION", str(tmp_path / "results.jsonl"))
    with pytest.raises(CommandError, match="docker is not installed"):
        terminal("", cell)


def test_when_the_cell_reads_input_then_it_gets_none_and_ends() -> None:
    terminal("", "cat")


def test_when_the_learner_interrupts_then_the_commands_end_too(tmp_path: Path) -> None:
    # Jupyter interrupts a kernel by a signal to its process group.
    cell = f"echo $$ > '{tmp_path}/pid'; sleep 60; echo later"
    program = f"from ecrlab.course.terminal import terminal\nterminal('', {cell!r})"
    kernel = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(kernel.pid, signal.SIGINT)
    _, said = kernel.communicate(timeout=30)
    assert b"KeyboardInterrupt" in said
    while _alive(kernel.pid):
        assert time.monotonic() < deadline, "a command still runs"
        time.sleep(0.01)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_when_the_extension_is_loaded_then_a_failing_cell_shows_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell()
    load_ipython_extension(shell)
    result = shell.run_cell("%%terminal\nfalse")
    assert isinstance(result.error_in_exec, CommandError)
    assert capsys.readouterr().out.strip() == "CommandError: exit status 1; the command's own words are above"
    assert shell.run_cell("%%terminal\ntrue").success
