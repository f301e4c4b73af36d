"""The parts of a running engine, held together."""

import asyncio
from pathlib import Path
from weakref import WeakValueDictionary

from ecrlab.engine.catalogue import Catalogue
from ecrlab.engine.events import Events
from ecrlab.engine.registry import RegistryClient
from ecrlab.engine.store import BlobStore


class Engine:
    """Content store, catalogue, events and registry connections of one engine. Open it under `store.locked(root)`."""

    def __init__(self, root: Path, cloud_url: str) -> None:
        self.root = root
        self.store = BlobStore(root)
        self.catalogue = Catalogue(root / "engine.db")
        self.events = Events()
        self.registries = RegistryClient(cloud_url)
        self._transfers: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.store.sweep(self.catalogue.blob_digests())

    def transferring(self, digest: str) -> asyncio.Lock:
        """Return the lock to hold while a blob is fetched or made, so that two clients do not do it twice."""
        lock = self._transfers.get(digest)
        if lock is None:
            lock = self._transfers[digest] = asyncio.Lock()
        return lock

    def discard_unused(self, digests: list[str]) -> int:
        """Remove those of the blobs that no image needs; return the bytes freed."""
        return self.store.discard([digest for digest in digests if self.catalogue.blob(digest) is None])

    async def close(self) -> None:
        """Close connections and files."""
        self.events.close()
        await self.registries.close()
        self.catalogue.close()
