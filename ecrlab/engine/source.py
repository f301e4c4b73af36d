"""Where an image is pulled from: a registry (see registry.py), or a folder with an OCI image layout."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from ecrlab.engine.errors import EngineError, NotFound
from ecrlab.engine.manifest import SIZE_LIMIT, Descriptor, Manifest, checked, digest_of, parse_object
from ecrlab.engine.reference import HUB, Reference, is_digest

_CHUNK = 1 << 20
SAMPLES = "ecrlab/"


class Source(Protocol):
    """A repository to pull from."""

    async def manifest(self, identifier: str) -> Manifest:
        """Return the manifest or index of a tag or digest, verified; raises NotFound."""

    def blob(self, blob: Descriptor, offset: int) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        """Open a blob; gives the offset that its bytes begin at (the one asked for, or 0) and the bytes."""

    async def tags(self) -> list[str]:
        """Return all tags of the repository."""


class LayoutSource:
    """An OCI image layout folder seen as a repository with one tag."""

    def __init__(self, folder: Path, reference: Reference) -> None:
        self._folder = folder
        self._reference = reference

    async def manifest(self, identifier: str) -> Manifest:
        """Return the manifest of the layout's one tag, or the manifest with this digest."""
        tag, descriptor = self._root()
        if is_digest(identifier):
            descriptor = Descriptor(descriptor.media_type if identifier == descriptor.digest else "", identifier, 0)
        elif identifier != tag:
            raise NotFound(
                f"manifest for {self._reference} not found: manifest unknown: the sample image has the tag {tag} only"
            )
        path = self._path(descriptor.digest)
        if not path.is_file() or path.stat().st_size > SIZE_LIMIT:
            raise NotFound(f"manifest for {self._reference} not found: manifest unknown: no such digest")
        body = path.read_bytes()
        if digest_of(body) != descriptor.digest:
            raise EngineError(f"manifest verification failed for digest {descriptor.digest}")
        return checked(descriptor.media_type, body)

    @asynccontextmanager
    async def blob(self, blob: Descriptor, offset: int) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Open a blob of the layout."""
        path = self._path(blob.digest)
        if not path.is_file():
            raise NotFound("unknown blob")
        with path.open("rb") as file:
            file.seek(offset)

            async def chunks() -> AsyncIterator[bytes]:
                while data := await asyncio.to_thread(file.read, _CHUNK):
                    yield data

            yield offset, chunks()

    async def tags(self) -> list[str]:
        """Return the layout's one tag."""
        return [self._root()[0]]

    def _root(self) -> tuple[str, Descriptor]:
        index = parse_object((self._folder / "index.json").read_bytes(), "image layout")
        # The contract of ecrlab.samples: exactly one descriptor, that of the multi-arch index.
        (entry,) = index["manifests"]
        tag = entry.get("annotations", {}).get("org.opencontainers.image.ref.name", "latest")
        return tag, Descriptor(entry["mediaType"], entry["digest"], entry["size"])

    def _path(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        return self._folder / "blobs" / algorithm / name


def sample(reference: Reference) -> LayoutSource | None:
    """Return the sample image that a reference of `docker.io/ecrlab/…` names, None for any other repository."""
    if reference.domain != HUB or not reference.path.startswith(SAMPLES):
        return None
    from ecrlab import samples

    name = reference.path.removeprefix(SAMPLES)
    if name not in samples.names():
        known = ", ".join(f"{SAMPLES}{sample}" for sample in samples.names())
        raise NotFound(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may require"
            f" 'docker login': the sample images are {known}"
        )
    return LayoutSource(samples.layout(name), reference)
