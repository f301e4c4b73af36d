from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from ecrlab.course import progress
from ecrlab.course.outcomes import Outcome


def test_when_a_task_is_saved_then_the_file_is_readable_and_counts_attempts(tmp_path: Path) -> None:
    progress.save("tasks", "01.1", Outcome.NOT_YET, folder=tmp_path)
    progress.save("tasks", "01.1", Outcome.CORRECT, folder=tmp_path)
    progress.save("tasks", "01.1", Outcome.NOT_YET, folder=tmp_path)
    document = json.loads((tmp_path / "progress.json").read_text("utf-8"))
    assert document["version"] == 1
    entry = progress.read(tmp_path)["tasks"]["01.1"]
    assert (entry["outcome"], entry["attempts"]) == ("Not yet", 3)
    assert entry["first_correct"] == document["tasks"]["01.1"]["first_correct"]
    assert (tmp_path / "progress.json").read_text("utf-8").count("\n") > 5  # for people: not one long line


def test_when_there_is_no_file_then_progress_is_empty(tmp_path: Path) -> None:
    assert progress.read(tmp_path) == {"tasks": {}, "predictions": {}, "quizzes": {}}


def test_when_the_file_is_deleted_then_the_next_check_begins_a_new_one(tmp_path: Path) -> None:
    progress.save("tasks", "01.1", Outcome.CORRECT, folder=tmp_path)
    (tmp_path / "progress.json").unlink()
    assert progress.save("tasks", "01.2", Outcome.CORRECT, folder=tmp_path) is None
    assert list(progress.read(tmp_path)["tasks"]) == ["01.2"]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b'{"version": "1"}',
        b'{"version": 1, "tasks": []}',
        b'{"version": 1, "tasks": {"01.1": 3}}',
        b'{"version": 1, "tasks": {"01.1": {"attempts": "many"}}}',
    ],
)
def test_when_the_file_is_damaged_then_it_is_kept_aside_and_said(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "progress.json").write_bytes(damage)
    with pytest.raises(progress.ProgressError):
        progress.read(tmp_path)
    note = progress.save("tasks", "01.1", Outcome.CORRECT, folder=tmp_path)
    (aside,) = tmp_path.glob("progress-damaged-*.json")
    assert note is not None
    assert aside.name in note
    assert aside.read_bytes() == damage
    assert list(progress.read(tmp_path)["tasks"]) == ["01.1"]


def test_when_the_file_is_of_a_newer_version_then_it_is_left_alone(tmp_path: Path) -> None:
    newer = '{"version": 2, "tasks": ["another form"]}'
    (tmp_path / "progress.json").write_text(newer)
    with pytest.raises(progress.ProgressError, match="newer ecrlab"):
        progress.save("tasks", "01.1", Outcome.CORRECT, folder=tmp_path)
    assert (tmp_path / "progress.json").read_text() == newer
    assert list(tmp_path.glob("progress-damaged-*")) == []


def test_when_the_folder_cannot_be_written_then_the_error_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(progress.ProgressError, match=r"^Progress was not saved in .*\.$"):
        progress.save("tasks", "01.1", Outcome.CORRECT, folder=tmp_path / "file")


def test_when_several_notebooks_save_at_once_then_every_result_counts(tmp_path: Path) -> None:
    def save(number: int) -> None:
        progress.save("tasks", f"01.{number}", Outcome.CORRECT, folder=tmp_path)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(progress.read(tmp_path)["tasks"]) == 12
    assert [path.name for path in tmp_path.glob(".progress.json-*")] == []


def test_when_writing_breaks_off_then_the_old_file_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress.save("tasks", "01.1", Outcome.CORRECT, folder=tmp_path)
    before = (tmp_path / "progress.json").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(progress.ProgressError, match="No space left"):
        progress.save("tasks", "01.2", Outcome.CORRECT, folder=tmp_path)
    assert (tmp_path / "progress.json").read_bytes() == before
    assert list(tmp_path.glob(".progress.json-*")) == []


def test_when_working_in_a_folder_of_the_workspace_then_its_top_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECRLAB_WORKSPACE", raising=False)
    for name in ("notebooks", "exercises"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "exercises")
    assert progress.workspace() == tmp_path
    monkeypatch.setenv("ECRLAB_WORKSPACE", str(tmp_path / "named"))
    assert progress.workspace() == tmp_path / "named"
