"""What happened in the registries, as EventBridge would tell it: newest last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.image import Image
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.storage import Database

IMAGE_ACTION = "ECR Image Action"
MAX_EVENTS = 100_000  # kept; the oldest go first


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `time` in seconds since the epoch, UTC."""

    time: float
    registry: Registry
    detail_type: str
    detail: dict[str, Any]


class Events:
    """The events of every registry."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, registry: Registry, detail_type: str, detail: dict[str, Any]) -> None:
        """Remember an event."""
        self._database.execute(
            "INSERT INTO event (time, account, region, detail_type, detail) VALUES (?, ?, ?, ?, ?)",
            (self._clock.now(), registry.account, registry.region, detail_type, json.dumps(detail)),
        )
        self._database.execute("DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?", (MAX_EVENTS,))

    def image_action(self, image: Image, action: str, *, tag: str | None = None, by: str | None = None) -> None:
        """Remember what was done to an image: PUSH, DELETE, ARCHIVE or ACTIVATE; `by`: what of the lab did it."""
        detail = {
            "result": "SUCCESS",
            "repository-name": image.repository.name,
            "image-digest": image.digest,
            "action-type": action,
            "image-tag": tag,
            "initiated-by": by,
        }
        present = {key: value for key, value in detail.items() if value is not None}
        self.add(image.repository.registry, IMAGE_ACTION, present)

    def all(self, *, limit: int = 100) -> list[Event]:
        """Return the newest events, the oldest of them first."""
        rows = self._database.all("SELECT * FROM event ORDER BY id DESC LIMIT ?", (limit,))
        return [
            Event(row["time"], Registry(row["account"], row["region"]), row["detail_type"], json.loads(row["detail"]))
            for row in reversed(rows)
        ]
