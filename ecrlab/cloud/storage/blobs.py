"""Blobs on disk, each under the name of its digest, and the uploads that become blobs."""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")


class Upload:
    """Bytes on their way to become a blob, hashed while they arrive."""

    def __init__(self, path: Path) -> None:
        self.id = path.name
        self.path = path
        self.size = 0
        self.parts = 0
        self._file: BinaryIO = path.open("xb")
        # Docker and ECR name layers by sha256; only this hash is taken while the bytes pass.
        self._sha256 = hashlib.sha256()

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append bytes. Raises OSError (a full disk), after which the upload is of no use."""
        for chunk in chunks:
            self._file.write(chunk)
            self._sha256.update(chunk)
            self.size += len(chunk)

    def digest(self, algorithm: str) -> str:
        """Return the digest of what was written so far; an algorithm other than sha256 reads the file again."""
        self._file.flush()
        if algorithm == "sha256":
            return f"sha256:{self._sha256.hexdigest()}"
        with self.path.open("rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"

    def close(self) -> None:
        """Close the file; flushes, and so may raise OSError."""
        self._file.close()

    def discard(self) -> None:
        """Throw the bytes away."""
        try:
            self._file.close()
        finally:
            self.path.unlink(missing_ok=True)


class BlobStore:
    """Content-addressed files: `blobs/sha256/ab/abcd…`; uploads in their own folder until they are whole."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs"
        self._uploads = folder / "uploads"
        # An upload does not outlive its server: a client that finds it gone starts the layer again.
        shutil.rmtree(self._uploads, ignore_errors=True)
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._uploads.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the blob of `digest` is, or would be. Raises ValueError when it is not a digest."""
        if not is_digest(digest):
            raise ValueError(f"not a digest: {digest!r}")
        algorithm, _, encoded = digest.partition(":")
        return self._blobs / algorithm / encoded[:2] / encoded

    def start(self) -> Upload:
        """Begin an upload."""
        return Upload(self._uploads / str(uuid.uuid4()))

    def keep(self, upload: Upload, digest: str) -> None:
        """Move a finished upload, already found to have `digest`, into its place. Raises OSError."""
        upload.close()
        target = self.path(digest)
        if target.exists():
            upload.path.unlink()
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        upload.path.replace(target)

    def delete(self, digest: str) -> None:
        """Remove a blob; one that is absent is fine."""
        self.path(digest).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every blob and every upload."""
        for folder in (self._blobs, self._uploads):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)


def is_digest(text: str) -> bool:
    """Tell whether `text` is a sha256 or sha512 digest as OCI writes them."""
    return _DIGEST.fullmatch(text) is not None
