"""The process of a lab: the embedded cloud in it, the embedded engine and JupyterLab as its children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ecrlab.lab.environment import UNSET, write_client_files
from ecrlab.lab.errors import StartFailed, StateUnusable
from ecrlab.lab.options import Options, settled
from ecrlab.lab.processes import EngineProcess
from ecrlab.lab.state import Engine, Lock, Record, StateDir

if TYPE_CHECKING:
    from ecrlab.lab.jupyter import JupyterServer, Notebooks

MOST_ENGINE_STARTS = 4  # within ENGINE_WINDOW_SECONDS; after that something is broken and not merely unlucky
ENGINE_WINDOW_SECONDS = 60.0


def run(
    state: StateDir, options: Options, *, ready: Callable[[Record], None], notebooks: Notebooks | None = None
) -> int:
    """Run a lab in this process until SIGINT, SIGTERM or SIGHUP; returns the exit status.

    ``ready`` is called with the record when the cloud and the engine answer. Raises LabError when the lab cannot start.
    """
    state.create()
    with state.lock() as lock:
        record = settled(state, options)
        _leave_own_settings(state, record)
        return _Service(state, options, record, lock, ready, notebooks).run()


def _leave_own_settings(state: StateDir, record: Record) -> None:
    # botocore and moto run in this process too: they must not read the user's profile or keys.
    for name in UNSET:
        os.environ.pop(name, None)
    os.environ["AWS_CONFIG_FILE"] = str(state.aws / "config")
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(state.aws / "credentials")
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


class _Service:
    def __init__(
        self,
        state: StateDir,
        options: Options,
        record: Record,
        lock: Lock,
        ready: Callable[[Record], None],
        notebooks: Notebooks | None,
    ) -> None:
        self.state, self.options, self.record, self.lock = state, options, record, lock
        self.ready, self.notebooks = ready, notebooks
        self.engine: EngineProcess | None = None
        self.jupyter: JupyterServer | None = None
        self.engine_starts: list[float] = []
        self.ending = False

    def run(self) -> int:
        try:
            self.state.write(self.record)
            write_client_files(self.state, self.record)
            # Before the cloud is imported, so that both come up at the same time.
            self._start_engine()
            if self.notebooks is not None:
                from ecrlab.lab.jupyter import JupyterServer

                self.jupyter = JupyterServer(self.state, self.record, self.notebooks.workspace, self.notebooks.port)
            return asyncio.run(self._main())
        except KeyboardInterrupt:
            return 0
        except OSError as error:
            raise StateUnusable(f"The lab cannot run in {self.state.path}: {error}.") from error
        finally:
            self._stop_children()
            self._forget_run()

    async def _main(self) -> int:
        from ecrlab.cloud.server import CloudStartError, Settings, serve

        loop = asyncio.get_running_loop()
        stop, asked = asyncio.Event(), asyncio.Event()
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                _on_signal(loop, getattr(signal, name), asked.set)
        answering: asyncio.Future[str] = loop.create_future()
        port = self.record.port
        assert port is not None

        def answers(endpoint: str) -> None:
            loop.call_soon_threadsafe(_resolve, answering, endpoint)

        cloud = asyncio.create_task(
            serve(
                Settings(
                    state_dir=self.state.path,
                    access_key_id=self.record.access_key_id,
                    secret_access_key=self.record.secret_access_key,
                    control_token=self.record.control_token,
                    host=self.options.host,
                    port=port,
                    account_id=self.record.account_id,
                    region=self.record.region,
                    uri_style="loopback" if self.record.uri_style == "loopback" else "aws",
                ),
                ready=answers,
                stop=stop,
            )
        )
        work = asyncio.create_task(self._start_and_watch(answering))
        asking = asyncio.create_task(asked.wait())
        try:
            await asyncio.wait({cloud, work, asking}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if cloud.done():
                await cloud
                raise StartFailed("The cloud ended by itself.")
            return 0
        except CloudStartError as error:
            raise StartFailed(str(error)) from error
        finally:
            self.ending = True
            for task in (asking, work):
                task.cancel()
            # Those who call the cloud end first.
            await asyncio.to_thread(self._stop_children)
            stop.set()
            ends = await asyncio.gather(cloud, work, asking, return_exceptions=True)
            if isinstance(ends[0], Exception) and not isinstance(ends[0], CloudStartError):
                _say(f"The cloud did not end as it should: {ends[0]!r}")

    async def _start_and_watch(self, answering: asyncio.Future[str]) -> int:
        endpoint = await answering
        docker_host = self.record.engine.docker_host
        if self.engine is not None:
            docker_host = await asyncio.to_thread(self.engine.wait_ready)
        self.record = replace(
            self.record,
            endpoint=endpoint,
            engine=Engine(self.record.engine.kind, docker_host),
            pid=os.getpid(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self.state.write(self.record)
        self.ready(self.record)
        watched = [asyncio.create_task(self._watch_engine())] if self.engine is not None else []
        if self.jupyter is not None and self.notebooks is not None:
            self.notebooks.ready(await asyncio.to_thread(self.jupyter.wait_ready))
            watched.append(asyncio.create_task(asyncio.to_thread(self._watch_jupyter, self.jupyter)))
        if not watched:
            await asyncio.Event().wait()
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def _watch_engine(self) -> int:
        while True:
            assert self.engine is not None
            status = await asyncio.to_thread(self.engine.wait)
            if self.ending:
                return 0
            words = self.engine.last_words()
            reason = f"exit status {status}" + (f": {words}" if words else "")
            if not self._start_engine():
                raise StartFailed(f"The embedded engine ends again and again ({reason}); the lab is ended.")
            _say(f"The embedded engine ended ({reason}); it is started again.")
            await asyncio.to_thread(self.engine.wait_ready)

    def _watch_jupyter(self, jupyter: JupyterServer) -> int:
        status = jupyter.wait()
        # Its own "Shut Down" menu item ends it with 0, and the lab with it.
        if status != 0:
            _say(f"JupyterLab ended (exit status {status}): see {jupyter.log}.")
        return 0 if status == 0 else 1

    def _start_engine(self) -> bool:
        """Start the engine unless that was done too often; whether it was started."""
        if self.record.engine.kind != "embedded":
            return False
        now = time.monotonic()
        self.engine_starts = [then for then in self.engine_starts if now - then < ENGINE_WINDOW_SECONDS] + [now]
        if len(self.engine_starts) > MOST_ENGINE_STARTS:
            return False
        host, endpoint = self.record.engine.docker_host or "", self.record.endpoint or ""
        tcp_port = int(host.rpartition(":")[2]) if host.startswith("tcp:") else None
        socket_path = Path(host.removeprefix("unix://")) if tcp_port is None else self.state.path / "engine.sock"
        self.engine = EngineProcess(
            socket_path, self.state.engine, endpoint, self.state.logs / "engine.log", tcp_port=tcp_port
        )
        return True

    def _stop_children(self) -> None:
        # Kernels and terminals first: they use the engine.
        for child in (self.jupyter, self.engine):
            if child is not None:
                child.stop()

    def _forget_run(self) -> None:
        try:
            self.state.forget_run()
        except (OSError, StateUnusable) as error:
            _say(f"The end of the lab could not be noted in {self.state.record_file}: {error}")


def _resolve(future: asyncio.Future[str], endpoint: str) -> None:
    if not future.done():
        future.set_result(endpoint)


def _on_signal(loop: asyncio.AbstractEventLoop, number: signal.Signals, act: Callable[[], None]) -> None:
    try:
        loop.add_signal_handler(number, act)
    except NotImplementedError:  # pragma: no cover (Windows)
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(act) and None)


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)
