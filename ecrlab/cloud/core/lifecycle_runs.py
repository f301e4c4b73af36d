"""Lifecycle policies at work: kept with their repositories, previewed, and run on the lab's clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.clock import Clock
from ecrlab.cloud.core.archive import Archive
from ecrlab.cloud.core.errors import LifecyclePolicyNotFound, LifecyclePolicyPreviewNotFound
from ecrlab.cloud.core.image import ImageId
from ecrlab.cloud.core.images import Images
from ecrlab.cloud.core.lifecycle import Candidate, Evaluation, evaluate, parse
from ecrlab.cloud.core.pages import Page, page_of
from ecrlab.cloud.core.repositories import Repositories, Repository
from ecrlab.cloud.storage import Database

INTERVAL = 24 * 3600  # seconds: a policy is applied within a day of its criterion being met


@dataclass(frozen=True, slots=True)
class Preview:
    """What a policy would do now: a page of results in the members of the API, and how many there are of each kind."""

    policy: str
    results: Page[Mapping[str, Any]]
    expiring: int
    transitioning: int


class LifecyclePolicies:
    """The lifecycle policies of every repository."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        repositories: Repositories,
        images: Images,
        archive: Archive,
    ) -> None:
        self._database = database
        self._clock = clock
        self._repositories = repositories
        self._images = images
        self._archive = archive

    def get(self, repository: Repository) -> tuple[str, float | None]:
        """Return a repository's policy and when it was last evaluated. Raises LifecyclePolicyNotFound."""
        _policy, text, evaluated_at = self._repositories.texts(repository)
        if text is None:
            raise LifecyclePolicyNotFound(repository.name, repository.registry.account)
        return text, evaluated_at

    def put(self, repository: Repository, text: str) -> None:
        """Replace a repository's policy. Raises InvalidParameter."""
        parse(text)
        self._repositories.set_texts(repository, lifecycle_policy=text)

    def delete(self, repository: Repository) -> tuple[str, float | None]:
        """Remove a repository's policy and return what `get` does. Raises LifecyclePolicyNotFound."""
        found = self.get(repository)
        self._repositories.set_texts(repository, lifecycle_policy=None)
        # When this policy was evaluated says nothing of the next one.
        self._database.execute("UPDATE repository SET lifecycle_evaluated_at = NULL WHERE id = ?", (repository.id,))
        return found

    def start_preview(self, repository: Repository, text: str | None) -> str:
        """Preview a policy, without `text` the repository's own; return its text. Nothing is changed.

        Raises LifecyclePolicyNotFound, InvalidParameter.
        """
        policy = text if text is not None else self.get(repository)[0]
        outcomes = self._evaluate(repository, policy).outcomes
        results = [
            {
                "imageTags": list(outcome.image.tags),
                "imageDigest": outcome.image.digest,
                "imagePushedAt": outcome.image.pushed_at,
                "action": {"type": outcome.action, "targetStorageClass": outcome.target_storage_class},
                "appliedRulePriority": outcome.rule.priority if outcome.rule else None,
                "storageClass": outcome.image.storage_class,
            }
            for outcome in outcomes
        ]
        self._database.execute(
            "INSERT OR REPLACE INTO lifecycle_preview (repository_id, policy, results) VALUES (?, ?, ?)",
            (repository.id, policy, json.dumps(results)),
        )
        return policy

    def preview(
        self,
        repository: Repository,
        *,
        limit: int,
        token: str | None = None,
        image_ids: Sequence[ImageId] = (),
        tagged: bool | None = None,
    ) -> Preview:
        """Return the last preview, or the results that are asked for. Raises LifecyclePolicyPreviewNotFound."""
        row = self._database.one("SELECT * FROM lifecycle_preview WHERE repository_id = ?", (repository.id,))
        if row is None:
            raise LifecyclePolicyPreviewNotFound(repository.name, repository.registry.account)
        results = json.loads(row["results"])
        kinds = Counter(result["action"]["type"] for result in results)
        if image_ids:
            results = [result for result in results if any(_names(image_id, result) for image_id in image_ids)]
        if tagged is not None:
            results = [result for result in results if bool(result["imageTags"]) == tagged]
        return Preview(row["policy"], page_of(results, limit, token), kinds["EXPIRE"], kinds["TRANSITION"])

    def run_due(self) -> int:
        """Apply the policies that are due by the lab's clock; return how many images they acted on."""
        now = self._clock.now()
        acted = 0
        for repository in self._repositories.with_lifecycle_policy():
            _text, evaluated_at = self.get(repository)
            if evaluated_at is None or now >= evaluated_at + INTERVAL:
                acted += self.run(repository)
        return acted

    def run(self, repository: Repository) -> int:
        """Apply a repository's policy now; return how many images it acted on. Raises LifecyclePolicyNotFound."""
        text, _evaluated_at = self.get(repository)
        with self._database.transaction():
            outcomes = self._evaluate(repository, text).outcomes
            for outcome in outcomes:
                image = self._images.get(repository, ImageId(outcome.image.digest))
                by = f"lifecycle rule {outcome.rule.priority}" if outcome.rule else "lifecycle of its subject"
                if outcome.action == "EXPIRE":
                    self._images.remove(image, by=by)
                else:
                    self._archive.apply(image, by=by)
            self._database.execute(
                "UPDATE repository SET lifecycle_evaluated_at = ? WHERE id = ?", (self._clock.now(), repository.id)
            )
        return len(outcomes)

    def _evaluate(self, repository: Repository, text: str) -> Evaluation:
        return evaluate(parse(text), self._candidates(repository), self._clock.now())

    def _candidates(self, repository: Repository) -> list[Candidate]:
        tags: dict[int, list[str]] = {}
        for row in self._database.all(
            "SELECT image_id, name FROM tag WHERE repository_id = ? ORDER BY name", (repository.id,)
        ):
            tags.setdefault(row["image_id"], []).append(row["name"])
        parents: dict[str, list[str]] = {}
        for row in self._database.all(
            "SELECT image.digest AS parent, reference.digest AS child FROM reference JOIN image ON image.id = image_id"
            " WHERE kind = 'image' AND repository_id = ?",
            (repository.id,),
        ):
            parents.setdefault(row["child"], []).append(row["parent"])
        rows = self._database.all(
            "SELECT id, digest, pushed_at, pulled_at, is_archived, archived_at, activated_at, size, subject"
            " FROM image WHERE repository_id = ? ORDER BY id",
            (repository.id,),
        )
        return [
            Candidate(
                digest=row["digest"],
                tags=tuple(tags.get(row["id"], ())),
                pushed_at=row["pushed_at"],
                pulled_at=row["pulled_at"],
                storage_class="ARCHIVE" if row["is_archived"] else "STANDARD",
                archived_at=row["archived_at"],
                activated_at=row["activated_at"],
                size=row["size"],
                parents=tuple(parents.get(row["digest"], ())),
                subject=row["subject"],
            )
            for row in rows
        ]


def _names(image_id: ImageId, result: Mapping[str, Any]) -> bool:
    return (image_id.digest in (None, result["imageDigest"])) and (
        image_id.tag is None or image_id.tag in result["imageTags"]
    )
