"""Engines and registries for the tests of the engine."""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from ecrlab.engine import platforms, pull, push
from ecrlab.engine import reference as references
from ecrlab.engine.credentials import ANONYMOUS, Credentials
from ecrlab.engine.engine import Engine
from ecrlab.engine.progress import Progress
from tests.docker_registry import docker_registry
from tests.engine.double import RegistryDouble
from tests.requires import require

NOWHERE = "http://127.0.0.1:9"
Messages = list[dict[str, Any]]


async def messages_of(work: Callable[[Progress], Awaitable[None]]) -> Messages:
    """Run work and return what it told its client."""
    progress = Progress()
    try:
        await work(progress)
    finally:
        progress.close()
    text = b"".join([batch async for batch in progress.batches()])
    return [json.loads(line) for line in text.splitlines()]


async def pulled(
    engine: Engine, name: str, *, platform: str | None = None, credentials: Credentials = ANONYMOUS
) -> Messages:
    wanted = platforms.parse(platform) if platform else None
    return await messages_of(lambda progress: pull.pull(engine, references.parse(name), wanted, credentials, progress))


async def pushed(engine: Engine, name: str, *, credentials: Credentials = ANONYMOUS) -> Messages:
    return await messages_of(lambda progress: push.push(engine, references.parse(name), credentials, progress))


def statuses(messages: Messages) -> list[str]:
    return [message["status"] for message in messages if "status" in message]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine in this process, without its socket."""
    opened = Engine(tmp_path / "root", NOWHERE)
    yield opened
    await opened.close()


@pytest.fixture
async def double() -> AsyncIterator[RegistryDouble]:
    async with RegistryDouble() as registry:
        yield registry


@dataclass(frozen=True)
class RunningEngine:
    """An engine in its own process."""

    process: subprocess.Popen[str]
    root: Path
    socket: Path
    home: Path

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
        return {**kept, "DOCKER_HOST": self.address, "DOCKER_CONFIG": str(self.home), "DOCKER_BUILDKIT": "0"}

    def sdk(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.address)

    def docker(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the docker program, and let it end as it will."""
        program = require("docker")
        return subprocess.run(
            [program, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            **{"stdin": subprocess.DEVNULL} | options,
        )

    def succeed(self, *arguments: str, **options: Any) -> str:
        done = self.docker(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout


def start(folder: Path, *options: str, root: Path | None = None) -> RunningEngine:
    """Start an engine and wait until it answers."""
    folder.mkdir(exist_ok=True)
    root = root or folder / "root"
    path = folder / "engine.sock"
    command = [sys.executable, "-m", "ecrlab.engine", "--socket", str(path), "--root", str(root), "--parent-pipe"]
    process = subprocess.Popen(
        [*command, "--cloud-url", NOWHERE, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], 20)
    line = process.stdout.readline() if readable else ""
    if not line.startswith("ready "):
        process.kill()
        raise AssertionError(f"the engine did not start: {process.communicate()}")
    return RunningEngine(process, root, path, folder / "home")


@contextmanager
def running(folder: Path, *options: str, root: Path | None = None) -> Iterator[RunningEngine]:
    """Run an engine until the block ends."""
    engine = start(folder, *options, root=root)
    try:
        yield engine
    finally:
        if engine.process.poll() is None:
            engine.process.terminate()
        engine.process.communicate(timeout=10)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine in its own process, for the tests of one module."""
    with running(tmp_path_factory.mktemp("served") / "engine") as engine:
        yield engine


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on a free loopback port; each test uses repository names of its own."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited ten seconds in vain"
        await asyncio.sleep(0.01)
