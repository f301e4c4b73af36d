"""What this engine writes is read by a real Docker Engine, and the other way round, with the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import APIError

from tests.engine.conftest import RunningEngine
from tests.engine.made import docker_archive, make
from tests.private_dockerd import private_dockerd

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def real() -> Iterator[docker.DockerClient]:
    """A private Docker Engine with folders and a socket of its own."""
    with private_dockerd() as host:
        client = docker.DockerClient(base_url=host, version="1.41", timeout=30)
        yield client
        client.close()


def outcome(client: docker.DockerClient, ask: Any) -> tuple[int, str]:
    with pytest.raises(APIError) as refused:
        ask(client)
    return refused.value.response.status_code, refused.value.explanation


def test_when_an_image_goes_through_both_engines_then_they_say_the_same_of_it(
    served: RunningEngine, real: docker.DockerClient
) -> None:
    ours = served.sdk()
    archive = docker_archive((make(1, labels={"a": "b"}), ["both/app:v1", "both/app:v2"]))
    for client in (ours, real):
        client.images.load(archive)

    def said(client: docker.DockerClient) -> dict[str, Any]:
        image = client.images.get("both/app:v1")
        kept = ("Id", "RepoTags", "RepoDigests", "Created", "Architecture", "Os", "RootFS", "Size")
        history = [{**step, "Id": step["Id"][:9]} for step in image.history()]
        (listed,) = client.api.images(filters={"label": "a=b"})
        listed = {key: listed[key] for key in ("Id", "RepoTags", "Labels", "Created", "Size")}
        removed = [client.api.remove_image("both/app:v1"), client.api.remove_image("both/app:v2")]
        return {**{key: image.attrs[key] for key in kept}, "history": history, "listed": listed, "removed": removed}

    assert said(ours) == said(real)

    ours.images.load(archive)
    (image,) = real.images.load(b"".join(ours.images.get("both/app:v1").save(named=True)))
    assert image.id == make(1, labels={"a": "b"}).id
    ours.images.remove("both/app:v1")
    assert ours.images.load(b"".join(real.images.get("both/app:v1").save(named=True)))[0].tags == [
        "both/app:v1",
        "both/app:v2",
    ]
    real.images.remove(image.id, force=True)


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.api.remove_image("nope"),
        lambda client: client.api.tag("nope", "a", "b"),
        lambda client: client.images.pull("127.0.0.1:9/UPPER", "v1"),
        lambda client: client.images.pull("127.0.0.1:9/app", "v1"),
        lambda client: client.api.remove_image("nope:tag"),
        lambda client: client.login("a", "b", registry="127.0.0.1:9"),
    ],
    ids=["remove", "tag", "uppercase", "pull", "remove-tag", "login"],
)
def test_when_both_engines_refuse_then_the_words_are_the_same(
    served: RunningEngine, real: docker.DockerClient, ask: Any
) -> None:
    def words(client: docker.DockerClient) -> str:
        return outcome(client, ask)[1].replace("repository name (UPPER) must", "repository name must")

    assert words(served.sdk()) == words(real)


def test_when_both_engines_push_to_one_registry_then_each_pulls_what_the_other_pushed(
    served: RunningEngine, real: docker.DockerClient, peer: str
) -> None:
    ours = served.sdk()
    for pusher, puller, tag in ((ours, real, "ours"), (real, ours, "theirs")):
        pusher.images.load(docker_archive((make(2), [f"{peer}/both:{tag}"])))
        lines = list(pusher.images.push(f"{peer}/both", tag, stream=True, decode=True))
        pusher.images.remove(make(2).id, force=True)

        image = puller.images.pull(f"{peer}/both", tag)

        assert image.id == make(2).id
        assert image.attrs["RepoDigests"] == [f"{peer}/both@{lines[-1]['aux']['Digest']}"]
        puller.images.remove(make(2).id, force=True)
