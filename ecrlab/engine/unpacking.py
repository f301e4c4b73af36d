"""The files of an archive, read once as a stream: each goes to the content store under its digest, none to a path."""

import asyncio
import io
import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack

import aiohttp

from ecrlab.engine.errors import EngineError
from ecrlab.engine.layers import CHUNK
from ecrlab.engine.store import BlobStore

_LINK_DEPTH = 8
_TAR_ERRORS = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)
Report = Callable[[int], None]


class Unpacked:
    """The files of an archive by name; their blobs stay while `leases` is open."""

    def __init__(self, store: BlobStore, leases: ExitStack) -> None:
        self._store = store
        self._leases = leases
        self._files: dict[str, str] = {}
        self._links: dict[str, str] = {}

    @property
    def digests(self) -> set[str]:
        """The digests of all files."""
        return set(self._files.values())

    def digest(self, name: str) -> str | None:
        """Return the digest of the file of this name, found through links inside the archive; None when absent."""
        path = _inside(name)
        for _ in range(_LINK_DEPTH):
            if path not in self._links:
                break
            path = self._links[path]
        return self._files.get(path)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the bytes of a small file; None when absent; raises EngineError beyond `limit` bytes."""
        digest = self.digest(name)
        return None if digest is None else self.read_blob(digest, limit)

    def read_blob(self, digest: str, limit: int) -> bytes:
        """Return the bytes of a small file by digest; raises EngineError beyond `limit` bytes, or when absent."""
        if digest not in self.digests:
            raise EngineError(f"invalid archive: {digest} is missing, or its file has other content")
        with self._store.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise EngineError(f"invalid archive: a document in it is larger than {limit} bytes")
        return data

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Take one entry of the archive; raises EngineError for one that points outside of it."""
        path = _inside(member.name)
        if member.isreg():
            source = archive.extractfile(member)
            assert source is not None, "a regular file has content"
            with self._store.writer() as writer:
                while chunk := source.read(CHUNK):
                    writer.write(chunk)
                if writer.size != member.size:
                    raise EngineError("invalid tar archive: unexpected EOF")
                self._leases.enter_context(self._store.lease([writer.digest]))
                self._files[path] = writer.commit()
        elif member.issym():
            self._links[path] = _inside(posixpath.join(posixpath.dirname(path), member.linkname), member.name)
        elif member.islnk():
            self._links[path] = _inside(member.linkname, member.name)
        elif not member.isdir():
            raise EngineError(f'invalid archive: "{member.name}" is neither a file nor a folder')


def unpack(content: aiohttp.StreamReader, loop: asyncio.AbstractEventLoop, into: Unpacked) -> None:
    """Read a tar, plain or compressed with gzip, bzip2 or xz, to its end; to be called in a thread."""
    try:
        with tarfile.open(fileobj=_Body(content, loop), mode="r|*", bufsize=CHUNK) as archive:
            for member in archive:
                into.add(archive, member)
                archive.members = []  # type: ignore[attr-defined]
    except _TAR_ERRORS as error:
        raise EngineError(f"invalid tar archive: {error}") from None


class _Body(io.RawIOBase):
    """The body of a request, read from a thread."""

    def __init__(self, content: aiohttp.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        self._content = content
        self._loop = loop

    def readable(self) -> bool:
        return True

    def read(self, size: int = CHUNK) -> bytes:
        try:
            return asyncio.run_coroutine_threadsafe(self._content.readexactly(size), self._loop).result()
        except asyncio.IncompleteReadError as end:
            return end.partial


def _inside(name: str, link: str | None = None) -> str:
    """Return the plain path of an entry; raises EngineError when it, or what a link means, is outside."""
    path = posixpath.normpath(name)
    if path.startswith(("/", "../")) or path == ".." or "\\" in name:
        what = f'the link "{link}"' if link is not None else f'"{name}"'
        raise EngineError(f"invalid archive: {what} points outside the archive")
    return path
