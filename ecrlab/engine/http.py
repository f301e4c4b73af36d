"""How requests are read and answers are written: errors, filters, streams of progress."""

import asyncio
import errno
import json
import re
import sqlite3
import sys
import traceback
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import metadata
from typing import Any

from aiohttp import web

from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import EngineError, InvalidParameter, storage_error
from ecrlab.engine.images import Filters
from ecrlab.engine.progress import Progress, error_line

API_VERSION = "1.44"
MIN_API_VERSION = "1.24"
ENGINE = web.AppKey("engine", Engine)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_VERSIONED = re.compile(r"/v(\d+)\.(\d+)(?=/)")
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure as `{"message": …}`, the form that the docker CLI and SDK print."""
    try:
        _check_client(request)
        return await handler(request)
    except EngineError as error:
        return refusal(error.status, str(error))
    except web.HTTPException as error:
        return refusal(error.status, "page not found" if error.status == 404 else error.reason)
    except Exception as error:
        return refusal(500, str(_broken(error)))


async def mark(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on an answer that tell a client which engine and API it speaks with."""
    response.headers["Api-Version"] = API_VERSION
    response.headers["Docker-Experimental"] = "false"
    response.headers["Ostype"] = "linux"
    response.headers["Builder-Version"] = "1"
    response.headers["Server"] = f"ecrlab/{engine_version()} (linux)"


@cache
def engine_version() -> str:
    """Return the version of ecrlab."""
    return metadata.version("ecrlab")


def refusal(status: int, message: str) -> web.Response:
    """Return an error answer."""
    return answer({"message": message}, status=status)


def answer(document: Any, status: int = 200) -> web.Response:
    """Return a JSON answer. The docker CLI reads an error only when no charset follows its content type."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def filters(request: web.Request) -> Filters:
    """Return the filters of a query, in either form that clients send them; raises InvalidParameter."""
    text = request.query.get("filters", "")
    if not text:
        return {}
    try:
        document = json.loads(text)
        items = {key: list(value) for key, value in document.items()}
    except (ValueError, AttributeError, TypeError):
        raise InvalidParameter("invalid filter: a JSON object of lists is expected") from None
    if not all(isinstance(value, str) for values in items.values() for value in values):
        raise InvalidParameter("invalid filter: the values must be texts")
    # A false value in the older form {"key": {"value": false}} means that it is not asked for.
    return {
        key: [value for value in values if not isinstance(document[key], dict) or document[key][value] is not False]
        for key, values in items.items()
    }


def truth(request: web.Request, key: str) -> bool:
    """Return a flag of the query, read as Docker reads it."""
    return request.query.get(key, "").strip().lower() not in ("", "0", "no", "false", "none")


async def json_body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in a request; raises InvalidParameter."""
    try:
        document = json.loads(await request.read() or b"{}")
    except ValueError as error:
        raise InvalidParameter(f"invalid JSON in the request: {error}") from None
    if not isinstance(document, dict):
        raise InvalidParameter("invalid JSON in the request: an object is expected")
    return document


async def streamed(request: web.Request, work: Callable[[Progress], Awaitable[None]]) -> web.StreamResponse:
    """Run work and send its progress; a failure before the first message has its own status, a later one is a message.

    When the client goes, the work is cancelled.
    """
    progress = Progress()
    task = asyncio.ensure_future(work(progress))
    task.add_done_callback(lambda _: progress.close())
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        async for batch in progress.batches():
            if not response.prepared:
                await response.prepare(request)
            await response.write(batch)
        failure = await _failure(task)
        if failure is not None and not response.prepared:
            raise failure
        if not response.prepared:
            await response.prepare(request)
        if failure is not None:
            await response.write(error_line(str(failure)))
        return response
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _failure(task: "asyncio.Future[None]") -> EngineError | None:
    try:
        await task
    except EngineError as error:
        return error
    except Exception as error:
        return _broken(error)
    return None


def _broken(error: Exception) -> EngineError:
    if isinstance(error, ConnectionError):
        return EngineError("the client closed the connection")
    if isinstance(error, OSError):
        return storage_error(error)
    if isinstance(error, sqlite3.OperationalError):
        if "full" in str(error):
            return storage_error(OSError(errno.ENOSPC, str(error)))
        return EngineError(f"the engine's catalogue failed: {error}")
    # A fault of the engine itself: its log gets the place, the client a line it can report.
    traceback.print_exception(error, file=sys.stderr)
    return EngineError(f"internal error of the embedded engine: {type(error).__name__}: {error}")


def _check_client(request: web.Request) -> None:
    version = _VERSIONED.match(request.path)
    if version is not None:
        asked = (int(version[1]), int(version[2]))
        shown = f"client version {version[1]}.{version[2]} is too"
        if asked > _numbers(API_VERSION):
            raise InvalidParameter(f"{shown} new. Maximum supported API version is {API_VERSION}")
        if asked < _numbers(MIN_API_VERSION):
            raise InvalidParameter(
                f"{shown} old. Minimum supported API version is {MIN_API_VERSION},"
                " please upgrade your client to a newer version"
            )
    # On TCP a web page could ask in the name of the learner: a browser sends Origin, a rebound name is no loopback.
    over_tcp = request.transport is not None and isinstance(request.transport.get_extra_info("sockname"), tuple)
    if over_tcp and ("Origin" in request.headers or not _LOOPBACK.fullmatch(request.host)):
        raise InvalidParameter("the embedded engine answers docker clients on this machine only")


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)
