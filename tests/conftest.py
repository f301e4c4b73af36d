"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from ecrlab.cloud.server import Settings, serve

ACCOUNT = "123456789012"
REGION = "us-east-1"


@dataclass(frozen=True)
class RunningCloud:
    """A cloud that answers in this process, in a thread of its own."""

    endpoint: str
    settings: Settings

    def client(self, service: str = "ecr", *, region: str = REGION, **overrides: Any) -> Any:
        keys = {
            "aws_access_key_id": self.settings.access_key_id,
            "aws_secret_access_key": self.settings.secret_access_key,
        }
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            config=Config(retries={"max_attempts": 0}),
            **{**keys, **overrides},
        )

    @property
    def address(self) -> str:
        return self.endpoint.removeprefix("http://")


@contextmanager
def running_cloud(state_dir: Path, **settings: Any) -> Iterator[RunningCloud]:
    """Run a cloud in a thread until the block ends; errors of its start are raised here."""
    chosen = Settings(state_dir, "AKIAIOSFODNN7EXAMPLE", "example-secret", "control", **settings)
    answered = threading.Event()
    outcome: dict[str, Any] = {}

    async def run() -> None:
        stop = asyncio.Event()
        outcome["stop"] = lambda: loop.call_soon_threadsafe(stop.set)
        loop = asyncio.get_running_loop()

        def ready(endpoint: str) -> None:
            outcome["endpoint"] = endpoint
            answered.set()

        await serve(chosen, ready=ready, stop=stop)

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            outcome["error"] = error
        finally:
            answered.set()

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    assert answered.wait(20)
    if "error" in outcome:
        raise outcome["error"]
    try:
        yield RunningCloud(outcome["endpoint"], chosen)
    finally:
        outcome["stop"]()
        thread.join(20)
        assert not thread.is_alive()
        if "error" in outcome:
            raise outcome["error"]


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """One cloud for every test that names its own repositories."""
    with running_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud
