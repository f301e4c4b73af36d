from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ecrlab.engine import images, load, removal
from ecrlab.engine.credentials import Credentials
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import EngineError, NotFound
from ecrlab.engine.manifest import DOCKER_MANIFEST
from tests.engine.conftest import Messages, messages_of, pulled, pushed, statuses
from tests.engine.double import RegistryDouble, error
from tests.engine.made import Made, digest_of, docker_archive, make, publish, publish_index

AWS = Credentials("AWS", "secret")


async def loaded(engine: Engine, archive: bytes) -> Messages:
    content = aiohttp.StreamReader(Protocol(), 1 << 20)  # type: ignore[arg-type]
    content.feed_data(archive)
    content.feed_eof()
    return await messages_of(lambda progress: load.load(engine, content, progress))


class Protocol:
    """What a stream reader needs of its connection."""

    _reading_paused = False

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._reading_paused = False


async def test_when_a_pulled_image_is_pushed_elsewhere_then_its_digest_stays(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1)
    digest = publish(double, "from", "v1", image, oci=True)
    await pulled(engine, f"{double.host}/from:v1")
    async with RegistryDouble() as other:
        removal.tag(engine, f"{double.host}/from:v1", f"{other.host}/to", "v2")

        messages = await pushed(engine, f"{other.host}/to:v2")

        assert other.manifests["to", "v2"] == double.manifests["from", "v1"]
        assert {key: other.blobs[key] for key in double.blobs} == double.blobs
        size = len(image.manifest(oci=True))
        assert messages[0] == {"status": f"The push refers to repository [{other.host}/to]"}
        assert messages[-2:] == [
            {"status": f"v2: digest: {digest} size: {size}"},
            {"progressDetail": {}, "aux": {"Tag": "v2", "Digest": digest, "Size": size}},
        ]
        assert f"{other.host}/to@{digest}" in images.inspect(engine.catalogue, image.id)["RepoDigests"]


async def test_when_layers_are_pushed_then_the_messages_have_the_shapes_of_docker(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1)
    await loaded(engine, docker_archive((image, [f"{double.host}/app:v1"])))
    id = digest_of(image.tars[1])[7:19]

    first = [message for message in await pushed(engine, f"{double.host}/app:v1") if message.get("id") == id]
    again = [message for message in await pushed(engine, f"{double.host}/app:v1") if message.get("id") == id]

    assert [message["status"] for message in first if message["progressDetail"] == {}] == ["Preparing", "Pushed"]
    (moving,) = [message for message in first if message["status"] == "Pushing"]
    assert moving["progressDetail"]["current"] == moving["progressDetail"]["total"]
    assert [message["status"] for message in again] == ["Preparing", "Layer already exists"]


async def test_when_an_index_was_pulled_then_its_platforms_manifest_is_pushed(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1)
    publish_index(double, "app", "v1", {"linux/amd64": image, "linux/arm64": make(2)})
    await pulled(engine, f"{double.host}/app:v1", platform="linux/amd64")
    removal.tag(engine, f"{double.host}/app:v1", f"{double.host}/copy", "")

    await pushed(engine, f"{double.host}/copy:latest")

    assert double.manifests["copy", "latest"] == (DOCKER_MANIFEST, image.manifest())


async def test_when_a_loaded_image_is_pushed_then_its_digest_is_the_same_each_time(
    engine: Engine, double: RegistryDouble
) -> None:
    archive = docker_archive((make(1), [f"{double.host}/app:v1"]))
    digests = []
    for _ in range(2):
        await loaded(engine, archive)
        digests.append((await pushed(engine, f"{double.host}/app:v1"))[-1]["aux"]["Digest"])
        removal.remove(engine, make(1).id, force=True)

    assert digests[0] == digests[1]
    config = json.loads(double.manifests["app", "v1"][1])["config"]
    assert config["digest"] == make(1).id


async def test_when_no_tag_is_given_then_all_are_pushed(engine: Engine, double: RegistryDouble) -> None:
    tags = [f"{double.host}/app:{tag}" for tag in ("a", "b")]
    await loaded(engine, docker_archive((make(1), tags)))

    messages = await pushed(engine, f"{double.host}/app")

    assert [message["aux"]["Tag"] for message in messages if "aux" in message] == ["a", "b"]


async def test_when_another_repository_has_the_layer_then_it_is_mounted(engine: Engine, double: RegistryDouble) -> None:
    publish(double, "team/base", "v1", make(1))
    await pulled(engine, f"{double.host}/team/base:v1")
    removal.tag(engine, f"{double.host}/team/base:v1", f"{double.host}/app", "v1")
    double.requests.clear()

    messages = await pushed(engine, f"{double.host}/app:v1")

    assert statuses(messages).count("Mounted from team/base") == 2
    assert sum(method == "PATCH" for method, _, _ in double.requests) == 1  # the configuration


async def test_when_a_mount_is_refused_then_the_layer_is_uploaded(engine: Engine, double: RegistryDouble) -> None:
    double.allow_mount = False
    publish(double, "team/base", "v1", make(1))
    await pulled(engine, f"{double.host}/team/base:v1")
    removal.tag(engine, f"{double.host}/team/base:v1", f"{double.host}/app", "v1")

    assert statuses(await pushed(engine, f"{double.host}/app:v1")).count("Pushed") == 2


async def test_when_the_registry_wants_tokens_then_they_are_asked_for_push(
    engine: Engine, double: RegistryDouble
) -> None:
    double.auth = "bearer"
    await loaded(engine, docker_archive((make(1), [f"{double.host}/team/app:v1"])))

    await pushed(engine, f"{double.host}/team/app:v1", credentials=AWS)

    assert ("team/app", "v1") in double.manifests
    assert any("scope=repository:team/app:pull,push" in path for _, path, _ in double.requests)


async def test_when_an_upload_fails_for_a_moment_then_it_is_sent_again(engine: Engine, double: RegistryDouble) -> None:
    await loaded(engine, docker_archive((make(1, layers=1), [f"{double.host}/app:v1"])))
    failures = iter([503])
    double.fault = lambda request: (
        web.Response(status=status)
        if request.method == "PATCH" and (status := next(failures, None)) is not None
        else None
    )

    messages = await pushed(engine, f"{double.host}/app:v1")

    assert [text for text in statuses(messages) if text.startswith("Retrying in")] == ["Retrying in 0.25 seconds"]
    assert ("app", "v1") in double.manifests


@pytest.mark.parametrize(
    ("method", "status", "code", "message", "expected"),
    [
        ("POST", 404, "NAME_UNKNOWN", "The repository with name", "name unknown: The repository with name"),
        ("POST", 403, "DENIED", "User: x is not authorized", "denied: User: x is not authorized"),
        ("PUT", 400, "TAG_INVALID", "The image tag 'v1'", "tag invalid: The image tag 'v1'"),
        ("PUT", 405, "UNSUPPORTED", "Invalid parameter", "unsupported: Invalid parameter"),
    ],
)
async def test_when_a_push_is_refused_then_the_words_are_dockers(
    engine: Engine, double: RegistryDouble, method: str, status: int, code: str, message: str, expected: str
) -> None:
    await loaded(engine, docker_archive((make(1), [f"{double.host}/app:v1"])))
    double.fault = lambda request: error(status, code, message) if request.method == method else None

    with pytest.raises(EngineError, match=f"^{expected}$"):
        await pushed(engine, f"{double.host}/app:v1")


async def test_when_no_credentials_are_given_then_the_words_are_dockers(engine: Engine, double: RegistryDouble) -> None:
    double.auth = "basic"
    await loaded(engine, docker_archive((make(1), [f"{double.host}/app:v1"])))

    with pytest.raises(EngineError, match=r"^no basic auth credentials$"):
        await pushed(engine, f"{double.host}/app:v1")


async def test_when_there_is_nothing_to_push_then_the_words_are_dockers(engine: Engine, double: RegistryDouble) -> None:
    await loaded(engine, docker_archive((make(1), [f"{double.host}/app:v1"])))

    with pytest.raises(NotFound, match=f"^tag does not exist: {double.host}/app:v2$"):
        await pushed(engine, f"{double.host}/app:v2")
    with pytest.raises(NotFound, match=f"^An image does not exist locally with the tag: {double.host}/none$"):
        await pushed(engine, f"{double.host}/none:v1")


async def test_when_the_image_is_removed_during_its_push_then_the_push_ends_well(
    engine: Engine, double: RegistryDouble
) -> None:
    image: Made = make(1)
    await loaded(engine, docker_archive((image, [f"{double.host}/app:v1"])))
    started, removed = asyncio.Event(), asyncio.Event()

    class Slow(web.StreamResponse):
        async def write_eof(self, data: bytes = b"") -> None:
            started.set()
            await removed.wait()
            await super().write_eof(data)

    slow: Any = iter([Slow(status=404)])
    double.fault = lambda request: next(slow, None) if request.method == "HEAD" else None
    task = asyncio.create_task(pushed(engine, f"{double.host}/app:v1"))
    await asyncio.wait_for(started.wait(), 10)
    removal.remove(engine, image.id, force=True)
    removed.set()

    messages = await task
    assert messages[-1]["aux"]["Tag"] == "v1"
    assert ("app", "v1") in double.manifests
    assert [path for path in (engine.root / "blobs").rglob("*") if path.is_file()] == []
