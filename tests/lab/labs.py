from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import docker

from ecrlab.lab import background
from ecrlab.lab.state import StateDir
from ecrlab.lab.status import look

ECRLAB = [sys.executable, "-P", "-m", "ecrlab.cli"]


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "the condition did not come true"
        time.sleep(0.02)


class Labs:
    """Runs ecrlab with an empty home, and ends what a test left running."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.state_dir = folder / "state"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "DOCKER_", "ECRLAB_", "JUPYTER"))
        }
        self.environ = {**kept, "HOME": str(self.home), "ECRLAB_STATE_DIR": str(self.state_dir)}
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*ECRLAB, *arguments],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
        )
        self.processes.append(process)
        return process

    def serve(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """A lab in a process of its own, ready."""
        process = self.start("serve", *arguments, **environ)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                return process
        assert process.stderr is not None
        raise AssertionError(f"no lab: {said}{process.stderr.read()}")

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ECRLAB, *arguments],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.home,
        )

    def python(self, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.home,
        )

    def stop(self) -> None:
        assert background.stop(StateDir(self.state_dir))

    def status(self) -> dict[str, Any]:
        return look(StateDir(self.state_dir)).values()

    def client(self, service: str) -> Any:
        record = self.record()
        return boto3.session.Session(record["access_key_id"], record["secret_access_key"]).client(
            service, region_name=record["region"], endpoint_url=record["endpoint"]
        )

    def docker(self) -> Any:
        return docker.DockerClient(base_url=self.record()["engine"]["docker_host"], version="auto")

    def repositories(self) -> list[str]:
        return [item["repositoryName"] for item in self.client("ecr").describe_repositories()["repositories"]]

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.state_dir / "lab.json").read_text())
        return record

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.communicate(timeout=25)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        if (left := StateDir(self.state_dir).holder()) is not None:
            os.kill(left, signal.SIGTERM)
