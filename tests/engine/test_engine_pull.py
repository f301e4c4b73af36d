from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
from pathlib import Path

import pytest
from aiohttp import web

from ecrlab.engine import images, platforms
from ecrlab.engine.credentials import Credentials
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import EngineError, NotFound
from ecrlab.engine.store import BlobWriter
from tests.engine.conftest import pulled, statuses
from tests.engine.double import RegistryDouble, error
from tests.engine.made import digest_of, make, publish, publish_index

AWS = Credentials("AWS", "secret")


def stored(engine: Engine) -> list[str]:
    return sorted(f"sha256:{path.name}" for path in (engine.root / "blobs").rglob("*") if path.is_file())


def leftovers(engine: Engine) -> list[Path]:
    return list((engine.root / "tmp").iterdir())


async def test_when_an_image_is_pulled_then_its_bytes_and_digests_are_kept(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1, labels={"a": "b"})
    digest = publish(double, "team/app", "v1", image)

    messages = await pulled(engine, f"{double.host}/team/app:v1")

    seen = images.inspect(engine.catalogue, f"{double.host}/team/app:v1")
    assert seen["Id"] == image.id
    assert seen["RepoDigests"] == [f"{double.host}/team/app@{digest}"]
    assert seen["RootFS"]["Layers"] == [digest_of(tar) for tar in image.tars]
    assert seen["Size"] == 3000 + 3001
    assert stored(engine) == sorted(digest_of(blob) for blob in image.blobs)
    assert messages[0] == {"status": "Pulling from team/app", "id": "v1"}
    assert statuses(messages)[-2:] == [
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {double.host}/team/app:v1",
    ]


async def test_when_layers_move_then_the_messages_have_the_shapes_of_docker(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1, layers=1)
    publish(double, "app", "latest", image)
    size, id = len(image.blobs[0]), digest_of(image.blobs[0])[7:19]

    messages = [message for message in await pulled(engine, f"{double.host}/app:latest") if message.get("id") == id]

    detail = {"current": size, "total": size}
    line = f"[{'=' * 50}>]  {size / 1000:.4g}kB/{size / 1000:.4g}kB"
    assert messages == [
        {"status": "Pulling fs layer", "progressDetail": {}, "id": id},
        {"status": "Downloading", "progressDetail": detail, "progress": line, "id": id},
        {"status": "Verifying Checksum", "progressDetail": {}, "id": id},
        {"status": "Download complete", "progressDetail": {}, "id": id},
        {"status": "Extracting", "progressDetail": detail, "progress": line, "id": id},
        {"status": "Pull complete", "progressDetail": {}, "id": id},
    ]


async def test_when_nothing_changed_then_the_image_is_up_to_date(engine: Engine, double: RegistryDouble) -> None:
    publish(double, "app", "v1", make(1))
    await pulled(engine, f"{double.host}/app:v1")

    again = await pulled(engine, f"{double.host}/app:v1")

    assert statuses(again)[-1] == f"Status: Image is up to date for {double.host}/app:v1"
    assert not any("layer" in status for status in statuses(again))


async def test_when_a_layer_is_here_then_only_the_others_are_fetched(engine: Engine, double: RegistryDouble) -> None:
    base, more = make(1, layers=1), make(1, layers=2)
    publish(double, "app", "base", base)
    publish(double, "app", "more", more)
    await pulled(engine, f"{double.host}/app:base")

    double.requests.clear()
    messages = await pulled(engine, f"{double.host}/app:more")

    assert "Already exists" in statuses(messages)
    assert not any(digest_of(base.blobs[0]) in path for _, path, _ in double.requests)


async def test_when_a_tag_moves_then_the_old_image_loses_it(engine: Engine, double: RegistryDouble) -> None:
    publish(double, "app", "v1", make(1))
    await pulled(engine, f"{double.host}/app:v1")
    publish(double, "app", "v1", make(2))
    await pulled(engine, f"{double.host}/app:v1")

    tags = {entry["Id"]: entry["RepoTags"] for entry in images.listing(engine.catalogue, {})}

    assert tags == {make(1).id: [], make(2).id: [f"{double.host}/app:v1"]}


async def test_when_an_index_is_pulled_then_the_hosts_or_the_asked_platform_comes(
    engine: Engine, double: RegistryDouble
) -> None:
    host = platforms.host()
    other = "linux/s390x"
    digest = publish_index(double, "app", "v1", {other: make(2, architecture="s390x"), str(host): make(1)})
    name = f"{double.host}/app:v1"

    messages = await pulled(engine, name)
    assert f"Digest: {digest}" in statuses(messages)
    assert images.inspect(engine.catalogue, name)["Id"] == make(1).id

    await pulled(engine, name, platform=other)
    assert images.inspect(engine.catalogue, name)["Id"] == make(2, architecture="s390x").id

    with pytest.raises(NotFound, match=r"^no matching manifest for linux/riscv64 in the manifest list entries$"):
        await pulled(engine, name, platform="linux/riscv64")


async def test_when_one_image_is_of_another_platform_then_a_warning_says_so(
    engine: Engine, double: RegistryDouble
) -> None:
    publish(double, "app", "v1", make(1))

    messages = await pulled(engine, f"{double.host}/app:v1", platform="linux/s390x")

    assert any("does not match the specified platform: wanted linux/s390x" in text for text in statuses(messages))


async def test_when_pulled_by_digest_then_the_image_has_no_tag(engine: Engine, double: RegistryDouble) -> None:
    digest = publish(double, "app", "v1", make(1), oci=True)
    name = f"{double.host}/app@{digest}"

    messages = await pulled(engine, name)

    assert messages[0] == {"status": "Pulling from app", "id": name}
    seen = images.inspect(engine.catalogue, name)
    assert (seen["RepoTags"], seen["RepoDigests"]) == ([], [name])


async def test_when_all_tags_are_pulled_then_each_is_here(engine: Engine, double: RegistryDouble) -> None:
    publish(double, "app", "a", make(1))
    publish(double, "app", "b", make(2))

    messages = await pulled(engine, f"{double.host}/app")

    assert {tag for entry in images.listing(engine.catalogue, {}) for tag in entry["RepoTags"]} == {
        f"{double.host}/app:a",
        f"{double.host}/app:b",
    }
    assert statuses(messages)[-1] == f"Status: Downloaded newer image for {double.host}/app"


async def test_when_a_layer_has_other_bytes_then_it_is_refused_and_nothing_stays(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1)
    publish(double, "app", "v1", image)
    broken = digest_of(image.blobs[1])
    double.blobs[broken] = double.blobs[broken][:-7] + b"changed"

    with pytest.raises(EngineError, match=f"^filesystem layer verification failed for digest {broken}$"):
        await pulled(engine, f"{double.host}/app:v1")
    await asyncio.sleep(0)

    assert (stored(engine), leftovers(engine), images.listing(engine.catalogue, {})) == ([], [], [])


@pytest.mark.parametrize("change", [lambda data: data[:100], lambda data: data + b"more"], ids=["shorter", "longer"])
async def test_when_a_layer_has_another_length_then_it_is_refused(
    engine: Engine, double: RegistryDouble, change: object
) -> None:
    image = make(1)
    publish(double, "app", "v1", image)
    broken = digest_of(image.blobs[0])
    double.blobs[broken] = change(double.blobs[broken])  # type: ignore[operator]

    with pytest.raises(EngineError, match="filesystem layer verification failed"):
        await pulled(engine, f"{double.host}/app:v1")

    assert stored(engine) == []


async def test_when_the_layers_are_not_those_of_the_config_then_they_are_refused(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1)
    publish(double, "app", "v1", image)
    document = json.loads(image.manifest())
    other = gzip.compress(make(5).tars[0])
    document["layers"][0] |= {"digest": double.put_blob("app", other), "size": len(other)}
    double.put_manifest("app", "v1", document, document["mediaType"])

    with pytest.raises(EngineError, match="layers from manifest don't match image configuration"):
        await pulled(engine, f"{double.host}/app:v1")

    assert stored(engine) == []


async def test_when_a_manifest_is_not_the_asked_digest_then_it_is_refused(
    engine: Engine, double: RegistryDouble
) -> None:
    digest = publish(double, "app", "v1", make(1))
    media_type, body = double.manifests["app", digest]
    double.manifests["app", digest] = (media_type, body + b" ")

    with pytest.raises(EngineError, match=f"manifest verification failed for digest {digest}"):
        await pulled(engine, f"{double.host}/app@{digest}")


async def test_when_the_connection_breaks_then_the_layer_is_taken_up_where_it_stopped(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1, layers=1)
    publish(double, "app", "v1", image)
    blob, digest = image.blobs[0], digest_of(image.blobs[0])
    ranges: list[str] = []

    def cut(request: web.Request) -> web.StreamResponse | None:
        if not request.path.endswith(digest):
            return None
        ranges.append(request.headers.get("Range", ""))
        return Cut(blob[:1000], len(blob)) if len(ranges) == 1 else None

    double.fault = cut
    await pulled(engine, f"{double.host}/app:v1")

    assert ranges == ["", "bytes=1000-"]
    assert engine.store.open(digest).read() == blob


class Cut(web.StreamResponse):
    """An answer that ends before the length it announced."""

    def __init__(self, data: bytes, announced: int) -> None:
        super().__init__()
        self.content_length = announced
        self._data = data

    async def write_eof(self, data: bytes = b"") -> None:
        await self.write(self._data)
        assert self._req is not None
        assert self._req.transport is not None
        self._req.transport.close()


async def test_when_the_registry_fails_for_a_moment_then_it_is_asked_again(
    engine: Engine, double: RegistryDouble
) -> None:
    publish(double, "app", "v1", make(1))
    failures = iter([502, 503])
    double.fault = lambda request: (
        web.Response(status=status)
        if "manifests" in request.path and (status := next(failures, None)) is not None
        else None
    )

    await pulled(engine, f"{double.host}/app:v1")

    assert len(images.listing(engine.catalogue, {})) == 1


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (404, "MANIFEST_UNKNOWN", "Requested image not found", "manifest for {}:v1 not found: manifest unknown: Req"),
        (404, "NAME_UNKNOWN", "The repository with name", "repository {} not found: name unknown: The repository with"),
        (
            403,
            "DENIED",
            "User: x is not authorized",
            "pull access denied for {}, repository does not exist or may require 'docker login': denied: User: x",
        ),
        (405, "UNSUPPORTED", "Invalid parameter", "unsupported: Invalid parameter"),
    ],
)
async def test_when_a_registry_refuses_then_the_words_are_dockers(
    engine: Engine, double: RegistryDouble, status: int, code: str, message: str, expected: str
) -> None:
    double.fault = lambda request: error(status, code, message) if request.path != "/v2/" else None

    with pytest.raises(EngineError) as raised:
        await pulled(engine, f"{double.host}/app:v1")

    assert str(raised.value).startswith(expected.format(f"{double.host}/app"))


async def test_when_no_registry_answers_then_the_error_names_the_address(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r'^Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection'):
        await pulled(engine, "127.0.0.1:9/app:v1")


async def test_when_a_private_registry_does_not_answer_then_the_error_names_its_host(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r'^Get "https://123456789012.dkr.ecr.us-east-1.amazonaws.com/v2/": dial tcp'):
        await pulled(engine, "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1")


async def test_when_a_host_has_no_address_then_the_error_says_no_network(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"no such host .*sample images ecrlab/… and the lab's own registries"):
        await pulled(engine, "registry.invalid/app:v1")


async def test_when_a_private_registry_is_pulled_then_the_cloud_sees_its_host_name(
    tmp_path: Path, double: RegistryDouble
) -> None:
    host = "123456789012.dkr.ecr.eu-west-3.amazonaws.com"
    engine = Engine(tmp_path / "root", f"http://{double.host}")
    double.auth = "basic"
    publish(double, "app", "v1", make(1))
    try:
        with pytest.raises(
            EngineError, match=f'^Head "https://{host}/v2/app/manifests/v1": no basic auth credentials$'
        ):
            await pulled(engine, f"{host}/app:v1")
        await pulled(engine, f"{host}/app:v1", credentials=AWS)
    finally:
        await engine.close()

    assert {headers["Host"] for _, _, headers in double.requests} == {host}


async def test_when_a_blob_is_redirected_then_the_credentials_stay_behind(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1)
    publish(double, "app", "v1", image)
    async with RegistryDouble() as elsewhere:
        publish(elsewhere, "app", "v1", image)
        double.auth, double.redirect_blobs_to = "basic", f"http://{elsewhere.host}"
        await pulled(engine, f"{double.host}/app:v1", credentials=AWS)

        assert len(elsewhere.requests) == 3
        assert not any("Authorization" in headers for _, _, headers in elsewhere.requests)


async def test_when_a_registry_wants_a_token_then_it_is_fetched_for_this_repository(
    engine: Engine, double: RegistryDouble
) -> None:
    double.auth = "bearer"
    publish(double, "team/app", "v1", make(1))

    await pulled(engine, f"{double.host}/team/app:v1", credentials=AWS)

    (asked,) = [path for _, path, _ in double.requests if path.startswith("/token")]
    assert "scope=repository:team/app:pull" in asked
    with pytest.raises(EngineError, match="unauthorized: authentication required"):
        await pulled(engine, f"{double.host}/team/app:v1", credentials=Credentials("AWS", "wrong"))


async def test_when_the_client_has_a_token_then_no_password_is_needed(engine: Engine, double: RegistryDouble) -> None:
    double.auth = "bearer"
    publish(double, "app", "v1", make(1))

    await pulled(engine, f"{double.host}/app:v1", credentials=Credentials(identity_token="long-lived"))
    await pulled(engine, f"{double.host}/app:v1", credentials=Credentials(registry_token="granted"))

    assert sum(path.startswith("/token") for _, path, _ in double.requests) == 1


async def test_when_a_token_runs_out_then_another_is_fetched(engine: Engine, double: RegistryDouble) -> None:
    double.auth = "bearer"
    image = make(1)
    publish(double, "app", "v1", image)
    expired = iter([401])
    double.fault = lambda request: (
        error(401, "UNAUTHORIZED", "expired", Www_Authenticate=f'Bearer realm="http://{double.host}/token"')
        if request.path.endswith(image.id) and next(expired, None)
        else None
    )

    await pulled(engine, f"{double.host}/app:v1", credentials=AWS)

    assert sum(path.startswith("/token") for _, path, _ in double.requests) == 2


async def test_when_the_token_is_not_for_this_repository_then_the_words_are_dockers(
    engine: Engine, double: RegistryDouble
) -> None:
    refusal = f'Bearer realm="http://{double.host}/token",error="insufficient_scope"'
    double.fault = lambda request: (
        error(401, "UNAUTHORIZED", "authentication required", Www_Authenticate=refusal)
        if "manifests" in request.path
        else None
    )

    expected = "may require 'docker login': denied: requested access to the resource is denied"
    with pytest.raises(NotFound, match=expected):
        await pulled(engine, f"{double.host}/app:v1")


async def test_when_two_clients_pull_at_once_then_each_layer_is_fetched_once(
    engine: Engine, double: RegistryDouble
) -> None:
    image = make(1)
    publish(double, "app", "v1", image)

    await asyncio.gather(*(pulled(engine, f"{double.host}/app:v1") for _ in range(4)))

    fetched = [path.rpartition("/")[2] for _, path, _ in double.requests if "/blobs/" in path]
    assert sorted(digest for digest in fetched if digest != image.id) == stored(engine)


async def test_when_the_client_goes_then_the_pull_ends_and_nothing_stays(
    engine: Engine, double: RegistryDouble
) -> None:
    publish(double, "app", "v1", make(1))
    waiting = asyncio.Event()

    class Never(web.StreamResponse):
        async def write_eof(self, data: bytes = b"") -> None:
            waiting.set()
            await asyncio.sleep(30)

    double.fault = lambda request: Never() if request.path.endswith(digest_of(make(1).blobs[1])) else None
    task = asyncio.create_task(pulled(engine, f"{double.host}/app:v1"))
    await asyncio.wait_for(waiting.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (stored(engine), leftovers(engine)) == ([], [])


async def test_when_the_disk_is_full_then_the_pull_says_so_and_nothing_stays(
    engine: Engine, double: RegistryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(double, "app", "v1", make(1))

    def full(self: BlobWriter, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(BlobWriter, "write", full)
    with pytest.raises(EngineError, match="no space left on device"):
        await pulled(engine, f"{double.host}/app:v1")

    assert (stored(engine), leftovers(engine)) == ([], [])


@pytest.mark.parametrize(
    ("media_type", "body", "expected"),
    [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", b'{"schemaVersion": 1}', "unsupported manifest"),
        ("application/vnd.docker.distribution.manifest.v2+json", b"no json", "invalid manifest: not JSON"),
        ("application/vnd.docker.distribution.manifest.v2+json", b"[]", "invalid manifest: not a JSON object"),
        ("application/vnd.docker.distribution.manifest.v2+json", b'{"schemaVersion": 2}', "a descriptor is missing"),
        (
            "application/vnd.oci.image.manifest.v1+json",
            b'{"schemaVersion": 2, "config": {"mediaType": "a/b", "size": 2, "digest": "sha256:%064d"}}' % 0,
            "unsupported media type a/b: this is not a container image",
        ),
        (
            "application/vnd.oci.image.manifest.v1+json",
            b'{"schemaVersion": 2, "config": {"mediaType": "a/b", "size": 2, "digest": "../../etc"}}',
            "without a valid sha256 digest",
        ),
    ],
)
async def test_when_a_manifest_is_no_image_then_it_is_refused(
    engine: Engine, double: RegistryDouble, media_type: str, body: bytes, expected: str
) -> None:
    double.manifests["app", "v1"] = (media_type, body)

    with pytest.raises(EngineError, match=expected):
        await pulled(engine, f"{double.host}/app:v1")


async def test_when_a_sample_is_pulled_then_it_comes_from_the_package(engine: Engine) -> None:
    messages = await pulled(engine, "ecrlab/simplehttp:latest")

    assert messages[0] == {"status": "Pulling from ecrlab/simplehttp", "id": "latest"}
    assert images.inspect(engine.catalogue, "ecrlab/simplehttp")["RepoTags"] == ["ecrlab/simplehttp:latest"]
    with pytest.raises(NotFound, match="manifest unknown: the sample image has the tag latest only"):
        await pulled(engine, "ecrlab/simplehttp:v9")
    with pytest.raises(NotFound, match="the sample images are ecrlab/simplehttp"):
        await pulled(engine, "ecrlab/nothing:latest")
