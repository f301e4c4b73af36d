"""The sample images that ecrlab brings along, stored as OCI image layouts; tools/build_samples.py builds them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from datetime import datetime
from pathlib import Path
from typing import Any

_IMAGES = Path(__file__).parent / "images"
_NAMES = ("simplehttp", "outdated-shop", "patched-shop")


class UnknownSampleError(KeyError):
    """There is no sample image of that name, or none for that platform."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError shows the repr of its message, quotes included


def names() -> tuple[str, ...]:
    """The names of the sample images; in an engine, `ecrlab/<name>`."""
    return _NAMES


def layout(name: str) -> Path:
    """The folder of a sample's OCI image layout; its index.json names one multi-arch index, tagged "latest".

    Raises UnknownSampleError.
    """
    if name not in _NAMES:
        raise UnknownSampleError(f"there is no sample image {name!r}; there are {', '.join(_NAMES)}")
    return _IMAGES / name


def archive(name: str, platform: str) -> bytes:
    """One platform ("linux/amd64") of a sample as the tar archive that `docker save` writes and `docker load` reads.

    It holds manifest.json, the image configuration and the uncompressed layers, tagged `ecrlab/<name>:latest`.
    Raises UnknownSampleError.
    """
    folder = layout(name)
    manifest = json.loads(_blob(folder, _manifest_digest(folder, name, platform)))
    config_digest = manifest["config"]["digest"]
    config_bytes = _blob(folder, config_digest)
    config = json.loads(config_bytes)
    files = {_path(config_digest): config_bytes}
    layer_paths = [_path(diff_id) for diff_id in config["rootfs"]["diff_ids"]]
    for path, descriptor in zip(layer_paths, manifest["layers"], strict=True):
        files[path] = gzip.decompress(_blob(folder, descriptor["digest"]))
    listing = [{"Config": _path(config_digest), "RepoTags": [f"ecrlab/{name}:latest"], "Layers": layer_paths}]
    files["manifest.json"] = json.dumps(listing).encode()
    return _tar(files, modified=int(datetime.fromisoformat(config["created"]).timestamp()))


def _manifest_digest(folder: Path, name: str, platform: str) -> str:
    (latest,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    manifests: list[dict[str, Any]] = json.loads(_blob(folder, latest["digest"]))["manifests"]
    digests = {f"{entry['platform']['os']}/{entry['platform']['architecture']}": entry["digest"] for entry in manifests}
    if platform not in digests:
        raise UnknownSampleError(
            f"the sample image {name} is not made for {platform!r}; it is for {', '.join(digests)}"
        )
    return str(digests[platform])


def _blob(folder: Path, digest: str) -> bytes:
    return (folder / _path(digest)).read_bytes()


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _tar(files: dict[str, bytes], *, modified: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive_file:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(content), modified
            archive_file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
