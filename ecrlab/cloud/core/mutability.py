"""Which tags may move (ecr-semantics section 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ecrlab.cloud.core.errors import InvalidParameter

MODES = ("MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION")


def validate(mode: str, filters: Sequence[str]) -> None:
    """Raise InvalidParameter unless the mode and its exclusion filters go together."""
    if mode.endswith("_WITH_EXCLUSION") != bool(filters):
        raise InvalidParameter(
            "imageTagMutabilityExclusionFilters",
            "must be given with IMMUTABLE_WITH_EXCLUSION and MUTABLE_WITH_EXCLUSION, and only with them",
        )
    for pattern in filters:
        if pattern.count("*") > 2:
            raise InvalidParameter(
                "imageTagMutabilityExclusionFilters", "A filter must have no more than 2 wildcards (*)"
            )


def is_frozen(mode: str, filters: Sequence[str], tag: str) -> bool:
    """Tell whether `tag`, once given, stays with its image. The filters turn the mode round for the tags they match."""
    excluded = any(_matches(pattern, tag) for pattern in filters)
    return mode.startswith("IMMUTABLE") != excluded


def _matches(pattern: str, tag: str) -> bool:
    # A wildcard stands for any run of characters, a dot for itself; the whole tag must match.
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), tag) is not None
