"""Layers: uploads in parts, and which repository sees which blob (ecr-semantics section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ecrlab.cloud.core.account_settings import BLOB_MOUNTING, AccountSettings
from ecrlab.cloud.core.errors import (
    EmptyUpload,
    InvalidLayer,
    InvalidLayerPart,
    LayerAlreadyExists,
    LayerInaccessible,
    LayerNotFound,
    LayerPartTooSmall,
    RepositoryNotFound,
    UploadNotFound,
)
from ecrlab.cloud.core.repositories import Repositories, Repository
from ecrlab.cloud.storage import BlobStore, Database, Upload

PART_SIZE = 10 * 1024 * 1024  # what InitiateLayerUpload advises, in bytes
MIN_PART_SIZE = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob that a repository sees; `size` in bytes, `path` where its bytes are."""

    digest: str
    size: int
    path: Path


@dataclass(slots=True)
class _Pending:
    upload: Upload
    repository_id: int
    ends_small: bool = False
    has_small_part: bool = False


class Layers:
    """The layers of every repository, and the uploads under way."""

    def __init__(
        self, database: Database, blobs: BlobStore, repositories: Repositories, account_settings: AccountSettings
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._repositories = repositories
        self._account_settings = account_settings
        self._uploads: dict[str, _Pending] = {}

    def start(self, repository: Repository) -> Upload:
        """Begin an upload into a repository. Raises OSError (a full disk)."""
        upload = self._blobs.start()
        self._uploads[upload.id] = _Pending(upload, repository.id)
        return upload

    def upload(self, repository: Repository, upload_id: str) -> Upload:
        """Return an upload under way. Raises UploadNotFound, also for another repository's upload."""
        return self._pending(repository, upload_id).upload

    def write_part(self, repository: Repository, upload_id: str, first: int, last: int, content: bytes) -> Upload:
        """Append bytes `first` to `last`, both counted, to an upload.

        Raises InvalidLayerPart, UploadNotFound, OSError (a full disk).
        """
        pending = self._pending(repository, upload_id)
        upload = pending.upload
        if first != upload.size or last - first + 1 != len(content) or not content:
            raise InvalidLayerPart(
                f"The layer part with first byte {first} and last byte {last} does not continue the upload with id "
                f"'{upload_id}', which has {upload.size} bytes",
                registryId=repository.registry.account,
                repositoryName=repository.name,
                uploadId=upload_id,
                lastValidByteReceived=max(upload.size - 1, 0),
            )
        upload.write([content])
        upload.parts += 1
        pending.has_small_part |= pending.ends_small
        pending.ends_small = len(content) < MIN_PART_SIZE
        return upload

    def complete(self, repository: Repository, upload_id: str, digest: str) -> Layer:
        """Make an upload a layer of its repository.

        Raises UploadNotFound, EmptyUpload, LayerPartTooSmall (of a part before the last), InvalidLayer (the bytes have
        another digest), LayerAlreadyExists, OSError.
        The upload is gone afterwards, whatever the outcome, but for EmptyUpload.
        """
        pending = self._pending(repository, upload_id)
        upload = pending.upload
        if upload.size == 0:
            raise EmptyUpload(f"The upload with id '{upload_id}' has no bytes")
        del self._uploads[upload_id]
        try:
            if pending.has_small_part:
                raise LayerPartTooSmall(f"Only the last part of a layer may have less than {MIN_PART_SIZE} bytes")
            found = upload.digest(digest.partition(":")[0])
            if found != digest:
                raise InvalidLayer(
                    f"The layer with digest '{digest}' does not match the bytes of the upload with id '{upload_id}', "
                    f"which have the digest '{found}'"
                )
            if self.find(repository, digest):
                raise LayerAlreadyExists(digest, repository.name, repository.registry.account)
            with self._database.transaction():
                # The repository may have been deleted while the bytes came.
                self._repositories.get(repository.registry, repository.name)
                self._blobs.keep(upload, digest)
                self._link(repository, digest, upload.size)
        except BaseException:
            upload.discard()
            raise
        return Layer(digest, upload.size, self._blobs.path(digest))

    def mount(self, repository: Repository, digest: str, source_name: str) -> Layer | None:
        """Let a repository see a layer of another one of its registry, without an upload (ecr-semantics section 16).

        Returns None where ECR does not mount and the client has to upload: the account setting BLOB_MOUNTING is not
        ENABLED, the source is absent or encrypted otherwise, or no manifest pushed to it references the layer (what
        pull through cache brought does not count).
        """
        if self._account_settings.get(repository.registry, BLOB_MOUNTING) != "ENABLED":
            return None
        try:
            source = self._repositories.get(repository.registry, source_name)
        except RepositoryNotFound:
            return None
        if (source.encryption_type, source.kms_key) != (repository.encryption_type, repository.kms_key):
            return None
        row = self._database.one(
            "SELECT layer.size FROM layer JOIN reference ON reference.digest = layer.digest AND kind = 'layer'"
            " JOIN image ON image.id = reference.image_id AND image.repository_id = layer.repository_id"
            " WHERE layer.repository_id = ? AND layer.digest = ?"
            " AND image.id NOT IN (SELECT image_id FROM cached_image)",
            (source.id, digest),
        )
        if row is None:
            return None
        self._link(repository, digest, row["size"])
        return Layer(digest, row["size"], self._blobs.path(digest))

    def cancel(self, repository: Repository, upload_id: str) -> None:
        """Give an upload up. Raises UploadNotFound."""
        self._pending(repository, upload_id)
        self._uploads.pop(upload_id).upload.discard()

    def discard_uploads(self) -> None:
        """Give every upload up."""
        while self._uploads:
            self._uploads.popitem()[1].upload.discard()

    def find(self, repository: Repository, digest: str) -> Layer | None:
        """Return a layer that the repository sees, or None."""
        row = self._database.one(
            "SELECT size FROM layer WHERE repository_id = ? AND digest = ?", (repository.id, digest)
        )
        return Layer(digest, row["size"], self._blobs.path(digest)) if row else None

    def is_archived(self, repository: Repository, digest: str) -> bool:
        """Tell whether images of the repository need a layer, and all of them are archived."""
        row = self._database.one(
            "SELECT min(is_archived) AS archived FROM reference JOIN image ON image.id = reference.image_id"
            " WHERE reference.digest = ? AND reference.kind = 'layer' AND image.repository_id = ?",
            (digest, repository.id),
        )
        return row is not None and row["archived"] == 1

    def path(self, digest: str) -> Path:
        """Return where the bytes of a layer are, or would be. Raises ValueError when it is not a digest."""
        return self._blobs.path(digest)

    def download(self, repository: Repository, digest: str) -> Layer:
        """Return a layer to be read. Raises LayerNotFound, LayerInaccessible (no image of the repository needs it)."""
        layer = self.find(repository, digest)
        if layer is None:
            raise LayerNotFound(digest, repository.name, repository.registry.account)
        needed = self._database.one(
            "SELECT 1 FROM reference JOIN image ON image.id = reference.image_id"
            " WHERE reference.digest = ? AND reference.kind = 'layer' AND image.repository_id = ?",
            (digest, repository.id),
        )
        if needed is None:
            raise LayerInaccessible(digest, repository.name, repository.registry.account)
        return layer

    def _link(self, repository: Repository, digest: str, size: int) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO layer (repository_id, digest, size) VALUES (?, ?, ?)", (repository.id, digest, size)
        )

    def _pending(self, repository: Repository, upload_id: str) -> _Pending:
        pending = self._uploads.get(upload_id)
        if pending is None or pending.repository_id != repository.id:
            raise UploadNotFound(upload_id, repository.name, repository.registry.account)
        return pending
