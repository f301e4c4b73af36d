"""The archives in a real Docker Engine: a private one, with folders and a socket of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from ecrlab import samples
from tests.private_dockerd import private_dockerd
from tests.requires import require

pytestmark = pytest.mark.e2e

SECONDS = 60  # how long a test waits for the engine before it fails

Docker = Callable[..., str]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {SECONDS} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    require("docker")
    with private_dockerd() as host:
        config = tmp_path_factory.mktemp("config")
        environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_CONFIG": str(config)}

        def docker(*arguments: str, stdin: bytes | None = None) -> str:
            run = subprocess.run(
                ["docker", *arguments], input=stdin, env=environment, capture_output=True, timeout=SECONDS, check=False
            )
            assert run.returncode == 0, run.stderr.decode()
            return run.stdout.decode()

        yield docker


def test_when_an_archive_is_loaded_then_docker_shows_the_image(docker: Docker, sample: str) -> None:
    for architecture in ("arm64", "amd64"):
        docker("load", stdin=samples.archive(sample, f"linux/{architecture}"))
        (image,) = json.loads(docker("image", "inspect", f"ecrlab/{sample}:latest"))
        assert (image["Os"], image["Architecture"]) == ("linux", architecture)
        assert image["Config"]["Labels"]["org.opencontainers.image.title"] == sample
        assert image["Config"]["Entrypoint"] == ["/usr/bin/simplehttp"]


def test_when_a_container_runs_then_it_answers_and_stops_at_once(
    docker: Docker, sample: str, this_architecture: str
) -> None:
    docker("load", stdin=samples.archive(sample, f"linux/{this_architecture}"))
    local = ["--network", "host", "--env", "PORT=0", "--env", "BIND_ADDRESS=127.0.0.1"]
    container = docker("run", "--detach", *local, f"ecrlab/{sample}").strip()
    wait_for(lambda: "port" in docker("logs", container), "line in the container's log")
    port = int(docker("logs", container).split()[-1])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=SECONDS) as response:
        assert f"<dd>{this_architecture}</dd>" in response.read().decode()
    docker("stop", "--time", "30", container)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0\n"  # 137 where it had to be killed
