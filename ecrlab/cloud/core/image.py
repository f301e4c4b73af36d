"""Images as values: how they are named, what is known of them, why one could not be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ecrlab.cloud.core.manifest import INDEXES
from ecrlab.cloud.core.repositories import Repository

Status = Literal["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"]


class ImageId(NamedTuple):
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
    status: Status
    archived_at: float | None
    activated_at: float | None
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
