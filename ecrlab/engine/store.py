"""Layer blobs on disk, one file per digest; a file is there whole and verified or not at all."""

import hashlib
import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ecrlab.engine.errors import EngineError, EngineStartError
from ecrlab.engine.reference import valid_digest


class BlobStore:
    """The blobs below one folder. One process at a time may hold it (see `locked`)."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs" / "sha256"
        self._uploads = root / "tmp"
        self._leases: Counter[str] = Counter()
        self._leasing = threading.Lock()
        for folder in (self._blobs, self._uploads):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the blob of `digest` is or would be; raises InvalidParameter for a bad digest."""
        name = valid_digest(digest).removeprefix("sha256:")
        return self._blobs / name[:2] / name

    def has(self, digest: str) -> bool:
        """Tell whether the blob is there."""
        return self.path(digest).is_file()

    def open(self, digest: str) -> BinaryIO:
        """Return the blob opened for reading."""
        return self.path(digest).open("rb")

    def writer(self) -> "BlobWriter":
        """Return a writer for a new blob; nothing stays on disk unless it is committed."""
        return BlobWriter(self, self._uploads / secrets.token_hex(12))

    @contextmanager
    def lease(self, digests: Iterable[str]) -> Iterator[None]:
        """Keep blobs from being discarded while a transfer uses them."""
        held = list(digests)
        with self._leasing:
            self._leases.update(held)
        try:
            yield
        finally:
            with self._leasing:
                self._leases.subtract(held)
                self._leases = +self._leases

    def discard(self, digests: Iterable[str]) -> int:
        """Remove blobs that no image needs any more, except leased ones; return the bytes freed."""
        freed = 0
        for digest in digests:
            path = self.path(digest)
            with self._leasing, suppress(FileNotFoundError):
                if digest not in self._leases:
                    size = path.stat().st_size
                    path.unlink()
                    freed += size
        return freed

    def sweep(self, keep: set[str]) -> None:
        """Remove what an interrupted process left: unfinished files, and blobs outside `keep`."""
        for leftover in self._uploads.iterdir():
            leftover.unlink()
        for path in self._blobs.glob("*/*"):
            if f"sha256:{path.name}" not in keep:
                path.unlink()


class BlobWriter:
    """A blob being written: hashed on the way, renamed into place when its digest is the expected one."""

    def __init__(self, store: BlobStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self.size = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("xb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            # Closing flushes, and on a full disk the flush fails a second time: the first error is the one to show.
            with suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._opened().write(data)
        self._hash.update(data)
        self.size += len(data)

    def restart(self) -> None:
        """Forget what was written, for a source that cannot continue where it stopped."""
        file = self._opened()
        file.seek(0)
        file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    def commit(self, expected: str | None = None) -> str:
        """Put the blob in place and return its digest; raises EngineError when it is not the expected one."""
        digest = self.digest
        if expected is not None and digest != expected:
            raise EngineError(f"filesystem layer verification failed for digest {expected}")
        file = self._opened()
        file.flush()
        # The catalogue may name this blob right after: its bytes must reach the disk first.
        os.fsync(file.fileno())
        file.close()
        self._file = None
        target = self._store.path(digest)
        try:
            target.parent.mkdir(exist_ok=True)
            self._path.replace(target)
        finally:
            self._path.unlink(missing_ok=True)
        return digest

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("the writer is not open")
        return self._file


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the engine's folder for this process; raises EngineStartError when another engine holds it."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (root / "lock").open("a+b")
    except OSError as error:
        raise EngineStartError(f"The engine cannot write to its folder {root}: {error.strerror}.") from None
    with file:
        if not _lock(file):
            raise EngineStartError(f"Another ecrlab engine is using the folder {root}; stop it or choose another.")
        yield


def _lock(file: BinaryIO) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
