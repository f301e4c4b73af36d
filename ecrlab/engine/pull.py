"""`docker pull`: a manifest, its configuration and its layers, verified and then recorded in one step."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from ecrlab.engine import layers, platforms
from ecrlab.engine.credentials import Credentials
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import EngineError, storage_error
from ecrlab.engine.layers import Layer, LayerBlob
from ecrlab.engine.manifest import CONFIG_LIMIT, DOCKER_CONFIG, OCI_CONFIG, Descriptor, ImageConfig, Manifest, digest_of
from ecrlab.engine.platforms import Platform
from ecrlab.engine.progress import Progress
from ecrlab.engine.reference import Reference
from ecrlab.engine.source import Source, sample
from ecrlab.engine.transfer import PARALLEL_LAYERS, in_thread, short, together
from ecrlab.engine.transport import ATTEMPTS, TemporaryError, backoff

_LAYER_KINDS = (".tar.gzip", ".tar+gzip", ".tar")
_MISMATCH = "layers from manifest don't match image configuration"


async def pull(
    engine: Engine,
    reference: Reference,
    platform: Platform | None,
    credentials: Credentials,
    progress: Progress,
) -> None:
    """Pull what `reference` names, all tags when it has neither tag nor digest; raises EngineError."""
    source: Source = sample(reference) or engine.registries.repository(reference, credentials, "pull")
    one = bool(reference.tag or reference.digest)
    wanted = [reference] if one else [reference.with_tag(tag) for tag in await source.tags()]
    news = [await _Pull(engine, source, each, platform, progress).run() for each in wanted]
    text = "Downloaded newer image for" if any(news) else "Image is up to date for"
    progress.status(f"Status: {text} {reference}")


class _Pull:
    """The pull of one reference."""

    def __init__(
        self, engine: Engine, source: Source, reference: Reference, platform: Platform | None, progress: Progress
    ) -> None:
        self._engine = engine
        self._source = source
        self._reference = reference
        self._platform = platform
        self._progress = progress
        self._slots = asyncio.Semaphore(PARALLEL_LAYERS)

    async def run(self) -> bool:
        """Pull; return whether that changed anything here."""
        found = await self._source.manifest(self._reference.identifier)
        self._progress.status(
            f"Pulling from {self._reference.path}",
            str(self._reference) if self._reference.digest else self._reference.tag,
        )
        manifest = found
        if found.is_index:
            manifest = await self._source.manifest(found.choose(self._platform or platforms.host()).digest)
        catalogue = self._engine.catalogue
        before = catalogue.name(self._reference)
        image_id = self._complete(manifest)
        references = {replace(self._reference, tag=None, digest=found.digest), self._reference}
        if image_id is None:
            image_id = await self._fetch(manifest, references)
        else:
            catalogue.set_names(references, image_id, manifest.digest)
            catalogue.add_origins([layer.digest for layer in manifest.layers], self._reference.repository)
        config = catalogue.config(image_id)
        assert config is not None
        self._progress.status(f"Digest: {found.digest}")
        if self._platform is not None and self._platform.rank(config.platform) is None:
            self._progress.status(
                f"WARNING: image with reference {self._reference} was found but does not match the specified platform:"
                f" wanted {self._platform}, actual: {config.platform}"
            )
        self._engine.events.emit("pull", str(self._reference), {"name": self._reference.familiar_name, **config.labels})
        return before is None or before.image_id != image_id or before.manifest != manifest.digest

    def _complete(self, manifest: Manifest) -> str | None:
        """Return the ID of the image if it is here already, with all layers as this manifest lists them."""
        engine = self._engine
        image_id = engine.catalogue.image_of_manifest(manifest.digest)
        if image_id is None or not all(self._present(layer.digest) for layer in manifest.layers):
            return None
        return image_id

    def _present(self, digest: str) -> bool:
        return self._engine.catalogue.blob(digest) is not None and self._engine.store.has(digest)

    async def _fetch(self, manifest: Manifest, references: set[Reference]) -> str:
        engine, descriptors = self._engine, manifest.layers
        if manifest.config.media_type not in (DOCKER_CONFIG, OCI_CONFIG):
            raise EngineError(f"unsupported media type {manifest.config.media_type}: this is not a container image")
        for layer in descriptors:
            if not layer.media_type.endswith(_LAYER_KINDS):
                raise EngineError(f"unsupported layer media type {layer.media_type}: neither tar nor tar with gzip")
        digests = [layer.digest for layer in descriptors]
        try:
            with engine.store.lease(digests):
                config = await self._config(manifest.config)
                if len(config.diff_ids) != len(descriptors):
                    raise EngineError(_MISMATCH)
                got = await self._layers(descriptors, config.diff_ids)
                engine.catalogue.add_image(
                    config, got, manifest=manifest, references=references, origin=self._reference.repository
                )
        except OSError as error:
            raise storage_error(error) from error
        finally:
            engine.discard_unused(digests)
        return config.id

    async def _config(self, descriptor: Descriptor) -> ImageConfig:
        if descriptor.size > CONFIG_LIMIT:
            raise EngineError(f"the image configuration is larger than {CONFIG_LIMIT} bytes")
        body = bytearray()
        try:
            async with aclosing(self._received(descriptor)) as chunks:
                async for position, chunk in chunks:
                    body[position:] = chunk
        except EngineError as error:
            raise type(error)(f"error pulling image configuration: {error}") from None
        if digest_of(bytes(body)) != descriptor.digest:
            raise EngineError(f"image config verification failed for digest {descriptor.digest}")
        return ImageConfig(bytes(body))

    async def _layers(
        self, descriptors: tuple[Descriptor, ...], diff_ids: tuple[str, ...]
    ) -> list[tuple[Layer, LayerBlob]]:
        # The same layer may be in an image several times (often the empty one): it is fetched once.
        wanted = {layer.digest: layer for layer in descriptors}
        got: dict[str, tuple[Layer, LayerBlob]] = {}
        for layer in wanted.values():
            if not self._present(layer.digest):
                self._progress.layer(short(layer.digest), "Pulling fs layer")

        async def one(descriptor: Descriptor) -> None:
            if self._slots.locked():
                self._progress.layer(short(descriptor.digest), "Waiting")
            async with self._slots, self._engine.transferring(descriptor.digest):
                got[descriptor.digest] = await self._layer(descriptor)

        await together(one(layer) for layer in wanted.values())
        found = [got[layer.digest] for layer in descriptors]
        if tuple(layer.diff_id for layer, _ in found) != diff_ids:
            raise EngineError(_MISMATCH)
        return found

    async def _layer(self, descriptor: Descriptor) -> tuple[Layer, LayerBlob]:
        engine, progress, id = self._engine, self._progress, short(descriptor.digest)
        known = engine.catalogue.blob(descriptor.digest)
        if known is not None and engine.store.has(descriptor.digest):
            layer = engine.catalogue.layer(known.diff_id)
            assert layer is not None, "the catalogue keeps a layer for each blob"
            progress.layer(id, "Already exists")
            return layer, known
        if not engine.store.has(descriptor.digest):
            await self._download(descriptor)
        with engine.store.open(descriptor.digest) as file:
            compressed = layers.is_gzip(file.read(2))
            file.seek(0)
            meter = progress.meter(id, "Extracting", descriptor.size)
            layer = await asyncio.to_thread(layers.examine, file, meter)
        progress.layer(id, "Pull complete")
        return layer, LayerBlob(layer.diff_id, descriptor.digest, descriptor.size, compressed)

    async def _download(self, descriptor: Descriptor) -> None:
        progress, id = self._progress, short(descriptor.digest)
        meter = progress.meter(id, "Downloading", descriptor.size)
        with self._engine.store.writer() as writer:
            async with aclosing(self._received(descriptor)) as chunks:
                async for position, chunk in chunks:
                    if position < writer.size:
                        writer.restart()
                    await in_thread(writer.write, chunk)
                    meter(len(chunk))
            progress.layer(id, "Verifying Checksum")
            await in_thread(writer.commit, descriptor.digest)
        progress.layer(id, "Download complete")

    async def _received(self, descriptor: Descriptor) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield the position and the bytes of each chunk of a blob.

        A connection that breaks is taken up where it stopped; position 0 once more means that it starts anew.
        """
        position = failures = 0
        while True:
            try:
                async with self._source.blob(descriptor, position) as (start, chunks):
                    position = start
                    async for chunk in chunks:
                        if position + len(chunk) > descriptor.size:
                            raise EngineError(f"filesystem layer verification failed for digest {descriptor.digest}")
                        yield position, chunk
                        position += len(chunk)
                return
            except TemporaryError as error:
                failures += 1
                if failures == ATTEMPTS:
                    raise error.final from None
            await asyncio.sleep(backoff(failures))
