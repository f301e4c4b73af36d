"""Receiving the bytes of a layer: hashed and written in another thread while the next ones arrive."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from starlette.types import Receive

from ecrlab.cloud.storage import Upload

_BATCH = 1024 * 1024  # bytes handed to the other thread at a time; two batches are in memory at most


class ClientGone(Exception):
    """The client went away in the middle of a body."""


async def receive_into(upload: Upload, receive: Receive, executor: Executor) -> None:
    """Append a request's body to an upload. Raises ClientGone, OSError (a full disk)."""
    loop = asyncio.get_running_loop()
    writing: asyncio.Future[None] | None = None
    batch: list[bytes] = []
    size = 0
    more = True
    try:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body = message.get("body", b"")
            more = message.get("more_body", False)
            if body:
                batch.append(body)
                size += len(body)
            if batch and (size >= _BATCH or not more):
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(executor, upload.write, batch)
                batch, size = [], 0
    finally:
        # Never leave while the other thread writes: the caller may go on to the digest, or discard the file.
        if writing is not None:
            await writing
