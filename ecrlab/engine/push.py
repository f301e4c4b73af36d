"""`docker push`: layers that the registry lacks are mounted or uploaded, then the manifest names them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

from yarl import URL

from ecrlab.engine import packing
from ecrlab.engine.catalogue import Name
from ecrlab.engine.credentials import Credentials
from ecrlab.engine.engine import Engine
from ecrlab.engine.errors import NotFound, storage_error
from ecrlab.engine.manifest import Descriptor, ImageConfig, Manifest
from ecrlab.engine.progress import Progress
from ecrlab.engine.reference import Reference
from ecrlab.engine.registry import RepositoryClient
from ecrlab.engine.transfer import PARALLEL_LAYERS, short, together
from ecrlab.engine.transport import ATTEMPTS, TemporaryError, backoff

_CHUNK = 1 << 20
_MOUNT_TRIES = 3


async def push(engine: Engine, reference: Reference, credentials: Credentials, progress: Progress) -> None:
    """Push the image that `reference` names, all tags of the repository when it has no tag; raises EngineError."""
    progress.status(f"The push refers to repository [{reference.repository}]")
    names = engine.catalogue.tags(reference.repository)
    if not names:
        raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
    if reference.tag:
        names = [name for name in names if name.tag == reference.tag]
        if not names:
            raise NotFound(f"tag does not exist: {reference}")
    remote = engine.registries.repository(reference, credentials, "pull,push")
    for name in names:
        await _Push(engine, remote, reference, name, progress).run()


class _Push:
    """The push of one tag."""

    def __init__(
        self, engine: Engine, remote: RepositoryClient, reference: Reference, name: Name, progress: Progress
    ) -> None:
        self._engine = engine
        self._remote = remote
        self._reference = reference.with_tag(name.tag)
        self._name = name
        self._progress = progress
        self._slots = asyncio.Semaphore(PARALLEL_LAYERS)

    async def run(self) -> None:
        engine, progress, name = self._engine, self._progress, self._name
        shown = [short(layer.diff_id) for layer in engine.catalogue.layers(name.image_id)]
        for id in reversed(list(dict.fromkeys(shown))):
            progress.layer(id, "Preparing")
        config = engine.catalogue.config(name.image_id)
        if config is None:
            raise NotFound(f"tag does not exist: {self._reference}")
        held = packing.blobs_of(engine, name.image_id)
        try:
            with ExitStack() as leases:
                leases.enter_context(engine.store.lease(held))
                manifest = await packing.manifest_of(engine, name.image_id, name.manifest, self._packing)
                made = [layer.digest for layer in manifest.layers]
                leases.enter_context(engine.store.lease(made))
                held += made
                await self._send(manifest, config, shown)
        except OSError as error:
            raise storage_error(error) from error
        finally:
            engine.discard_unused(held)
        digest, size = manifest.digest, len(manifest.body)
        if engine.catalogue.config(name.image_id) is not None:
            engine.catalogue.set_names([self._reference.with_digest(digest)], name.image_id, digest)
        progress.status(f"{name.tag}: digest: {digest} size: {size}")
        progress.aux({"Tag": name.tag, "Digest": digest, "Size": size})
        engine.events.emit("push", str(self._reference), {"name": self._reference.familiar_name})

    def _packing(self, id: str, size: int) -> Callable[[int], None]:
        return self._progress.meter(id, "Preparing", size)

    async def _send(self, manifest: Manifest, config: ImageConfig, shown: list[str]) -> None:
        layers = {layer.digest: (id, layer) for id, layer in zip(shown, manifest.layers, strict=True)}
        for id, _ in list(reversed(layers.values()))[PARALLEL_LAYERS:]:
            self._progress.layer(id, "Waiting")
        await together(self._layer(id, layer) for id, layer in reversed(layers.values()))
        self._engine.catalogue.add_origins(layers, self._reference.repository)
        if not await self._remote.has_blob(config.id):
            await self._upload(None, config.id, len(config.body), lambda: _once(config.body))
        await self._remote.put_manifest(self._name.tag, manifest)

    async def _layer(self, id: str, layer: Descriptor) -> None:
        async with self._slots:
            if await self._remote.has_blob(layer.digest):
                self._progress.layer(id, "Layer already exists")
                return
            begun: URL | None = None
            elsewhere = self._engine.catalogue.origins(layer.digest, self._reference.domain)
            for source in [path for path in elsewhere if path != self._reference.path][:_MOUNT_TRIES]:
                begun = await self._remote.mount(layer.digest, source)
                if begun is None:
                    self._progress.layer(id, f"Mounted from {source}")
                    return

            def content() -> AsyncIterator[bytes]:
                return self._stored(layer.digest, self._progress.meter(id, "Pushing", layer.size))

            await self._upload(id, layer.digest, layer.size, content, begun)
            self._progress.layer(id, "Pushed")

    async def _upload(
        self,
        id: str | None,
        digest: str,
        size: int,
        content: Callable[[], AsyncIterator[bytes]],
        begun: URL | None = None,
    ) -> None:
        for attempt in range(ATTEMPTS):
            location = begun or await self._remote.begin_upload()
            try:
                await self._remote.upload(location, digest, size, content)
                return
            except TemporaryError as error:
                if attempt == ATTEMPTS - 1:
                    raise error.final from None
            begun = None
            wait = backoff(attempt)
            if id is not None:
                self._progress.layer(id, f"Retrying in {wait:g} seconds")
            await asyncio.sleep(wait)

    async def _stored(self, digest: str, report: Callable[[int], None]) -> AsyncIterator[bytes]:
        with self._engine.store.open(digest) as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk
                report(len(chunk))


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
