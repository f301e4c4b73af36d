"""One call of the API, as the operations see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from ecrlab.cloud.core import Core, Registry
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.core.repositories import Repository
from ecrlab.cloud.identity import Principal, Tokens, authorise

UriStyle = Literal["aws", "loopback"]
DEFAULT_PAGE = 100  # items, where the caller names no maxResults (botocore model)


@dataclass(frozen=True, slots=True)
class Context:
    """What every call shares: `endpoint`, the cloud's URL, and `uri_style`, how a repository's URI is spelled."""

    core: Core
    tokens: Tokens
    endpoint: str
    uri_style: UriStyle

    def host(self, registry: Registry) -> str:
        """Return the host name by which docker reaches a registry."""
        return registry.host if self.uri_style == "aws" else self.endpoint.partition("://")[2]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who calls, on which registry, with which parameters (read from the model)."""

    context: Context
    principal: Principal
    registry: Registry
    parameters: dict[str, Any]

    @property
    def core(self) -> Core:
        """The registries."""
        return self.context.core

    @property
    def limit(self) -> int:
        """How many items a page may have."""
        limit: int = self.parameters.get("maxResults", DEFAULT_PAGE)
        return limit

    @property
    def next_token(self) -> str | None:
        """The token of the page that is asked for."""
        return self.parameters.get("nextToken")

    def allow(self, *actions: str) -> None:
        """Return when the caller may do all of these too to the repository that the call names. Raises Denied."""
        for action in actions:
            authorise(self.principal, f"ecr:{action}", self.registry.arn(self.parameters["repositoryName"]))

    def repository(self) -> Repository:
        """Return the repository that the call names. Raises RepositoryNotFound."""
        return self.core.repositories.get(self.registry, self.parameters["repositoryName"])

    def image_ids(self) -> list[ImageId]:
        """Return the images that the call names."""
        return [read_image_id(item) for item in self.parameters.get("imageIds", ())]


# Those that ask an upstream registry are awaited.
Operation = Callable[[Call], dict[str, Any] | Awaitable[dict[str, Any]]]


def read_image_id(value: dict[str, str]) -> ImageId:
    """Return the ImageIdentifier of a request."""
    return ImageId(value.get("imageDigest"), value.get("imageTag"))


def write_image_id(image_id: ImageId) -> dict[str, str | None]:
    """Return an ImageIdentifier for an answer."""
    return {"imageDigest": image_id.digest, "imageTag": image_id.tag}
