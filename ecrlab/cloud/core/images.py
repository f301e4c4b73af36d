"""Images: reading, listing, deleting (ecr-semantics section 5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.errors import ImageNotFound
from ecrlab.cloud.core.events import Events
from ecrlab.cloud.core.image import Failure, Image, ImageId, Status
from ecrlab.cloud.core.pages import Page, decode, page
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.storage import Database

PULL_TIME_RESOLUTION = 24 * 3600  # seconds: ECR notes a pull at most about once a day

# What a status means in the columns of an image; `:now` is the lab's time.
_STATUS = {
    "ACTIVE": " AND is_archived = 0 AND (activated_at IS NULL OR activated_at <= :now)",
    "ACTIVATING": " AND is_archived = 0 AND activated_at > :now",
    "ARCHIVED": " AND is_archived = 1",
    "ANY": "",
}


class Images:
    """The images of every repository."""

    def __init__(self, database: Database, clock: Clock, events: Events) -> None:
        self._database = database
        self._clock = clock
        self._events = events
        self._followers: list[Callable[[Repository, Sequence[ImageId]], None]] = []

    def get(self, repository: Repository, image_id: ImageId) -> Image:
        """Return one image. Raises ImageNotFound."""
        digest = image_id.digest
        if image_id.tag is not None:
            tagged = self.tagged(repository, image_id.tag)
            digest = tagged if digest in (None, tagged) else None
        row = self.row(repository, digest) if digest else None
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
            if image_id.digest and image_id.tag and self.row(repository, image_id.digest):
                reason = "Requested image tag does not match the image digest"
                return Failure(image_id, "ImageTagDoesNotMatchDigest", reason)
            return Failure(image_id, "ImageNotFound", "Requested image not found")

    def again(self, image: Image) -> Image:
        """Return an image as it is now. Raises ImageNotFound."""
        return self.get(image.repository, ImageId(image.digest))

    def active(self, repository: Repository, image_id: ImageId) -> Image:
        """Return an image that can be pulled. Raises ImageNotFound, also for an archived one (section 18)."""
        image = self.get(repository, image_id)
        if image.status != "ACTIVE":
            raise ImageNotFound(str(image_id), repository.name, repository.registry.account)
        return image

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
            "UPDATE image SET pulled_at = :now WHERE id = :id AND (pulled_at IS NULL OR pulled_at < :now - :interval)",
            {"now": self._clock.now(), "id": image.id, "interval": PULL_TIME_RESOLUTION},
        )

    def describe(
        self,
        repository: Repository,
        *,
        limit: int,
        token: str | None = None,
        tagged: bool | None = None,
        status: Status = "ANY",
    ) -> Page[Image]:
        """Return images in the order of their pushes: only tagged, only untagged, or all (`tagged` None)."""
        after = decode(token, (int,)) or [0]
        having = {
            None: "",
            True: " AND EXISTS (SELECT 1 FROM tag WHERE image_id = id)",
            False: " AND NOT EXISTS (SELECT 1 FROM tag WHERE image_id = id)",
        }[tagged]
        rows = self._database.all(
            "SELECT * FROM image WHERE repository_id = :repository AND id > :after"
            f"{having}{_STATUS[status]} ORDER BY id LIMIT :limit",
            {"repository": repository.id, "after": after[0], "limit": limit + 1, "now": self._clock.now()},
        )
        return page([self._image(repository, row) for row in rows], limit, lambda image: [image.id])

    def ids(
        self,
        repository: Repository,
        *,
        limit: int,
        token: str | None = None,
        tagged: bool | None = None,
        status: Status = "ANY",
    ) -> Page[ImageId]:
        """Return an id for each tag of each image, and one without tag for each untagged image."""
        image, tag = decode(token, (int, str)) or [0, ""]
        having = {None: "", True: " AND tag.name IS NOT NULL", False: " AND tag.name IS NULL"}[tagged]
        rows = self._database.all(
            "SELECT image.id, digest, coalesce(tag.name, '') AS tag FROM image LEFT JOIN tag ON tag.image_id = image.id"
            " WHERE image.repository_id = :repository AND image.id >= :image"
            f" AND (image.id, coalesce(tag.name, '')) > (:image, :tag){having}{_STATUS[status]}"
            " ORDER BY image.id, tag.name LIMIT :limit",
            {
                "repository": repository.id,
                "image": image,
                "tag": tag,
                "limit": limit + 1,
                "now": self._clock.now(),
            },
        )
        cut = page(rows, limit, lambda row: [row["id"], row["tag"]])
        return Page([ImageId(row["digest"], row["tag"] or None) for row in cut.items], cut.next_token)

    def referrers(
        self,
        repository: Repository,
        subject: str,
        *,
        limit: int,
        token: str | None = None,
        artifact_types: Sequence[str] = (),
        status: Status = "ACTIVE",
    ) -> Page[Image]:
        """Return the images that refer to the image with the digest `subject`, in the order of their pushes."""
        after = decode(token, (int,)) or [0]
        types = f" AND artifact_type IN ({', '.join(f':type{number}' for number in range(len(artifact_types)))})"
        rows = self._database.all(
            "SELECT * FROM image WHERE repository_id = :repository AND subject = :subject AND id > :after"
            f"{types if artifact_types else ''}{_STATUS[status]} ORDER BY id LIMIT :limit",
            {
                "repository": repository.id,
                "subject": subject,
                "after": after[0],
                "limit": limit + 1,
                "now": self._clock.now(),
                **{f"type{number}": value for number, value in enumerate(artifact_types)},
            },
        )
        return page([self._image(repository, row) for row in rows], limit, lambda image: [image.id])

    def family(self, image: Image) -> list[str]:
        """Return the digests of an image and, for an index, of the images that it names, at any depth."""
        rows = self._database.all(
            "WITH RECURSIVE family(id, digest) AS ("
            " SELECT id, digest FROM image WHERE id = :id UNION"
            " SELECT child.id, child.digest FROM family JOIN reference ON reference.image_id = family.id"
            " AND reference.kind = 'image' JOIN image AS child ON child.repository_id = :repository"
            " AND child.digest = reference.digest) SELECT digest FROM family",
            {"id": image.id, "repository": image.repository.id},
        )
        return [row["digest"] for row in rows]

    def tags(self, repository: Repository, *, limit: int, token: str | None = None) -> Page[str]:
        """Return the repository's tags, in their order."""
        after = decode(token, (str,)) or [""]
        rows = self._database.all(
            "SELECT name FROM tag JOIN image ON image.id = image_id"
            " WHERE tag.repository_id = ? AND name > ? AND NOT is_archived ORDER BY name LIMIT ?",
            (repository.id, after[0], limit + 1),
        )
        return page([row["name"] for row in rows], limit, lambda name: [name])

    def follow_deletions(self, follower: Callable[[Repository, Sequence[ImageId]], None]) -> None:
        """Have `follower` told what callers delete, within the transaction: what `delete` was asked for and did."""
        self._followers.append(follower)

    def delete(
        self, repository: Repository, image_ids: Sequence[ImageId], *, is_copy: bool = False
    ) -> tuple[list[ImageId], list[Failure]]:
        """Delete images; return the ids deleted, a tag and its digest each, and those that could not be.

        By tag only the tag goes, and the image with its last tag; by digest the image goes with all its tags.
        `is_copy`: replication deletes, which is not followed on.
        """
        done: list[ImageId] = []
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
                if not only_tag and (indexes := self.indexes_over(found)):
                    reason = f"Requested image referenced by manifest list: [{', '.join(indexes)}]"
                    failures.append(Failure(image_id, "ImageReferencedByManifestList", reason))
                    continue
                if only_tag:
                    self._database.execute(
                        "DELETE FROM tag WHERE repository_id = ? AND name = ?", (repository.id, image_id.tag)
                    )
                    deleted.append(ImageId(found.digest, image_id.tag))
                else:
                    self.remove(found)
                    deleted += [ImageId(found.digest, tag) for tag in found.tags] or [ImageId(found.digest)]
                done.append(ImageId(found.digest, image_id.tag))
            for follower in () if is_copy else self._followers:
                follower(repository, done)
        return deleted, failures

    def remove(self, image: Image, *, by: str | None = None) -> None:
        """Delete an image with its tags; `by`: what of the lab did it, for the event."""
        self._database.execute("DELETE FROM image WHERE id = ?", (image.id,))
        for tag in image.tags or (None,):
            self._events.image_action(image, "DELETE", tag=tag, by=by)

    def tagged(self, repository: Repository, tag: str) -> str | None:
        """Return the digest of the image that carries a tag, or None."""
        row = self._database.one(
            "SELECT digest FROM tag JOIN image ON image.id = image_id WHERE tag.repository_id = ? AND name = ?",
            (repository.id, tag),
        )
        return row["digest"] if row else None

    def row(self, repository: Repository, digest: str) -> sqlite3.Row | None:
        """Return an image's row, or None."""
        return self._database.one("SELECT * FROM image WHERE repository_id = ? AND digest = ?", (repository.id, digest))

    def indexes_over(self, image: Image) -> list[str]:
        """Return the digests of the indexes that name an image."""
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
            status=self._status(row),
            archived_at=row["archived_at"],
            activated_at=row["activated_at"],
            tags=tuple(tag["name"] for tag in tags),
        )

    def _status(self, row: sqlite3.Row) -> Status:
        if row["is_archived"]:
            return "ARCHIVED"
        return "ACTIVATING" if (row["activated_at"] or 0) > self._clock.now() else "ACTIVE"
