"""The learner's copies of the notebooks and exercises."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ecrlab.lab.errors import LabError
from ecrlab.lab.state import write_private

KINDS = ("notebooks", "exercises")


@dataclass(frozen=True)
class Delivery:
    """What a delivery did, as paths in the workspace: new copies, refreshed ones, and changed ones left alone."""

    new: tuple[str, ...]
    refreshed: tuple[str, ...]
    kept: tuple[str, ...]


def default_workspace(environ: Mapping[str, str] = os.environ) -> Path:
    """The workspace in use: ``ECRLAB_WORKSPACE``, or ``ecrlab`` in the home folder."""
    if chosen := environ.get("ECRLAB_WORKSPACE"):
        return Path(chosen).expanduser().absolute()
    return Path.home() / "ecrlab"


def material() -> dict[str, Path]:
    """The lessons that come with ecrlab, by their path in the workspace: of the wheel, else of the checkout."""
    package = Path(__file__).resolve().parents[1]
    root = package / "_material"
    if not root.is_dir():
        root = package.parent
    return {
        path.relative_to(root).as_posix(): path
        for kind in KINDS
        for path in sorted((root / kind).rglob("*"))
        if path.is_file() and not any(part.startswith((".", "__")) for part in path.relative_to(root).parts)
    }


def deliver(workspace: Path, sources: Mapping[str, Path] | None = None) -> Delivery:
    """Copy the lessons into the workspace.

    A copy that differs from what was given last time is the learner's and is never overwritten; one that was not
    changed is brought up to date; one that was deleted is given anew.
    Raises LabError when the workspace cannot be written.
    """
    sources = material() if sources is None else sources
    ledger = workspace / ".ecrlab" / "given.json"
    new, refreshed, kept = [], [], []
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        given = _read_ledger(ledger)
        for name, source in sources.items():
            content = source.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            target = workspace / name
            if not os.path.lexists(target):
                _write(target, content)
                new.append(name)
            elif not target.is_file() or (current := hashlib.sha256(target.read_bytes()).hexdigest()) not in (
                digest,
                given.get(name),
            ):
                kept.append(name)
                continue
            elif current != digest:
                _write(target, content)
                refreshed.append(name)
            if given.get(name) != digest:
                # Noted one by one: a copy whose note was lost would pass for changed by the learner.
                given[name] = digest
                write_private(ledger, json.dumps(given, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise LabError(
            f"The workspace {workspace} cannot be written ({(error.strerror or str(error)).lower()}): "
            f"choose another with --workspace."
        ) from error
    return Delivery(tuple(new), tuple(refreshed), tuple(kept))


def _read_ledger(ledger: Path) -> dict[str, str]:
    try:
        given = json.loads(ledger.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        # Without the ledger every copy that is not the newest counts as changed: nothing is lost.
        return {}
    return {str(name): str(digest) for name, digest in given.items()} if isinstance(given, dict) else {}


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Through a link we would write into a folder that is not the workspace's.
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(content)
    part.replace(target)
