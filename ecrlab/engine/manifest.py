"""Manifests, indexes and image configurations, as registries and archives hold them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ecrlab.engine import platforms
from ecrlab.engine.errors import EngineError, NotFound
from ecrlab.engine.platforms import Platform
from ecrlab.engine.reference import is_digest

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
ACCEPTED = (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX)
SIZE_LIMIT = 4 << 20
CONFIG_LIMIT = 16 << 20
_ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)


def digest_of(data: bytes) -> str:
    """Return the sha256 digest of `data`, with its `sha256:` prefix."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Descriptor:
    """What a manifest says of a blob or of another manifest; size in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index with its exact bytes, so that its digest stays what it is."""

    media_type: str
    body: bytes

    @cached_property
    def digest(self) -> str:
        """The sha256 digest of the bytes."""
        return digest_of(self.body)

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The parsed JSON; raises EngineError when it is none."""
        return parse_object(self.body, "manifest")

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests, one per platform."""
        return self.media_type in (DOCKER_LIST, OCI_INDEX)

    @property
    def config(self) -> Descriptor:
        """The descriptor of the image configuration."""
        return _descriptor(self.document.get("config"))

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The descriptors of the layers, bottom layer first."""
        return _descriptors(self.document.get("layers"))

    @property
    def manifests(self) -> tuple[Descriptor, ...]:
        """The descriptors of an index."""
        return _descriptors(self.document.get("manifests"))

    def choose(self, wanted: Platform) -> Descriptor:
        """Return the manifest of an index that serves `wanted`; raises NotFound in Docker's words."""
        ranked = [
            (rank, position, entry)
            for position, entry in enumerate(self.manifests)
            if entry.platform is not None and (rank := wanted.rank(entry.platform)) is not None
        ]
        if not ranked:
            raise NotFound(f"no matching manifest for {wanted} in the manifest list entries")
        return min(ranked, key=lambda item: item[:2])[2]


@dataclass(frozen=True)
class ImageConfig:
    """An image configuration with its exact bytes; its digest is the image ID."""

    body: bytes

    @cached_property
    def id(self) -> str:
        """The image ID."""
        return digest_of(self.body)

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The parsed JSON; raises EngineError when it is none."""
        return parse_object(self.body, "image configuration")

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """Digests of the uncompressed layers, bottom layer first."""
        rootfs = self.document.get("rootfs")
        found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        values = tuple(found or ()) if isinstance(found, list | None) else (None,)
        if not all(isinstance(value, str) and is_digest(value) for value in values):
            raise EngineError("invalid image configuration: rootfs.diff_ids must be a list of sha256 digests")
        return values

    @property
    def platform(self) -> Platform:
        """The platform the image was made for."""
        texts = (self.document.get(key) for key in ("os", "architecture", "variant"))
        os, architecture, variant = (text if isinstance(text, str) else "" for text in texts)
        return platforms.of(os or "linux", architecture, variant)

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        settings = self.document.get("config")
        labels = settings.get("Labels") if isinstance(settings, dict) else None
        return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}

    @property
    def created(self) -> int:
        """When the image was made, in Unix seconds; Docker's zero time when it is not said."""
        return unix_seconds(self.document.get("created"))

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """The history entries, oldest first."""
        found = self.document.get("history")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def parse_object(body: bytes, what: str) -> Mapping[str, Any]:
    """Return the JSON object in `body`; raises EngineError naming `what` when it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise EngineError(f"invalid {what}: not JSON") from None
    if not isinstance(document, dict):
        raise EngineError(f"invalid {what}: not a JSON object")
    return document


def checked(media_type: str, body: bytes) -> Manifest:
    """Return the manifest in `body`; raises EngineError for a kind that is not an image.

    The media type inside the document wins over the one of the transport, as in the OCI image specification.
    """
    document = parse_object(body, "manifest")
    inner = document.get("mediaType")
    kind = inner if isinstance(inner, str) and inner else media_type.partition(";")[0].strip()
    if document.get("schemaVersion") != 2 or kind not in ACCEPTED:
        raise EngineError(f"unsupported manifest media type {kind or 'unknown'}, schema version 2 is needed")
    return Manifest(kind, body)


def unix_seconds(text: object) -> int:
    """Return the Unix seconds of an RFC 3339 time; Docker's zero time (year 1) when it is none."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else _ZERO_TIME
    except ValueError:
        moment = _ZERO_TIME
    return int(moment.timestamp()) if moment.tzinfo else int(moment.replace(tzinfo=UTC).timestamp())


def _descriptors(found: object) -> tuple[Descriptor, ...]:
    if found is not None and not isinstance(found, list):
        raise EngineError("invalid manifest: a list of descriptors is expected")
    return tuple(_descriptor(entry) for entry in found or ())


def _descriptor(entry: object) -> Descriptor:
    if not isinstance(entry, dict):
        raise EngineError("invalid manifest: a descriptor is missing")
    media_type, digest, size = entry.get("mediaType", ""), entry.get("digest"), entry.get("size")
    if not isinstance(digest, str) or not is_digest(digest) or not isinstance(media_type, str):
        raise EngineError("invalid manifest: a descriptor without a valid sha256 digest")
    if not isinstance(size, int) or size < 0:
        raise EngineError(f"invalid manifest: no valid size for {digest}")
    platform = entry.get("platform")
    if not isinstance(platform, dict):
        return Descriptor(media_type, digest, size)
    texts = (str(platform.get(key) or "") for key in ("os", "architecture", "variant"))
    return Descriptor(media_type, digest, size, platforms.of(*texts))
