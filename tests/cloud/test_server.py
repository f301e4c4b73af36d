"""The cloud as a process: its port, its state folder, and what it survives."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import Core, Registry, run_at_once
from ecrlab.cloud.server import PortInUse, Settings, StateInUse, StateTooNew, StateUnusable, serve
from ecrlab.cloud.storage import BlobStore, Database
from tests.cloud.conftest import Repository, make_image, sha256
from tests.conftest import REGION, RunningCloud, running_cloud

SERVER = """
import asyncio, sys
from pathlib import Path
from ecrlab.cloud.server import Settings, serve
settings = Settings(Path(sys.argv[1]), "AKIAIOSFODNN7EXAMPLE", "example-secret", "control")
asyncio.run(serve(settings, ready=lambda endpoint: print(endpoint, flush=True), stop=asyncio.Event()))
"""


@contextmanager
def cloud_process(state_dir: Path, *before: str) -> Iterator[tuple[subprocess.Popen[str], RunningCloud]]:
    command = [*before, sys.executable, "-c", SERVER, str(state_dir)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        assert endpoint, "the server did not start"
        yield process, RunningCloud(endpoint, Settings(state_dir, "AKIAIOSFODNN7EXAMPLE", "example-secret", "control"))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_when_the_port_is_taken_then_the_sentence_names_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(PortInUse, match=rf"Port {port} of 127.0.0.1 is in use by another program"),
            running_cloud(tmp_path, port=port),
        ):
            raise AssertionError


def test_when_another_lab_listens_on_the_port_then_it_is_noticed(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "first") as first:
        port = int(first.address.partition(":")[2])
        with pytest.raises(PortInUse), running_cloud(tmp_path / "second", port=port):
            raise AssertionError


def test_when_the_port_was_just_given_up_then_it_can_be_taken_again(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        port = int(cloud.address.partition(":")[2])
        cloud.client().describe_repositories()
    with running_cloud(tmp_path, port=port) as cloud:
        assert cloud.client().describe_repositories()["repositories"] == []


def test_when_the_host_cannot_be_bound_then_the_sentence_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        settings = Settings(tmp_path, "a", "b", "c", host="192.0.2.1")
        await serve(settings, stop=asyncio.Event())

    with pytest.raises(Exception, match=r"Cannot listen on 192.0.2.1:0"):
        asyncio.run(run())


def test_when_two_labs_share_a_state_folder_then_the_second_names_the_first(tmp_path: Path) -> None:
    with (
        running_cloud(tmp_path),
        pytest.raises(StateInUse, match=rf"\(process {os.getpid()}\) uses the state folder"),
        running_cloud(tmp_path),
    ):
        raise AssertionError
    with running_cloud(tmp_path) as cloud:  # and afterwards it is free
        cloud.client().describe_repositories()


def test_when_the_state_is_of_a_newer_version_then_it_is_left_alone(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        cloud.client().create_repository(repositoryName="kept")
    database = tmp_path / "cloud" / "registry.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version=999")
    connection.close()
    before = database.read_bytes()
    with pytest.raises(StateTooNew, match=r"written by a newer ecrlab \(format 999"), running_cloud(tmp_path):
        raise AssertionError
    assert database.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database" * 100, b""])
def test_when_the_database_is_damaged_then_the_start_says_so_or_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "registry.db").write_bytes(content)
    if content:
        with pytest.raises(StateUnusable, match="cannot be used"), running_cloud(tmp_path):
            raise AssertionError
        assert (tmp_path / "cloud" / "registry.db").read_bytes() == content
        return
    with running_cloud(tmp_path) as cloud:
        assert cloud.client().describe_repositories()["repositories"] == []


def test_when_the_state_folder_is_a_file_then_the_start_says_so(tmp_path: Path) -> None:
    (tmp_path / "cloud").touch()
    with pytest.raises(StateUnusable, match="cannot be used"), running_cloud(tmp_path):
        raise AssertionError


def test_when_the_lab_starts_again_then_everything_is_there(tmp_path: Path) -> None:
    image = make_image()
    with running_cloud(tmp_path) as cloud:
        repository = Repository(cloud, cloud.client(), "kept/app")
        repository.ecr.create_repository(repositoryName="kept/app")
        repository.push(image, "v1")
        authorization = repository.session.headers["Authorization"]
    with running_cloud(tmp_path) as cloud:
        repository = Repository(cloud, cloud.client(), "kept/app")
        assert repository.describe()[0]["imageDigest"] == image.digest
        # A docker login outlives the restart, as it would on AWS.
        answer = requests.get(repository.url("manifests/v1"), headers={"Authorization": authorization}, timeout=10)
        assert answer.content == image.manifest


def test_when_the_lab_is_reset_then_nothing_is_left(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud:
        repository = Repository(cloud, cloud.client(), "app")
        repository.ecr.create_repository(repositoryName="app")
        repository.push(make_image(), "v1")
        reset = f"{cloud.endpoint}/_ecrlab/reset"
        assert requests.post(reset, timeout=10).status_code == 403
        assert requests.post(reset, headers={"X-Ecrlab-Token": "guess"}, timeout=10).status_code == 403
        assert len(repository.describe()) == 1
        assert requests.post(reset, headers={"X-Ecrlab-Token": "control"}, timeout=10).status_code == 200
        assert cloud.client().describe_repositories()["repositories"] == []
        assert [path for path in (tmp_path / "cloud" / "blobs").rglob("*") if path.is_file()] == []
        repository.ecr.create_repository(repositoryName="app")
        repository.push(make_image(), "v1")


def test_when_health_is_asked_then_the_registry_is_told(shared_cloud: RunningCloud) -> None:
    headers = {"X-Ecrlab-Token": "control"}
    answer = requests.get(f"{shared_cloud.endpoint}/_ecrlab/health", headers=headers, timeout=10)
    assert {**answer.json(), "version": "x"} == {
        "status": "ok",
        "account_id": "123456789012",
        "region": "us-east-1",
        "uri_style": "aws",
        "version": "x",
    }
    assert requests.get(f"{shared_cloud.endpoint}/_ecrlab/other", headers=headers, timeout=10).status_code == 404


def test_when_the_server_is_killed_in_pushes_then_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    """Kill while four clients push; after the restart every acknowledged image is whole and nothing else is visible."""
    acknowledged: list[tuple[str, str]] = []
    lock = threading.Lock()
    enough = threading.Event()

    def push_until_killed(cloud: RunningCloud, worker: int) -> None:
        config = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=5)
        ecr = boto3.client(
            "ecr",
            endpoint_url=cloud.endpoint,
            region_name=REGION,
            aws_access_key_id=cloud.settings.access_key_id,
            aws_secret_access_key=cloud.settings.secret_access_key,
            config=config,
        )
        repository = Repository(cloud, ecr, "app")
        for number in range(1000):
            tag = f"{worker}-{number}"
            try:
                repository.push(make_image(tag.encode() * 20_000, note=tag), tag)
            except Exception:
                return
            with lock:
                acknowledged.append((tag, make_image(tag.encode() * 20_000, note=tag).digest))
                if len(acknowledged) >= 8:
                    enough.set()

    with cloud_process(tmp_path) as (process, cloud):
        cloud.client().create_repository(repositoryName="app")
        workers = [threading.Thread(target=push_until_killed, args=(cloud, worker)) for worker in range(4)]
        for worker in workers:
            worker.start()
        assert enough.wait(60)
        process.send_signal(signal.SIGKILL)
        for worker in workers:
            worker.join(30)
            assert not worker.is_alive()
    assert len(acknowledged) >= 8
    with running_cloud(tmp_path) as cloud:
        repository = Repository(cloud, cloud.client(), "app")
        described = {tag: detail["imageDigest"] for detail in repository.describe() for tag in detail["imageTags"]}
        assert dict(acknowledged).items() <= described.items()
        with repository.session as session:
            # An image whose acknowledgement was on its way may be there too, but only whole.
            for tag, digest in described.items():
                manifest = session.get(repository.url(f"manifests/{tag}"))
                assert sha256(manifest.content) == digest
                for layer in (*manifest.json()["layers"], manifest.json()["config"]):
                    content = session.get(repository.url(f"blobs/{layer['digest']}")).content
                    assert sha256(content) == layer["digest"]
        assert list((tmp_path / "cloud" / "uploads").iterdir()) == []


def test_when_a_scan_was_under_way_then_the_next_start_finishes_it(tmp_path: Path) -> None:
    lost: list[Any] = []
    folder = tmp_path / "cloud"
    database = Database(folder)
    core = Core(database, BlobStore(folder), Clock(), lambda work, done: lost.append(work))
    repository = core.repositories.create(Registry("123456789012", REGION), "app", scan_on_push=True)
    image = make_image()
    for digest, content in image.blobs.items():
        upload = core.layers.start(repository)
        core.layers.write_part(repository, upload.id, 0, len(content) - 1, content)
        core.layers.complete(repository, upload.id, digest)
    core.pushes.put(repository, image.manifest, tag="v1")
    assert len(lost) == 1  # requested, never run
    database.close()
    database = Database(folder)
    core = Core(database, BlobStore(folder), Clock(), run_at_once)
    core.scans.run_requested()
    image_row = core.images.describe(repository, limit=1).items[0]
    assert core.scans.get(image_row).status == "UNSUPPORTED_IMAGE"
    database.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on file sizes stands in for a full disk")
def test_when_the_disk_is_full_then_the_client_hears_it_and_nothing_is_lost(tmp_path: Path) -> None:
    # A limit of 2 MiB on each file's size: writing beyond it fails as on a full disk (EFBIG).
    limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 2048; exec "$@"', "bash"]
    with cloud_process(tmp_path, *limited) as (_process, cloud):
        repository = Repository(cloud, cloud.client(), "app")
        repository.ecr.create_repository(repositoryName="app")
        small = make_image()
        repository.push(small, "small")
        with pytest.raises(ClientError) as error:
            repository.upload(b"x" * 4 * 1024 * 1024)
        assert error.value.response["Error"]["Code"] == "ServerException"
        assert "cannot write to its state folder: File too large" in error.value.response["Error"]["Message"]
        with repository.session as session:
            location = cloud.endpoint + session.post(repository.url("blobs/uploads/")).headers["Location"]
            answer = session.patch(location, data=b"x" * 4 * 1024 * 1024)
            assert answer.status_code == 500
            assert "cannot write to its state folder" in answer.json()["errors"][0]["message"]
            assert session.get(repository.url("manifests/small")).content == small.manifest
        repository.push(make_image(note="after"), "after")
