"""An engine behind its socket."""

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from ecrlab.engine.app import application
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import EngineStartError

_HEADER_LIMIT = 1 << 20
_SHUTDOWN_SECONDS = 1.0
_BACKLOG = 128


async def serve(
    root: Path,
    cloud_url: str,
    stop: asyncio.Event,
    ready: Callable[[str], None],
    *,
    socket_path: Path | None = None,
    tcp_port: int | None = None,
) -> None:
    """Serve the engine of the folder `root` (which the caller has locked) until `stop` is set.

    `ready` is told the address, `unix://…` or `tcp://…`, when it answers. Raises EngineStartError.
    """
    listening = []
    if socket_path is not None:
        listening.append(_unix(socket_path))
    if tcp_port is not None:
        listening.append(_tcp(tcp_port))
    try:
        engine = Engine(root, cloud_url)
    except OSError as error:
        raise EngineStartError(f"The engine cannot use its folder {root}: {error.strerror}.") from None
    runner = web.AppRunner(
        application(engine),
        access_log=None,
        handler_cancellation=True,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        max_line_size=_HEADER_LIMIT,
        max_field_size=_HEADER_LIMIT,
    )
    await runner.setup()
    try:
        for each in listening:
            await web.SockSite(runner, each, backlog=_BACKLOG).start()
        address = f"tcp://127.0.0.1:{listening[-1].getsockname()[1]}"
        ready(f"unix://{socket_path}" if socket_path is not None else address)
        await stop.wait()
    finally:
        await runner.cleanup()
        await engine.close()
        _remove(socket_path)


def _unix(path: Path) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise EngineStartError("There are no unix sockets on this system; use --tcp-port.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mode must be right from the first moment: who reaches this socket acts with the learner's rights.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EngineStartError(f"The engine cannot listen on the socket {path}: {reason}.") from None
    return listener


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise EngineStartError(f"The engine cannot listen on {path}: it is a file that is no socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        answered = False
        with suppress(OSError):
            probe.connect(str(path))
            answered = True
    if answered:
        raise EngineStartError(f"Another program is listening on the socket {path}.")
    path.unlink()


def _remove(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def _tcp(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise EngineStartError(f"The engine cannot listen on port {port} of 127.0.0.1: {error.strerror}.") from None
    return listener
