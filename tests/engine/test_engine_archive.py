from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from ecrlab.engine import images, removal, save
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import EngineError, NotFound
from tests.engine.conftest import pulled, pushed
from tests.engine.double import RegistryDouble
from tests.engine.made import digest_of, docker_archive, make, oci_archive, publish, tar_of
from tests.engine.test_engine_push import loaded


async def saved(engine: Engine, *names: str) -> bytes:
    chosen = await save.choose(engine, names)
    return b"".join([chunk async for chunk in save.archive(engine, chosen)])


def stored(engine: Engine) -> list[Path]:
    return [path for folder in ("blobs", "tmp") for path in (engine.root / folder).rglob("*") if path.is_file()]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain-layers", "gzip-layers"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
async def test_when_a_docker_archive_is_loaded_then_its_images_are_here(
    engine: Engine, compressed: bool, pack: type[bytes]
) -> None:
    archive = docker_archive((make(1), ["app:v1", "app:v2"]), (make(2), []), compressed=compressed)

    messages = await loaded(engine, pack(archive))

    said = [message["stream"] for message in messages if "stream" in message]
    assert said == ["Loaded image: app:v1\n", "Loaded image: app:v2\n", f"Loaded image ID: {make(2).id}\n"]
    assert images.inspect(engine.catalogue, "app:v2")["Id"] == make(1).id
    assert images.inspect(engine.catalogue, make(2).id)["RepoTags"] == []


async def test_when_an_oci_layout_is_loaded_then_its_manifest_is_kept(engine: Engine, double: RegistryDouble) -> None:
    image = make(1)

    await loaded(engine, oci_archive(image, f"{double.host}/app:v1"))
    await pushed(engine, f"{double.host}/app:v1")

    assert double.manifests["app", "v1"][1] == image.manifest(oci=True)


async def test_when_an_image_is_saved_and_loaded_then_its_digest_stays(
    engine: Engine, tmp_path: Path, double: RegistryDouble
) -> None:
    digest = publish(double, "app", "v1", make(1))
    await pulled(engine, f"{double.host}/app:v1")
    archive = await saved(engine, f"{double.host}/app:v1")
    second = Engine(tmp_path / "second", "http://127.0.0.1:9")
    try:
        await loaded(second, archive)
        removal.tag(second, f"{double.host}/app:v1", f"{double.host}/copy", "v1")
        messages = await pushed(second, f"{double.host}/copy:v1")
    finally:
        await second.close()

    assert messages[-1]["aux"]["Digest"] == digest


async def test_when_images_are_saved_then_the_archive_reads_as_docker_archive_and_oci_layout(
    engine: Engine, tmp_path: Path
) -> None:
    await loaded(engine, docker_archive((make(1), ["app:v1", "app:v2"]), (make(2), ["other:x"])))
    path = tmp_path / "saved.tar"
    path.write_bytes(await saved(engine, "app", make(2).id))

    with tarfile.open(path) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive if entry.isfile()}
        content = {name: file.read() for name, file in files.items() if file is not None}
    entries = json.loads(content["manifest.json"])
    assert [entry["RepoTags"] for entry in entries] == [["app:v1", "app:v2"], None]
    for entry in entries:
        config = json.loads(content[entry["Config"]])
        assert [digest_of(gzip.decompress(content[layer])) for layer in entry["Layers"]] == config["rootfs"]["diff_ids"]
    for name, data in content.items():
        assert not name.startswith("blobs/") or digest_of(data).endswith(name.rpartition("/")[2])
    assert set(json.loads(content["repositories"])["app"]) == {"v1", "v2"}
    assert json.loads(content["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}


async def test_when_an_absent_image_is_saved_then_the_words_are_dockers(engine: Engine) -> None:
    with pytest.raises(NotFound, match=r"^No such image: nope:latest$"):
        await save.choose(engine, ["nope"])


async def test_when_a_loaded_tag_was_in_use_then_the_old_image_is_said_to_lose_it(engine: Engine) -> None:
    await loaded(engine, docker_archive((make(1), ["app:v1"])))

    messages = await loaded(engine, docker_archive((make(2), ["app:v1"])))

    said = f"The image app:v1 already exists, renaming the old one with ID {make(1).id} to empty string\n"
    assert {"stream": said} in messages


def broken_archives() -> dict[str, tuple[bytes, str]]:
    image = make(1)
    good = docker_archive((image, ["app:v1"]))
    other = docker_archive((make(1), ["app:v1"])).replace(image.tars[0][512:600], b"x" * 88)
    entry = {"Config": "c.json", "RepoTags": ["app:v1"], "Layers": ["l.tar"]}
    listing = json.dumps([entry]).encode()
    return {
        "text": (b"nonsense\n", "invalid tar archive"),
        "truncated": (good[:5000], "invalid tar archive"),
        "no-manifest": (tar_of({"small": b"hi"}), "neither manifest.json .docker save. nor index.json"),
        "path-escape": (tar_of({"../../etc/passwd": b"x"}), '"../../etc/passwd" points outside the archive'),
        "absolute-path": (tar_of({"/etc/passwd": b"x"}), '"/etc/passwd" points outside the archive'),
        "link-escape": (tar_of({}, {"a/layer.tar": "../../secret"}), 'the link "a/layer.tar" points outside'),
        "absolute-link": (tar_of({}, {"layer.tar": "/etc/shadow"}), 'the link "layer.tar" points outside'),
        "other-layer": (other, "invalid diffID for layer 0: expected"),
        "no-config": (tar_of({"manifest.json": listing}), "the configuration c.json is missing"),
        "no-layer": (tar_of({"manifest.json": listing, "c.json": image.config}), "the layer l.tar is missing"),
        "bad-listing": (tar_of({"manifest.json": b'{"a": 1}'}), "manifest.json is not the one that docker save writes"),
        "bad-tag": (docker_archive((image, ["UPPER:v1"])), "must be lowercase"),
    }


@pytest.mark.parametrize("case", broken_archives())
async def test_when_an_archive_is_broken_then_it_is_refused_and_nothing_stays(engine: Engine, case: str) -> None:
    archive, expected = broken_archives()[case]

    with pytest.raises(EngineError, match=expected):
        await loaded(engine, archive)

    assert stored(engine) == []
    assert images.listing(engine.catalogue, {}) == []


async def test_when_links_stay_inside_the_archive_then_they_are_followed(engine: Engine) -> None:
    image = make(1, layers=1)
    entry = {"Config": "c.json", "RepoTags": ["app:v1"], "Layers": ["two/layer.tar"]}
    files = {"c.json": image.config, "one/layer.tar": image.tars[0], "manifest.json": json.dumps([entry]).encode()}

    await loaded(engine, tar_of(files, {"two/layer.tar": "../one/layer.tar"}))

    assert images.inspect(engine.catalogue, "app:v1")["Id"] == image.id
