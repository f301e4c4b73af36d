"""Replication to other regions and accounts of the same lab: images really copied (ecr-semantics section 14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.core.errors import (
    EcrError,
    ImageAlreadyExists,
    ImageTagAlreadyExists,
    InvalidParameter,
    RepositoryNotFound,
    Validation,
)
from ecrlab.cloud.core.image import Image, ImageId
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.pushes import Push, Pushes
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.core.repositories import Repositories, Repository
from ecrlab.cloud.core.settings import Settings
from ecrlab.cloud.core.templates import REPLICATION, Templates
from ecrlab.cloud.storage import Database

KIND = "replication"
MAX_RULES = 10  # UG/service-quotas; the model allows more
MAX_DESTINATIONS = 25  # different ones, over all rules


@dataclass(frozen=True, slots=True)
class Status:
    """How the copy to one destination went: COMPLETE, or FAILED with a code."""

    destination: Registry
    status: str
    failure_code: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a copy went: a failure's code, and for an index those of its images, each once; None without."""

    failure_code: str | None
    sub_image_failure_codes: Sequence[str] | None


class Replication:
    """The replication of every registry.

    All registries of a lab share one store, so a copy takes no time and is part of the push: its status is never
    IN_PROGRESS.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        repositories: Repositories,
        templates: Templates,
        images: Images,
        pushes: Pushes,
    ) -> None:
        self._database = database
        self._settings = settings
        self._repositories = repositories
        self._templates = templates
        self._images = images
        self._pushes = pushes

    def get(self, registry: Registry) -> Mapping[str, Any]:
        """Return the configuration in the members of the API: its rules."""
        stored = self._settings.get(registry, KIND)
        return stored.value if stored else {"rules": []}

    def put(self, registry: Registry, configuration: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the configuration whole and return it. Raises InvalidParameter, Validation."""
        rules = configuration["rules"]
        if len(rules) > MAX_RULES:
            raise Validation(f"A replication configuration can have no more than {MAX_RULES} rules")
        destinations = {destination for rule in rules for destination in _destinations(rule)}
        if registry in destinations:
            raise InvalidParameter(
                "replicationConfiguration", "Replication destination cannot be the same as the source registry"
            )
        if len(destinations) > MAX_DESTINATIONS:
            raise Validation(f"A replication configuration can have no more than {MAX_DESTINATIONS} destinations")
        value: Mapping[str, Any] = self._settings.put(registry, KIND, dict(configuration)).value
        return value

    def status(self, image: Image) -> list[Status]:
        """Return the status of an image for each of its destinations."""
        rows = self._database.all("SELECT * FROM replication WHERE image_id = ? ORDER BY account, region", (image.id,))
        return [Status(Registry(row["account"], row["region"]), row["status"], row["failure_code"]) for row in rows]

    def follow(self, push: Push) -> None:
        """Copy what was pushed to where the registry's rules say; a copy is not copied on."""
        if push.is_copy:
            return
        for destination in self.destinations(push.image.repository):
            self.replicate(push.image, push.tag, destination)

    def destinations(self, repository: Repository) -> list[Registry]:
        """Return where the registry's rules have a repository copied to."""
        rules = self.get(repository.registry)["rules"]
        matching = (rule for rule in rules if _matches(rule, repository.name))
        return list(dict.fromkeys(destination for rule in matching for destination in _destinations(rule)))

    def follow_deletion(self, repository: Repository, image_ids: Sequence[ImageId]) -> None:
        """Delete the same images and tags where rules with `deleteReplication` send them.

        Only what callers delete: actions of lifecycle policies are not replicated (ecr-semantics section 12). A tag
        that stands on another image at the destination stays.
        """
        for rule in self.get(repository.registry)["rules"]:
            if not rule.get("deleteReplication", {}).get("enabled") or not _matches(rule, repository.name):
                continue
            for destination in _destinations(rule):
                if destination.account == repository.registry.account:
                    with suppress(RepositoryNotFound):
                        target = self._repositories.get(destination, repository.name)
                        self._images.delete(target, image_ids, is_copy=True)

    def all_destinations(self, registry: Registry) -> set[Registry]:
        """Return the destinations of all rules."""
        return {destination for rule in self.get(registry)["rules"] for destination in _destinations(rule)}

    def replicate(self, image: Image, tag: str | None, destination: Registry) -> Outcome:
        """Copy an image under one of its tags to one destination, and remember how it went."""
        failure_code = None
        sub_codes: list[str] = []
        try:
            self._copy(image, tag, destination, sub_codes)
        except EcrError as error:
            failure_code = error.code
        self._database.execute(
            "INSERT OR REPLACE INTO replication (image_id, account, region, status, failure_code)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                image.id,
                destination.account,
                destination.region,
                "FAILED" if failure_code else "COMPLETE",
                failure_code,
            ),
        )
        return Outcome(failure_code, list(dict.fromkeys(sub_codes)) if image.is_index else None)

    def _copy(self, image: Image, tag: str | None, destination: Registry, sub_codes: list[str]) -> None:
        if destination.account != image.repository.registry.account:
            # The destination's registry policy has to allow it, and policies are not evaluated yet.
            raise AccessDenied(f"The registry policy of {destination.account} does not allow ecr:ReplicateImage")
        target = self._templates.for_copy(destination, image.repository.name, REPLICATION)
        self._database.execute(
            "INSERT OR IGNORE INTO layer (repository_id, digest, size)"
            " SELECT ?, digest, size FROM layer WHERE repository_id = ?",
            (target.id, image.repository.id),
        )
        for digest in reversed(self._images.family(image)):  # the images of an index before the index
            member = self._images.get(image.repository, ImageId(digest))
            if digest == image.digest:
                self._place(member, tag, target)
                continue
            try:
                self._place(member, None, target)
            except EcrError as error:  # the index will be refused for lack of it
                sub_codes.append(error.code)

    def _place(self, image: Image, tag: str | None, target: Repository) -> None:
        content = self._images.manifest(image)
        try:
            self._pushes.put(target, content, media_type=image.media_type, tag=tag, is_copy=True)
        except ImageAlreadyExists:
            return
        except ImageTagAlreadyExists:
            # The image arrives, the tag that may not move is dropped.
            self._place(image, None, target)


class AccessDenied(EcrError):
    """The destination does not let the image in."""

    code = "AccessDeniedException"


def _destinations(rule: Mapping[str, Any]) -> Iterable[Registry]:
    return (Registry(item["registryId"], item["region"]) for item in rule["destinations"])


def _matches(rule: Mapping[str, Any], name: str) -> bool:
    filters = rule.get("repositoryFilters", [])
    return not filters or any(name.startswith(item["filter"]) for item in filters)
