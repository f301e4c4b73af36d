"""The compressed form in which an image travels: its manifest, and layer blobs that stay what they were."""

import json
from collections.abc import Callable
from typing import Any

from ecrlab.engine import layers
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import EngineError
from ecrlab.engine.layers import Layer, LayerBlob
from ecrlab.engine.manifest import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Manifest
from ecrlab.engine.transfer import in_thread, short

Meter = Callable[[str, int], Callable[[int], None]]


def blobs_of(engine: Engine, image_id: str) -> list[str]:
    """Return the digests of all stored forms of an image's layers."""
    return [
        blob.digest for layer in engine.catalogue.layers(image_id) for blob in engine.catalogue.blobs(layer.diff_id)
    ]


async def manifest_of(engine: Engine, image_id: str, preferred: str | None, meter: Meter) -> Manifest:
    """Return the manifest to push or save an image with; its layer blobs are in the store.

    That is the one it was pulled with (`preferred`, a digest), so that the digest stays the same; for a loaded image
    a Docker schema 2 manifest is made, and its layers are compressed now. `meter` is asked for a progress report
    by layer and its size in bytes.
    """
    known = engine.catalogue.manifests(image_id)
    usable = [manifest for manifest in known if all(engine.store.has(layer.digest) for layer in manifest.layers)]
    for manifest in usable:
        if manifest.digest == preferred:
            return manifest
    if usable:
        return usable[0]
    blobs = [await _compressed(engine, layer, meter) for layer in engine.catalogue.layers(image_id)]
    config = engine.catalogue.config(image_id)
    if config is None:
        raise EngineError("the image was removed meanwhile")
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": DOCKER_CONFIG, "size": len(config.body), "digest": config.id},
        "layers": [{"mediaType": DOCKER_LAYER, "size": blob.size, "digest": blob.digest} for blob in blobs],
    }
    manifest = Manifest(DOCKER_MANIFEST, json.dumps(document, indent=3).encode())
    engine.catalogue.add_manifest(image_id, manifest)
    return manifest


async def _compressed(engine: Engine, layer: Layer, meter: Meter) -> LayerBlob:
    async with engine.transferring(layer.diff_id):
        found = [blob for blob in engine.catalogue.blobs(layer.diff_id) if engine.store.has(blob.digest)]
        if not found:
            raise EngineError(f"layer {layer.diff_id} is missing from the engine's store; pull or load the image again")
        if found[0].compressed:
            return found[0]
        plain = found[0]
        with engine.store.open(plain.digest) as source, engine.store.writer() as writer:
            report = meter(short(layer.diff_id), plain.size)
            await in_thread(layers.compress, source, writer, report)
            digest = await in_thread(writer.commit)
            size = writer.size
        if engine.catalogue.layer(layer.diff_id) is None:
            engine.discard_unused([digest])
            raise EngineError("the image was removed meanwhile")
        blob = LayerBlob(layer.diff_id, digest, size, compressed=True)
        engine.catalogue.add_blob(blob)
        return blob
