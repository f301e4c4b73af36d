from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from tests.engine.conftest import NOWHERE, running, start
from tests.engine.double import RegistryDouble
from tests.engine.made import digest_of, docker_archive, make, publish

COMMAND = [sys.executable, "-m", "ecrlab.engine"]


def fails(*options: str) -> str:
    done = subprocess.run(
        [*COMMAND, "--cloud-url", NOWHERE, *options], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def test_when_the_engine_runs_then_only_its_user_may_use_the_socket(tmp_path: Path) -> None:
    with running(tmp_path / "engine") as engine:
        assert stat.S_IMODE(engine.socket.stat().st_mode) == 0o600
        assert engine.sdk().ping()

        assert "Another ecrlab engine is using the folder" in fails(
            "--socket", str(tmp_path / "other.sock"), "--root", str(engine.root)
        )
        assert "Another program is listening on the socket" in fails(
            "--socket", str(engine.socket), "--root", str(tmp_path / "other")
        )


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "parent"])
def test_when_the_engine_is_told_to_stop_then_it_ends_and_its_socket_goes(tmp_path: Path, end: str) -> None:
    engine = start(tmp_path / "engine")
    stream = engine.sdk().events()  # a client that listens must not hold up the end

    if end == "parent":
        assert engine.process.stdin is not None
        engine.process.stdin.close()
    else:
        engine.process.send_signal(getattr(signal, end))

    assert engine.process.wait(5) == 0
    assert engine.process.stderr is not None
    assert engine.process.stderr.read() == ""
    assert not engine.socket.exists()
    stream.close()


def test_when_the_engine_was_killed_then_the_next_one_starts_with_its_images(tmp_path: Path) -> None:
    engine = start(tmp_path / "engine")
    engine.sdk().images.load(docker_archive((make(1), ["app:v1"])))
    (engine.root / "tmp" / "half").write_bytes(b"half a layer")
    engine.process.kill()
    engine.process.wait(5)

    with running(tmp_path / "engine") as again:
        assert again.sdk().images.get("app:v1").id == make(1).id
        assert list((again.root / "tmp").iterdir()) == []


async def test_when_the_engine_is_killed_in_a_pull_then_nothing_half_is_seen(
    tmp_path: Path, double: RegistryDouble
) -> None:
    import asyncio

    from aiohttp import web

    image = make(1)
    publish(double, "app", "v1", image)
    engine = start(tmp_path / "engine")

    class Killing(web.StreamResponse):
        async def write_eof(self, data: bytes = b"") -> None:
            await self.write(image.blobs[1][:500])
            os.kill(engine.process.pid, signal.SIGKILL)

    double.fault = lambda request: Killing() if request.path.endswith(digest_of(image.blobs[1])) else None
    with pytest.raises(Exception, match=r"Connection|IncompleteRead|Broken|aborted"):
        await asyncio.to_thread(engine.sdk().images.pull, f"{double.host}/app", "v1")
    engine.process.wait(5)
    double.fault = None

    def again() -> None:
        with running(tmp_path / "engine") as second:
            assert second.sdk().images.list() == []
            assert [path for path in (second.root / "blobs").rglob("*") if path.is_file()] == []
            assert second.sdk().images.pull(f"{double.host}/app", "v1").id == image.id

    await asyncio.to_thread(again)


def test_when_a_tcp_port_is_asked_for_then_the_engine_answers_on_loopback_only_to_clients(tmp_path: Path) -> None:
    command = [*COMMAND, "--tcp-port", "0", "--root", str(tmp_path / "root"), "--cloud-url", NOWHERE, "--parent-pipe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[1]
            assert address.startswith("tcp://127.0.0.1:")
            assert docker.DockerClient(base_url=address).ping()
            http = docker.DockerClient(base_url=address).api
            refused = http.get(http.base_url + "/images/json", headers={"Origin": "https://evil.example"})
            rebound = http.get(http.base_url + "/images/json", headers={"Host": "evil.example"})
            assert (refused.status_code, rebound.status_code) == (400, 400)
        finally:
            process.terminate()


def test_when_the_engine_cannot_start_then_one_sentence_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    root = str(tmp_path / "root")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "cannot listen on port" in fails("--tcp-port", port, "--root", root)
    assert "is a file that is no socket" in fails("--socket", str(tmp_path / "file"), "--root", root)
    assert "cannot write to its folder" in fails(
        "--socket", str(tmp_path / "s"), "--root", str(tmp_path / "file" / "a")
    )
    long = str(tmp_path / ("x" * 150))
    sentence = fails("--socket", long, "--root", root)
    assert "cannot listen on the socket" in sentence
    assert sentence.count("\n") == 1
