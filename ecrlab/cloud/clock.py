"""The lab's clock: real time plus an offset that the learner can move forward."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch, UTC, as the lab sees them."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def now(self) -> float:
        """Return the lab's time in seconds since the epoch, UTC."""
        return time.time() + self.offset
