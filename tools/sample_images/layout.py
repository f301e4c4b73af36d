"""An OCI image layout: one multi-arch image written as a folder (OCI image specification 1.1, image-layout)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .layers import MEDIA_TYPE, Layer, digest

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True)
class Image:
    """An image for one platform: its layers (bottom first), its runtime settings and what set them."""

    architecture: str
    layers: Sequence[Layer]
    config: Mapping[str, Any]
    settings_history: Sequence[str] = field(default=())


def write_layout(folder: Path, images: Iterable[Image], *, annotations: Mapping[str, str], created: int) -> str:
    """Write the images as one multi-arch image, tagged "latest", into a new folder; gives the digest of its index.

    created: Unix time in seconds.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(media_type: str, content: bytes) -> dict[str, Any]:
        name = digest(content)
        (blobs / name.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": name, "size": len(content)}

    manifests = []
    for image in images:
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": put(_CONFIG, _json(_config(image, created))),
            "layers": [put(MEDIA_TYPE, layer.blob) for layer in image.layers],
            "annotations": dict(annotations),
        }
        platform = {"architecture": image.architecture, "os": "linux"}
        manifests.append({**put(_MANIFEST, _json(manifest)), "platform": platform})
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests, "annotations": dict(annotations)}
    latest = {**put(_INDEX, _json(index)), "annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [latest]}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return str(latest["digest"])


def _config(image: Image, created: int) -> dict[str, Any]:
    when = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "created": when,
        "architecture": image.architecture,
        "os": "linux",
        "config": dict(image.config),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
        "history": [
            *({"created": when, "created_by": layer.created_by} for layer in image.layers),
            *({"created": when, "created_by": line, "empty_layer": True} for line in image.settings_history),
        ],
    }


def _json(value: object) -> bytes:
    # On one line and without a line end, so that no editor, hook or git setting changes the bytes of a stored file.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode("ascii")
