"""A tar archive read as a stream: header by header, payloads passed over unless asked for.

The standard library's tarfile builds an object of some twenty attributes per entry and keeps them all; a scan needs
four fields of an entry and reads one payload in a thousand. Formats: POSIX.1-2001 pax, ustar, GNU long names, old V7
(https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html, "Extended Description").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ecrlab.cloud.scanning.layers import ByteStream
from ecrlab.cloud.scanning.limits import Budget, LayerError

_BLOCK = 512
_ZERO = bytes(_BLOCK)
_NAME_BYTES = 4096  # PATH_MAX of Linux: no engine could create the file
_PAX_BYTES = 1024 * 1024

FILE, HARD_LINK, SYMBOLIC_LINK, DIRECTORY, OTHER = "file", "hard link", "symbolic link", "directory", "other"
_TYPES = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"S": FILE,
    b"1": HARD_LINK,
    b"2": SYMBOLIC_LINK,
    b"3": OTHER,
    b"4": OTHER,
    b"5": DIRECTORY,
    b"6": OTHER,
}
_WITHOUT_PAYLOAD = frozenset(b"123456")


class Entry(NamedTuple):
    """One member of an archive. `path` is relative to the image's root, "" for the root, None when it leads outside."""

    path: str | None
    type: str
    size: int
    target: str
    """Where a hard link or symbolic link points, as written."""
    sparse: bool
    """The payload is a map of fragments and not the file's content."""


class TarStream:
    """Iterates over the entries of an archive; `read` returns the payload of the entry just yielded.

    Raises LayerError for anything that is not a whole tar archive, or is over the budget.
    """

    def __init__(self, stream: ByteStream, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget
        self._left = 0
        self._padding = 0

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes of the current payload, fewer at its end."""
        size = min(size, self._left)
        data = self._stream.read(size)
        if len(data) < size:
            raise LayerError("its tar archive ends in the middle of a file")
        self._left -= size
        return data

    def __iter__(self) -> Iterator[Entry]:
        stream, spend_entry = self._stream, self._budget.spend_entry
        long_name = long_target = ""
        pax: dict[bytes, bytes] = {}
        while header := self._header():
            spend_entry()
            kind = header[156:157]
            size = _number(header, 124, 136)
            if kind in b"LKxXg":
                payload = self._extension(size, _NAME_BYTES if kind in b"LK" else _PAX_BYTES)
                if kind == b"L":
                    long_name = _text(payload)
                elif kind == b"K":
                    long_target = _text(payload)
                elif kind != b"g":
                    pax = _pax_records(payload)
                continue
            name, target = long_name or _name(header), long_target or _text(header[157:257])
            sparse = kind == b"S"
            if pax:
                name = _decoded(pax.get(b"GNU.sparse.name")) or _decoded(pax.get(b"path")) or name
                target = _decoded(pax.get(b"linkpath")) or target
                sparse = sparse or any(key.startswith(b"GNU.sparse.") for key in pax)
                if b"size" in pax:
                    size = _decimal(pax[b"size"])
            if kind == b"S":
                self._skip_sparse_map(header)
            if kind[0] in _WITHOUT_PAYLOAD:
                size = 0
            self._left, self._padding = size, -size % _BLOCK
            form = _TYPES.get(kind, OTHER)
            if form == FILE and name.endswith("/"):
                form = DIRECTORY
            if len(name) > _NAME_BYTES:
                raise LayerError(f"a path of {len(name)} characters is over the bound of {_NAME_BYTES}")
            yield Entry(normal_path(name), form, size, target, sparse)
            if pax:
                pax = {}
            long_name = long_target = ""
        stream.drain()

    def _header(self) -> bytes:
        """Pass over the last payload and return the next header, empty at the end of the archive."""
        stream = self._stream
        if (skipped := self._left + self._padding) and not stream.skip(skipped):
            raise LayerError("its tar archive ends in the middle of a file")
        self._left = self._padding = 0
        header = stream.read(_BLOCK)
        if not header or header == _ZERO:
            return b""
        if len(header) < _BLOCK:
            raise LayerError("its tar archive ends in the middle of a header")
        expected = _number(header, 148, 156)
        found = sum(header) - sum(header[148:156]) + 8 * 0x20
        if found != expected and found - 256 * sum(byte > 127 for byte in header) != expected:
            # The second form is that of old programs, which summed signed bytes.
            raise LayerError("it is not a tar archive, or a damaged one: the checksum of a header does not match")
        return header

    def _extension(self, size: int, limit: int) -> bytes:
        if size > limit:
            raise LayerError(f"an extended tar header of {size} bytes is over the bound of {limit}")
        self._left, self._padding = size, -size % _BLOCK
        return self.read(size)

    def _skip_sparse_map(self, header: bytes) -> None:
        more = header[482]
        while more:
            self._budget.spend_entry()
            block = self._stream.read(_BLOCK)
            if len(block) < _BLOCK:
                raise LayerError("its tar archive ends in the middle of a header")
            more = block[504]


def normal_path(name: str) -> str | None:
    """Return a name of an archive as a path below the image's root, or None when it leads out of it.

    An absolute name counts from the image's root, as container engines take it.
    """
    path = name[2:] if name.startswith("./") else name
    path = path.strip("/")
    if "//" not in path and "./" not in path and not path.endswith("."):
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    if header[345] and header[257:263] == b"ustar\0":  # GNU's own format keeps other things there
        return f"{_text(header[345:500])}/{name}"
    return name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _decoded(value: bytes | None) -> str:
    return value.decode("utf-8", "surrogateescape") if value else ""


def _number(header: bytes, start: int, end: int) -> int:
    field = header[start:end]
    if field[0] & 0x80:  # GNU's base 256, for sizes from 8 GiB; 0xff starts a negative number
        if field[0] == 0xFF:
            raise LayerError("a tar header holds a negative number")
        return int.from_bytes(field, "big") & ~(0x80 << 8 * (end - start - 1))
    text = field.partition(b"\0")[0].strip()
    if text and text.strip(b"01234567"):
        raise LayerError("it is not a tar archive, or a damaged one: a header holds a bad number")
    return int(text, 8) if text else 0


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise LayerError("a pax header holds a bad size")
    return int(text)


def _pax_records(payload: bytes) -> dict[bytes, bytes]:
    """Split records of the form "length key=value newline", where length counts the whole record."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(payload) and payload[at]:
        space = payload.find(b" ", at, at + 20)
        length = int(payload[at:space]) if space > at and payload[at:space].isdigit() else 0
        record = payload[space + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if at + length > len(payload) or not record.endswith(b"\n") or not equals:
            raise LayerError("a pax header is damaged")
        records[key] = value
        at += length
    return records
