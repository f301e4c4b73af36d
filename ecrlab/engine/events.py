"""What happened to images, told to the clients that listen (`docker events`)."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_REMEMBERED = 256
_WAITING = 1024

Event = dict[str, Any]


class Events:
    """The events of this engine since it started; the last 256 are remembered for late listeners."""

    def __init__(self) -> None:
        self._past: deque[Event] = deque(maxlen=_REMEMBERED)
        self._listeners: set[asyncio.Queue[Event | None]] = set()

    def emit(self, action: str, subject: str, attributes: Mapping[str, str]) -> None:
        """Tell all listeners that `action` happened to the image `subject` (an ID or a name)."""
        now = time.time_ns()
        event: Event = {
            "Type": "image",
            "Action": action,
            "Actor": {"ID": subject, "Attributes": dict(attributes)},
            "scope": "local",
            "time": now // 10**9,
            "timeNano": now,
        }
        if subject:
            event = {"status": action, "id": subject, **event}
        self._past.append(event)
        for queue in list(self._listeners):
            if queue.full():
                # A client that reads nothing must not hold the memory of the engine.
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def since(self, start: float) -> list[Event]:
        """Return the remembered events from `start` (Unix seconds) on."""
        return [event for event in self._past if event["timeNano"] >= start * 1e9]

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[Event | None]]:
        """Give a queue that receives every further event, and None when no more will come."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_WAITING)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """End all streams of events."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
