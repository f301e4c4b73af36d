"""A stored layer as a stream of uncompressed bytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ecrlab.cloud.scanning.limits import Budget, LayerError

_READ = 128 * 1024
_CHUNK = 512 * 1024
_GZIP = b"\x1f\x8b"
_UNREADABLE = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image. `open` returns a new stream of the bytes as stored (usually gzip)."""

    digest: str
    media_type: str
    open: Callable[[], BinaryIO]

    @property
    def is_filesystem(self) -> bool:
        """Whether the media type is that of a file system layer (Docker and OCI layer types all name tar)."""
        return ".tar" in self.media_type


def uncompressed(stream: BinaryIO, budget: Budget) -> Iterator[bytes]:
    """Yield the layer's bytes uncompressed, in pieces of bounded size.

    The compression is told by the first bytes, because a media type may lie. Raises LayerError for a damaged or
    truncated layer, a compression that is not supported, or a layer over its bounds.
    """
    first = stream.read(_READ)
    for magic, name in _UNREADABLE.items():
        if first.startswith(magic):
            raise LayerError(f"it is compressed with {name}, which the scanner does not read; use gzip")
    pieces = _gunzip(stream, first, budget) if first.startswith(_GZIP) else _plain(stream, first)
    for piece in pieces:
        budget.spend_bytes(len(piece))
        yield piece


def _plain(stream: BinaryIO, first: bytes) -> Iterator[bytes]:
    piece = first
    while piece:
        yield piece
        piece = stream.read(_CHUNK)


def _gunzip(stream: BinaryIO, first: bytes, budget: Budget) -> Iterator[bytes]:
    limits = budget.limits
    data, compressed, written = first, len(first), 0
    member = zlib.decompressobj(wbits=31)
    while True:
        try:
            piece = member.decompress(data, _CHUNK)
        except zlib.error as error:
            raise LayerError(f"its gzip data is damaged ({error})") from None
        written += len(piece)
        if written > limits.ratio_after_bytes and written > limits.ratio * compressed:
            raise LayerError(f"it unpacks to more than {limits.ratio} times its size")
        if piece:
            yield piece
        if member.eof:
            data = member.unused_data.lstrip(b"\0")  # members may be followed by zero padding and by more members
            while not data:
                block = stream.read(_READ)
                if not block:
                    return
                compressed += len(block)
                data = block.lstrip(b"\0")
            member = zlib.decompressobj(wbits=31)
            continue
        data = member.unconsumed_tail
        if not data and len(piece) < _CHUNK:  # a full piece may leave output inside zlib: ask again before reading on
            data = stream.read(_READ)
            if not data:
                raise LayerError("its gzip data ends too early")
            compressed += len(data)


class ByteStream:
    """Exact reads and skips over an iterator of byte pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return `size` bytes; fewer only at the end of the stream."""
        end = self._at + size
        if end <= len(self._piece):
            data = self._piece[self._at : end]
            self._at = end
            return data
        parts = [self._piece[self._at :]]
        missing = size - len(parts[0])
        while missing and self._next():
            parts.append(self._piece[:missing])
            self._at = len(parts[-1])
            missing -= self._at
        return b"".join(parts)

    def skip(self, size: int) -> bool:
        """Pass over `size` bytes; false when the stream ends before."""
        end = self._at + size
        while end > len(self._piece):
            end -= len(self._piece)
            if not self._next():
                return False
        self._at = end
        return True

    def drain(self) -> None:
        """Read to the end: only there the compression's checksum is verified."""
        while self._next():
            continue

    def _next(self) -> bool:
        for piece in self._pieces:
            self._piece, self._at = piece, 0
            return True
        self._piece, self._at = b"", 0
        return False
