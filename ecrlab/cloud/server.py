"""The cloud as a process: its port, its state folder, its life."""

from __future__ import annotations

import asyncio
import errno
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from granian.constants import Interfaces
from granian.server.embed import Server

from ecrlab.cloud.application import Cloud
from ecrlab.cloud.settings import Settings
from ecrlab.cloud.storage import BlobStore, Database
from ecrlab.cloud.storage import database as storage

__all__ = ["CloudStartError", "PortInUse", "Settings", "StateInUse", "StateTooNew", "StateUnusable", "serve"]

NEIGHBOURS_AFTER = 1.0  # seconds from ready until moto is loaded, so that the first calls need not share the processor


class CloudStartError(Exception):
    """The cloud cannot start; the message is one sentence for the user."""


class PortInUse(CloudStartError):
    """Another program listens on the port."""


class StateInUse(CloudStartError):
    """Another lab holds the state folder."""


class StateTooNew(CloudStartError):
    """A newer ecrlab wrote the state folder."""


class StateUnusable(CloudStartError):
    """The state folder cannot be written, or what is in it cannot be read."""


async def serve(settings: Settings, *, ready: Callable[[str], None] | None = None, stop: asyncio.Event) -> None:
    """Run the cloud until `stop` is set; `ready` gets its URL as soon as it answers. Raises CloudStartError."""
    with _bound(settings) as port, _opened(settings) as (database, blobs):
        cloud = Cloud(settings, f"http://{settings.host}:{port}", database, blobs)
        server = Server(
            cloud, settings.host, port, interface=Interfaces.ASGINL, log_enabled=False, websockets=False, backlog=1024
        )
        serving = asyncio.create_task(server.serve())
        try:
            await _listening(settings.host, port, serving)
            if ready is not None:
                ready(cloud.endpoint)
            asyncio.get_running_loop().call_later(NEIGHBOURS_AFTER, cloud.load_neighbours)
            tasks = [asyncio.create_task(stop.wait()), asyncio.create_task(cloud.keep_time())]
            await asyncio.wait((serving, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        finally:
            server.stop()  # type: ignore[no-untyped-call]
            await serving
            cloud.close()


@contextmanager
def _bound(settings: Settings) -> Iterator[int]:
    """Hold the port while the server comes up, and yield its number.

    Granian listens with SO_REUSEPORT, under which a second server on the port would go unnoticed; so the port is first
    taken without it.
    """
    try:
        with _socket(settings.host) as probe:
            probe.bind((settings.host, settings.port))
            port: int = probe.getsockname()[1]
            probe.listen(1)  # on Linux only listening shows that another program listens
        holder = _socket(settings.host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {settings.port} of {settings.host} is in use by another program. Stop it, or choose another "
                "port with --port (0 takes a free one)."
            ) from error
        raise CloudStartError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}."
        ) from error
    with holder:
        if hasattr(socket, "SO_REUSEPORT"):
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((settings.host, port))
        yield port


def _socket(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Database, BlobStore]]:
    try:
        database = Database(settings.folder)
    except storage.StateInUse as error:
        who = f" (process {error.holder})" if error.holder else ""
        raise StateInUse(
            f"Another lab{who} uses the state folder {settings.state_dir}. Stop it, or choose another folder with "
            "--state-dir."
        ) from error
    except storage.StateTooNew as error:
        raise StateTooNew(
            f"The state folder {settings.state_dir} was written by a newer ecrlab (format {error.version}; this one "
            f"reads up to {storage.SCHEMA_VERSION}). Upgrade ecrlab, or choose another folder with --state-dir."
        ) from error
    except (OSError, sqlite3.Error) as error:
        raise StateUnusable(f"The state folder {settings.state_dir} cannot be used: {error}.") from error
    try:
        yield database, BlobStore(settings.folder)
    finally:
        database.close()


async def _listening(host: str, port: int, serving: asyncio.Task[None]) -> None:
    while True:
        if serving.done():
            await serving
            raise CloudStartError(f"The server on {host}:{port} ended before it answered.")
        try:
            _reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.002)
            continue
        writer.close()
        return
