"""What is inside a layer blob: its diff ID, the size of its files, and its deterministic compression."""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from ecrlab.engine.errors import EngineError
from ecrlab.engine.store import BlobWriter

CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31
_LEVEL = 6
Report = Callable[[int], None]


@dataclass(frozen=True)
class Layer:
    """A layer as a container sees it: the digest of its tar, and the bytes of the files in it."""

    diff_id: str
    size: int


@dataclass(frozen=True)
class LayerBlob:
    """A stored form of a layer; `size` is the bytes of the file on disk."""

    diff_id: str
    digest: str
    size: int
    compressed: bool


def is_gzip(head: bytes) -> bool:
    """Tell whether the first bytes of a file are those of gzip."""
    return head.startswith(_GZIP_MAGIC)


def examine(blob: BinaryIO, report: Report) -> Layer:
    """Read a layer, gzip or plain tar, to its end and return what it is; raises EngineError for a broken one.

    `report` is told the number of stored bytes read since its last call.
    """
    stream = _TarStream(blob, report)
    size = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as archive:
            for member in archive:
                if member.isreg():
                    size += member.size
                # A stream is read once, so the list of members that tarfile keeps would only grow.
                archive.members = []  # type: ignore[attr-defined]
        while stream.read(CHUNK):
            pass
    except (tarfile.TarError, zlib.error, EOFError) as error:
        if stream.length == 0 and isinstance(error, tarfile.ReadError):
            # No bytes at all are taken for an empty layer, as Docker does.
            return Layer(stream.diff_id(), 0)
        raise EngineError(f"failed to register layer: invalid tar archive: {error}") from None
    return Layer(stream.diff_id(), size)


def compress(blob: BinaryIO, writer: BlobWriter, report: Report) -> None:
    """Write `blob` gzip-compressed; the same bytes give the same file (no name, no time in its header)."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    while chunk := blob.read(CHUNK):
        writer.write(compressor.compress(chunk))
        report(len(chunk))
    writer.write(compressor.flush())


class _TarStream(io.RawIOBase):
    """The tar of a layer, decompressed when need be, hashed while it is read."""

    def __init__(self, blob: BinaryIO, report: Report) -> None:
        head = blob.read(2)
        blob.seek(0)
        self._blob = blob
        self._report = report
        self._gzip = is_gzip(head)
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._hash = hashlib.sha256()
        self._held = b""
        self.length = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._decoded(size if size >= 0 else CHUNK)
        self._hash.update(data)
        self.length += len(data)
        return data

    def diff_id(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def _decoded(self, size: int) -> bytes:
        if not self._gzip:
            data = self._blob.read(size)
            self._report(len(data))
            return data
        while True:
            if not self._held:
                self._held = self._blob.read(CHUNK // 4)
                self._report(len(self._held))
                if not self._held:
                    if not self._inflate.eof:
                        raise EOFError("unexpected EOF")
                    return b""
            if self._inflate.eof:
                # A gzip file may have several members, one after the other.
                self._inflate = zlib.decompressobj(_GZIP_WINDOW)
            data = self._inflate.decompress(self._held, size)
            self._held = self._inflate.unconsumed_tail or self._inflate.unused_data
            if data:
                return data
