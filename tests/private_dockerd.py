"""A real Docker Engine of its own, beside any that the machine may run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from tests.requires import require


@contextmanager
def private_dockerd() -> Iterator[str]:
    """Run dockerd with its own socket and folders; gives its DOCKER_HOST, or skips where that is not possible."""
    program = require("dockerd")
    if os.geteuid() != 0:
        reason = "dockerd has to run as root"
        if os.environ.get("ECRLAB_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="dockerd-"))
    host = f"unix://{folder}/s.sock"
    options = ["--host", host, "--pidfile", f"{folder}/pid", "--iptables=false", "--bridge=none"]
    options += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(host, process, folder / "log")
        yield host
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _unmount_below(folder)
        shutil.rmtree(folder)


def _unmount_below(folder: Path) -> None:
    """Dockerd leaves the network namespace of a container on the host's network mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[1].startswith(f"{folder}/"):
            subprocess.run(["umount", line.split()[1]], check=True)


def _wait_until_it_answers(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            client = docker.DockerClient(base_url=host, timeout=5)
        except docker.errors.DockerException:
            assert time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
            time.sleep(0.1)
            continue
        client.close()
        return
