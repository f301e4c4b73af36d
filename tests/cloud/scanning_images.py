"""Images built in memory for the scanning tests."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence

from ecrlab.cloud.scanning import Layer

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
STATUS = "var/lib/dpkg/status"


def paragraph(name: str, version: str, source: str = "", state: str = "install ok installed") -> str:
    lines = [f"Package: {name}", f"Status: {state}", "Architecture: amd64", f"Version: {version}"]
    if source:
        lines.append(f"Source: {source}")
    return "\n".join([*lines, "Description: a package", " Version: 9 is not a field here", "\n"])


def metadata(name: str, version: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: another in the description\n"


def member(name: str, type_: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = type_, target, size
    return info


Entry = tuple[str, str] | tarfile.TarInfo


def archive(entries: Sequence[Entry], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry, io.BytesIO(bytes(entry.size)))
            else:
                content = entry[1].encode()
                tar.addfile(member(entry[0], size=len(content)), io.BytesIO(content))
    return buffer.getvalue()


def layer(digest: str, content: bytes, media_type: str = GZIP) -> Layer:
    return Layer(digest, media_type, lambda: io.BytesIO(content))


def image(*layers: Sequence[Entry]) -> list[Layer]:
    return [
        layer(f"sha256:{number}", gzip.compress(archive(entries), mtime=0)) for number, entries in enumerate(layers)
    ]
