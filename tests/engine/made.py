"""Images made for tests: layers, configurations, archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass
from typing import Any

from ecrlab.engine import manifest as kinds
from tests.engine.double import RegistryDouble


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass(frozen=True)
class Made:
    """An image with two layers, bottom layer first."""

    config: bytes
    tars: tuple[bytes, ...]

    @property
    def id(self) -> str:
        return digest_of(self.config)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return tuple(gzip.compress(tar, mtime=0) for tar in self.tars)

    def manifest(self, *, oci: bool = False) -> bytes:
        layer = "application/vnd.oci.image.layer.v1.tar+gzip" if oci else kinds.DOCKER_LAYER
        document = {
            "schemaVersion": 2,
            "mediaType": kinds.OCI_MANIFEST if oci else kinds.DOCKER_MANIFEST,
            "config": {
                "mediaType": kinds.OCI_CONFIG if oci else kinds.DOCKER_CONFIG,
                "size": len(self.config),
                "digest": self.id,
            },
            "layers": [{"mediaType": layer, "size": len(blob), "digest": digest_of(blob)} for blob in self.blobs],
        }
        # An unusual indent: who writes the manifest again instead of keeping its bytes is found out.
        return json.dumps(document, indent=5).encode()


def make(seed: int = 0, *, architecture: str = "amd64", labels: dict[str, str] | None = None, layers: int = 2) -> Made:
    tars = tuple(tar_of({f"file-{seed}-{layer}": noise(3000 + layer, seed * 100 + layer)}) for layer in range(layers))
    document = {
        "created": f"2024-01-{seed % 27 + 1:02}T10:00:00.123456789Z",
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/app"], "Env": ["A=b"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": f"step {layer}"} for layer in range(layers)]
        + [{"created": "2024-01-01T00:00:00Z", "created_by": "CMD", "empty_layer": True}],
    }
    return Made(json.dumps(document).encode(), tars)


def publish(registry: RegistryDouble, repository: str, tag: str, image: Made, *, oci: bool = False) -> str:
    for blob in (*image.blobs, image.config):
        registry.put_blob(repository, blob)
    body = image.manifest(oci=oci)
    media_type = kinds.OCI_MANIFEST if oci else kinds.DOCKER_MANIFEST
    for key in (tag, digest_of(body)):
        registry.manifests[repository, key] = (media_type, body)
    return digest_of(body)


def publish_index(registry: RegistryDouble, repository: str, tag: str, images: dict[str, Made]) -> str:
    entries = []
    for platform, image in images.items():
        digest = publish(registry, repository, f"only-{platform.replace('/', '-')}", image)
        os, architecture, *variant = platform.split("/")
        where = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        size = len(image.manifest())
        entries.append({"mediaType": kinds.DOCKER_MANIFEST, "digest": digest, "size": size, "platform": where})
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": kinds.DOCKER_LIST, "manifests": entries}
    return registry.put_manifest(repository, tag, index, kinds.DOCKER_LIST)


def docker_archive(*images: tuple[Made, list[str]], compressed: bool = False) -> bytes:
    files: dict[str, bytes] = {}
    entries = []
    for image, tags in images:
        name = image.id.removeprefix("sha256:")
        paths = []
        for position, tar in enumerate(image.blobs if compressed else image.tars):
            path = f"{name[:12]}-{position}/layer.tar"
            files[path] = tar
            paths.append(path)
        files[f"{name}.json"] = image.config
        entries.append({"Config": f"{name}.json", "RepoTags": tags or None, "Layers": paths})
    return tar_of({**files, "manifest.json": json.dumps(entries).encode()})


def oci_archive(image: Made, name: str) -> bytes:
    body = image.manifest(oci=True)
    blobs = {f"blobs/sha256/{digest_of(data)[7:]}": data for data in (*image.blobs, image.config, body)}
    entry = {
        "mediaType": kinds.OCI_MANIFEST,
        "digest": digest_of(body),
        "size": len(body),
        "annotations": {"org.opencontainers.image.ref.name": name},
    }
    index = {"schemaVersion": 2, "manifests": [entry]}
    return tar_of({"oci-layout": b"{}", "index.json": json.dumps(index).encode(), **blobs})
