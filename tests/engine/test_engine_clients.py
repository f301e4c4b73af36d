"""The docker SDK and the docker CLI against the engine, with Debian's docker-registry as the peer."""

from __future__ import annotations

import json
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.errors import APIError, ImageNotFound

from tests.engine.conftest import RunningEngine, until
from tests.engine.made import digest_of, docker_archive, make

pytestmark = pytest.mark.e2e


@pytest.fixture
def engine(served: RunningEngine) -> RunningEngine:
    return served


@pytest.fixture
def client(engine: RunningEngine) -> Iterator[docker.DockerClient]:
    client = engine.sdk()
    yield client
    for image in client.images.list(all=True):
        client.images.remove(image.id, force=True)
    client.close()


def manifest_in(peer: str, repository: str, reference: str) -> tuple[str, bytes]:
    accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    answer = requests.get(
        f"http://{peer}/v2/{repository}/manifests/{reference}", headers={"Accept": accept}, timeout=10
    )
    assert answer.status_code == 200
    return answer.headers["Docker-Content-Digest"], answer.content


def get(engine: RunningEngine, client: docker.DockerClient, path: str, **options: Any) -> requests.Response:
    return client.api.get(f"{client.api.base_url}{path}", **options)


def test_when_the_sdk_takes_the_whole_path_then_the_digest_stays(client: docker.DockerClient, peer: str) -> None:
    (image,) = client.images.load(docker_archive((make(1), ["app:v1"])))
    assert image.tag(f"{peer}/sdk/app", "v1")
    lines = list(client.images.push(f"{peer}/sdk/app", "v1", stream=True, decode=True))
    digest, body = manifest_in(peer, "sdk/app", "v1")
    assert lines[-1]["aux"] == {"Tag": "v1", "Digest": digest, "Size": len(body)}
    client.images.remove(image.id, force=True)
    assert client.images.list() == []

    image = client.images.pull(f"{peer}/sdk/app", "v1")

    assert image.id == make(1).id
    assert image.attrs["RepoDigests"] == [f"{peer}/sdk/app@{digest}"]
    assert image.tag(f"{peer}/sdk/copy", "v2")
    client.images.push(f"{peer}/sdk/copy", "v2")
    assert manifest_in(peer, "sdk/copy", "v2") == (digest, body)
    assert client.images.pull(f"{peer}/sdk/app@{digest}").id == image.id


def test_when_images_are_listed_then_the_filters_work(client: docker.DockerClient) -> None:
    client.images.load(docker_archive((make(1, labels={"tier": "web"}), ["team/app:v1", "other:x"])))
    client.images.load(docker_archive((make(3), ["team/db:v2"])))
    client.images.load(docker_archive((make(5), [])))

    def found(**filters: Any) -> list[str]:
        return sorted(tag for entry in client.api.images(filters=filters) for tag in entry["RepoTags"])

    assert found() == ["other:x", "team/app:v1", "team/db:v2"]
    assert found(reference="team/*") == ["team/app:v1", "team/db:v2"]
    assert found(reference="*") == ["other:x"]
    assert found(reference="team/app:v*") == ["team/app:v1"]
    assert found(label="tier") == found(label="tier=web") == ["other:x", "team/app:v1"]
    assert found(label="tier=db") == []
    assert found(since="team/app:v1") == ["team/db:v2"]
    assert found(before="team/db:v2") == ["other:x", "team/app:v1"]
    assert [image.id for image in client.images.list(filters={"dangling": True})] == [make(5).id]
    assert [image.id for image in client.images.list()] == [make(5).id, make(3).id, make(1, labels={"tier": "web"}).id]


@pytest.mark.parametrize("filters", ["text", "[1]", '{"foo": ["a"]}', '{"dangling": ["maybe"]}', '{"label": [1]}'])
def test_when_a_filter_is_malformed_then_it_is_refused(
    engine: RunningEngine, client: docker.DockerClient, filters: str
) -> None:
    answer = get(engine, client, "/images/json", params={"filters": filters})

    assert answer.status_code == 400
    assert "invalid filter" in answer.json()["message"]


def test_when_history_is_asked_for_then_each_step_has_its_size(client: docker.DockerClient) -> None:
    (image,) = client.images.load(docker_archive((make(1), ["app:v1"])))

    steps = image.history()

    assert [step["CreatedBy"] for step in steps] == ["CMD", "step 1", "step 0"]
    assert [step["Size"] for step in steps] == [0, 3001, 3000]
    assert [step["Id"] for step in steps] == [image.id, "<missing>", "<missing>"]
    assert steps[0]["Tags"] == ["app:v1"]


def test_when_an_image_is_asked_for_by_any_of_its_names_then_it_is_found(client: docker.DockerClient) -> None:
    client.images.load(docker_archive((make(1), ["docker.io/library/app:latest"])))
    id = make(1).id

    assert {client.images.get(name).id for name in ("app", "app:latest", "library/app", id, id[7:], id[7:19])} == {id}
    for name in ("nope", id[:-1] + "x", "sha256:" + "0" * 64):
        with pytest.raises(ImageNotFound):
            client.images.get(name)


def test_when_images_are_removed_then_names_go_first_as_in_docker(client: docker.DockerClient) -> None:
    client.images.load(docker_archive((make(1), ["app:v1", "app:v2", "other:x"])))
    id = make(1).id

    with pytest.raises(APIError) as conflict:
        client.images.remove(id)
    assert conflict.value.status_code == 409
    assert conflict.value.explanation == (
        f"conflict: unable to delete {id[7:19]} (must be forced) - image is referenced in multiple repositories"
    )
    assert client.api.remove_image("other:x") == [{"Untagged": "other:x"}]
    gone = client.api.remove_image(id, force=True)
    assert gone[:3] == [{"Untagged": "app:v1"}, {"Untagged": "app:v2"}, {"Deleted": id}]
    assert len(gone) == 5  # and two layers
    with pytest.raises(ImageNotFound, match="No such image: app:v1"):
        client.images.remove("app:v1")


def test_when_images_are_pruned_then_only_those_without_a_tag_go(client: docker.DockerClient) -> None:
    client.images.load(docker_archive((make(1), ["app:v1"]), (make(2), [])))

    done = client.images.prune()

    assert {"Deleted": make(2).id} in done["ImagesDeleted"]
    assert done["SpaceReclaimed"] > 6000
    assert [image.id for image in client.images.list()] == [make(1).id]
    assert client.images.prune(filters={"dangling": False})["ImagesDeleted"][0] == {"Untagged": "app:v1"}
    assert client.images.list() == []


def test_when_the_engine_is_asked_what_it_is_then_it_says_so(client: docker.DockerClient) -> None:
    assert client.info()["OperatingSystem"] == "ecrlab embedded engine"
    assert "connect a Docker Engine" in client.info()["Warnings"][0]
    assert client.version()["ApiVersion"] == "1.44"
    assert client.containers.list() == []
    assert client.volumes.list() == client.networks.list() == []
    assert client.df()["Images"] == []


def test_when_a_container_is_wanted_then_the_answer_says_what_to_do(client: docker.DockerClient) -> None:
    sentence = "not supported by the embedded engine; connect a Docker Engine"

    for ask in (
        lambda: client.containers.run("alpine"),
        lambda: client.api.create_network("n"),
        lambda: client.volumes.create("v"),
        lambda: client.swarm.init(),
        lambda: client.images.search("alpine"),
        lambda: client.api.post(client.api.base_url + "/exec/1/start").raise_for_status(),
    ):
        with pytest.raises((APIError, requests.HTTPError)) as refused:
            ask()
        assert refused.value.response.status_code == 501
        assert sentence in refused.value.response.json()["message"]


def test_when_events_are_listened_to_then_images_that_change_are_told(client: docker.DockerClient) -> None:
    stream = client.events(decode=True, filters={"type": "image"})
    seen: list[dict[str, Any]] = []
    done = threading.Event()

    def listen() -> None:
        for event in stream:
            seen.append(event)
            if event["Action"] == "delete":
                done.set()
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    (image,) = client.images.load(docker_archive((make(1), ["app:v1"])))
    image.tag("app", "v2")
    client.images.remove("app:v1")
    client.images.remove("app:v2")

    assert done.wait(10)
    stream.close()
    assert [event["Action"] for event in seen] == ["load", "tag", "untag", "untag", "delete"]
    assert seen[1]["Actor"] == {"ID": image.id, "Attributes": {"name": "app:v2"}}


async def test_when_a_client_goes_in_the_middle_of_a_load_then_nothing_stays(engine: RunningEngine) -> None:
    archive = docker_archive((make(7), ["gone:v1"]))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(engine.socket))
        head = f"POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: {len(archive)}\r\n\r\n"
        connection.sendall(head.encode() + archive[:6000])
        await until(lambda: any((engine.root / "tmp").iterdir()) or any((engine.root / "blobs").rglob("*/*")))

    await until(lambda: not [path for path in engine.root.rglob("*/*") if path.is_file()])
    assert engine.sdk().images.list() == []


@pytest.mark.parametrize(
    ("header", "status"),
    [("%%%", 400), ("bm90IGpzb24=", 400), ("WzFd", 400), ("e30=", 404), ("bnVsbA==", 404), ("A" * 200_000, 400)],
    ids=["no-base64", "no-json", "no-object", "empty", "null", "huge"],
)
def test_when_the_auth_header_is_malformed_then_it_is_refused(
    engine: RunningEngine, client: docker.DockerClient, header: str, status: int, peer: str
) -> None:
    url = f"{client.api.base_url}/images/create?fromImage={peer}/none&tag=v1"

    answer = client.api.post(url, headers={"X-Registry-Auth": header})

    assert answer.status_code == status
    expected = "invalid X-Registry-Auth header" if status == 400 else "not found: manifest unknown"
    assert expected in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("POST", "/images/create", 400, "invalid reference format"),
        ("POST", "/images/create?fromImage=127.0.0.1:1/UPPER", 400, "must be lowercase"),
        ("POST", "/images/create?fromImage=a&tag=!", 400, "invalid tag format"),
        ("POST", "/images/create?fromImage=a&tag=sha256:12", 400, "invalid checksum digest format"),
        ("POST", "/images/create?fromImage=a&tag=b&platform=x/", 400, "is an invalid platform"),
        ("POST", "/images/..%2F..%2Fetc/push", 400, "invalid reference format"),
        ("GET", "/images/UPPER/json", 400, "must be lowercase"),
        ("GET", "/images/nope/json", 404, "No such image: nope:latest"),
        ("GET", "/images/get", 400, "no image is named"),
        ("POST", "/images/nope/tag?repo=a&tag=b", 404, "No such image: nope:latest"),
        ("GET", "/nowhere", 404, "page not found"),
        ("GET", "/v1.99/version", 400, "client version 1.99 is too new. Maximum supported API version is 1.44"),
        ("GET", "/v1.9/version", 400, "client version 1.9 is too old"),
        ("GET", "/events?since=yesterday", 400, "is no time for since"),
        ("POST", "/auth", 400, "invalid JSON"),
    ],
)
def test_when_a_request_is_wrong_then_the_answer_says_how(
    client: docker.DockerClient, method: str, path: str, status: int, expected: str
) -> None:
    base = client.api.base_url
    answer = requests.Session.request(client.api, method, base + path, data=b"{no" if path == "/auth" else None)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert expected in answer.json()["message"]


def test_when_docker_pings_then_the_headers_tell_what_it_speaks_with(client: docker.DockerClient) -> None:
    for method in ("GET", "HEAD"):
        answer = requests.Session.request(client.api, method, client.api.base_url + "/_ping")
        assert answer.status_code == 200
        assert answer.headers["Api-Version"] == "1.44"
        assert answer.headers["Builder-Version"] == "1"
        assert answer.headers["Ostype"] == "linux"
        assert answer.headers["Docker-Experimental"] == "false"
        assert answer.headers["Server"].startswith("ecrlab/")


# The docker program


def test_when_the_docker_program_takes_the_whole_path_then_it_prints_what_docker_prints(
    engine: RunningEngine, client: docker.DockerClient, peer: str, tmp_path: Path
) -> None:
    archive = tmp_path / "app.tar"
    archive.write_bytes(docker_archive((make(1), ["app:v1"])))
    name = f"{peer}/cli/app:v1"
    top, bottom = (digest_of(tar)[7:19] for tar in reversed(make(1).tars))

    assert engine.succeed("load", "-i", str(archive)).splitlines()[-1] == "Loaded image: app:v1"
    engine.succeed("tag", "app:v1", name)
    pushed = engine.succeed("push", name).splitlines()
    digest, body = manifest_in(peer, "cli/app", "v1")
    assert pushed[0] == f"The push refers to repository [{peer}/cli/app]"
    assert {f"{top}: Pushed", f"{bottom}: Pushed"} <= set(pushed)
    assert pushed[-1] == f"v1: digest: {digest} size: {len(body)}"
    assert f"{top}: Layer already exists" in engine.succeed("push", name)

    assert engine.succeed("rmi", "app:v1", name).splitlines()[:3] == [
        "Untagged: app:v1",
        f"Untagged: {name}",
        f"Untagged: {peer}/cli/app@{digest}",
    ]
    pulled = engine.succeed("pull", name).splitlines()
    assert pulled[0] == "v1: Pulling from cli/app"
    assert pulled[-3:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name]
    assert f"Status: Image is up to date for {name}" in engine.succeed("pull", name)

    row = engine.succeed("images", "--digests", "--no-trunc", "--format", "{{json .}}")
    shown = json.loads(row)
    assert (shown["Repository"], shown["Tag"], shown["Digest"]) == (f"{peer}/cli/app", "v1", digest)
    assert shown["Size"] == "6kB"
    assert engine.succeed("inspect", "-f", "{{.Id}}", name).strip() == make(1).id
    assert engine.succeed("history", "-q", "--no-trunc", name).splitlines()[0] == make(1).id

    saved = tmp_path / "saved.tar"
    engine.succeed("save", "-o", str(saved), name)
    with tarfile.open(saved) as tar:
        assert "manifest.json" in tar.getnames()
    engine.succeed("rmi", name)
    engine.succeed("load", "-i", str(saved))
    engine.succeed("tag", name, f"{peer}/cli/again:v1")
    assert engine.succeed("push", f"{peer}/cli/again:v1").splitlines()[-1].startswith(f"v1: digest: {digest} ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "alpine"], "running containers is not supported by the embedded engine; connect a Docker Engine"),
        (["create", "alpine"], "running containers is not supported by the embedded engine; connect a Docker Engine"),
        (["build", "."], "building images is not supported by the embedded engine; connect a Docker Engine"),
        (["stop", "box"], "running containers is not supported by the embedded engine; connect a Docker Engine"),
        (["exec", "box", "ls"], "No such container: box (the embedded engine runs none; connect a Docker Engine)"),
        (["inspect", "nope"], "No such object: nope"),
        (["image", "inspect", "nope"], "Error response from daemon: No such image: nope:latest"),
        (["rmi", "nope"], "Error response from daemon: No such image: nope:latest"),
        (["tag", "nope", "a"], "Error response from daemon: No such image: nope:latest"),
        (["save", "nope"], "No such image: nope:latest"),
        (["push", "127.0.0.1:9/nope"], "An image does not exist locally with the tag: 127.0.0.1:9/nope"),
        (
            ["pull", "127.0.0.1:9/nope"],
            'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused',
        ),
        (["pull", "PEER/nope"], "manifest for PEER/nope:latest not found: manifest unknown"),
        (["pull", "ecrlab/nope"], "pull access denied for ecrlab/nope, repository does not exist"),
        (["pull", "registry.invalid/nope"], "lookup registry.invalid: no such host (there is no network here"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else None,
)
def test_when_a_docker_command_fails_then_the_learner_reads_why(
    engine: RunningEngine, peer: str, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "much").write_bytes(bytes(3_000_000))

    done = engine.docker(*(argument.replace("PEER", peer) for argument in arguments), cwd=tmp_path)

    assert done.returncode != 0
    assert expected.replace("PEER", peer) in done.stderr


def test_when_the_docker_program_asks_about_the_engine_then_it_is_named(engine: RunningEngine) -> None:
    assert "Operating System: ecrlab embedded engine" in engine.succeed("info")
    assert "Server: ecrlab embedded engine" in engine.succeed("version")
    for empty in (["ps", "-aq"], ["volume", "ls", "-q"], ["network", "ls", "-q"]):
        assert engine.succeed(*empty) == ""
    assert engine.succeed("system", "df").startswith("TYPE")
