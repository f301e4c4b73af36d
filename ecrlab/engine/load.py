"""`docker load`: docker-archives and OCI image layouts, every layer verified before an image is recorded."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import aiohttp

from ecrlab.engine import layers, platforms
from ecrlab.engine import reference as references
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import EngineError, InvalidParameter, storage_error
from ecrlab.engine.layers import Layer, LayerBlob
from ecrlab.engine.manifest import CONFIG_LIMIT, OCI_INDEX, SIZE_LIMIT, Descriptor, ImageConfig, Manifest, checked
from ecrlab.engine.progress import Progress
from ecrlab.engine.reference import Reference
from ecrlab.engine.transfer import in_thread, short
from ecrlab.engine.unpacking import Unpacked, unpack

_NAME_NOTE = "io.containerd.image.name"
_REF_NOTE = "org.opencontainers.image.ref.name"


async def load(engine: Engine, content: aiohttp.StreamReader, progress: Progress) -> None:
    """Load every image of an archive; raises EngineError, and then nothing of the image that failed stays."""
    files: Unpacked | None = None
    try:
        with ExitStack() as leases:
            files = Unpacked(engine.store, leases)
            await in_thread(unpack, content, asyncio.get_running_loop(), files)
            await _Load(engine, files, progress).run()
    except OSError as error:
        raise storage_error(error) from error
    finally:
        if files is not None:
            engine.discard_unused(list(files.digests))


class _Load:
    """The images of one unpacked archive."""

    def __init__(self, engine: Engine, files: Unpacked, progress: Progress) -> None:
        self._engine = engine
        self._files = files
        self._progress = progress
        self._seen: dict[str, tuple[Layer, LayerBlob]] = {}

    async def run(self) -> None:
        manifests = self._layout()
        body = self._files.read("manifest.json", CONFIG_LIMIT)
        if body is None:
            if not manifests:
                raise EngineError("invalid archive: neither manifest.json (docker save) nor index.json (OCI layout)")
            for manifest, names in manifests.values():
                config = ImageConfig(self._files.read_blob(manifest.config.digest, CONFIG_LIMIT))
                await self._image(config, [layer.digest for layer in manifest.layers], names, manifest)
            return
        for entry in _entries(body):
            raw = self._files.read(entry["Config"], CONFIG_LIMIT)
            if raw is None:
                raise EngineError(f"invalid archive: the configuration {entry['Config']} is missing")
            config = ImageConfig(raw)
            digests = [self._layer_digest(path) for path in entry["Layers"]]
            known = manifests.get(config.id)
            same = known is not None and [layer.digest for layer in known[0].layers] == digests
            names = [_tagged(text) for text in entry.get("RepoTags") or []]
            await self._image(config, digests, names, known[0] if known is not None and same else None)

    def _layout(self) -> dict[str, tuple[Manifest, list[Reference]]]:
        """Return the manifests of an OCI layout with their names, by image ID."""
        body = self._files.read("index.json", SIZE_LIMIT)
        found: dict[str, tuple[Manifest, list[Reference]]] = {}
        if body is None:
            return found
        index = Manifest(OCI_INDEX, body)
        raw = index.document.get("manifests")
        for entry, descriptor in zip(raw or [], index.manifests, strict=True):
            manifest = self._manifest(descriptor)
            names = found.setdefault(manifest.config.digest, (manifest, []))[1]
            names += _noted(entry.get("annotations") or {})
        return found

    def _manifest(self, descriptor: Descriptor) -> Manifest:
        manifest = checked(descriptor.media_type, self._files.read_blob(descriptor.digest, SIZE_LIMIT))
        return self._manifest(manifest.choose(platforms.host())) if manifest.is_index else manifest

    def _layer_digest(self, path: str) -> str:
        digest = self._files.digest(path)
        if digest is None:
            raise EngineError(f"invalid archive: the layer {path} is missing")
        return digest

    async def _image(
        self, config: ImageConfig, digests: Sequence[str], names: Sequence[Reference], manifest: Manifest | None
    ) -> None:
        if len(config.diff_ids) != len(digests):
            raise EngineError(
                f"invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, got {len(digests)}"
            )
        got = []
        for position, (digest, expected) in enumerate(zip(digests, config.diff_ids, strict=True)):
            layer, blob = await self._layer(digest)
            if layer.diff_id != expected:
                raise EngineError(f'invalid diffID for layer {position}: expected "{expected}", got "{layer.diff_id}"')
            got.append((layer, blob))
        # An uncompressed layer is compressed for a push, which makes another manifest: this one could not be kept.
        keep = manifest if manifest is not None and all(blob.compressed for _, blob in got) else None
        if keep is None:
            got = [(layer, self._stored(blob)) for layer, blob in got]
        for name in names:
            before = self._engine.catalogue.name(name)
            if before is not None and before.image_id != config.id:
                self._say(
                    f"The image {name} already exists, renaming the old one with ID {before.image_id} to empty string"
                )
        self._engine.catalogue.add_image(config, got, manifest=keep, references=names)
        self._engine.events.emit("load", config.id, {"name": config.id, **config.labels})
        for name in names:
            self._say(f"Loaded image: {name}")
        if not names:
            self._say(f"Loaded image ID: {config.id}")

    async def _layer(self, digest: str) -> tuple[Layer, LayerBlob]:
        if digest not in self._seen:
            if digest not in self._files.digests:
                raise EngineError(f"invalid archive: the layer {digest} is missing, or its file has other content")
            with self._engine.store.open(digest) as file:
                size = file.seek(0, 2)
                file.seek(0)
                compressed = layers.is_gzip(file.read(2))
                file.seek(0)
                meter = self._progress.meter(short(digest), "Loading layer", size)
                layer = await in_thread(layers.examine, file, meter)
            self._seen[digest] = layer, LayerBlob(layer.diff_id, digest, size, compressed)
        return self._seen[digest]

    def _stored(self, blob: LayerBlob) -> LayerBlob:
        """Return a form of the layer that is in the store already, rather than keep a second one."""
        for known in self._engine.catalogue.blobs(blob.diff_id):
            if self._engine.store.has(known.digest):
                return known
        return blob

    def _say(self, text: str) -> None:
        self._progress.send({"stream": f"{text}\n"})


def _entries(body: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(body)
        valid = isinstance(entries, list) and all(
            isinstance(entry["Config"], str) and all(isinstance(path, str) for path in entry["Layers"] or [])
            for entry in entries
        )
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise EngineError("invalid archive: manifest.json is not the one that docker save writes")
    return [{**entry, "Layers": entry["Layers"] or []} for entry in entries]


def _tagged(text: Any) -> Reference:
    if not isinstance(text, str):
        raise InvalidParameter("invalid archive: a tag that is not a text")
    return references.parse(text).with_default_tag()


def _noted(notes: Mapping[str, Any]) -> list[Reference]:
    name = notes.get(_NAME_NOTE) or notes.get(_REF_NOTE) or ""
    # In a layout that is not Docker's the name is often a bare tag, which names no repository.
    return [_tagged(name)] if isinstance(name, str) and (":" in name or "/" in name) else []
