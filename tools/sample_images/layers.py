"""A layer: files as a tar archive in a gzip stream, the same bytes whatever Python, zlib or clock makes them."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_STORED_BLOCK = 0xFFFF  # bytes, the most that a stored block of deflate holds (RFC 1951, 3.2.4)


@dataclass(frozen=True)
class File:
    """A file of a layer, owned by root: its bytes and mode, or the target of a symbolic link."""

    content: bytes = b""
    mode: int = 0o644
    link: str | None = None


@dataclass(frozen=True)
class Layer:
    """A layer as stored, and the history line that made it."""

    tar: bytes
    created_by: str

    @property
    def blob(self) -> bytes:
        """The compressed bytes, as a registry keeps them."""
        return store_gzip(self.tar)

    @property
    def diff_id(self) -> str:
        """The digest of the uncompressed tar archive (OCI image configuration, rootfs.diff_ids)."""
        return digest(self.tar)


def digest(data: bytes) -> str:
    """The digest of some bytes, "sha256:<hex>"."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(files: Mapping[str, File], *, created_by: str, modified: int) -> Layer:
    """A layer that holds the files and the folders above them.

    files: by path below the root of the image, without a leading slash.
    modified: the modification time of everything in the layer, Unix time in seconds.
    """
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    entries: dict[str, File | None] = {**dict.fromkeys(folders), **files}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(entries):
            archive.addfile(*_member(path, entries[path], modified))
        end = archive.offset
    # tarfile fills up to a tape record of 10 kB; the format itself asks for two empty blocks.
    return Layer(buffer.getvalue()[:end] + bytes(2 * tarfile.BLOCKSIZE), created_by)


def _member(path: str, file: File | None, modified: int) -> tuple[tarfile.TarInfo, io.BytesIO]:
    member = tarfile.TarInfo(path)
    member.mtime = modified
    if file is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    elif file.link is not None:
        member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, file.link
    else:
        member.mode, member.size = file.mode, len(file.content)
    return member, io.BytesIO(file.content if file else b"")


def store_gzip(data: bytes) -> bytes:
    """A gzip stream of stored (not shrunk) deflate blocks, without a time or a file name.

    Compressors differ: zlib, zlib-ng and their versions give other bytes, and so another digest, for the same input.
    Stored blocks can be written in one way only; the samples are small enough to do without shrinking.
    RFC 1951 (deflate) section 3.2.4, RFC 1952 (gzip) section 2.3.
    """
    out = bytearray(b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff")
    starts = range(0, max(len(data), 1), _STORED_BLOCK)
    for start in starts:
        block = data[start : start + _STORED_BLOCK]
        out += struct.pack("<BHH", start == starts[-1], len(block), len(block) ^ 0xFFFF) + block
    return bytes(out + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
