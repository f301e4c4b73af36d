from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ecrlab.lab.errors import StateBusy, StateUnusable
from ecrlab.lab.state import Engine, StateDir, default_state_dir, new_record


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "state")
    state.create()
    return state


def test_when_a_record_is_written_then_it_comes_back_and_only_its_owner_may_read_it(state: StateDir) -> None:
    record = replace(new_record(), endpoint="http://127.0.0.1:4566", engine=Engine("docker", "unix:///x"), pid=7)
    state.write(record)
    assert state.read() == record
    assert state.record_file.stat().st_mode & 0o777 == 0o600
    assert state.path.stat().st_mode & 0o777 == 0o700


def test_when_two_records_are_made_then_their_keys_differ_and_have_the_form_of_aws_keys() -> None:
    first, second = new_record(), new_record()
    assert len(first.access_key_id) == 20
    assert len(first.secret_access_key) == 40
    assert first.access_key_id != second.access_key_id
    assert first.secret_access_key != second.secret_access_key
    assert first.control_token != second.control_token
    assert first.secret_access_key not in repr(first)


def test_when_nothing_was_written_then_there_is_no_record(state: StateDir) -> None:
    assert state.read() is None
    assert state.running() is None


def test_when_the_record_is_of_a_newer_ecrlab_then_it_says_so(state: StateDir) -> None:
    state.record_file.write_text(json.dumps({"version": 2, "something": "else"}))
    with pytest.raises(StateUnusable, match="newer ecrlab"):
        state.read()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "engine": 3}', "null", "\x00"])
def test_when_the_record_is_damaged_then_it_is_named_and_left_alone(state: StateDir, text: str) -> None:
    state.record_file.write_text(text)
    with pytest.raises(StateUnusable, match="damaged"):
        state.read()
    assert state.record_file.read_text() == text


def test_when_the_folder_is_held_then_a_second_lock_names_the_pid(state: StateDir) -> None:
    with state.lock():
        assert state.holder() == os.getpid()
        with pytest.raises(StateBusy, match=rf"pid {os.getpid()}\b"):
            state.lock()
    assert state.holder() is None
    state.lock().close()


def test_when_the_holder_is_killed_then_the_folder_is_free_and_its_pid_does_not_count(state: StateDir) -> None:
    code = (
        "import sys, pathlib; from ecrlab.lab.state import StateDir; "
        "lock = StateDir(pathlib.Path(sys.argv[1])).lock(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(state.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        state.write(replace(new_record(), endpoint="http://127.0.0.1:1", pid=child.pid))
        assert state.running() is not None
        child.kill()
    assert state.holder() is None
    assert state.running() is None


def test_when_many_look_then_a_lab_can_still_take_the_folder(state: StateDir) -> None:
    code = (
        "import sys, pathlib; from ecrlab.lab.state import StateDir; state = StateDir(pathlib.Path(sys.argv[1])); "
        "print('looking', flush=True)\nfor _ in range(2000): state.holder()"
    )
    state.lock().close()
    with subprocess.Popen([sys.executable, "-c", code, str(state.path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(50):
            state.lock().close()


def test_when_the_folder_may_not_be_written_then_it_says_so(tmp_path: Path) -> None:
    # Nothing stops root but the kernel's own file system.
    parent = Path("/proc") if os.geteuid() == 0 else tmp_path
    tmp_path.chmod(0o500)
    with pytest.raises(StateUnusable, match=r"cannot be written .*--state-dir"):
        StateDir(parent / "ecrlab" / "state").create()


def test_when_the_folder_is_a_file_then_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateUnusable, match="cannot be written"):
        StateDir(tmp_path / "state").create()


@pytest.mark.parametrize("name", ["x" * 90, "with space", "per%cent"])
def test_when_a_path_does_not_suit_a_socket_then_a_private_short_one_is_used(tmp_path: Path, name: str) -> None:
    path = StateDir(tmp_path / name).engine_socket()
    assert len(os.fsencode(path)) <= 100
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path == StateDir(tmp_path / name).engine_socket()
    assert path != StateDir(tmp_path / f"{name}2").engine_socket()


def test_when_the_variable_is_set_then_it_chooses_the_folder(tmp_path: Path) -> None:
    assert default_state_dir({"ECRLAB_STATE_DIR": str(tmp_path)}) == tmp_path
    assert default_state_dir({"ECRLAB_STATE_DIR": ""}).name == "ecrlab"
