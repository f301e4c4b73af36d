"""Scans of images: requested, run in the background, kept with the image (ecr-semantics section 13)."""

from __future__ import annotations

import dataclasses
import json
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.errors import ImageArchived, LimitExceeded, ScanNotFound, UnsupportedImageType, Validation
from ecrlab.cloud.core.manifest import IMAGE_CONFIGS, Manifest, parse
from ecrlab.cloud.core.scanning_configuration import ScanningConfiguration
from ecrlab.cloud.storage import BlobStore, Database

if TYPE_CHECKING:
    from ecrlab.cloud.core.image import Image
    from ecrlab.cloud.core.pushes import Push
    from ecrlab.cloud.scanning import Finding, Report

SCAN_INTERVAL = 24 * 3600  # seconds: one scan an image and day, the scan on push included

_WORST_FIRST = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED")
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Background(Protocol):
    """Where long work goes: `work` in another thread, then `done` with its result in the thread of the database."""

    def __call__(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        """Take a piece of work."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What is known of an image's last scan; times in seconds since the epoch, UTC.

    `problems` are sentences on what could not be evaluated: such a package is not safe, only unknown.
    """

    status: str
    description: str
    requested_at: float
    completed_at: float | None
    source_updated_at: float | None
    findings: tuple[Finding, ...]
    problems: tuple[str, ...]


class Scans:
    """The scans of every repository's images."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Clock,
        background: Background,
        configuration: ScanningConfiguration,
    ) -> None:
        self._database = database
        self._configuration = configuration
        self._blobs = blobs
        self._clock = clock
        self._background = background
        # Scans that a killed server left behind are taken up again.
        self._waiting = [
            row["image_id"] for row in database.all("SELECT image_id FROM scan WHERE status = 'IN_PROGRESS'")
        ]

    @staticmethod
    def can_scan(manifest: Manifest) -> bool:
        """Tell whether this is an image with layers, and not an index or an artifact."""
        return not manifest.is_index and manifest.artifact_type in IMAGE_CONFIGS

    def follow(self, push: Push) -> None:
        """Request the scan of what was pushed, where its repository is scanned on push."""
        scanned = self._configuration.schedule(push.image.repository).on_push
        if push.is_new and scanned and self.can_scan(push.manifest):
            self.request(push.image.id)

    def request(self, image_id: int) -> None:
        """Note that an image is to be scanned, and begin once the transaction is through."""
        self._database.execute(
            "INSERT OR REPLACE INTO scan (image_id, status, description, requested_at) VALUES (?, 'IN_PROGRESS', ?, ?)",
            (image_id, "The scan is in progress.", self._clock.now()),
        )
        self._waiting.append(image_id)
        self._database.after_commit(self.run_requested)

    def start(self, image: Image) -> Scan:
        """Scan an image now.

        Raises UnsupportedImageType, ImageArchived, LimitExceeded (one scan an image and day), Validation (enhanced
        scanning starts its scans itself; its words were seen in the issue alexjurkiewicz/ecr-scan-image#44).
        """
        if self._configuration.get(image.repository.registry)["scanType"] == "ENHANCED":
            raise Validation("This feature is disabled")
        row = self._database.one("SELECT manifest, media_type FROM image WHERE id = ?", (image.id,))
        if row is None or not self.can_scan(parse(row["manifest"], row["media_type"])):
            raise UnsupportedImageType(
                f"The image with digest '{image.digest}' cannot be scanned: its media type is '{image.media_type}'"
            )
        if image.status == "ARCHIVED":
            raise ImageArchived(f"The image with digest '{image.digest}' is archived and cannot be scanned")
        last = self._row(image)
        if last and self._clock.now() < last["requested_at"] + SCAN_INTERVAL:
            raise LimitExceeded("The scan quota per image has been exceeded. Wait and try again.")
        self.request(image.id)
        return self.get(image)

    def get(self, image: Image) -> Scan:
        """Return an image's last scan. Raises ScanNotFound."""
        row = self._row(image)
        if row is None:
            repository = image.repository
            tag = image.tags[0] if image.tags else "null"
            name = f"{{imageDigest:'{image.digest}', imageTag:'{tag}'}}"
            raise ScanNotFound(name, repository.name, repository.registry.account)
        from ecrlab.cloud.scanning import Finding

        return Scan(
            status=row["status"],
            description=row["description"],
            requested_at=row["requested_at"],
            completed_at=row["completed_at"],
            source_updated_at=row["source_updated_at"],
            findings=tuple(Finding.from_json(finding) for finding in json.loads(row["findings"])),
            problems=tuple(json.loads(row["problems"])),
        )

    def run_requested(self) -> None:
        """Begin the scans that were requested."""
        while self._waiting:
            self._run(self._waiting.pop(0))

    def _run(self, image_id: int) -> None:
        row = self._database.one("SELECT manifest, media_type FROM image WHERE id = ?", (image_id,))
        if row is None:  # deleted in the meantime
            return
        manifest = parse(row["manifest"], row["media_type"])
        blobs = self._blobs

        def work() -> Report:
            # Imported here: the scanner's libraries would delay the start of the cloud.
            from ecrlab.cloud import scanning

            layers = [
                scanning.Layer(layer.digest, layer.media_type, partial(_open, blobs.path(layer.digest)))
                for layer in manifest.layers
            ]
            return scanning.scan(layers, scanning.builtin())

        self._background(lambda: _guarded(work), lambda outcome: self._finish(image_id, outcome))

    def _finish(self, image_id: int, outcome: Report | Exception) -> None:
        if isinstance(outcome, Exception):
            self._database.execute(
                "UPDATE scan SET status = 'FAILED', description = ?, completed_at = ? WHERE image_id = ?",
                (f"The scan failed: {type(outcome).__name__}: {outcome}", self._clock.now(), image_id),
            )
            return
        findings = sorted(outcome.findings, key=lambda item: (_WORST_FIRST.index(item.severity), item.name))
        self._database.execute(
            "UPDATE scan SET status = ?, description = ?, completed_at = ?, source_updated_at = ?, findings = ?,"
            " problems = ? WHERE image_id = ?",
            (
                outcome.status,
                outcome.description,
                self._clock.now(),
                outcome.source_updated_at.timestamp(),
                json.dumps([dataclasses.asdict(finding) for finding in findings]),
                json.dumps(outcome.problems),
                image_id,
            ),
        )

    def _row(self, image: Image) -> sqlite3.Row | None:
        return self._database.one("SELECT * FROM scan WHERE image_id = ?", (image.id,))


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _guarded(work: Callable[[], Report]) -> Report | Exception:
    """Return a fault as a value: the learner reads it in the scan's status, the log keeps its trace."""
    try:
        return work()
    except Exception as error:
        _log.exception("a scan failed")
        return error
