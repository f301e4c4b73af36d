"""One request of the data plane, as its handlers see it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from ecrlab.cloud.core import Registry
from ecrlab.cloud.core.errors import InvalidParameter
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.core.pushes import TAG_PATTERN
from ecrlab.cloud.identity import Principal, authorise
from ecrlab.cloud.storage.blobs import is_digest


@dataclass(frozen=True, slots=True)
class Exchange:
    """One authenticated request: who asks, of which registry, about what (`name`, `reference`: as in the path)."""

    request: Request
    principal: Principal
    registry: Registry
    name: str
    reference: str

    def allow(self, *actions: str) -> None:
        """Return when the caller may do all of these to the repository. Raises Denied."""
        for action in actions:
            authorise(self.principal, f"ecr:{action}", self.registry.arn(self.name))


Handler = Callable[[Exchange], Awaitable[Response]]
Routes = tuple[tuple[re.Pattern[str], dict[str, Handler]], ...]


def read_digest(text: str) -> str:
    """Return a digest as it stands in a path or query. Raises InvalidParameter."""
    if not is_digest(text):
        raise InvalidParameter("layerDigest", "must be a digest, for example sha256: and 64 hexadecimal digits")
    return text


def read_image_id(reference: str) -> ImageId:
    """Return the image that a path names, by tag or by digest. Raises InvalidParameter."""
    if ":" in reference:
        if not is_digest(reference):
            raise InvalidParameter("imageDigest", "must be a digest, for example sha256: and 64 hexadecimal digits")
        return ImageId(digest=reference)
    if not re.fullmatch(TAG_PATTERN, reference):
        raise InvalidParameter("imageTag", f"must satisfy regular expression '{TAG_PATTERN}'")
    return ImageId(tag=reference)
