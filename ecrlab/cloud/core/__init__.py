"""The registry itself: repositories, images, layers, tags, lifecycle, scans, policies. No HTTP.

Both adapters, the ECR API and the OCI distribution API, stand on these classes, so that a rule of ECR is written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.account_settings import AccountSettings
from ecrlab.cloud.core.archive import Archive
from ecrlab.cloud.core.events import Events
from ecrlab.cloud.core.exclusions import Exclusions
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.layers import Layers
from ecrlab.cloud.core.lifecycle_runs import LifecyclePolicies
from ecrlab.cloud.core.policies import Policies
from ecrlab.cloud.core.pushes import Push, Pushes
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.replication import Replication
from ecrlab.cloud.core.repositories import Repositories
from ecrlab.cloud.core.scanning_configuration import ScanningConfiguration
from ecrlab.cloud.core.scans import Background, Scans
from ecrlab.cloud.core.settings import Settings
from ecrlab.cloud.core.templates import Templates
from ecrlab.cloud.storage import BlobStore, Database

__all__ = ["Core", "Registry", "run_at_once"]

T = TypeVar("T")

# The lab's own settings are kept beside those of the registries.
_LAB = Registry("", "")
_CLOCK = "clock"


class Core:
    """Every registry of the lab, over one database and one blob store."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, background: Background) -> None:
        self._database = database
        self._blobs = blobs
        self._settings = Settings(database, clock)
        self.clock = clock
        stored = self._settings.get(_LAB, _CLOCK)
        clock.offset = stored.value if stored else 0.0
        self.events = Events(database, clock)
        self.repositories = Repositories(database, clock)
        self.policies = Policies(self._settings, self.repositories)
        self.templates = Templates(self._settings, self.repositories)
        self.account_settings = AccountSettings(self._settings)
        self.exclusions = Exclusions(self._settings)
        self.scanning = ScanningConfiguration(self._settings)
        self.layers = Layers(database, blobs, self.repositories)
        self.scans = Scans(database, blobs, clock, background, self.scanning)
        self.images = Images(database, clock, self.events)
        self.pushes = Pushes(database, clock, self.repositories, self.images)
        self.replication = Replication(database, self._settings, self.templates, self.images, self.pushes)
        self.archive = Archive(database, clock, self.images, self.events)
        self.lifecycle = LifecyclePolicies(database, clock, self.repositories, self.images, self.archive)
        self.pushes.follow(self._note_push)
        self.pushes.follow(self.scans.follow)
        self.pushes.follow(self.replication.follow)

    def advance(self, seconds: float) -> None:
        """Move the lab's clock forward and do what falls due until then. Raises ValueError for a step back."""
        if not 0 <= seconds <= 100 * 365 * 24 * 3600:
            raise ValueError("The lab's clock can only be moved forward, by no more than a hundred years")
        self.clock.offset += seconds
        self._settings.put(_LAB, _CLOCK, self.clock.offset)
        self.lifecycle.run_due()

    def reset(self) -> None:
        """Forget every repository, image, layer and setting of every registry, and set the clock to real time."""
        self.layers.discard_uploads()
        with self._database.transaction():
            for table in ("repository", "setting", "event"):
                self._database.execute(f"DELETE FROM {table}")
        self.clock.offset = 0.0
        self._blobs.clear()

    def _note_push(self, push: Push) -> None:
        self.events.image_action(push.image, "PUSH", tag=push.tag)


def run_at_once(work: Callable[[], T], done: Callable[[T], None]) -> None:
    """Be a `Background` that does the work in the calling thread: for tests and scripts."""
    done(work())
