"""Replication backfills: what was pushed before the rule existed, copied to one destination (botocore model).

A copy inside the lab moves no bytes and is database work only. It is done in steps, between which other calls are
answered, so that a backfill has progress and can be stopped.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.errors import (
    BackfillInProgress,
    BackfillInvalidStatus,
    BackfillNotFound,
    EcrError,
    InvalidParameter,
    LimitExceeded,
)
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.pages import Page, decode, page
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.replication import Outcome, Replication
from ecrlab.cloud.core.repositories import Repositories
from ecrlab.cloud.core.scans import Background
from ecrlab.cloud.storage import Database

MAX_IN_PROGRESS = 10  # of a registry at a time
RETENTION = 90 * 24 * 3600  # seconds of the lab's clock that an ended backfill is kept
STEP = 20  # replications

_RUNNING = ("PREPARING", "IN_PROGRESS")
_ENDED = ("COMPLETE", "STOPPED")


@dataclass(frozen=True, slots=True)
class Progress:
    """How many replications there are, and how many of them have ended in which way."""

    total: int
    completed: int
    failed: int
    failure_codes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill; times in seconds since the epoch, UTC. `progress` is None until it is known what there is to copy.

    `status` is PREPARING, IN_PROGRESS, COMPLETE, STOPPING or STOPPED. A backfill as a whole does not fail here: what
    could not be copied is in its results.
    """

    number: int
    id: str
    registry: Registry
    destination: Registry
    status: str
    progress: Progress | None
    started_at: float
    ended_at: float | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in _ENDED


@dataclass(frozen=True, slots=True)
class Result:
    """How the replication of one image under one of its tags ended: COMPLETE, or FAILED with a code.

    `sub_image_failure_codes` are those of the images of an index, each once; None for an image that is not an index.
    """

    number: int
    repository_name: str
    image_id: ImageId
    status: str
    failure_code: str | None
    sub_image_failure_codes: Sequence[str] | None


class Backfills:
    """The replication backfills of every registry."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        repositories: Repositories,
        images: Images,
        replication: Replication,
        background: Background,
    ) -> None:
        self._database = database
        self._clock = clock
        self._repositories = repositories
        self._images = images
        self._replication = replication
        self._background = background

    def start(self, registry: Registry, destination: Registry) -> Backfill:
        """Begin a backfill. What matches the rules is settled when it begins; archived images are left out.

        Raises InvalidParameter (not a destination of the registry's rules), BackfillInProgress, LimitExceeded.
        """
        if destination not in self._replication.all_destinations(registry):
            raise InvalidParameter("destination", "must be a destination of the registry's replication configuration")
        running = self._database.all(
            "SELECT destination_region FROM backfill WHERE account = ? AND region = ? AND ended_at IS NULL",
            (registry.account, registry.region),
        )
        if any(row["destination_region"] == destination.region for row in running):
            raise BackfillInProgress(f"A replication backfill to the region {destination.region} is in progress")
        if len(running) >= MAX_IN_PROGRESS:
            raise LimitExceeded(f"A registry can have no more than {MAX_IN_PROGRESS} replication backfills in progress")
        backfill_id = str(uuid.uuid4())
        cursor = self._database.execute(
            "INSERT INTO backfill (id, account, region, destination_account, destination_region, status, started_at)"
            " VALUES (?, ?, ?, ?, ?, 'PREPARING', ?)",
            (
                backfill_id,
                registry.account,
                registry.region,
                destination.account,
                destination.region,
                self._clock.now(),
            ),
        )
        started = self.get(registry, backfill_id)
        assert cursor.lastrowid is not None
        self._go_on(cursor.lastrowid)
        return started

    def stop(self, registry: Registry, backfill_id: str) -> Backfill:
        """End a backfill after the step under way. Raises BackfillNotFound, BackfillInvalidStatus."""
        backfill = self.get(registry, backfill_id)
        if backfill.status not in _RUNNING:
            raise BackfillInvalidStatus(
                f"The replication backfill with id '{backfill.id}' is {backfill.status} and cannot be stopped"
            )
        self._set(backfill.number, "STOPPING")
        return self.get(registry, backfill_id)

    def get(self, registry: Registry, backfill_id: str) -> Backfill:
        """Return a backfill. Raises BackfillNotFound."""
        self._forget_old()
        row = self._database.one(
            "SELECT * FROM backfill WHERE account = ? AND region = ? AND id = ?",
            (registry.account, registry.region, backfill_id.lower()),
        )
        if row is None:
            raise BackfillNotFound(backfill_id, registry.account)
        return self._backfill(row)

    def describe(self, registry: Registry, *, limit: int, token: str | None = None) -> Page[Backfill]:
        """Return backfills in the order of their starts."""
        self._forget_old()
        after = decode(token, (int,)) or [0]
        rows = self._database.all(
            "SELECT * FROM backfill WHERE account = ? AND region = ? AND number > ? ORDER BY number LIMIT ?",
            (registry.account, registry.region, after[0], limit + 1),
        )
        return page([self._backfill(row) for row in rows], limit, lambda item: [item.number])

    def results(
        self, backfill: Backfill, *, limit: int, token: str | None = None, status: str | None = None
    ) -> Page[Result]:
        """Return what became of each replication, only those with `status` if given; nothing before the end."""
        after = decode(token, (int,)) or [0]
        if not backfill.has_ended:
            return Page([])
        rows = self._database.all(
            "SELECT * FROM backfill_image WHERE backfill_number = :backfill AND number > :after"
            " AND status IS NOT NULL AND (:status IS NULL OR status = :status) ORDER BY number LIMIT :limit",
            {"backfill": backfill.number, "after": after[0], "status": status, "limit": limit + 1},
        )
        return page([_result(row) for row in rows], limit, lambda item: [item.number])

    def run_unfinished(self) -> None:
        """Take up the backfills that a killed server left behind."""
        for row in self._database.all("SELECT number FROM backfill WHERE ended_at IS NULL ORDER BY number"):
            self._go_on(row["number"])

    def _go_on(self, number: int) -> None:
        self._background(lambda: None, lambda _nothing: self._step(number))

    def _step(self, number: int) -> None:
        row = self._database.one("SELECT * FROM backfill WHERE number = ?", (number,))
        if row is None:  # the lab was reset
            return
        backfill = self._backfill(row)
        with self._database.transaction():
            if backfill.status == "STOPPING":
                self._set(number, "STOPPED")
                return
            if backfill.status == "PREPARING":
                self._prepare(backfill)
            elif not self._replicate(backfill):
                self._set(number, "COMPLETE")
                return
        self._go_on(number)

    def _prepare(self, backfill: Backfill) -> None:
        """Note what there is to copy; the images of an index go with it, unless they carry a tag of their own."""
        token: str | None = None
        while True:
            found = self._repositories.describe(backfill.registry, limit=1000, token=token)
            for repository in found.items:
                if backfill.destination not in self._replication.destinations(repository):
                    continue
                self._database.execute(
                    "INSERT INTO backfill_image (backfill_number, repository, digest, tag)"
                    " SELECT ?, ?, image.digest, tag.name FROM image LEFT JOIN tag ON tag.image_id = image.id"
                    " WHERE image.repository_id = ? AND is_archived = 0 AND (tag.name IS NOT NULL OR NOT EXISTS ("
                    " SELECT 1 FROM reference JOIN image AS parent ON parent.id = reference.image_id"
                    " WHERE reference.kind = 'image' AND reference.digest = image.digest"
                    " AND parent.repository_id = image.repository_id)) ORDER BY image.id, tag.name",
                    (backfill.number, repository.name, repository.id),
                )
            token = found.next_token
            if token is None:
                break
        self._database.execute("UPDATE backfill SET is_prepared = 1 WHERE number = ?", (backfill.number,))
        self._set(backfill.number, "IN_PROGRESS")

    def _replicate(self, backfill: Backfill) -> bool:
        """Copy the next few images; return whether there were any."""
        rows = self._database.all(
            "SELECT * FROM backfill_image WHERE backfill_number = ? AND status IS NULL ORDER BY number LIMIT ?",
            (backfill.number, STEP),
        )
        for row in rows:
            outcome = self._copy(backfill, row)
            codes = outcome.sub_image_failure_codes
            self._database.execute(
                "UPDATE backfill_image SET status = ?, failure_code = ?, sub_codes = ? WHERE number = ?",
                (
                    "FAILED" if outcome.failure_code else "COMPLETE",
                    outcome.failure_code,
                    None if codes is None else json.dumps(codes),
                    row["number"],
                ),
            )
        return bool(rows)

    def _copy(self, backfill: Backfill, row: sqlite3.Row) -> Outcome:
        try:
            repository = self._repositories.get(backfill.registry, row["repository"])
            image = self._images.get(repository, ImageId(row["digest"], row["tag"]))
        except EcrError as error:  # deleted, or the tag moved, in the meantime
            return Outcome(error.code, None)
        return self._replication.replicate(image, row["tag"], backfill.destination)

    def _set(self, number: int, status: str) -> None:
        ended_at = self._clock.now() if status in _ENDED else None
        self._database.execute(
            "UPDATE backfill SET status = ?, ended_at = ? WHERE number = ?", (status, ended_at, number)
        )

    def _forget_old(self) -> None:
        self._database.execute("DELETE FROM backfill WHERE ended_at < ?", (self._clock.now() - RETENTION,))

    def _backfill(self, row: sqlite3.Row) -> Backfill:
        return Backfill(
            number=row["number"],
            id=row["id"],
            registry=Registry(row["account"], row["region"]),
            destination=Registry(row["destination_account"], row["destination_region"]),
            status=row["status"],
            progress=self._progress(row["number"]) if row["is_prepared"] else None,
            started_at=row["started_at"],
            ended_at=row["ended_at"],
        )

    def _progress(self, number: int) -> Progress:
        rows = self._database.all(
            "SELECT status, count(*) AS count FROM backfill_image WHERE backfill_number = ? GROUP BY status", (number,)
        )
        counts = {row["status"]: row["count"] for row in rows}
        codes = self._database.all(
            "SELECT DISTINCT failure_code AS code FROM backfill_image WHERE backfill_number = ? AND status = 'FAILED'"
            " ORDER BY code",
            (number,),
        )
        return Progress(
            total=sum(counts.values()),
            completed=counts.get("COMPLETE", 0),
            failed=counts.get("FAILED", 0),
            failure_codes=[row["code"] for row in codes],
        )


def _result(row: sqlite3.Row) -> Result:
    codes = row["sub_codes"]
    return Result(
        number=row["number"],
        repository_name=row["repository"],
        image_id=ImageId(row["digest"], row["tag"]),
        status=row["status"],
        failure_code=row["failure_code"],
        sub_image_failure_codes=None if codes is None else json.loads(codes),
    )
