"""Calls to the control address of a running cloud (/_ecrlab/…)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ecrlab.lab.errors import LabError
from ecrlab.lab.state import Record


def health(record: Record, timeout: float = 2.0) -> dict[str, Any] | None:
    """What the cloud says of itself, None when it does not answer within ``timeout`` seconds."""
    try:
        status, body = _call(record, "GET", "/_ecrlab/health", timeout)
        answer = json.loads(body)
    except (OSError, ValueError):
        return None
    return answer if status == 200 and isinstance(answer, dict) else None


def reset(record: Record, timeout: float = 60.0) -> None:
    """Wipe the registries of the running cloud.

    Raises LabError when the cloud does not answer or refuses.
    """
    try:
        status, body = _call(record, "POST", "/_ecrlab/reset", timeout)
    except OSError as error:
        raise LabError(f"The cloud at {record.endpoint} does not answer ({error}).") from error
    if not 200 <= status < 300:
        raise LabError(f"The cloud refused to reset (status {status}: {body.decode(errors='replace')[:200]}).")


def clock(record: Record, advance: float | None = None, timeout: float = 60.0) -> dict[str, float]:
    """The lab's time (``now``) and how far it is ahead (``offset``), in seconds, after a move by ``advance`` seconds.

    Raises LabError when the cloud does not answer or refuses.
    """
    body = None if advance is None else json.dumps({"advance": advance}).encode()
    try:
        status, answer = _call(record, "GET" if body is None else "POST", "/_ecrlab/clock", timeout, body)
    except OSError as error:
        raise LabError(f"The cloud at {record.endpoint} does not answer ({error}).") from error
    if status != 200:
        raise LabError(f"The clock was not moved: {json.loads(answer)['message']}.")
    told: dict[str, float] = json.loads(answer)
    return told


def cost(record: Record, period: Mapping[str, float], timeout: float = 60.0) -> dict[str, Any]:
    """What the registries cost, in all or between ``since`` and ``until`` (seconds since the epoch).

    Raises LabError when the cloud does not answer, or ``period`` is none.
    """
    from urllib.parse import urlencode

    try:
        status, answer = _call(record, "GET", f"/_ecrlab/cost?{urlencode(period)}", timeout)
    except OSError as error:
        raise LabError(f"The cloud at {record.endpoint} does not answer ({error}).") from error
    if status != 200:
        raise LabError(f"The cloud does not tell the costs (status {status}: {answer.decode(errors='replace')[:200]}).")
    told: dict[str, Any] = json.loads(answer)
    return told


def events(record: Record, timeout: float = 10.0) -> list[dict[str, Any]]:
    """What happened in the registries, as EventBridge would tell it: the newest hundred, the oldest of them first.

    Raises LabError when the cloud does not answer or refuses.
    """
    try:
        status, answer = _call(record, "GET", "/_ecrlab/events", timeout)
    except OSError as error:
        raise LabError(f"The cloud at {record.endpoint} does not answer ({error}).") from error
    if status != 200:
        raise LabError(f"The cloud refused to tell its events (status {status}).")
    told: list[dict[str, Any]] = json.loads(answer)["events"]
    return told


def _call(record: Record, method: str, path: str, timeout: float, body: bytes | None = None) -> tuple[int, bytes]:
    # http.client and not urllib: no proxy may come between this process and its own loopback.
    import http.client
    from urllib.parse import urlsplit

    connection = http.client.HTTPConnection(urlsplit(record.endpoint or "").netloc, timeout=timeout)
    try:
        connection.request(method, path, body, headers={"X-Ecrlab-Token": record.control_token})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error!r}") from error
    finally:
        connection.close()
