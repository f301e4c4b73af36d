from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from ecrlab.lab.dockerd import docker_host, find, reaches_loopback
from tests.lab.labs import Labs
from tests.private_dockerd import private_dockerd


def test_when_docker_host_is_set_then_it_is_the_address() -> None:
    assert docker_host({"DOCKER_HOST": "tcp://build:2375", "DOCKER_CONTEXT": "other"}) == "tcp://build:2375"


def test_when_a_context_is_chosen_then_its_address_counts(tmp_path: Path) -> None:
    name = "desk"
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": "unix:///desk.sock"}}}))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": name}))
    assert docker_host({"DOCKER_CONFIG": str(tmp_path)}) == "unix:///desk.sock"
    assert docker_host({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "default"}) == "unix:///var/run/docker.sock"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"currentContext": 3}', '{"currentContext": "gone"}'])
def test_when_the_docker_config_is_damaged_then_the_default_counts(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert docker_host({"DOCKER_CONFIG": str(tmp_path)}) == "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("tcp://build.example:2376", "another machine"),
        ("ssh://me@build.example", "another machine"),
        ("unix:///nonexistent/docker.sock", "no Docker Engine at"),
        ("tcp://127.0.0.1:9", "does not answer"),
        ("", "no Docker Engine at|does not answer|Docker Engine .* at"),
    ],
)
def test_when_no_engine_can_be_used_then_the_reason_is_told(tmp_path: Path, host: str, reason: str) -> None:
    import re

    search = find({"DOCKER_HOST": host, "DOCKER_CONFIG": str(tmp_path)})
    assert re.search(reason, search.reason)
    assert search.engine is None or not host


def test_when_the_address_is_a_labs_own_engine_then_it_is_not_taken_for_a_real_one(running: Labs) -> None:
    search = find({"DOCKER_HOST": running.record()["engine"]["docker_host"]})
    assert search.engine is None
    assert "embedded engine" in search.reason


def test_when_the_daemon_calls_nobody_then_it_does_not_reach_loopback() -> None:
    class Elsewhere:
        base_url = "http+docker://localhost"
        api_version = "1.41"

        def post(self, *_: object, **__: object) -> None:
            raise ConnectionError("no route")

    assert reaches_loopback(Elsewhere()) is False


@pytest.fixture(scope="module")
def dockerd() -> Iterator[str]:
    with private_dockerd() as host:
        yield host


@pytest.mark.e2e
def test_when_a_real_engine_runs_then_it_is_found_and_reaches_us(dockerd: str) -> None:
    search = find({"DOCKER_HOST": dockerd})
    assert search.engine is not None, search.reason
    assert search.engine.host == dockerd
    assert search.engine.platform.startswith("linux/")


@pytest.mark.e2e
def test_when_a_lab_uses_a_real_engine_then_images_go_through_loopback(labs: Labs, dockerd: str) -> None:
    code = (
        "import base64, boto3, docker, ecrlab, os; lab = ecrlab.open(); print(lab.engine, os.environ['DOCKER_HOST']);"
        "ecr = boto3.client('ecr'); client = docker.from_env(); lab.samples.load();"
        "uri = ecr.create_repository(repositoryName='one/two')['repository']['repositoryUri'];"
        "token = ecr.get_authorization_token()['authorizationData'][0]['authorizationToken'];"
        "user, _, password = base64.b64decode(token).decode().partition(':');"
        "print(uri == f'{lab.registry}/one/two', client.login(user, password, registry=lab.registry)['Status']);"
        "client.images.get('ecrlab/simplehttp').tag(uri, 'v1');"
        "said = [line for line in client.images.push(uri, 'v1', stream=True, decode=True)];"
        "print([line['error'] for line in said if 'error' in line]);"
        "print(ecr.describe_images(repositoryName='one/two')['imageDetails'][0]['imageTags'])"
    )
    answer = labs.python(code, DOCKER_HOST=dockerd)
    assert answer.stdout.splitlines() == [f"docker {dockerd}", "True Login Succeeded", "[]", "['v1']"], answer.stderr
    record: dict[str, Any] = labs.record()
    assert record["engine"] == {"kind": "docker", "docker_host": dockerd}
    assert record["uri_style"] == "loopback"
    reset = labs.run("reset", "--yes")
    assert "left as they are" in reset.stdout
    assert labs.repositories() == []
    client = docker.DockerClient(base_url=dockerd)
    assert client.images.list("ecrlab/simplehttp")
