"""Principals whose pulls do not count for the last pull time (ecr-semantics section 19)."""

from __future__ import annotations

from ecrlab.cloud.core.errors import ExclusionAlreadyExists, ExclusionNotFound, LimitExceeded
from ecrlab.cloud.core.pages import Page
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.settings import Setting, Settings

KIND = "pull-time-exclusion"
MAX_EXCLUSIONS = 100


class Exclusions:
    """The pull-time update exclusions of every registry, each under the ARN of its principal."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def register(self, registry: Registry, arn: str) -> Setting:
        """Exclude a principal. Raises ExclusionAlreadyExists, LimitExceeded."""
        if self.covers(registry, arn):
            raise ExclusionAlreadyExists(f"A pull time update exclusion for the principal '{arn}' already exists")
        if self._settings.count(registry, KIND) >= MAX_EXCLUSIONS:
            raise LimitExceeded(f"A registry can have no more than {MAX_EXCLUSIONS} pull time update exclusions")
        return self._settings.put(registry, KIND, True, arn)

    def deregister(self, registry: Registry, arn: str) -> None:
        """Count a principal's pulls again. Raises ExclusionNotFound."""
        if self._settings.delete(registry, KIND, arn) is None:
            raise ExclusionNotFound(f"A pull time update exclusion for the principal '{arn}' does not exist")

    def describe(self, registry: Registry, *, limit: int, token: str | None = None) -> Page[Setting]:
        """Return the exclusions in the order of their ARNs."""
        return self._settings.describe(registry, KIND, limit=limit, token=token)

    def covers(self, registry: Registry, arn: str) -> bool:
        """Tell whether pulls by this principal do not count; the session of a role is covered by its role."""
        return any(self._settings.get(registry, KIND, name) for name in (arn, _role_of(arn)))


def _role_of(arn: str) -> str:
    """Return the ARN of a session's role, or the ARN itself: assumed-role/R/session belongs to role/R."""
    head, slash, tail = arn.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{tail.partition('/')[0]}" if slash else arn
