"""`python -m ecrlab.engine`: one engine in its own process, until it is told to stop."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from ecrlab.engine.errors import EngineStartError
from ecrlab.engine.store import locked


def main(arguments: list[str] | None = None) -> int:
    """Run an engine until SIGTERM, SIGINT or the end of its parent; return the exit status."""
    options = _options(arguments)
    try:
        with locked(options.root):
            asyncio.run(_run(options))
    except EngineStartError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ecrlab.engine", description=__doc__)
    parser.add_argument("--socket", type=_absolute, help="unix socket to listen on (mode 0600)")
    parser.add_argument("--tcp-port", type=int, help="port of 127.0.0.1 to listen on, 0 for a free one")
    parser.add_argument("--root", type=Path, required=True, help="folder of the content store")
    parser.add_argument("--cloud-url", required=True, help="address of the embedded cloud, for private ECR registries")
    parser.add_argument("--parent-pipe", action="store_true", help="end when standard input is closed")
    options = parser.parse_args(arguments)
    if options.socket is None and options.tcp_port is None:
        parser.error("--socket or --tcp-port is needed")
    return options


def _absolute(text: str) -> Path:
    return Path(text).absolute()


async def _run(options: argparse.Namespace) -> None:
    # Imported late: a wrong option or a folder in use is told at once.
    from ecrlab.engine.serving import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if os.name == "nt":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        else:
            loop.add_signal_handler(number, stop.set)
    if options.parent_pipe:
        threading.Thread(target=_watch_parent, args=(loop, stop), daemon=True).start()

    def ready(address: str) -> None:
        print(f"ready {address}", flush=True)

    await serve(options.root, options.cloud_url, stop, ready, socket_path=options.socket, tcp_port=options.tcp_port)


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        continue
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    sys.exit(main())
