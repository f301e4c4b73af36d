"""Reads the stored samples by their descriptors, for the tests beside it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecrlab import samples


@dataclass(frozen=True)
class Stored:
    """A sample's layout."""

    folder: Path

    def read(self, descriptor: dict[str, Any]) -> bytes:
        algorithm, encoded = descriptor["digest"].split(":")
        return (self.folder / "blobs" / algorithm / encoded).read_bytes()

    def json(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        return json.loads(self.read(descriptor))

    @property
    def index_descriptor(self) -> dict[str, Any]:
        (descriptor,) = json.loads((self.folder / "index.json").read_bytes())["manifests"]
        return descriptor

    @property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Manifests by architecture."""
        entries = self.json(self.index_descriptor)["manifests"]
        return {entry["platform"]["architecture"]: self.json(entry) for entry in entries}

    def layer_tars(self, manifest: dict[str, Any]) -> list[bytes]:
        """The layers of an image, uncompressed, bottom first."""
        return [gzip.decompress(self.read(layer)) for layer in manifest["layers"]]

    def files(self, manifest: dict[str, Any]) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
        """What the layers hold, by absolute path; content is empty for what is not a regular file."""
        found = {}
        for layer in self.layer_tars(manifest):
            with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
                for member in tar:
                    file = tar.extractfile(member) if member.isfile() else None
                    found[f"/{member.name}"] = (member, file.read() if file else b"")
        return found


def server_program(architecture: str) -> bytes:
    """The executable of the server, from the image."""
    stored = Stored(samples.layout("simplehttp"))
    return stored.files(stored.manifests[architecture])["/usr/bin/simplehttp"][1]
