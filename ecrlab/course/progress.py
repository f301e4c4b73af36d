"""The learner's progress: one readable JSON file in the workspace.

It is only a diary. Deleting it loses no work, because checks look at the registry; a damaged file is put aside, never
overwritten; a file of a newer ecrlab is left alone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecrlab.course.outcomes import Outcome

FILE_NAME = "progress.json"
VERSION = 1
SECTIONS = ("tasks", "predictions", "quizzes")

_LOCK_PATIENCE = 5.0


class ProgressError(Exception):
    """Progress was not saved. One sentence for the learner; the check itself is not affected."""


def workspace() -> Path:
    """Return the learner's workspace folder.

    It is `ECRLAB_WORKSPACE`; without it the nearest folder, from the working directory upwards, that holds a progress
    file or both
    `notebooks` and `exercises`; without that the working directory.
    """
    if named := os.environ.get("ECRLAB_WORKSPACE"):
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file() or all((folder / name).is_dir() for name in ("notebooks", "exercises")):
            return folder
    return here


def read(folder: Path | None = None) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the progress by section ("tasks", "predictions", "quizzes") and id; empty where nothing is known.

    Raises ProgressError for a damaged file and for one of a newer version.
    """
    document = _load((folder or workspace()) / FILE_NAME)
    return {section: dict(document.get(section, {})) for section in SECTIONS}


def save(section: str, item: str, outcome: Outcome, *, folder: Path | None = None, **details: object) -> str | None:
    """Record the latest outcome of a task, prediction or quiz.

    Returns a note for the learner when a damaged file was put aside.

    Raises ProgressError when nothing could be saved.
    """
    path = (folder or workspace()) / FILE_NAME
    note = None
    try:
        with _locked(path):
            try:
                document = _load(path)
            except _DamagedError:
                aside = path.with_name(f"progress-damaged-{time.time_ns()}.json")
                path.replace(aside)
                document, note = (
                    {},
                    f"`{FILE_NAME}` could not be read. It was kept as `{aside.name}`; a new one is begun.",
                )
            _write(path, _updated(document, section, item, outcome, details))
    except OSError as error:
        raise ProgressError(f"Progress was not saved in {path}: {error.strerror or error}.") from error
    return note


class _DamagedError(ProgressError):
    pass


def _updated(
    document: dict[str, Any], section: str, item: str, outcome: Outcome, details: dict[str, object]
) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entries = dict(document.get(section, {}))
    before = entries.get(item, {})
    entry = {"outcome": outcome.value, "attempts": before.get("attempts", 0) + 1, "last": now, **details}
    if first := before.get("first_correct") or (now if outcome is Outcome.CORRECT else None):
        entry["first_correct"] = first
    entries[item] = entry
    return {**document, "version": VERSION, section: dict(sorted(entries.items()))}


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise _DamagedError(f"{path} is not text.") from error
    except OSError as error:
        raise ProgressError(f"{path} could not be read: {error.strerror or error}.") from error
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _DamagedError(f"{path} is not JSON: {error}.") from error
    if not _well_formed(document):
        raise _DamagedError(f"{path} is JSON, but not a progress file.")
    if document["version"] > VERSION:
        raise ProgressError(f"{path} was written by a newer ecrlab (version {document['version']}); it is left alone.")
    return dict(document)


def _well_formed(document: object) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("version"), int)
        and (
            document["version"] > VERSION  # its sections are not ours to judge
            or all(
                isinstance(entries := document.get(section, {}), dict)
                and all(isinstance(e, dict) and isinstance(e.get("attempts"), int) for e in entries.values())
                for section in SECTIONS
            )
        )
    )


def _write(path: Path, document: dict[str, Any]) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file's lock, so that two notebooks that save at once both count. The system frees it if we die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a+b") as lock:
        deadline = time.monotonic() + _LOCK_PATIENCE
        while not _try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                raise ProgressError(f"Progress was not saved: another notebook holds {path} for too long.")
            time.sleep(0.02)
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
