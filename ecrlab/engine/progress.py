"""The stream of JSON messages that the docker CLI and SDK show while an image moves."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

_INTERVAL = 0.1
_BAR = 50


class Progress:
    """Messages on their way to a client. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._ready = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def send(self, message: dict[str, Any]) -> None:
        """Send a message as it is."""
        self._lines.append(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\r\n")
        self._loop.call_soon_threadsafe(self._ready.set)

    def status(self, text: str, id: str | None = None) -> None:
        """Send a line of text, with the tag it belongs to."""
        self.send({"status": text} if id is None else {"status": text, "id": id})

    def layer(self, id: str, status: str) -> None:
        """Send the state of a layer; `id` is the 12 characters that stand for it."""
        self.send({"status": status, "progressDetail": {}, "id": id})

    def aux(self, value: dict[str, Any]) -> None:
        """Send a value for programs to read."""
        self.send({"progressDetail": {}, "aux": value})

    def meter(self, id: str, status: str, total: int) -> Callable[[int], None]:
        """Return a function to be told the bytes done since its last call; it sends about ten messages a second."""
        done = 0
        due = 0.0

        def advance(count: int) -> None:
            nonlocal done, due
            done += count
            now = time.monotonic()
            if count and now >= due:
                due = now + _INTERVAL
                detail = {"current": done, "total": total}
                self.send({"status": status, "progressDetail": detail, "progress": bar(done, total), "id": id})

        return advance

    def close(self) -> None:
        """End the stream."""
        self._closed = True
        self._loop.call_soon_threadsafe(self._ready.set)

    async def batches(self) -> AsyncIterator[bytes]:
        """Yield the messages, as many at once as there are, until the stream is closed."""
        while True:
            self._ready.clear()
            lines = []
            while self._lines:
                lines.append(self._lines.popleft())
            if lines:
                yield b"".join(lines)
            elif self._closed:
                return
            else:
                await self._ready.wait()


def error_line(message: str) -> bytes:
    """Return the message that ends a stream which failed."""
    return json.dumps({"errorDetail": {"message": message}, "error": message}).encode() + b"\r\n"


def bar(current: int, total: int) -> str:
    """Return the progress bar that Docker sends for clients that draw none themselves."""
    if total <= 0 or current > total:
        return f"{human(current):>8}"
    filled = current * _BAR // total
    return f"[{'=' * filled}>{' ' * (_BAR - filled)}] {human(current):>8}/{human(total)}"


def human(size: float) -> str:
    """Return bytes with a decimal unit and four digits, as Docker writes sizes."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}TB"
