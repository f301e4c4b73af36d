"""The lab's clock: ahead of real time by as much as the learner moved it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ecrlab.lab.control import clock as _ask
from ecrlab.lab.state import Record

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_STEP = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[dhms])+")


class Clock:
    """The clock by which tokens expire, lifecycle rules act and scans are due."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def now(self) -> datetime:
        """Return the lab's time (UTC). Raises LabError when the lab does not answer."""
        return datetime.fromtimestamp(_ask(self._record)["now"], UTC)

    @property
    def ahead(self) -> timedelta:
        """How far the lab's clock is ahead of real time."""
        return timedelta(seconds=_ask(self._record)["offset"])

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> datetime:
        """Move the clock forward; what falls due until then is done. Returns the lab's new time (UTC).

        Raises LabError, for a step back too: what happened cannot be undone.
        """
        step = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return datetime.fromtimestamp(_ask(self._record, step.total_seconds())["now"], UTC)

    def __repr__(self) -> str:
        told = _ask(self._record)
        now = datetime.fromtimestamp(told["now"], UTC)
        ahead = timedelta(seconds=round(told["offset"]))
        return f"{now:%Y-%m-%d %H:%M:%S} UTC" + (f", {ahead} ahead of real time" if ahead else "")


def parse_step(text: str) -> timedelta:
    """Return the time that `15d`, `12h`, `90m`, `30s` or `1d12h` means. Raises ValueError."""
    if not _STEP.fullmatch(text):
        raise ValueError(f"{text!r} is not a time: write 15d, 12h, 90m, 30s or 1d12h")
    parts = re.findall(r"([0-9.]+)([dhms])", text)
    return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta())
