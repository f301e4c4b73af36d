"""Registries to pull from: what the cache needs of them, and those of the same lab.

Core knows no HTTP: other registries are read by what the cloud passes in as `Outside`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from ecrlab.cloud.core.cache_errors import SecretNotFound, UpstreamAccessDenied, UpstreamUnavailable
from ecrlab.cloud.core.errors import EcrError, ImageNotFound, RepositoryNotFound
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.layers import Layers
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.repositories import Repositories, Repository

CHUNK = 1024 * 1024  # bytes of a layer that are in memory at a time


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login at an upstream registry."""

    username: str
    password: str


class NotUpstream(Exception):
    """The upstream has no such image."""


class Upstream(Protocol):
    """One registry, open for reading. Every method raises UpstreamError."""

    async def check(self) -> None:
        """Return when the registry answers and accepts the login."""

    async def manifest(self, name: str, reference: str) -> tuple[bytes, str | None]:
        """Return a manifest's bytes and media type; `reference` is a tag or a digest. Raises NotUpstream."""

    def blob(self, name: str, digest: str) -> AsyncIterator[bytes]:
        """Yield a blob's bytes."""


class Outside(Protocol):
    """What lies outside the registries of the lab."""

    async def secret(self, arn: str) -> str:
        """Return the text of a secret of Secrets Manager. Raises SecretNotFound, UnableToAccessSecret."""

    def registry(self, host: str, credentials: Credentials | None) -> AbstractAsyncContextManager[Upstream]:
        """Open a registry by its host name, with its port if need be."""


class Nothing:
    """An `Outside` where nothing is: for scripts and tests that work on the registries alone."""

    async def secret(self, arn: str) -> str:
        """Raise SecretNotFound."""
        raise SecretNotFound(arn)

    def registry(self, host: str, credentials: Credentials | None) -> AbstractAsyncContextManager[Upstream]:
        """Raise UpstreamUnavailable."""
        raise UpstreamUnavailable(f"The upstream registry {host} cannot be reached from here")


class LabRegistry:
    """An `Upstream` that is a registry of the same lab, read for `reader`, the registry that caches.

    Another account's registry would have to let the reader in by policy, and policies are not evaluated yet.
    """

    def __init__(
        self, registry: Registry, reader: Registry, repositories: Repositories, images: Images, layers: Layers
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._repositories = repositories
        self._images = images
        self._layers = layers

    async def check(self) -> None:
        """Return when the reader may read here."""
        if self._registry.account != self._reader.account:
            raise UpstreamAccessDenied(f"No policy of the registry {self._registry.host} allows ecr:BatchGetImage")

    async def manifest(self, name: str, reference: str) -> tuple[bytes, str | None]:
        """Return the manifest of an image that can be pulled; that counts as a pull of it."""
        await self.check()
        image_id = ImageId(digest=reference) if ":" in reference else ImageId(tag=reference)
        try:
            image = self._images.active(self._repositories.get(self._registry, name), image_id)
        except (RepositoryNotFound, ImageNotFound):
            raise NotUpstream from None
        self._images.note_pull(image)
        return self._images.manifest(image), image.media_type

    async def blob(self, name: str, digest: str) -> AsyncIterator[bytes]:
        """Yield a layer's bytes."""
        await self.check()
        try:
            layer = self._layers.download(self._repository(name), digest)
        except EcrError as error:
            raise UpstreamUnavailable(error.message) from None
        with layer.path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk

    def _repository(self, name: str) -> Repository:
        return self._repositories.get(self._registry, name)
