"""Images: putting, reading, listing, deleting (ecr-semantics sections 4 and 5)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.errors import (
    ImageAlreadyExists,
    ImageDigestDoesNotMatch,
    ImageNotFound,
    ImageTagAlreadyExists,
    InvalidParameter,
    LayersNotFound,
    LimitExceeded,
    ReferencedImagesNotFound,
)
from ecrlab.cloud.core.manifest import INDEXES, Manifest, parse
from ecrlab.cloud.core.pages import Page, decode, page
from ecrlab.cloud.core.repositories import Repositories, Repository
from ecrlab.cloud.core.scans import Scans
from ecrlab.cloud.storage import Database

MAX_IMAGES = 100_000  # per repository: UG/service-quotas
MAX_TAGS = 1_000  # per image
TAG_PATTERN = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"  # OCI distribution specification
PULL_TIME_RESOLUTION = 24 * 3600  # seconds: ECR notes a pull at most about once a day

_TAG = re.compile(TAG_PATTERN)


@dataclass(frozen=True, slots=True)
class ImageId:
    """How a caller names an image: by digest, by tag, or by both."""

    digest: str | None = None
    tag: str | None = None

    def __str__(self) -> str:
        """Write the id as AWS does in its messages."""
        digest = f"'{self.digest}'" if self.digest else "'null'"
        tag = f"'{self.tag}'" if self.tag else "'null'"
        return f"{{imageDigest:{digest}, imageTag:{tag}}}"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a repository. `size` in bytes, compressed; times in seconds since the epoch, UTC."""

    id: int
    repository: Repository
    digest: str
    media_type: str
    artifact_type: str | None
    subject: str | None
    size: int
    pushed_at: float
    pulled_at: float | None
    tags: tuple[str, ...]

    @property
    def is_index(self) -> bool:
        """Whether this names images and not layers."""
        return self.media_type in INDEXES


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one of several images could not be had: ECR's failure code and its words."""

    image_id: ImageId
    code: str
    reason: str


class Images:
    """The images of every repository."""

    def __init__(self, database: Database, clock: Clock, repositories: Repositories, scans: Scans) -> None:
        self._database = database
        self._clock = clock
        self._repositories = repositories
        self._scans = scans

    def put(
        self,
        repository: Repository,
        content: bytes,
        *,
        media_type: str | None = None,
        tag: str | None = None,
        digest: str | None = None,
    ) -> Image:
        """Store a manifest, and give it a tag.

        Raises InvalidParameter, ImageDigestDoesNotMatch, LayersNotFound, ReferencedImagesNotFound, ImageAlreadyExists
        (the same manifest under the same tag), ImageTagAlreadyExists (a frozen tag would move), LimitExceeded.
        """
        manifest = parse(content, media_type)
        if tag is not None and not _TAG.fullmatch(tag):
            raise InvalidParameter("imageTag", f"must satisfy regular expression '{TAG_PATTERN}'")
        account = repository.registry.account
        if digest is not None and digest != manifest.digest:
            raise ImageDigestDoesNotMatch(digest, repository.name, account)
        with self._database.transaction():
            # Settings may have changed, or the repository gone, since the caller looked it up.
            repository = self._repositories.get(repository.registry, repository.name)
            known = self._row(repository, manifest.digest)
            tagged = self._tagged(repository, tag) if tag is not None else None
            if known and (tag is None or tagged == manifest.digest):
                frozen = tag is not None and repository.freezes(tag)
                raise ImageAlreadyExists(manifest.digest, tag, repository.name, account, frozen=frozen)
            if tag is not None and tagged is not None and repository.freezes(tag):
                raise ImageTagAlreadyExists(tag, repository.name)
            image_id = known["id"] if known else self._insert(repository, manifest)
            if tag is not None:
                self._tag(repository, image_id, tag)
            image = self.get(repository, ImageId(digest=manifest.digest))
            if known is None and repository.scan_on_push and self._scans.can_scan(manifest):
                self._scans.request(image_id)
        self._scans.run_requested()
        return image

    def get(self, repository: Repository, image_id: ImageId) -> Image:
        """Return one image. Raises ImageNotFound."""
        digest = image_id.digest
        if image_id.tag is not None:
            tagged = self._tagged(repository, image_id.tag)
            digest = tagged if digest in (None, tagged) else None
        row = self._row(repository, digest) if digest else None
        if row is None:
            raise ImageNotFound(str(image_id), repository.name, repository.registry.account)
        return self._image(repository, row)

    def find(self, repository: Repository, image_id: ImageId) -> Image | Failure:
        """Return one image, or why it cannot be had, in the words of the batch operations."""
        if image_id.digest is None and image_id.tag is None:
            reason = "Invalid request parameters: both tag and digest cannot be null"
            return Failure(image_id, "MissingDigestAndTag", reason)
        try:
            return self.get(repository, image_id)
        except ImageNotFound:
            if image_id.digest and image_id.tag and self._row(repository, image_id.digest):
                reason = "Requested image tag does not match the image digest"
                return Failure(image_id, "ImageTagDoesNotMatchDigest", reason)
            return Failure(image_id, "ImageNotFound", "Requested image not found")

    def manifest(self, image: Image) -> bytes:
        """Return the manifest's bytes as they were put."""
        row = self._database.one("SELECT manifest FROM image WHERE id = ?", (image.id,))
        if row is None:
            raise ImageNotFound(str(ImageId(image.digest)), image.repository.name, image.repository.registry.account)
        content: bytes = row["manifest"]
        return content

    def note_pull(self, image: Image) -> None:
        """Remember that an image was pulled now."""
        self._database.execute(
            "UPDATE image SET pulled_at = ?1 WHERE id = ?2 AND (pulled_at IS NULL OR pulled_at < ?1 - ?3)",
            (self._clock.now(), image.id, PULL_TIME_RESOLUTION),
        )

    def describe(
        self, repository: Repository, *, limit: int, token: str | None = None, tagged: bool | None = None
    ) -> Page[Image]:
        """Return images in the order of their pushes: only tagged, only untagged, or all (`tagged` None)."""
        after = decode(token, (int,)) or [0]
        having = (
            "" if tagged is None else f" AND {'' if tagged else 'NOT '}EXISTS (SELECT 1 FROM tag WHERE image_id = id)"
        )
        rows = self._database.all(
            f"SELECT * FROM image WHERE repository_id = ? AND id > ?{having} ORDER BY id LIMIT ?",
            (repository.id, after[0], limit + 1),
        )
        return page([self._image(repository, row) for row in rows], limit, lambda image: [image.id])

    def ids(
        self, repository: Repository, *, limit: int, token: str | None = None, tagged: bool | None = None
    ) -> Page[ImageId]:
        """Return an id for each tag of each image, and one without tag for each untagged image."""
        after = decode(token, (int, str)) or [0, ""]
        having = {None: "", True: " AND tag.name IS NOT NULL", False: " AND tag.name IS NULL"}[tagged]
        rows = self._database.all(
            "SELECT image.id, digest, coalesce(tag.name, '') AS tag FROM image LEFT JOIN tag ON tag.image_id = image.id"
            " WHERE image.repository_id = ? AND image.id >= ? AND (image.id, coalesce(tag.name, '')) > (?, ?)"
            f"{having} ORDER BY image.id, tag.name LIMIT ?",
            (repository.id, after[0], *after, limit + 1),
        )
        cut = page(rows, limit, lambda row: [row["id"], row["tag"]])
        return Page([ImageId(row["digest"], row["tag"] or None) for row in cut.items], cut.next_token)

    def tags(self, repository: Repository, *, limit: int, token: str | None = None) -> Page[str]:
        """Return the repository's tags, in their order."""
        after = decode(token, (str,)) or [""]
        rows = self._database.all(
            "SELECT name FROM tag WHERE repository_id = ? AND name > ? ORDER BY name LIMIT ?",
            (repository.id, after[0], limit + 1),
        )
        return page([row["name"] for row in rows], limit, lambda name: [name])

    def delete(self, repository: Repository, image_ids: Sequence[ImageId]) -> tuple[list[ImageId], list[Failure]]:
        """Delete images; return the ids deleted, a tag and its digest each, and those that could not be.

        By tag only the tag goes, and the image with its last tag; by digest the image goes with all its tags.
        """
        deleted: list[ImageId] = []
        failures: list[Failure] = []
        with self._database.transaction():
            for image_id in image_ids:
                found = self.find(repository, image_id)
                if isinstance(found, Failure):
                    # AWS does not tell a mismatch from an absence here (ecr-semantics section 5).
                    if found.code == "ImageTagDoesNotMatchDigest":
                        found = Failure(image_id, "ImageNotFound", "Requested image not found")
                    failures.append(found)
                    continue
                only_tag = image_id.tag is not None and found.tags != (image_id.tag,)
                if not only_tag and (indexes := self._indexes_over(found)):
                    reason = f"Requested image referenced by manifest list: [{', '.join(indexes)}]"
                    failures.append(Failure(image_id, "ImageReferencedByManifestList", reason))
                elif only_tag:
                    self._database.execute(
                        "DELETE FROM tag WHERE repository_id = ? AND name = ?", (repository.id, image_id.tag)
                    )
                    deleted.append(ImageId(found.digest, image_id.tag))
                else:
                    self._database.execute("DELETE FROM image WHERE id = ?", (found.id,))
                    deleted += [ImageId(found.digest, tag) for tag in found.tags] or [ImageId(found.digest)]
        return deleted, failures

    def _insert(self, repository: Repository, manifest: Manifest) -> int:
        account = repository.registry.account
        missing = [item.digest for item in manifest.needed_layers if not self._has_layer(repository, item.digest)]
        if missing:
            raise LayersNotFound(dict.fromkeys(missing), repository.name, account)
        children = [self._row(repository, child.digest) for child in manifest.children]
        absent = [child.digest for child, row in zip(manifest.children, children, strict=True) if row is None]
        if absent:
            raise ReferencedImagesNotFound(dict.fromkeys(absent), repository.name, account)
        (count,) = self._database.execute(
            "SELECT count(*) FROM image WHERE repository_id = ?", (repository.id,)
        ).fetchone()
        if count >= MAX_IMAGES:
            raise LimitExceeded(
                f"The repository with name '{repository.name}' in registry with id '{account}' already has the "
                f"maximum number of images: {MAX_IMAGES}"
            )
        # The size of an index is that of its largest image (botocore model, ImageDetail).
        size = max((row["size"] for row in children if row), default=0) or self._stored_size(repository, manifest)
        cursor = self._database.execute(
            "INSERT INTO image (repository_id, digest, manifest, media_type, artifact_type, subject, size, pushed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                repository.id,
                manifest.digest,
                manifest.content,
                manifest.media_type,
                manifest.artifact_type,
                manifest.subject,
                size,
                self._clock.now(),
            ),
        )
        image_id = cursor.lastrowid
        assert image_id is not None
        needs = [("layer", item.digest) for item in manifest.needed_layers]
        needs += [("image", item.digest) for item in manifest.children]
        self._database.executemany(
            "INSERT OR IGNORE INTO reference (image_id, kind, digest) VALUES (?, ?, ?)",
            [(image_id, kind, digest) for kind, digest in needs],
        )
        return image_id

    def _stored_size(self, repository: Repository, manifest: Manifest) -> int:
        """Return what the layers weigh in the store, which a manifest cannot misstate."""
        digests = {item.digest for item in manifest.layers}
        sizes = (
            self._database.one("SELECT size FROM layer WHERE repository_id = ? AND digest = ?", (repository.id, digest))
            for digest in digests
        )
        return sum(row["size"] for row in sizes if row)

    def _tag(self, repository: Repository, image_id: int, tag: str) -> None:
        (count,) = self._database.execute("SELECT count(*) FROM tag WHERE image_id = ?", (image_id,)).fetchone()
        if count >= MAX_TAGS:
            raise LimitExceeded(f"An image can have no more than {MAX_TAGS} tags")
        self._database.execute(
            "INSERT OR REPLACE INTO tag (repository_id, name, image_id) VALUES (?, ?, ?)",
            (repository.id, tag, image_id),
        )

    def _tagged(self, repository: Repository, tag: str) -> str | None:
        row = self._database.one(
            "SELECT digest FROM tag JOIN image ON image.id = image_id WHERE tag.repository_id = ? AND name = ?",
            (repository.id, tag),
        )
        return row["digest"] if row else None

    def _row(self, repository: Repository, digest: str) -> sqlite3.Row | None:
        return self._database.one("SELECT * FROM image WHERE repository_id = ? AND digest = ?", (repository.id, digest))

    def _has_layer(self, repository: Repository, digest: str) -> bool:
        query = "SELECT 1 FROM layer WHERE repository_id = ? AND digest = ?"
        return self._database.one(query, (repository.id, digest)) is not None

    def _indexes_over(self, image: Image) -> list[str]:
        rows = self._database.all(
            "SELECT image.digest FROM reference JOIN image ON image.id = image_id"
            " WHERE reference.digest = ? AND kind = 'image' AND repository_id = ? ORDER BY image.id",
            (image.digest, image.repository.id),
        )
        return [row["digest"] for row in rows]

    def _image(self, repository: Repository, row: sqlite3.Row) -> Image:
        tags = self._database.all("SELECT name FROM tag WHERE image_id = ? ORDER BY name", (row["id"],))
        return Image(
            id=row["id"],
            repository=repository,
            digest=row["digest"],
            media_type=row["media_type"],
            artifact_type=row["artifact_type"],
            subject=row["subject"],
            size=row["size"],
            pushed_at=row["pushed_at"],
            pulled_at=row["pulled_at"],
            tags=tuple(tag["name"] for tag in tags),
        )
