"""Repositories: creation, settings, resource tags, deletion (ecr-semantics section 2)."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core import mutability
from ecrlab.cloud.core.errors import (
    InvalidParameter,
    InvalidTag,
    LimitExceeded,
    RepositoryAlreadyExists,
    RepositoryNotEmpty,
    RepositoryNotFound,
    TooManyTags,
)
from ecrlab.cloud.core.pages import Page, decode, page
from ecrlab.cloud.core.registry import Registry
from ecrlab.cloud.storage import Database

MAX_REPOSITORIES = 100_000  # per registry: UG/service-quotas
MAX_RESOURCE_TAGS = 50
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
NAME_PATTERN = rf"{_PART}(\/{_PART})*"  # botocore model, RepositoryName
_NAME_LENGTHS = range(2, 257)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and its settings. `created_at` is in seconds since the epoch, UTC."""

    id: int
    registry: Registry
    name: str
    created_at: float
    tag_mutability: str
    mutability_filters: tuple[str, ...]
    scan_on_push: bool
    encryption_type: str
    kms_key: str | None

    @property
    def arn(self) -> str:
        """The repository's ARN."""
        return self.registry.arn(self.name)

    def freezes(self, tag: str) -> bool:
        """Tell whether `tag`, once given, cannot be moved to another image."""
        return mutability.is_frozen(self.tag_mutability, self.mutability_filters, tag)


class Repositories:
    """The repositories of every registry."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        registry: Registry,
        name: str,
        *,
        tag_mutability: str = "MUTABLE",
        mutability_filters: Sequence[str] = (),
        scan_on_push: bool = False,
        encryption_type: str = "AES256",
        kms_key: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Repository:
        """Create a repository.

        Raises RepositoryAlreadyExists, InvalidParameter, LimitExceeded, TooManyTags, InvalidTag.
        """
        # The API has checked the name against its model; a push that creates a repository has not.
        if len(name) not in _NAME_LENGTHS or not re.fullmatch(NAME_PATTERN, name):
            raise InvalidParameter("repositoryName", f"must satisfy regular expression '{NAME_PATTERN}'")
        mutability.validate(tag_mutability, mutability_filters)
        if encryption_type == "AES256" and kms_key is not None:
            raise InvalidParameter("encryptionConfiguration", "kmsKey can only be given with KMS or KMS_DSSE")
        if encryption_type != "AES256" and kms_key is None:
            # AWS shows the key it manages itself, whose id nobody chooses: one id for each registry.
            kms_key = f"arn:aws:kms:{registry.region}:{registry.account}:key/00000000-0000-4000-8000-{registry.account}"
        check_tags(tags or {})
        with self._database.transaction():
            if self._row(registry, name):
                raise RepositoryAlreadyExists(name, registry.account)
            (count,) = self._database.execute(
                "SELECT count(*) FROM repository WHERE account = ? AND region = ?", (registry.account, registry.region)
            ).fetchone()
            if count >= MAX_REPOSITORIES:
                raise LimitExceeded(
                    f"The registry with id '{registry.account}' already has the maximum number of repositories: "
                    f"{MAX_REPOSITORIES}"
                )
            self._database.execute(
                "INSERT INTO repository (account, region, name, created_at, tag_mutability, mutability_filters,"
                " scan_on_push, encryption_type, kms_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    registry.account,
                    registry.region,
                    name,
                    self._clock.now(),
                    tag_mutability,
                    json.dumps(list(mutability_filters)),
                    scan_on_push,
                    encryption_type,
                    kms_key,
                ),
            )
            repository = self.get(registry, name)
            self.tag(repository, tags or {})
        return repository

    def get(self, registry: Registry, name: str) -> Repository:
        """Return a repository. Raises RepositoryNotFound."""
        row = self._row(registry, name)
        if row is None:
            raise RepositoryNotFound(name, registry.account)
        return _repository(row)

    def describe(self, registry: Registry, *, limit: int, token: str | None = None) -> Page[Repository]:
        """Return repositories in the order of their names."""
        after = decode(token, (str,)) or [""]
        rows = self._database.all(
            "SELECT * FROM repository WHERE account = ? AND region = ? AND name > ? ORDER BY name LIMIT ?",
            (registry.account, registry.region, after[0], limit + 1),
        )
        return page([_repository(row) for row in rows], limit, lambda item: [item.name])

    def delete(self, registry: Registry, name: str, *, force: bool) -> Repository:
        """Delete a repository with all that is in it, and return it. Raises RepositoryNotFound, RepositoryNotEmpty."""
        with self._database.transaction():
            repository = self.get(registry, name)
            has_images = self._database.one("SELECT 1 FROM image WHERE repository_id = ?", (repository.id,))
            if has_images and not force:
                raise RepositoryNotEmpty(name, registry.account)
            self._database.execute("DELETE FROM repository WHERE id = ?", (repository.id,))
        return repository

    def set_tag_mutability(self, repository: Repository, mode: str, filters: Sequence[str]) -> Repository:
        """Change which tags may move; the list of filters is replaced whole. Raises InvalidParameter."""
        mutability.validate(mode, filters)
        self._database.execute(
            "UPDATE repository SET tag_mutability = ?, mutability_filters = ? WHERE id = ?",
            (mode, json.dumps(list(filters)), repository.id),
        )
        return self.get(repository.registry, repository.name)

    def set_scan_on_push(self, repository: Repository, scan_on_push: bool) -> Repository:
        """Change whether a pushed image is scanned."""
        self._database.execute("UPDATE repository SET scan_on_push = ? WHERE id = ?", (scan_on_push, repository.id))
        return self.get(repository.registry, repository.name)

    def texts(self, repository: Repository) -> tuple[str | None, str | None, float | None]:
        """Return a repository's policy, its lifecycle policy, and when the latter was last evaluated."""
        row = self._row(repository.registry, repository.name)
        if row is None:
            raise RepositoryNotFound(repository.name, repository.registry.account)
        return row["policy"], row["lifecycle_policy"], row["lifecycle_evaluated_at"]

    def set_texts(self, repository: Repository, **texts: str | None) -> None:
        """Change a repository's `policy` or `lifecycle_policy`, or both; None removes it."""
        for name in texts:
            assert name in ("policy", "lifecycle_policy")
        changes = ", ".join(f"{name} = ?" for name in texts)
        self._database.execute(f"UPDATE repository SET {changes} WHERE id = ?", (*texts.values(), repository.id))

    def with_lifecycle_policy(self) -> list[Repository]:
        """Return the repositories of every registry that have a lifecycle policy."""
        rows = self._database.all("SELECT * FROM repository WHERE lifecycle_policy IS NOT NULL ORDER BY id")
        return [_repository(row) for row in rows]

    def tags(self, repository: Repository) -> dict[str, str]:
        """Return the resource tags, in the order of their keys."""
        rows = self._database.all(
            "SELECT key, value FROM resource_tag WHERE repository_id = ? ORDER BY key", (repository.id,)
        )
        return {row["key"]: row["value"] for row in rows}

    def tag(self, repository: Repository, tags: Mapping[str, str]) -> None:
        """Add resource tags, or change their values. Raises TooManyTags, InvalidTag."""
        check_tags(tags)
        if len(self.tags(repository).keys() | tags.keys()) > MAX_RESOURCE_TAGS:
            raise TooManyTags(f"A repository can have no more than {MAX_RESOURCE_TAGS} tags")
        self._database.executemany(
            "INSERT OR REPLACE INTO resource_tag (repository_id, key, value) VALUES (?, ?, ?)",
            [(repository.id, key, value) for key, value in tags.items()],
        )

    def untag(self, repository: Repository, keys: Sequence[str]) -> None:
        """Remove resource tags; those that are absent are fine."""
        self._database.executemany(
            "DELETE FROM resource_tag WHERE repository_id = ? AND key = ?", [(repository.id, key) for key in keys]
        )

    def _row(self, registry: Registry, name: str) -> sqlite3.Row | None:
        return self._database.one(
            "SELECT * FROM repository WHERE account = ? AND region = ? AND name = ?",
            (registry.account, registry.region, name),
        )


def check_tags(tags: Mapping[str, str]) -> None:
    """Check resource tags, each for itself. Raises InvalidTag."""
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise InvalidTag("A tag key has 1 to 128 characters, a tag value no more than 256")
        if key.lower().startswith("aws:"):
            raise InvalidTag("Tag keys that start with 'aws:' are reserved for AWS")


def _repository(row: sqlite3.Row) -> Repository:
    return Repository(
        id=row["id"],
        registry=Registry(row["account"], row["region"]),
        name=row["name"],
        created_at=row["created_at"],
        tag_mutability=row["tag_mutability"],
        mutability_filters=() if row["mutability_filters"] == "[]" else tuple(json.loads(row["mutability_filters"])),
        scan_on_push=bool(row["scan_on_push"]),
        encryption_type=row["encryption_type"],
        kms_key=row["kms_key"],
    )
