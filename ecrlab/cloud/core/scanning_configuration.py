"""Which repositories are scanned, and when (ecr-semantics section 13)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.core.errors import Validation
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.core.settings import Settings

KIND = "scanning"
MAX_RULES = 2
_FREQUENCIES = {"BASIC": ("SCAN_ON_PUSH",), "ENHANCED": ("SCAN_ON_PUSH", "CONTINUOUS_SCAN")}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How one repository is scanned. `frequency` is SCAN_ON_PUSH, CONTINUOUS_SCAN or MANUAL, None when never."""

    frequency: str | None
    filters: tuple[str, ...]

    @property
    def on_push(self) -> bool:
        """Whether a pushed image is scanned."""
        return self.frequency in ("SCAN_ON_PUSH", "CONTINUOUS_SCAN")


class ScanningConfiguration:
    """The scanning configuration of every registry."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get(self, registry: Registry) -> Mapping[str, Any]:
        """Return the configuration in the members of the API: scanType and rules."""
        stored = self._settings.get(registry, KIND)
        return stored.value if stored else {"scanType": "BASIC", "rules": []}

    def put(self, registry: Registry, scan_type: str | None, rules: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Replace the configuration whole and return it. Raises Validation."""
        chosen = scan_type or self.get(registry)["scanType"]
        if len(rules) > MAX_RULES:
            raise Validation(f"A registry can have no more than {MAX_RULES} scanning rules")
        frequencies = [rule["scanFrequency"] for rule in rules]
        for frequency in frequencies:
            if frequency not in _FREQUENCIES[chosen]:
                raise Validation(f"The scan frequency {frequency} is not one of the scan type {chosen}")
        if len(set(frequencies)) < len(frequencies):
            raise Validation("A scan frequency can be given only once")
        value: Mapping[str, Any] = self._settings.put(registry, KIND, {"scanType": chosen, "rules": list(rules)}).value
        return value

    def schedule(self, repository: Repository) -> Schedule:
        """Return how a repository is scanned: the registry's rules, else its own setting."""
        configuration = self.get(repository.registry)
        matches = {
            rule["scanFrequency"]: tuple(
                item["filter"] for item in rule["repositoryFilters"] if _matches(item["filter"], repository.name)
            )
            for rule in configuration["rules"]
        }
        for frequency in ("CONTINUOUS_SCAN", "SCAN_ON_PUSH"):  # where both match, continuous scanning wins
            if matches.get(frequency):
                return Schedule(frequency, matches[frequency])
        if configuration["scanType"] == "ENHANCED":
            return Schedule(None, ())
        return Schedule("SCAN_ON_PUSH" if repository.scan_on_push else "MANUAL", ())


def _matches(pattern: str, name: str) -> bool:
    """A filter without wildcard matches every name that contains it, one with wildcard the whole name."""
    if "*" not in pattern:
        return pattern in name
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
