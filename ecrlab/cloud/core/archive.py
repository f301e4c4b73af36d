"""The archive storage class: images that cost less and cannot be pulled (ecr-semantics section 18)."""

from __future__ import annotations

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.errors import StorageClassUpdateNotSupported
from ecrlab.cloud.core.events import Events
from ecrlab.cloud.core.image import Image
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.pushes import Pushes
from ecrlab.cloud.storage import Database

RESTORE_TIME = 20 * 60  # seconds of the lab's clock from a restore until the image is active


class Archive:
    """Moves images between the storage classes STANDARD and ARCHIVE."""

    def __init__(self, database: Database, clock: Clock, images: Images, pushes: Pushes, events: Events) -> None:
        self._database = database
        self._clock = clock
        self._images = images
        self._pushes = pushes
        self._events = events

    def move(self, image: Image, storage_class: str) -> Image:
        """Move an image and return it; one that is there already stays as it is.

        Raises StorageClassUpdateNotSupported for the image of an index and for a referrer, which follow the index and
        the subject (ecr-semantics section 18 leaves open which images cannot move: this reading is ours).
        """
        if self._images.indexes_over(image) or image.subject:
            raise StorageClassUpdateNotSupported(
                f"The storage class of the image with digest '{image.digest}' cannot be updated: it belongs to another "
                "image of the repository"
            )
        if storage_class == "ARCHIVE" and image.status != "ARCHIVED":
            self.apply(image)
        elif storage_class == "STANDARD" and image.status == "ARCHIVED":
            self._restore(image)
        return self._images.again(image)

    def apply(self, image: Image, *, by: str | None = None) -> None:
        """Archive an image, and with an index the images that it names and no other active index needs."""
        with self._database.transaction():
            for digest in self._images.family(image):
                self._database.execute(
                    # A restore that is not through yet never was.
                    "UPDATE image SET is_archived = 1, archived_at = :now, activated_at ="
                    " iif(activated_at > :now, NULL, activated_at) WHERE repository_id = :repository"
                    " AND digest = :member AND (digest = :head OR NOT EXISTS (SELECT 1 FROM reference"
                    " JOIN image AS parent ON parent.id = reference.image_id"
                    " WHERE reference.kind = 'image' AND reference.digest = :member"
                    " AND parent.repository_id = :repository AND NOT parent.is_archived))",
                    {
                        "now": self._clock.now(),
                        "repository": image.repository.id,
                        "member": digest,
                        "head": image.digest,
                    },
                )
        self._events.image_action(image, "ARCHIVE", by=by)

    def _restore(self, image: Image) -> None:
        with self._database.transaction():
            for digest in self._images.family(image):
                self._database.execute(
                    "UPDATE image SET is_archived = 0, activated_at = ? WHERE repository_id = ? AND digest = ?",
                    (self._clock.now() + RESTORE_TIME, image.repository.id, digest),
                )
            # A restored image counts as newly pushed: it is scanned and replicated (ecr-semantics section 18).
            self._pushes.again(image)
        self._events.image_action(image, "ACTIVATE")
