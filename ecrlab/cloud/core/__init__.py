"""The registry itself: repositories, images, layers, tags, scans. No HTTP.

Both adapters, the ECR API and the OCI distribution API, stand on these classes, so that a rule of ECR is written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.layers import Layers
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.repositories import Repositories
from ecrlab.cloud.core.scans import Background, Scans
from ecrlab.cloud.storage import BlobStore, Database

__all__ = ["Core", "Registry", "run_at_once"]

T = TypeVar("T")


class Core:
    """Every registry of the lab, over one database and one blob store."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, background: Background) -> None:
        self.clock = clock
        self.repositories = Repositories(database, clock)
        self.layers = Layers(database, blobs, self.repositories)
        self.scans = Scans(database, blobs, clock, background)
        self.images = Images(database, clock, self.repositories, self.scans)
        self._database = database
        self._blobs = blobs

    def reset(self) -> None:
        """Forget every repository, image and layer of every registry."""
        self.layers.discard_uploads()
        with self._database.transaction():
            self._database.execute("DELETE FROM repository")
        self._blobs.clear()


def run_at_once(work: Callable[[], T], done: Callable[[T], None]) -> None:
    """Be a `Background` that does the work in the calling thread: for tests and scripts."""
    done(work())
