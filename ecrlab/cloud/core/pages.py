"""Pages of a listing: opaque tokens over the last key that was given out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ecrlab.cloud.core.errors import InvalidParameter

T = TypeVar("T")

# A listing continues after this key; the members have the listing's own order.
Key = list[str | int | float]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and the token of the next page (None on the last one)."""

    items: Sequence[T]
    next_token: str | None = None


def page(items: Sequence[T], limit: int, key: Callable[[T], Key]) -> Page[T]:
    """Cut a listing that was read with one item more than `limit`, so that a next page is known to exist."""
    if len(items) <= limit:
        return Page(items)
    kept = items[:limit]
    return Page(kept, encode(key(kept[-1])))


def page_of(items: Sequence[T], limit: int, token: str | None) -> Page[T]:
    """Cut a page out of a listing that is whole in memory; its token is a position. Raises InvalidParameter."""
    (start,) = decode(token, (int,)) or [0]
    assert isinstance(start, int)
    first = max(start, 0)
    end = first + limit
    return Page(items[first:end], encode([end]) if end < len(items) else None)


def encode(key: Key) -> str:
    """Return the token that continues after `key`."""
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode()


def decode(token: str | None, kinds: tuple[type, ...]) -> Key | None:
    """Return the key in a token, its members of `kinds`; None without token. Raises InvalidParameter."""
    if token is None:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        json.dumps(key, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or [type(member) for member in key] != list(kinds)
        or any(isinstance(member, int) and abs(member) >= 2**63 for member in key)
    ):
        raise InvalidParameter("nextToken", "must be a token that an earlier page returned")
    return key
