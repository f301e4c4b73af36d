"""What is put into a registry as a whole: named JSON documents of a kind (policy, scanning, template …)."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.pages import Page, decode, page
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.storage import Database


@dataclass(frozen=True, slots=True)
class Setting:
    """One document; times in seconds since the epoch, UTC."""

    name: str
    value: Any
    created_at: float
    updated_at: float


class Settings:
    """The settings of every registry."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, registry: Registry, kind: str, name: str = "") -> Setting | None:
        """Return a document, or None."""
        row = self._database.one(
            "SELECT * FROM setting WHERE account = ? AND region = ? AND kind = ? AND name = ?",
            (registry.account, registry.region, kind, name),
        )
        return _setting(row) if row else None

    def put(self, registry: Registry, kind: str, value: Any, name: str = "") -> Setting:
        """Store a document, or replace it whole; its time of creation stays."""
        now = self._clock.now()
        self._database.execute(
            "INSERT INTO setting (account, region, kind, name, value, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, region, kind, name)"
            " DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
            (registry.account, registry.region, kind, name, json.dumps(value), now, now),
        )
        stored = self.get(registry, kind, name)
        assert stored is not None
        return stored

    def delete(self, registry: Registry, kind: str, name: str = "") -> Setting | None:
        """Remove a document and return it; None when there was none."""
        stored = self.get(registry, kind, name)
        self._database.execute(
            "DELETE FROM setting WHERE account = ? AND region = ? AND kind = ? AND name = ?",
            (registry.account, registry.region, kind, name),
        )
        return stored

    def describe(self, registry: Registry, kind: str, *, limit: int, token: str | None = None) -> Page[Setting]:
        """Return the documents of a kind, in the order of their names."""
        after = decode(token, (str,)) or [""]
        rows = self._database.all(
            "SELECT * FROM setting WHERE account = ? AND region = ? AND kind = ? AND name > ? ORDER BY name LIMIT ?",
            (registry.account, registry.region, kind, after[0], limit + 1),
        )
        return page([_setting(row) for row in rows], limit, lambda item: [item.name])

    def count(self, registry: Registry, kind: str) -> int:
        """Return how many documents of a kind there are."""
        (count,) = self._database.execute(
            "SELECT count(*) FROM setting WHERE account = ? AND region = ? AND kind = ?",
            (registry.account, registry.region, kind),
        ).fetchone()
        return int(count)


def _setting(row: sqlite3.Row) -> Setting:
    return Setting(row["name"], json.loads(row["value"]), row["created_at"], row["updated_at"])
