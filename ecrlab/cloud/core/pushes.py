"""Pushes: a manifest becomes an image with a tag (ecr-semantics section 4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.errors import (
    ImageAlreadyExists,
    ImageDigestDoesNotMatch,
    ImageTagAlreadyExists,
    InvalidParameter,
    LayersNotFound,
    LimitExceeded,
    ReferencedImagesNotFound,
)
from ecrlab.cloud.core.image import Image, ImageId
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.manifest import Manifest, parse
from ecrlab.cloud.core.repositories import Repositories, Repository
from ecrlab.cloud.storage import Database

MAX_IMAGES = 100_000  # per repository: UG/service-quotas
MAX_TAGS = 1_000  # per image
TAG_PATTERN = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"  # OCI distribution specification

_TAG = re.compile(TAG_PATTERN)


@dataclass(frozen=True, slots=True)
class Push:
    """What a push brought. `is_new`: the image was not there, or archived; `is_copy`: replication pushed it."""

    image: Image
    manifest: Manifest
    tag: str | None
    is_new: bool
    is_copy: bool


class Pushes:
    """Puts images into every repository."""

    def __init__(self, database: Database, clock: Clock, repositories: Repositories, images: Images) -> None:
        self._database = database
        self._clock = clock
        self._repositories = repositories
        self._images = images
        self._followers: list[Callable[[Push], None]] = []

    def follow(self, follower: Callable[[Push], None]) -> None:
        """Have `follower` told of each push that brings something, within its transaction."""
        self._followers.append(follower)

    def again(self, image: Image) -> None:
        """Tell the followers of an image that came back, as if it had been pushed now."""
        manifest = parse(self._images.manifest(image), image.media_type)
        for tag in image.tags or (None,):
            self._tell(Push(image, manifest, tag, is_new=True, is_copy=False))

    def put(
        self,
        repository: Repository,
        content: bytes,
        *,
        media_type: str | None = None,
        tag: str | None = None,
        digest: str | None = None,
        is_copy: bool = False,
    ) -> Image:
        """Store a manifest, and give it a tag. An archived image is restored by it.

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
            known = self._images.row(repository, manifest.digest)
            tagged = self._images.tagged(repository, tag) if tag is not None else None
            if known and not known["is_archived"] and (tag is None or tagged == manifest.digest):
                frozen = tag is not None and repository.freezes(tag)
                raise ImageAlreadyExists(manifest.digest, tag, repository.name, account, frozen=frozen)
            if tag is not None and tagged not in (None, manifest.digest) and repository.freezes(tag):
                raise ImageTagAlreadyExists(tag, repository.name)
            image_id = known["id"] if known else self._insert(repository, manifest)
            if known and known["is_archived"]:
                self._activate(self._images.get(repository, ImageId(digest=manifest.digest)))
            if tag is not None and tagged != manifest.digest:
                self._tag(repository, image_id, tag)
            image = self._images.get(repository, ImageId(digest=manifest.digest))
            self._tell(Push(image, manifest, tag, known is None or bool(known["is_archived"]), is_copy))
        return image

    def _tell(self, push: Push) -> None:
        for follower in self._followers:
            follower(push)

    def _activate(self, image: Image) -> None:
        """Take an image out of the archive, and with an index the images that it names: it is of no use without."""
        self._database.executemany(
            "UPDATE image SET is_archived = 0, activated_at = ? WHERE repository_id = ? AND digest = ? AND is_archived",
            [(self._clock.now(), image.repository.id, digest) for digest in self._images.family(image)],
        )

    def _insert(self, repository: Repository, manifest: Manifest) -> int:
        account = repository.registry.account
        missing = [item.digest for item in manifest.needed_layers if not self._has_layer(repository, item.digest)]
        if missing:
            raise LayersNotFound(dict.fromkeys(missing), repository.name, account)
        children = [self._images.row(repository, child.digest) for child in manifest.children]
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

    def _has_layer(self, repository: Repository, digest: str) -> bool:
        query = "SELECT 1 FROM layer WHERE repository_id = ? AND digest = ?"
        return self._database.one(query, (repository.id, digest)) is not None
