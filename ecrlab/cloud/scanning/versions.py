"""Order of versions in each ecosystem, and what OSV ranges say of a version.

Source: OSV schema, "Evaluation" (https://ossf.github.io/osv-schema/#evaluation).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cmp_to_key, lru_cache
from typing import Any

from ecrlab.cloud.scanning.advisories import Range

_CLASSES = {
    "Debian": "DebianVersion",
    "Ubuntu": "DebianVersion",
    "PyPI": "PypiVersion",
    "npm": "SemverVersion",
    "Go": "GolangVersion",
    "Maven": "MavenVersion",
}
_VERSION_CHARACTERS = 256


class VersionError(ValueError):
    """A version that its ecosystem cannot order; the message is a sentence without its full stop."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a version is in the ranges, and the first version with the fix (None when there is none yet)."""

    affected: bool
    fixed: str | None = None


@lru_cache(maxsize=8192)
def parse_version(ecosystem: str, text: str) -> Any:
    """Return a value that orders by `<` against others of its ecosystem. Raises VersionError."""
    from univers import versions  # 150 ms, which a starting cloud has no time for

    name = _CLASSES.get(ecosystem.partition(":")[0])
    if name is None:
        raise VersionError(f"versions of {ecosystem} cannot be ordered yet")
    if len(text) > _VERSION_CHARACTERS:
        raise VersionError(f"a version of {len(text)} characters is too long")
    try:
        version = getattr(versions, name)(text)
    except ValueError:
        raise VersionError(f"{text!r} is not a version of {ecosystem}") from None
    if name == "DebianVersion" and version.normalized_string != text:
        raise VersionError(f"{text!r} is not a version of {ecosystem}")  # univers mends what dpkg refuses
    return version


def evaluate(ecosystem: str, version: str, ranges: Iterable[Range]) -> Verdict:
    """Return whether `version` is affected by one of the ranges. Raises VersionError for any that cannot be ordered."""
    installed = parse_version(ecosystem, version)
    affected = False
    fixes: list[tuple[Any, str]] = []
    for span in ranges:
        if not _is_within(ecosystem, installed, span):
            continue
        affected = True
        fixes += [
            (parsed, event.version)
            for event in span.events
            if event.kind == "fixed" and installed < (parsed := parse_version(ecosystem, event.version))
        ]
    if not fixes:
        return Verdict(affected)
    return Verdict(affected, min(fixes, key=cmp_to_key(_compare))[1])


def _is_within(ecosystem: str, installed: Any, span: Range) -> bool:
    # "0" is below every version, also below one such as "0~rc1" that the ecosystem orders before 0.
    lowest = [event for event in span.events if event.kind == "introduced" and event.version == "0"]
    others = [(parse_version(ecosystem, event.version), event) for event in span.events if event not in lowest]
    others.sort(key=cmp_to_key(_compare))
    within = bool(lowest)
    limits = []
    for version, event in others:
        reached = not installed < version
        if event.kind == "limit":
            limits.append(not reached)
        elif event.kind == "introduced" and reached:
            within = True
        elif (event.kind == "fixed" and reached) or (event.kind == "last_affected" and version < installed):
            within = False
    return within and (not limits or any(limits))


def _compare(one: tuple[Any, object], other: tuple[Any, object]) -> int:
    return -1 if one[0] < other[0] else int(other[0] < one[0])
