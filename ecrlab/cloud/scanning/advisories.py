"""Advisories: which versions of which packages are known to be vulnerable.

Records are in the Open Source Vulnerability format (https://ossf.github.io/osv-schema/).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ecrlab.cloud.scanning.python import normal_name

_EVENTS = ("introduced", "fixed", "last_affected", "limit")


class AdvisoryError(ValueError):
    """An advisory that cannot be used; the message names the record and the place in it."""


@dataclass(frozen=True, slots=True)
class Event:
    """A point of a range. `kind` is introduced, fixed, last_affected or limit."""

    kind: str
    version: str


@dataclass(frozen=True, slots=True)
class Range:
    """Versions between events, in the order of the ecosystem."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Affected:
    """One package in one ecosystem that an advisory speaks of. `severity` is the distribution's word, or ""."""

    ecosystem: str
    name: str
    ranges: tuple[Range, ...]
    versions: frozenset[str]
    severity: str


@dataclass(frozen=True, slots=True)
class Advisory:
    """One OSV record. `severity` is the record's own word, or ""; `vectors` maps CVSS_V2, CVSS_V3 and CVSS_V4."""

    id: str
    name: str
    """The CVE id where the record has one, else its own id."""
    description: str
    severity: str
    vectors: Mapping[str, str]
    references: tuple[str, ...]
    modified: datetime
    affected: tuple[Affected, ...]


class AdvisoryTable:
    """Advisories by ecosystem and package name. `updated_at` (UTC) is the date of the data, not of its loading."""

    def __init__(self, advisories: Iterable[Advisory], updated_at: datetime) -> None:
        self.updated_at = updated_at
        self._entries: dict[tuple[str, str], list[tuple[Advisory, Affected]]] = {}
        self._ecosystems: set[str] = set()
        self._count = 0
        for advisory in advisories:
            self._count += 1
            for affected in advisory.affected:
                self._ecosystems.add(affected.ecosystem)
                key = (affected.ecosystem, _key(affected.ecosystem, affected.name))
                self._entries.setdefault(key, []).append((advisory, affected))

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]], updated_at: datetime | None = None) -> AdvisoryTable:
        """Return a table of OSV records; withdrawn ones are left out.

        Without `updated_at` the table is as old as its newest record. Raises AdvisoryError for a record that is not
        in the format, and for an empty table without a date.
        """
        advisories = [
            advisory
            for number, record in enumerate(records, start=1)
            if (advisory := _advisory(record, number)) is not None
        ]
        if updated_at is None:
            if not advisories:
                raise AdvisoryError("there is no advisory, and no date was given")
            updated_at = max(advisory.modified for advisory in advisories)
        return cls(advisories, updated_at)

    @classmethod
    def load(cls, path: Path) -> AdvisoryTable:
        """Return the table in a JSON file: one OSV record, a list of them, or {"updated_at", "advisories"}.

        Raises AdvisoryError for a file that holds none of these, OSError when it cannot be read.
        """
        return cls._from_json(path.read_bytes(), path.name)

    @classmethod
    def _from_json(cls, text: bytes, origin: str) -> AdvisoryTable:
        try:
            data = json.loads(text)
        except ValueError as error:  # also bad UTF-8
            raise AdvisoryError(f"{origin} is not JSON: {error}") from None
        updated_at = None
        if isinstance(data, dict) and "advisories" in data:
            if "updated_at" in data:
                updated_at = _date(data["updated_at"], f"{origin}: updated_at")
            data = data["advisories"]
        elif isinstance(data, dict):
            data = [data]
        if not isinstance(data, list):
            raise AdvisoryError(f"{origin} holds no list of advisories")
        return cls.from_records(data, updated_at)

    def lookup(self, ecosystem: str, name: str) -> tuple[tuple[Advisory, Affected], ...]:
        """Return the advisories for a package, also those that name its ecosystem without a release."""
        base = ecosystem.partition(":")[0]
        key = _key(ecosystem, name)
        found = list(self._entries.get((ecosystem, key), ()))
        if base != ecosystem:
            found += self._entries.get((base, key), ())
        return tuple(found)

    def covers(self, ecosystem: str) -> bool:
        """Return whether the table knows the ecosystem in this release at all: silence about others says nothing."""
        return ecosystem in self._ecosystems

    def __len__(self) -> int:
        return self._count


@cache
def builtin() -> AdvisoryTable:
    """Return the table that comes with ecrlab; loaded once."""
    data = resources.files("ecrlab.cloud.scanning").joinpath("advisories.json").read_bytes()
    return AdvisoryTable._from_json(data, "advisories.json")


def _key(ecosystem: str, name: str) -> str:
    return normal_name(name) if ecosystem == "PyPI" else name


def _advisory(record: Any, number: int) -> Advisory | None:
    where = f"advisory number {number}"
    if not isinstance(record, Mapping):
        raise AdvisoryError(f"{where} is not an object")
    own_id = _text(record, "id", where)
    where = f"advisory {own_id}"
    modified = _date(record.get("modified"), f"{where}: modified")
    if record.get("withdrawn"):
        return None
    own = _mapping(record, "database_specific", where)
    vectors = {}
    for number, item in enumerate(_list(record, "severity", where)):
        place = f"{where}: severity[{number}]"
        vectors[_text(item, "type", place)] = _text(item, "score", place)
    references = tuple(
        _text(item, "url", f"{where}: references[{number}]")
        for number, item in enumerate(_list(record, "references", where))
    )
    return Advisory(
        id=own_id,
        name=_cve(own_id, [*_list(record, "aliases", where), *_list(record, "upstream", where)]),
        description=str(record.get("summary") or record.get("details") or ""),
        severity=str(own.get("severity") or ""),
        vectors=vectors,
        references=references,
        modified=modified,
        affected=tuple(
            _affected(item, f"{where}: affected[{number}]")
            for number, item in enumerate(_list(record, "affected", where))
        ),
    )


def _cve(own_id: str, others: list[Any]) -> str:
    if own_id.startswith("CVE-"):
        return own_id
    cves = [other for other in others if isinstance(other, str) and other.startswith("CVE-")]
    return cves[0] if len(cves) == 1 else own_id  # a notice about several CVEs is none of them


def _affected(item: Any, where: str) -> Affected:
    if not isinstance(item, Mapping):
        raise AdvisoryError(f"{where} is not an object")
    package = _mapping(item, "package", where)
    ranges = []
    for number, span in enumerate(_list(item, "ranges", where)):
        place = f"{where}.ranges[{number}]"
        if _text(span, "type", place) == "GIT":
            continue  # commits, which no package manager records
        ranges.append(_range(span, place))
    versions = _list(item, "versions", where)
    if not all(isinstance(version, str) for version in versions):
        raise AdvisoryError(f"{where}.versions holds something that is not text")
    own = {**_mapping(item, "database_specific", where), **_mapping(item, "ecosystem_specific", where)}
    return Affected(
        ecosystem=_text(package, "ecosystem", f"{where}.package"),
        name=_text(package, "name", f"{where}.package"),
        ranges=tuple(ranges),
        versions=frozenset(versions),
        severity=str(own.get("urgency") or own.get("severity") or ""),
    )


def _range(span: Mapping[str, Any], where: str) -> Range:
    events = []
    for number, item in enumerate(_list(span, "events", where)):
        place = f"{where}.events[{number}]"
        if not isinstance(item, Mapping) or len(item) != 1 or next(iter(item)) not in _EVENTS:
            raise AdvisoryError(f"{place} is not exactly one of {', '.join(_EVENTS)}")
        kind = next(iter(item))
        version = _text(item, kind, place)
        if kind != "limit" or version != "*":  # "*" is no limit
            events.append(Event(kind, version))
    if not any(event.kind == "introduced" for event in events):
        raise AdvisoryError(f"{where} has no introduced event")
    return Range(tuple(events))


def _text(item: Any, key: str, where: str) -> str:
    value = item.get(key) if isinstance(item, Mapping) else None
    if not isinstance(value, str) or not value:
        raise AdvisoryError(f"{where} has no {key}")
    return value


def _list(item: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = item.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise AdvisoryError(f"{where}: {key} is not a list")
    return value


def _mapping(item: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = item.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise AdvisoryError(f"{where}: {key} is not an object")
    return value


def _date(value: Any, where: str) -> datetime:
    try:
        date = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise AdvisoryError(f"{where}: {value!r} is not a date such as 2026-01-31T00:00:00Z") from None
    return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
