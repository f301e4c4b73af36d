"""How much work one image may cause, and the error that ends a scan."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1024 * 1024


class LayerError(Exception):
    """A layer cannot be read to its end; the message says why, in one sentence without its full stop."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one scan. All sizes are bytes; `ratio` is uncompressed to compressed."""

    uncompressed_bytes: int = 20 * 1024 * MIB
    ratio: int = 200
    ratio_after_bytes: int = 64 * MIB
    """Small layers of zeros compress better than any bound and do no harm: the ratio counts from here on."""
    entries: int = 1_000_000
    file_bytes: int = 32 * MIB
    """Of a package database, which is held in memory while it is read."""
    packages: int = 100_000
    path_bytes: int = 128 * MIB
    """Of the paths of package records with their parent directories, which are held during the walk."""
    problems: int = 200


@dataclass(slots=True)
class Budget:
    """What a scan has used of its limits, over all layers of the image."""

    limits: Limits = field(default_factory=Limits)
    uncompressed_bytes: int = 0
    entries: int = 0
    packages: int = 0
    path_bytes: int = 0

    def spend_bytes(self, size: int) -> None:
        """Count `size` uncompressed bytes; raises LayerError over the bound."""
        self.uncompressed_bytes += size
        if self.uncompressed_bytes > self.limits.uncompressed_bytes:
            raise LayerError(f"the image unpacks to more than {self.limits.uncompressed_bytes} bytes")

    def spend_entry(self) -> None:
        """Count one archive entry; raises LayerError over the bound."""
        self.entries += 1
        if self.entries > self.limits.entries:
            raise LayerError(f"the image has more than {self.limits.entries} archive entries")

    def spend_path(self, path: str) -> None:
        """Count a path that is remembered with its parents; raises LayerError over the bound."""
        self.path_bytes += len(path) * (1 + path.count("/")) // 2
        if self.path_bytes > self.limits.path_bytes:
            raise LayerError("the paths of its package records are too many or too long")

    def spend_packages(self, count: int) -> None:
        """Count package records; raises LayerError over the bound."""
        self.packages += count
        if self.packages > self.limits.packages:
            raise LayerError(f"the image records more than {self.limits.packages} packages")


@dataclass(slots=True)
class Problems:
    """Entries passed over. Keeps the first ones and counts the rest, so that a hostile image cannot fill the memory."""

    limit: int
    _kept: dict[str, None] = field(default_factory=dict)
    _dropped: int = 0

    def add(self, problem: str) -> None:
        """Remember a problem once."""
        if problem in self._kept:
            return
        if len(self._kept) < self.limit:
            self._kept[problem] = None
        else:
            self._dropped += 1

    def all(self) -> tuple[str, ...]:
        """Return the problems in the order found; a last line counts those not kept."""
        more = (f"and {self._dropped} more problems",) if self._dropped else ()
        return (*self._kept, *more)
