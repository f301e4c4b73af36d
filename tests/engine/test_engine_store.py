from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecrlab.engine import layers
from ecrlab.engine import reference as references
from ecrlab.engine.catalogue import Catalogue
from ecrlab.engine.errors import EngineError, EngineStartError, storage_error
from ecrlab.engine.layers import Layer, LayerBlob
from ecrlab.engine.manifest import ImageConfig
from ecrlab.engine.store import BlobStore, locked
from tests.engine.made import digest_of, make, noise, tar_of


def quiet(_count: int) -> None:
    return


def written(store: BlobStore, data: bytes) -> str:
    with store.writer() as writer:
        writer.write(data)
        return writer.commit()


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_when_a_blob_is_written_then_it_is_there_under_its_digest(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)

    digest = written(store, b"layer")

    assert digest == digest_of(b"layer")
    assert store.open(digest).read() == b"layer"


def test_when_a_blob_is_not_the_expected_one_then_it_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)

    with store.writer() as writer:
        writer.write(b"truncat")
        with pytest.raises(EngineError, match="filesystem layer verification failed for digest sha256:"):
            writer.commit(digest_of(b"truncated"))

    assert files_below(tmp_path) == []


def test_when_the_disk_is_full_then_nothing_stays_and_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BlobStore(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as raised:
        written(store, b"layer")

    assert files_below(tmp_path) == []
    assert "no space left on device" in str(storage_error(raised.value))


def test_when_a_blob_is_leased_then_it_is_not_discarded(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = written(store, b"layer")

    with store.lease([digest]):
        assert store.discard([digest]) == 0
    assert store.has(digest)
    assert store.discard([digest]) == 5
    assert not store.has(digest)


def test_when_a_process_was_killed_then_what_it_left_is_swept_away(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    kept, orphan = written(store, b"kept"), written(store, b"orphan")
    (tmp_path / "tmp" / "unfinished").write_bytes(b"half a lay")

    BlobStore(tmp_path).sweep({kept})

    assert store.has(kept)
    assert not store.has(orphan)
    assert files_below(tmp_path / "tmp") == []


def test_when_a_second_engine_uses_the_folder_then_it_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(EngineStartError, match="Another ecrlab engine is using"), locked(tmp_path):
        pass


def test_when_the_folder_cannot_be_written_then_the_error_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(EngineStartError, match="cannot write to its folder"), locked(tmp_path / "file" / "root"):
        pass


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, lambda tar: gzip.compress(tar[:700]) + gzip.compress(tar[700:])],
    ids=["plain", "gzip", "gzip-of-two-members"],
)
def test_when_a_layer_is_examined_then_its_diff_id_and_size_are_known(pack: object) -> None:
    tar = tar_of({"a": noise(5000), "b/c": b"12"})

    layer = layers.examine(io.BytesIO(pack(tar)), quiet)  # type: ignore[operator]

    assert layer == Layer(digest_of(tar), 5002)


def test_when_a_layer_is_empty_then_its_size_is_zero() -> None:
    assert layers.examine(io.BytesIO(b"\0" * 1024), quiet) == Layer(digest_of(b"\0" * 1024), 0)
    assert layers.examine(io.BytesIO(gzip.compress(b"")), quiet) == Layer(digest_of(b""), 0)


@pytest.mark.parametrize(
    "broken",
    [b"no tar at all" * 50, gzip.compress(noise(5000))[:2000], gzip.compress(b"x" * 3000)],
    ids=["text", "truncated", "gzip-of-text"],
)
def test_when_a_layer_is_broken_then_it_is_refused(broken: bytes) -> None:
    with pytest.raises(EngineError, match="failed to register layer"):
        layers.examine(io.BytesIO(broken), quiet)


def test_when_a_layer_is_compressed_twice_then_the_bytes_are_the_same(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    tar = tar_of({"a": noise(50000)})
    digests = set()
    for _ in range(2):
        with store.writer() as writer:
            layers.compress(io.BytesIO(tar), writer, quiet)
            digests.add(writer.commit())

    (digest,) = digests
    assert gzip.decompress(store.open(digest).read()) == tar


def recorded(catalogue: Catalogue, seed: int, *names: str) -> str:
    image = make(seed)
    got = [(Layer(digest_of(tar), 3000), LayerBlob(digest_of(tar), digest_of(tar), 4096, False)) for tar in image.tars]
    catalogue.add_image(ImageConfig(image.config), got, references=[references.parse(name) for name in names])
    return image.id


def test_when_the_process_is_killed_in_a_change_then_the_catalogue_is_as_before(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    first = recorded(Catalogue(path), 1, "one:latest")
    image = make(2)
    program = """if True:
        import os, pathlib, sys
        from ecrlab.engine.catalogue import Catalogue
        catalogue = Catalogue(pathlib.Path(sys.argv[1]))
        with catalogue._transaction():
            catalogue._db.execute("INSERT INTO image VALUES (?, x'00', 0, '{}', 0)", (sys.argv[2],))
            os.kill(os.getpid(), 9)
    """
    killed = subprocess.run([sys.executable, "-c", program, str(path), image.id], check=False)

    assert killed.returncode == -9
    assert [summary.id for summary in Catalogue(path).summaries()] == [first]


def test_when_a_name_moves_then_the_old_image_stays_without_it(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "engine.db")
    first, second = recorded(catalogue, 1, "app:v1"), recorded(catalogue, 2, "app:v1")

    named = {image.id: [str(name) for name in image.names] for image in catalogue.summaries()}

    assert named == {first: [], second: ["app:v1"]}


def test_when_images_share_a_layer_then_it_goes_with_the_last(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path / "engine.db")
    base = recorded(catalogue, 1)
    more = make(1, labels={"a": "b"})
    got = [(Layer(digest_of(tar), 3000), LayerBlob(digest_of(tar), digest_of(tar), 4096, False)) for tar in more.tars]
    catalogue.add_image(ImageConfig(more.config), got)

    assert catalogue.delete_image(more.id) == ([], [])
    chains, blobs = catalogue.delete_image(base)
    assert len(chains) == len(blobs) == 2


def test_when_the_catalogue_is_of_a_newer_version_then_it_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    catalogue = Catalogue(path)
    catalogue._db.execute("PRAGMA user_version=99")
    catalogue.close()

    with pytest.raises(EngineStartError, match="newer ecrlab"):
        Catalogue(path)


def test_when_the_catalogue_is_no_database_then_the_error_says_so(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    path.write_bytes(b"this is no database, only a text " * 20)

    with pytest.raises(EngineStartError, match="cannot read its catalogue"):
        Catalogue(path)
