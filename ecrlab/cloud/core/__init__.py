"""The registry itself: repositories, images, layers, tags, lifecycle, scans, policies. No HTTP.

Both adapters, the ECR API and the OCI distribution API, stand on these classes, so that a rule of ECR is written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.account_settings import AccountSettings
from ecrlab.cloud.core.archive import Archive
from ecrlab.cloud.core.backfills import Backfills
from ecrlab.cloud.core.cache import Cache
from ecrlab.cloud.core.cache_rules import CacheRules
from ecrlab.cloud.core.cost import Costs
from ecrlab.cloud.core.events import Events
from ecrlab.cloud.core.exclusions import Exclusions
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.layers import Layers
from ecrlab.cloud.core.lifecycle_runs import INTERVAL, LifecyclePolicies
from ecrlab.cloud.core.policies import Policies
from ecrlab.cloud.core.pushes import Push, Pushes
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.replication import Replication
from ecrlab.cloud.core.repositories import Repositories
from ecrlab.cloud.core.scanning_configuration import ScanningConfiguration
from ecrlab.cloud.core.scans import Background, Scans
from ecrlab.cloud.core.settings import Settings
from ecrlab.cloud.core.signing import Signing
from ecrlab.cloud.core.templates import Templates
from ecrlab.cloud.core.upstream import Nothing, Outside
from ecrlab.cloud.storage import BlobStore, Database

__all__ = ["Core", "Registry", "run_at_once"]

T = TypeVar("T")

# The lab's own settings are kept beside those of the registries.
_LAB = Registry("", "")
_CLOCK = "clock"
MAX_AHEAD = 10 * 365 * 24 * 3600  # seconds


class Core:
    """Every registry of the lab, over one database and one blob store."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Clock,
        background: Background,
        outside: Outside | None = None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._settings = Settings(database, clock)
        self.clock = clock
        stored = self._settings.get(_LAB, _CLOCK)
        clock.offset = stored.value if stored else 0.0
        database.set_clock(clock.now)
        self.events = Events(database, clock)
        self.repositories = Repositories(database, clock)
        self.policies = Policies(self._settings, self.repositories)
        self.templates = Templates(self._settings, self.repositories)
        self.account_settings = AccountSettings(self._settings)
        self.exclusions = Exclusions(self._settings)
        self.scanning = ScanningConfiguration(self._settings)
        self.layers = Layers(database, blobs, self.repositories, self.account_settings)
        self.scans = Scans(database, blobs, clock, background, self.scanning)
        self.images = Images(database, clock, self.events)
        self.pushes = Pushes(database, clock, self.repositories, self.images)
        self.replication = Replication(
            database, self._settings, self.repositories, self.templates, self.images, self.pushes
        )
        self.backfills = Backfills(database, clock, self.repositories, self.images, self.replication, background)
        self.cache_rules = CacheRules(self._settings, outside or Nothing())
        self.cache = Cache(
            database,
            clock,
            self.repositories,
            self.templates,
            self.images,
            self.layers,
            self.pushes,
            self.cache_rules,
            outside or Nothing(),
        )
        self.signing = Signing(
            database,
            clock,
            self._settings,
            self.repositories,
            self.images,
            self.layers,
            self.pushes,
            background,
        )
        self.archive = Archive(database, clock, self.images, self.pushes, self.events)
        self.costs = Costs(database, clock)
        self.lifecycle = LifecyclePolicies(database, clock, self.repositories, self.images, self.archive)
        self.pushes.follow(self._note_push)
        self.pushes.follow(self.scans.follow)
        self.pushes.follow(self.replication.follow)
        self.pushes.follow(self.signing.follow)
        self.images.follow_deletions(self.replication.follow_deletion)

    def advance(self, seconds: float) -> None:
        """Move the lab's clock forward and do what falls due until then. Raises ValueError for a step back."""
        target = self.clock.offset + seconds
        if not (seconds >= 0 and target <= MAX_AHEAD):
            raise ValueError("The lab's clock can only be moved forward, to no more than ten years ahead")
        while self.clock.offset < target:
            # Day by day, as policies run: what one run does, such as archiving an image, the next one builds on.
            step = INTERVAL if self.repositories.with_lifecycle_policy() else target
            self.clock.offset = min(self.clock.offset + step, target)
            self._settings.put(_LAB, _CLOCK, self.clock.offset)
            self.lifecycle.run_due()

    def reset(self) -> None:
        """Forget every repository, image, layer and setting of every registry, and set the clock to real time."""
        self.layers.discard_uploads()
        with self._database.transaction():
            for table in ("repository", "setting", "backfill", "event"):
                self._database.execute(f"DELETE FROM {table}")
            self.costs.forget()
        self.clock.offset = 0.0
        self._blobs.clear()

    def _note_push(self, push: Push) -> None:
        self.events.image_action(push.image, "PUSH", tag=push.tag)


def run_at_once(work: Callable[[], T], done: Callable[[T], None]) -> None:
    """Be a `Background` that does the work in the calling thread: for tests and scripts."""
    done(work())
