"""`docker save`: an OCI image layout that is also a docker-archive, as Docker writes it since version 25.

Layers and manifests are the stored bytes, so that an image keeps its digest through save, load and push.
"""

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ecrlab.engine import images, packing
from ecrlab.engine import reference as references
from ecrlab.engine.catalogue import Name
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import InvalidParameter
from ecrlab.engine.manifest import OCI_INDEX, Manifest

_CHUNK = 1 << 20
_BLOCK = 512
_END = b"\0" * (20 * _BLOCK)


@dataclass
class Saved:
    """An image to save: its names, and the manifest whose blobs go into the archive."""

    image_id: str
    names: list[Name]
    manifest: Manifest


async def choose(engine: Engine, texts: Sequence[str]) -> list[Saved]:
    """Return the images that names or IDs mean, ready to be written; a name without a tag means all its tags."""
    chosen: dict[str, list[Name]] = {}
    for text in texts:
        for image_id, names in _wanted(engine, text):
            held = chosen.setdefault(image_id, [])
            held += [name for name in names if name not in held]
    saved = []
    for image_id, names in chosen.items():
        known = names or engine.catalogue.names(image_id)
        preferred = next((name.manifest for name in known if name.manifest), None)
        manifest = await packing.manifest_of(engine, image_id, preferred, lambda _id, _size: lambda _count: None)
        saved.append(Saved(image_id, [name for name in names if name.tag], manifest))
    return saved


async def archive(engine: Engine, saved: Sequence[Saved]) -> AsyncIterator[bytes]:
    """Yield the bytes of the archive."""
    layers = list(dict.fromkeys(layer.digest for image in saved for layer in image.manifest.layers))
    with engine.store.lease(layers):
        for folder in ("blobs/", "blobs/sha256/"):
            yield _header(folder, 0)
        for digest in layers:
            with engine.store.open(digest) as file:
                size = file.seek(0, 2)
                file.seek(0)
                yield _header(_path(digest), size)
                while chunk := await asyncio.to_thread(file.read, _CHUNK):
                    yield chunk
                yield _padding(size)
        for image in saved:
            config = engine.catalogue.config(image.image_id)
            if config is not None:
                yield _file(_path(image.image_id), config.body)
            yield _file(_path(image.manifest.digest), image.manifest.body)
    for name, document in _indexes(saved).items():
        yield _file(name, json.dumps(document, separators=(",", ":")).encode())
    yield _END


def _wanted(engine: Engine, text: str) -> list[tuple[str, list[Name]]]:
    try:
        reference = references.parse(text)
    except InvalidParameter:
        reference = None
    if reference is not None and not reference.tag and not reference.digest:
        tags = engine.catalogue.tags(reference.repository)
        if tags:
            return [(name.image_id, [name]) for name in tags]
    image_id = images.resolve(engine.catalogue, text)
    name = engine.catalogue.name(reference.with_default_tag()) if reference is not None else None
    return [(image_id, [name] if name is not None else [])]


def _indexes(saved: Sequence[Saved]) -> dict[str, Any]:
    descriptors: list[dict[str, Any]] = []
    repositories: dict[str, dict[str, str]] = {}
    for image in saved:
        manifest = image.manifest
        plain = {"mediaType": manifest.media_type, "digest": manifest.digest, "size": len(manifest.body)}
        for name in image.names:
            full = f"{name.repository}:{name.tag}"
            notes = {"io.containerd.image.name": full, "org.opencontainers.image.ref.name": name.tag}
            descriptors.append({**plain, "annotations": notes})
            top = manifest.layers[-1].digest if manifest.layers else ""
            repositories.setdefault(references.familiar(name.repository), {})[name.tag] = top.removeprefix("sha256:")
        if not image.names:
            descriptors.append(plain)
    entries = [
        {
            "Config": _path(image.image_id),
            "RepoTags": [str(name) for name in image.names] or None,
            "Layers": [_path(layer.digest) for layer in image.manifest.layers],
        }
        for image in saved
    ]
    documents = {
        "index.json": {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors},
        "manifest.json": entries,
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
    }
    return {**documents, "repositories": repositories} if repositories else documents


def _path(digest: str) -> str:
    return str(PurePosixPath("blobs", *digest.split(":")))


def _file(name: str, body: bytes) -> bytes:
    return _header(name, len(body)) + body + _padding(len(body))


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    if name.endswith("/"):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % _BLOCK)
