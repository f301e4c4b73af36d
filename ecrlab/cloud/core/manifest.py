"""Reading manifests. Their bytes are kept as they came: the digest is theirs, never that of a re-written copy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, TypeGuard

from ecrlab.cloud.core.errors import InvalidParameter
from ecrlab.cloud.storage.blobs import is_digest

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGES = frozenset({DOCKER_MANIFEST, OCI_MANIFEST})
INDEXES = frozenset({DOCKER_LIST, OCI_INDEX})
MEDIA_TYPES = IMAGES | INDEXES

# The configs of images that run, as opposed to artifacts.
IMAGE_CONFIGS = frozenset(
    {"application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"}
)

MAX_MEDIA_TYPE = 255  # characters: RFC 6838, and botocore model, ArtifactType
MAX_BYTES = 4 * 1024 * 1024  # botocore model, ImageManifest: 4,194,304


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest points to: media type, digest, size in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, read. `config` is None and `layers` empty for an index, `children` empty for an image.

    `artifact_type` is what the manifest says or else its config's media type (ecr-semantics section 10).
    """

    content: bytes
    digest: str
    media_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: str | None
    artifact_type: str | None

    @property
    def is_index(self) -> bool:
        """Whether this names images and not layers."""
        return self.media_type in INDEXES

    @property
    def needed_layers(self) -> tuple[Descriptor, ...]:
        """Config and layers: the blobs that the repository must hold (the config counts as a layer)."""
        return (self.config, *self.layers) if self.config else self.layers


def parse(content: bytes, media_type: str | None = None) -> Manifest:
    """Read a manifest. `media_type` is what the client said, needed when the manifest does not say it itself.

    Raises InvalidParameter in ECR's words (ecr-semantics section 4), for every fault alike.
    """
    if not 1 <= len(content) <= MAX_BYTES:
        raise _invalid(f"Member must have length less than or equal to {MAX_BYTES}")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON syntax") from None
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        raise _invalid("Invalid JSON syntax")
    stated = document.get("mediaType")
    if stated is not None and not isinstance(stated, str):
        raise _invalid("Invalid JSON syntax")
    if stated is not None and media_type is not None and stated != media_type:
        raise InvalidParameter("ImageManifestMediaType", "must be the media type that the manifest states")
    kind = stated or media_type
    if kind is None:
        raise InvalidParameter(
            "ImageManifestMediaType", "must be given when the manifest does not state its media type"
        )
    if kind not in MEDIA_TYPES:
        raise _invalid("Invalid JSON syntax")
    config = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    if kind in INDEXES:
        children = _descriptors(document.get("manifests"))
    else:
        config = _descriptor(document.get("config"))
        layers = _descriptors(document.get("layers"))
    subject = document.get("subject")
    artifact_type = document.get("artifactType")
    if artifact_type not in (None, "") and not _is_media_type(artifact_type):
        raise _invalid("Invalid JSON syntax")
    annotations = document.get("annotations")
    if annotations is not None and not _is_text_map(annotations):
        raise _invalid("Invalid JSON syntax")
    return Manifest(
        content=content,
        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
        media_type=kind,
        config=config,
        layers=layers,
        children=children,
        subject=_descriptor(subject).digest if subject is not None else None,
        artifact_type=artifact_type or (config.media_type if config else None),
    )


def _descriptors(value: Any) -> tuple[Descriptor, ...]:
    if not isinstance(value, list):
        raise _invalid("Invalid JSON syntax")
    return tuple(_descriptor(item) for item in value)


def _descriptor(value: Any) -> Descriptor:
    if not isinstance(value, dict):
        raise _invalid("Invalid JSON syntax")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if (
        not _is_media_type(media_type)
        or ";" in media_type
        or not isinstance(digest, str)
        or not is_digest(digest)
        or not isinstance(size, int)
        or isinstance(size, bool)
        or not 0 <= size < 2**63
    ):
        raise _invalid("Invalid JSON syntax")
    return Descriptor(media_type, digest, size)


def _is_media_type(value: Any) -> TypeGuard[str]:
    return _is_text(value) and 1 <= len(value) <= MAX_MEDIA_TYPE


def _is_text(value: Any) -> TypeGuard[str]:
    # JSON can write half of a surrogate pair, which no database and no answer can.
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, (*value, *value.values())))


def _invalid(constraint: str) -> InvalidParameter:
    return InvalidParameter("ImageManifest", constraint)
