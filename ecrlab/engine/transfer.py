"""What pull and push share: several layers at once, and the first error ends all."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, TypeVar

PARALLEL_LAYERS = 5
_SHORT = 12
_P = ParamSpec("_P")
_R = TypeVar("_R")


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all to their end; when one fails, cancel the others, wait for them and raise its error."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_thread(function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run blocking work in a thread; when cancelled, wait for its end first, as it uses what the caller cleans up."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        # Its own failure is of no interest any more; not to look at it would be logged.
        await asyncio.gather(work, return_exceptions=True)
        raise


def short(digest: str) -> str:
    """Return the 12 characters that stand for a layer or an image in messages."""
    return digest.removeprefix("sha256:")[:_SHORT]
