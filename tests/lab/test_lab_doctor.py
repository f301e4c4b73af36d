from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from ecrlab.lab import doctor
from ecrlab.lab.doctor import examine
from ecrlab.lab.state import StateDir, new_record
from tests.lab.labs import Labs


def verdicts(state: StateDir) -> dict[str, str]:
    return {finding.subject: finding.verdict for finding in examine(state)}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker command, and an aws command, that come first on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(doctor, "path_with_programs", lambda path: f"{folder}{os.pathsep}{path}")
    program = folder / "docker"
    program.write_text("#!/bin/sh\necho Docker version 28.2.2, build x\n")
    program.chmod(0o755)
    # Quicker than the real one, which is asked in the last test.
    aws = folder / "aws"
    aws.write_text("#!/bin/sh\necho aws-cli/1.46.3 Python/3.11.7\n")
    aws.chmod(0o755)
    return program


def test_when_everything_is_in_order_then_no_problem_is_found(tmp_path: Path, program: Path) -> None:
    state = StateDir(tmp_path / "absent" / "state")
    found = {finding.subject: finding for finding in examine(state)}
    assert {subject for subject, finding in found.items() if finding.verdict == "problem"} == set()
    assert found["docker command"].found == f"{program}, Docker version 28.2.2"
    assert not state.path.parent.exists(), "looking changes nothing"


def test_when_the_docker_command_is_old_or_broken_then_it_is_a_problem(tmp_path: Path, program: Path) -> None:
    program.write_text("#!/bin/sh\necho Docker version 19.03.1, build x\n")
    assert verdicts(StateDir(tmp_path))["docker command"] == "problem"
    program.write_text("#!/bin/sh\nexit 3\n")
    assert verdicts(StateDir(tmp_path))["docker command"] == "problem"


def test_when_the_docker_command_is_missing_then_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "path_with_programs", lambda _: str(tmp_path))
    (finding,) = [finding for finding in examine(StateDir(tmp_path)) if finding.subject == "docker command"]
    assert finding.verdict == "problem"
    assert finding.text().endswith("-> install the docker command-line client for the terminal lessons")


def test_when_the_keys_are_open_to_others_then_it_is_a_problem(tmp_path: Path, program: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.create()
    state.write(new_record())
    assert verdicts(state)["state folder"] == "ok"
    state.record_file.chmod(0o644)
    assert verdicts(state)["state folder"] == "problem"


def test_when_the_record_is_damaged_then_it_is_a_problem(tmp_path: Path, program: Path) -> None:
    state = StateDir(tmp_path)
    state.record_file.write_text("{")
    assert verdicts(state)["state folder"] == "problem"


def test_when_a_process_holds_the_folder_and_does_not_answer_then_it_is_a_problem(
    tmp_path: Path, program: Path
) -> None:
    state = StateDir(tmp_path)
    with state.lock(), socket.create_server(("127.0.0.1", 0)) as silent:
        state.write(replace(new_record(), endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", pid=os.getpid()))
        assert verdicts(state)["lab"] == "problem"


def test_when_the_disk_is_nearly_full_then_it_is_a_problem(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "ENOUGH_DISK_BYTES", 1 << 62)
    assert verdicts(StateDir(tmp_path))["disk"] == "problem"


def test_when_a_lab_runs_then_the_command_reports_it(running: Labs) -> None:
    answer = running.run("doctor")
    lab = next(line for line in answer.stdout.splitlines() if " lab: " in line)
    assert lab.startswith("ok")
    assert answer.returncode == int("problem " in answer.stdout)
