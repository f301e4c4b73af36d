"""What goes wrong, and what the real `aws` and `docker` clients say then."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import Registry
from ecrlab.cloud.identity import Principal, Tokens
from tests.e2e.conftest import Shell
from tests.lab.labs import Labs, wait_until
from tests.requires import require

pytestmark = pytest.mark.e2e

ACCOUNT = "123456789012"
REGION = "us-east-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A learner's shell in one lab for the tests that only read errors; `app` is a repository, logged in to."""
    require("docker")
    labs = Labs(tmp_path_factory.mktemp("faults"))
    labs.serve()
    shell = Shell(labs)
    shell.run(
        f"""
        docker pull -q ecrlab/simplehttp
        aws ecr create-repository --repository-name app
        aws ecr get-login-password | docker login --username AWS --password-stdin {HOST}
        docker tag ecrlab/simplehttp {HOST}/app:v1
        docker push -q {HOST}/app:v1
        """
    )
    yield shell
    labs.end()


def pull_with(shell: Shell, password: str, *, expect: int) -> str:
    """Pull with a password that was stored at an earlier login, as docker stores it."""
    stored = {"auths": {HOST: {"auth": base64.b64encode(f"AWS:{password}".encode()).decode()}}}
    return shell.run(
        f"export DOCKER_CONFIG=$(mktemp -d)\n"
        f"echo '{json.dumps(stored)}' > $DOCKER_CONFIG/config.json\n"
        f"docker pull {HOST}/app:v1",
        expect=expect,
    )


def login(shell: Shell, password: str, *, expect: int) -> str:
    return shell.run(
        f"export DOCKER_CONFIG=$(mktemp -d)\ndocker login --username AWS --password-stdin {HOST} <<< '{password}'",
        expect=expect,
    )


def token(shell: Shell, *, hours_ago: float = 0, region: str = REGION) -> str:
    """Return a token that the lab issued some hours ago: signed with its key, on a clock of the past."""
    key = shell.labs.state_dir / "cloud" / "token.key"
    administrator = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/administrator", True)
    password, _ = Tokens(key, Clock(-hours_ago * 3600)).issue(administrator, Registry(ACCOUNT, region))
    return password


def test_when_a_token_is_fresh_then_login_and_pull_succeed(shell: Shell) -> None:
    password = token(shell, hours_ago=11.9)
    assert "Login Succeeded" in login(shell, password, expect=0)
    assert "Status: " in pull_with(shell, password, expect=0)


@pytest.mark.parametrize(
    ("hours_ago", "region", "words"),
    [
        (12.1, REGION, "Your authorization token has expired. Reauthenticate and try again."),
        (0, "eu-west-1", "Your authorization token is for the region eu-west-1"),
    ],
)
def test_when_a_token_is_expired_or_foreign_then_docker_says_so(
    shell: Shell, hours_ago: float, region: str, words: str
) -> None:
    password = token(shell, hours_ago=hours_ago, region=region)
    assert words in pull_with(shell, password, expect=1)
    assert "403 Forbidden" in login(shell, password, expect=1)


def test_when_the_password_is_wrong_then_the_login_fails(shell: Shell) -> None:
    assert "401 Unauthorized" in login(shell, "guess", expect=1)
    assert "unauthorized: authentication required" in pull_with(shell, "guess", expect=1)


def test_when_nobody_logged_in_then_docker_misses_credentials(shell: Shell) -> None:
    said = shell.run(f"export DOCKER_CONFIG=$(mktemp -d)\ndocker push {HOST}/app:v1", expect=1)
    assert "no basic auth credentials" in said


def test_when_the_repository_is_unknown_then_both_clients_say_so(shell: Shell) -> None:
    expected = f"The repository with name 'nope' does not exist in the registry with id '{ACCOUNT}'"
    said = shell.run(f"docker tag ecrlab/simplehttp {HOST}/nope:v1\ndocker push {HOST}/nope:v1", expect=1)
    assert f"name unknown: {expected}" in said
    said = shell.run("aws ecr describe-images --repository-name nope", expect=None)
    assert "An error occurred (RepositoryNotFoundException) when calling the DescribeImages operation" in said
    assert expected in said


def test_when_the_tag_is_unknown_then_docker_says_so(shell: Shell) -> None:
    said = shell.run(f"docker pull {HOST}/app:v9", expect=1)
    assert f"manifest for {HOST}/app:v9 not found: manifest unknown: Requested image not found" in said


def test_when_the_secret_key_is_wrong_then_aws_says_so(shell: Shell) -> None:
    said = shell.run("export AWS_SECRET_ACCESS_KEY=wrong\naws ecr describe-repositories", expect=None)
    assert "(InvalidSignatureException)" in said
    assert "The request signature we calculated does not match" in said
    said = shell.run("export AWS_ACCESS_KEY_ID=AKIANOBODY\naws ecr describe-repositories", expect=None)
    assert "(UnrecognizedClientException)" in said
    assert "The security token included in the request is invalid" in said


def test_when_a_tag_is_immutable_then_docker_says_so(shell: Shell) -> None:
    said = shell.run(
        f"""
        aws ecr create-repository --repository-name frozen --image-tag-mutability IMMUTABLE
        docker tag ecrlab/simplehttp {HOST}/frozen:v1
        docker push {HOST}/frozen:v1
        docker push {HOST}/frozen:v1
        """,
        expect=1,
    )
    assert "The image tag 'v1' already exists in the 'frozen' repository and cannot be overwritten" in said
    assert "because the tag is immutable." in said


def test_when_the_registry_is_another_accounts_then_docker_is_denied(shell: Shell) -> None:
    other = f"000699977340.dkr.ecr.{REGION}.amazonaws.com"
    said = shell.run(
        f"aws ecr get-login-password | docker login --username AWS --password-stdin {other}\n"
        f"docker tag ecrlab/simplehttp {other}/app:v1\ndocker push {other}/app:v1",
        expect=1,
    )
    assert "Login Succeeded" in said
    assert f"denied: User: arn:aws:iam::{ACCOUNT}:user/administrator is not authorized to perform: ecr:" in said
    assert f"on resource: arn:aws:ecr:{REGION}:000699977340:repository/app because no resource-based policy" in said


def test_when_a_stored_layer_was_changed_on_disk_then_docker_refuses_it(labs: Labs) -> None:
    labs.serve()
    shell = Shell(labs)
    shell.run(
        f"""
        docker pull -q ecrlab/simplehttp
        aws ecr create-repository --repository-name app
        aws ecr get-login-password | docker login --username AWS --password-stdin {HOST}
        docker tag ecrlab/simplehttp {HOST}/app:v1
        docker push -q {HOST}/app:v1
        docker rmi ecrlab/simplehttp {HOST}/app:v1
        """
    )
    blobs = [path for path in (labs.state_dir / "cloud" / "blobs").rglob("*") if path.is_file()]
    largest = max(blobs, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    said = shell.run(f"docker pull {HOST}/app:v1", expect=1)
    assert f"filesystem layer verification failed for digest sha256:{largest.name}" in said
    assert f"{HOST}/app" not in shell.run("docker images")


def test_when_the_lab_is_killed_in_a_push_then_the_push_can_be_done_again(labs: Labs, tmp_path: Path) -> None:
    process = labs.serve()
    shell = Shell(labs)
    archive = tmp_path / "large.tar"
    write_archive(archive, "large:v1", os.urandom(60 * 1024 * 1024))
    shell.run(
        f"""
        docker load -i {archive}
        aws ecr create-repository --repository-name large
        aws ecr get-login-password | docker login --username AWS --password-stdin {HOST}
        docker tag large:v1 {HOST}/large:v1
        """
    )
    uploads = labs.state_dir / "cloud" / "uploads"
    said: list[str] = []
    pushing = threading.Thread(target=lambda: said.append(shell.run(f"docker push {HOST}/large:v1", expect=None)))
    pushing.start()
    wait_until(lambda: any(upload.stat().st_size > 1024 * 1024 for upload in uploads.iterdir()), 60)
    process.send_signal(signal.SIGKILL)
    pushing.join(90)
    assert not pushing.is_alive()
    assert "digest: sha256:" not in said[0]
    process.wait()
    labs.serve()
    assert json.loads(shell.run("aws ecr list-images --repository-name large"))["imageIds"] == []
    assert list(uploads.iterdir()) == []
    # The login is still good: its key is part of the state.
    pushed = shell.run(f"docker push {HOST}/large:v1").splitlines()[-1]
    digest = pushed.split()[2]
    shell.run(f"docker rmi large:v1 {HOST}/large:v1")
    assert f"Digest: {digest}" in shell.run(f"docker pull {HOST}/large:v1")


def write_archive(path: Path, tag: str, content: bytes) -> None:
    """Write an image of one layer as `docker save` does."""

    def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        add(archive, "data", content)
    diff_id = f"sha256:{sha256(layer.getbuffer()).hexdigest()}"
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    ).encode()
    names = {"Config": f"{sha256(config).hexdigest()}.json", "RepoTags": [tag], "Layers": ["layer.tar"]}
    with tarfile.open(path, "w") as archive:
        add(archive, "layer.tar", layer.getvalue())
        add(archive, names["Config"], config)
        add(archive, "manifest.json", json.dumps([names]).encode())


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_when_the_lab_ends_then_nothing_of_it_is_left(labs: Labs, signal_: signal.Signals) -> None:
    process = labs.serve()
    engine = children(process.pid)
    assert engine, "the engine is a process of its own"
    process.send_signal(signal_)
    process.wait(20)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in engine))


def children(pid: int) -> list[int]:
    if not Path("/proc").exists():
        pytest.skip("reads /proc")
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]
