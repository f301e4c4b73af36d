from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecrlab.lab.errors import LabError
from ecrlab.lab.workspace import Delivery, default_workspace, deliver, material

NAME = "notebooks/01-first.ipynb"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source.ipynb"
    source.write_text("one")
    return source


def test_when_the_workspace_is_empty_then_every_lesson_is_copied(tmp_path: Path, source: Path) -> None:
    assert deliver(tmp_path / "w", {NAME: source}) == Delivery((NAME,), (), ())
    assert (tmp_path / "w" / NAME).read_text() == "one"
    assert deliver(tmp_path / "w", {NAME: source}) == Delivery((), (), ())


def test_when_a_copy_was_not_changed_then_a_new_version_replaces_it(tmp_path: Path, source: Path) -> None:
    deliver(tmp_path, {NAME: source})
    source.write_text("two")
    assert deliver(tmp_path, {NAME: source}) == Delivery((), (NAME,), ())
    assert (tmp_path / NAME).read_text() == "two"


def test_when_the_learner_changed_a_copy_then_it_is_never_overwritten(tmp_path: Path, source: Path) -> None:
    deliver(tmp_path, {NAME: source})
    (tmp_path / NAME).write_text("mine")
    for version in ("one", "two", "three"):
        source.write_text(version)
        assert deliver(tmp_path, {NAME: source}) == Delivery((), (), (NAME,))
        assert (tmp_path / NAME).read_text() == "mine"


def test_when_a_copy_was_deleted_then_it_is_given_anew(tmp_path: Path, source: Path) -> None:
    deliver(tmp_path, {NAME: source})
    (tmp_path / NAME).unlink()
    assert deliver(tmp_path, {NAME: source}).new == (NAME,)


def test_when_the_learner_undid_the_change_then_new_versions_come_again(tmp_path: Path, source: Path) -> None:
    deliver(tmp_path, {NAME: source})
    (tmp_path / NAME).write_text("mine")
    deliver(tmp_path, {NAME: source})
    (tmp_path / NAME).write_text("one")
    source.write_text("two")
    assert deliver(tmp_path, {NAME: source}).refreshed == (NAME,)


def test_when_a_file_of_that_name_was_there_before_then_it_is_kept(tmp_path: Path, source: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / NAME).write_text("older than ecrlab")
    assert deliver(tmp_path, {NAME: source}).kept == (NAME,)
    assert (tmp_path / NAME).read_text() == "older than ecrlab"


@pytest.mark.parametrize("ledger", ["", "{", "[1]", '{"notebooks/01-first.ipynb": 3}'])
def test_when_the_ledger_is_damaged_then_no_changed_copy_is_lost(tmp_path: Path, source: Path, ledger: str) -> None:
    deliver(tmp_path, {NAME: source})
    (tmp_path / NAME).write_text("mine")
    (tmp_path / ".ecrlab" / "given.json").write_text(ledger)
    source.write_text("two")
    assert deliver(tmp_path, {NAME: source}).kept == (NAME,)
    assert (tmp_path / NAME).read_text() == "mine"


def test_when_the_copy_is_a_link_then_it_is_not_written_through(tmp_path: Path, source: Path) -> None:
    other = tmp_path / "other.ipynb"
    (tmp_path / "w/notebooks").mkdir(parents=True)
    (tmp_path / "w" / NAME).symlink_to(other)
    assert deliver(tmp_path / "w", {NAME: source}).kept == (NAME,)
    assert not other.exists()


def test_when_the_workspace_is_a_file_then_it_says_so(tmp_path: Path, source: Path) -> None:
    (tmp_path / "w").write_text("")
    with pytest.raises(LabError, match="--workspace"):
        deliver(tmp_path / "w", {NAME: source})


def test_when_run_from_a_checkout_then_the_lessons_are_those_of_the_repository() -> None:
    root = Path(__file__).resolve().parents[2]
    for name, path in material().items():
        assert path == root / name
        assert name.startswith(("notebooks/", "exercises/"))


def test_when_nothing_is_said_then_the_workspace_is_in_the_home_folder(tmp_path: Path) -> None:
    assert default_workspace({}) == Path.home() / "ecrlab"
    assert default_workspace({"ECRLAB_WORKSPACE": os.fspath(tmp_path)}) == tmp_path
