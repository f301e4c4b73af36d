"""What the registries cost: storage over time, archive, restores, transfer (ecr-semantics sections 18 and 22)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import prices
from ecrlab.cloud.core.prices import GB, MONTH
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.storage import Database

DAY = 24 * 3600


class Span(NamedTuple):
    """From when to when something was stored; seconds of the lab's clock, `ended` infinite while it still is."""

    began: float
    is_restored: bool
    ended: float
    is_archived: bool


@dataclass(slots=True)
class Usage:
    """What one layer or one repository used over a period, in byte-seconds and bytes, and holds at its end, in bytes.

    For one layer of one byte these are seconds, restores, and 0 or 1.
    """

    standard: float = 0.0
    archive: float = 0.0
    restored: int = 0
    standard_now: int = 0
    archive_now: int = 0
    transferred: int = 0

    def add(self, other: Usage, size: int = 1) -> None:
        """Count `other` in, `size` times."""
        self.standard += size * other.standard
        self.archive += size * other.archive
        self.restored += size * other.restored
        self.standard_now += size * other.standard_now
        self.archive_now += size * other.archive_now
        self.transferred += size * other.transferred


@dataclass(frozen=True, slots=True)
class Cost:
    """What a repository, or with `repository` None a whole registry, used and cost; money in US dollars.

    `monthly_cost`: for what is stored at the end of the period, if it stays a month. `internet_cost`: what the bytes
    pulled would cost outside the region; it is not part of `cost`.
    """

    account: str
    region: str
    repository: str | None
    is_deleted: bool
    standard_gb_months: float
    archive_gb_months: float
    restored_gb: float
    transferred_gb: float
    standard_cost: float
    archive_cost: float
    restore_cost: float
    transfer_cost: float
    cost: float
    monthly_cost: float
    internet_cost: float


@dataclass(frozen=True, slots=True)
class CostReport:
    """The costs between two moments, in seconds since the epoch, UTC."""

    since: float
    until: float
    registries: tuple[Cost, ...]
    repositories: tuple[Cost, ...]


@dataclass(slots=True)
class _Account:
    """The usage of one registry: as a whole, and by repository in the order of their names."""

    total: Usage = field(default_factory=Usage)
    repositories: list[tuple[str, bool, Usage]] = field(default_factory=list)


class Costs:
    """The costs of every registry."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def note_transfer(self, repository: Repository, size: int) -> None:
        """Remember that `size` bytes of a layer were pulled from a repository now."""
        self._database.execute(
            "INSERT INTO transfer (repository_id, day, bytes) VALUES (?, ?, ?)"
            " ON CONFLICT (repository_id, day) DO UPDATE SET bytes = bytes + excluded.bytes",
            (repository.id, int(self._clock.now() // DAY), size),
        )

    def forget(self) -> None:
        """Forget what was stored and pulled."""
        for table in ("storage_repository", "storage_stay", "storage_need", "storage_layer", "transfer"):
            self._database.execute(f"DELETE FROM {table}")

    def report(self, since: float | None = None, until: float | None = None) -> CostReport:
        """Return what was stored and pulled between two moments of the lab's clock (seconds since the epoch, UTC).

        By default since the first image of each repository and until now. Pulls are counted by whole days (UTC).
        Raises ValueError for a period that is none, or not over yet.
        """
        now = self._clock.now()
        until = now if until is None else until
        if since is None:
            (first,) = self._database.execute("SELECT min(began_at) FROM storage_stay").fetchone()
            since = until if first is None else min(first, until)
        if not 0 <= since <= until <= now:  # NaN too
            raise ValueError("A period begins before it ends, and ends no later than the lab's time")
        usages = self._stored(since, until)
        for row in self._database.all(
            "SELECT repository_id, sum(bytes) AS bytes FROM transfer WHERE day BETWEEN ? AND ? GROUP BY repository_id",
            (since // DAY, until // DAY),
        ):
            usages.setdefault(row["repository_id"], Usage()).transferred = row["bytes"]
        accounts: dict[tuple[str, str], _Account] = {}
        for row in self._database.all("SELECT * FROM storage_repository ORDER BY account, region, name, id"):
            usage = usages.get(row["id"], Usage())
            # A repository that is gone is only told of when the period has something of it.
            if row["deleted_at"] is not None and usage == Usage():
                continue
            account = accounts.setdefault((row["account"], row["region"]), _Account())
            account.total.add(usage)
            account.repositories.append((row["name"], row["deleted_at"] is not None, usage))
        registries: list[Cost] = []
        repositories: list[Cost] = []
        for (name, region), account in accounts.items():
            # The archive's price depends on how much the whole registry keeps there.
            months = max(1.0, (until - since) / MONTH)
            rate = prices.archive_price(account.total.archive / GB / MONTH / months)
            rate_now = prices.archive_price(account.total.archive_now / GB)
            registries.append(_priced(name, region, None, False, account.total, rate, rate_now))
            repositories += [
                _priced(name, region, repository, is_deleted, usage, rate, rate_now)
                for repository, is_deleted, usage in account.repositories
            ]
        return CostReport(since, until, tuple(registries), tuple(repositories))

    def _stored(self, since: float, until: float) -> dict[int, Usage]:
        """Return the usage of each repository that ever had an image, by its id."""
        spans: dict[int, list[Span]] = {}
        for image_id, *stay in self._database.execute(
            "SELECT image_id, began_at, is_restored, ended_at, is_archived, is_deleted FROM storage_stay"
        ):
            spans.setdefault(image_id, []).append(_span(*stay))
        usages: dict[int, Usage] = {}
        # Layers that the same images hold are stored for the same time: they are measured as one.
        for repository_id, holders, size in self._database.execute(
            "SELECT repository_id, holders, sum(size) FROM (SELECT repository_id, layer_id,"
            " group_concat(image_id) AS holders FROM storage_need GROUP BY repository_id, layer_id)"
            " JOIN storage_layer ON storage_layer.id = layer_id GROUP BY repository_id, holders"
        ):
            held = [span for image_id in holders.split(",") for span in spans[int(image_id)]]
            usages.setdefault(repository_id, Usage()).add(measure(held, since, until), size)
        return usages


def measure(spans: Sequence[Span], since: float, until: float) -> Usage:
    """Return for how long something was stored that is held by the images of `spans`, counted once at each moment.

    It is in the class STANDARD as long as one image holds it there. A restore counts when it is what brings it there.
    """
    ordered = sorted(spans) if len(spans) > 1 else spans
    standard = [span for span in ordered if not span.is_archived]
    in_standard = _length(standard, since, until)
    in_either = in_standard if len(standard) == len(ordered) else _length(ordered, since, until)
    held = any(span.began <= until < span.ended for span in standard)
    kept = held or (len(standard) < len(ordered) and any(span.began <= until < span.ended for span in ordered))
    return Usage(
        standard=in_standard,
        archive=in_either - in_standard,
        restored=_restores(standard, since, until),
        standard_now=int(held),
        archive_now=int(kept and not held),
    )


def _length(ordered: Iterable[Span], since: float, until: float) -> float:
    """Return the seconds of a period that at least one span covers."""
    total, reach = 0.0, since
    for span in ordered:
        if span.ended > reach:
            total += max(0.0, min(span.ended, until) - max(span.began, reach))
            reach = span.ended
            if reach >= until:
                break
    return total


def _restores(ordered: Iterable[Span], since: float, until: float) -> int:
    count, reach = 0, -math.inf
    for span in ordered:
        if span.is_restored and span.began > reach and since <= span.began <= until:
            count += 1
        reach = max(reach, span.ended)
    return count


def _span(began: float, is_restored: int, ended: float | None, is_archived: int, is_deleted: int) -> Span:
    """Return a stay as it is charged: an archived image that is deleted early, for the least time nevertheless."""
    if ended is None:
        ended = math.inf
    elif is_archived and is_deleted:
        ended = max(ended, began + prices.ARCHIVE_MINIMUM)
    return Span(began, bool(is_restored), ended, bool(is_archived))


def _priced(
    account: str,
    region: str,
    repository: str | None,
    is_deleted: bool,
    usage: Usage,
    archive_rate: float,
    archive_rate_now: float,
) -> Cost:
    standard, archive = usage.standard / GB / MONTH, usage.archive / GB / MONTH
    restored, transferred = usage.restored / GB, usage.transferred / GB
    charges = (
        standard * prices.STORAGE.dollars,
        archive * archive_rate,
        restored * prices.RESTORE.dollars,
        transferred * prices.TRANSFER_HERE.dollars,
    )
    return Cost(
        account,
        region,
        repository,
        is_deleted,
        standard,
        archive,
        restored,
        transferred,
        *charges,
        cost=sum(charges),
        monthly_cost=usage.standard_now / GB * prices.STORAGE.dollars + usage.archive_now / GB * archive_rate_now,
        internet_cost=transferred * prices.TRANSFER_OUT.dollars,
    )
