"""What a lifecycle policy does to the images of a repository (ecr-semantics section 12, UG/LifecyclePolicies).

What the documentation leaves open, and what is done here:

- A rule *sees* the images of its storage class that meet its tagging requirements. The first rule that sees an image
  keeps every later one from it. Sight is per storage class, because AWS's own example archives images of any tag by
  rule 1 and expires archived ones of any tag by rule 2: rule 1 does not stand in the way of rule 2.
- "As if they haven't been expired": a rule counts every image it sees, also those that are out of its reach: seen by an
  earlier rule, children of an index, referrers.
- "Referenced by a manifest list, it cannot be expired or archived without the manifest list being deleted or archived
  first" is read as: no expiring while an index is there, in whichever class; no archiving while one is not archived.
  The index must have gone before this evaluation, because all rules see the same snapshot.
- A referrer is acted on because of its subject only: never by a rule of its own while the subject stays, always with
  the subject, and on its own when the subject is gone or was archived before. Then no rule is the cause.
- An archived image whose time of archival is not known is never expired.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ecrlab.cloud.core.lifecycle import patterns
from ecrlab.cloud.core.lifecycle.policy import (
    MIN_ARCHIVE_DAYS,
    Action,
    Policy,
    Rule,
    Selection,
    StorageClass,
    TagStatus,
)

DAY = 86_400  # seconds


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image as a policy sees it. Times in seconds since the epoch, UTC; `size` in bytes.

    `pulled_at`: last recorded pull. `archived_at`, `activated_at`: last move to the archive, last restore from it.
    `parents`: digests of the indexes that name this image. `subject`: digest of the image that this one refers to.
    """

    digest: str
    tags: tuple[str, ...]
    pushed_at: float
    pulled_at: float | None = None
    storage_class: StorageClass = "STANDARD"
    archived_at: float | None = None
    activated_at: float | None = None
    size: int = 0
    parents: tuple[str, ...] = ()
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens to an image, and by which rule: for a referrer that of its subject, None if the subject is gone."""

    image: Candidate
    rule: Rule | None
    action: Literal["EXPIRE", "TRANSITION"]
    target_storage_class: Literal["ARCHIVE"] | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcomes by rule priority, then oldest first; those of no rule come last.

    `shadowed` gives, by digest, the priority of the first rule that sees an image: no rule after it can act on it.
    """

    outcomes: tuple[Outcome, ...]
    shadowed: Mapping[str, int]


def evaluate(policy: Policy, images: Sequence[Candidate], now: float) -> Evaluation:
    """Find what the policy does at the time `now` (seconds since the epoch, UTC) to all the images of a repository.

    The images may come in any order, each digest once. Nothing is changed; the same snapshot serves every rule. At most
    one outcome an image.
    """
    return _Snapshot(images, now).apply(policy)


class _Snapshot:
    """The images from the oldest to the youngest, so that what a rule sees is in that order without more sorting."""

    def __init__(self, images: Sequence[Candidate], now: float) -> None:
        self._now = now
        # Equal times are ordered by digest, for an answer that does not depend on the order of the images.
        self._images = sorted(sorted(images, key=lambda image: image.digest), key=_order_time)
        self._rows = [patterns.row(image.tags) for image in self._images]
        self._by_digest = {image.digest: image for image in self._images}
        # Images by storage class and tag status, each list from the oldest to the youngest.
        self._pools: dict[tuple[StorageClass, TagStatus], list[int]] = defaultdict(list)
        for index, image in enumerate(self._images):
            self._pools[image.storage_class, "tagged" if image.tags else "untagged"].append(index)
            self._pools[image.storage_class, "any"].append(index)

    def apply(self, policy: Policy) -> Evaluation:
        holders: list[int | None] = [None] * len(self._images)
        outcomes: dict[str, Outcome] = {}
        for rule in policy.rules:
            seen = self._seen(rule.selection)
            in_reach = [index for index in seen if holders[index] is None]
            for index in in_reach:
                holders[index] = rule.priority
            for image in self._due(rule.selection, seen, in_reach):
                if image.subject is None and self._allows(rule.action, image):
                    outcomes[image.digest] = _outcome(image, rule, rule.action)
        shadowed = {
            image.digest: holder for image, holder in zip(self._images, holders, strict=True) if holder is not None
        }
        self._follow(outcomes)
        return Evaluation(self._ordered(outcomes), shadowed)

    def _seen(self, selection: Selection) -> list[int]:
        """Return the images of the storage class that meet the tagging requirements."""
        seen = self._pools[selection.storage_class, selection.tag_status]
        for requirement in [*map(patterns.prefix, selection.prefixes), *map(patterns.wildcard, selection.patterns)]:
            seen = requirement.select(self._rows, seen)
        return seen

    def _due(self, selection: Selection, seen: Sequence[int], in_reach: Sequence[int]) -> list[Candidate]:
        """Return those of the images in reach that the count or the age marks; the count is over all that are seen."""
        images = self._images
        if selection.count_type == "imageCountMoreThan":
            if len(seen) <= selection.count_number:
                return []
            youngest_marked = seen[-selection.count_number - 1]
            return [images[index] for index in in_reach if index <= youngest_marked]
        clock = _CLOCKS[selection.count_type]
        # A rule with 10**400 days is legal, so the days stay a whole number, which floats are compared with exactly.
        limit = selection.count_number * DAY
        return [image for image in map(images.__getitem__, in_reach) if self._now - clock(image) > limit]

    def _allows(self, action: Action, image: Candidate) -> bool:
        """Tell whether the action can be taken, apart from shadows and subjects."""
        by_digest = self._by_digest
        parents = [by_digest[digest] for digest in image.parents if digest in by_digest] if image.parents else ()
        if action.type == "TRANSITION":
            return image.storage_class == "STANDARD" and all(parent.storage_class == "ARCHIVE" for parent in parents)
        if image.storage_class == "ARCHIVE" and (
            image.archived_at is None or self._now - image.archived_at < MIN_ARCHIVE_DAYS * DAY
        ):
            return False
        return not parents

    def _follow(self, outcomes: dict[str, Outcome]) -> None:
        """Add the outcomes of referrers, and of what refers to those."""
        referrers: dict[str, list[Candidate]] = defaultdict(list)
        for image in self._images:
            if image.subject is not None:
                referrers[image.subject].append(image)
        # Down from the subjects that are no referrers. A ring of referrers has none and is left alone.
        waiting = [
            subject for subject in referrers if (found := self._by_digest.get(subject)) is None or found.subject is None
        ]
        while waiting:
            subject = waiting.pop()
            cause = self._fate(subject, outcomes)
            for image in referrers.get(subject, ()):
                if cause is not None and self._allows(cause[0], image):
                    outcomes[image.digest] = _outcome(image, cause[1], cause[0])
                waiting.append(image.digest)

    def _fate(self, subject: str, outcomes: Mapping[str, Outcome]) -> tuple[Action, Rule | None] | None:
        """Return what a subject's referrers are to do, and whose rule it is; None if they stay."""
        if outcome := outcomes.get(subject):
            return Action(outcome.action, outcome.target_storage_class), outcome.rule
        image = self._by_digest.get(subject)
        if image is None:
            return Action("EXPIRE"), None
        return (Action("TRANSITION", "ARCHIVE"), None) if image.storage_class == "ARCHIVE" else None

    def _ordered(self, outcomes: Mapping[str, Outcome]) -> tuple[Outcome, ...]:
        oldest_first = [outcomes[image.digest] for image in self._images if image.digest in outcomes]
        return tuple(sorted(oldest_first, key=lambda outcome: outcome.rule.priority if outcome.rule else float("inf")))


def _outcome(image: Candidate, rule: Rule | None, action: Action) -> Outcome:
    return Outcome(image, rule, action.type, action.target_storage_class)


def _since_pushed(image: Candidate) -> float:
    # A restored image counts from its restoration, as if it were pushed then.
    return image.pushed_at if image.activated_at is None else image.activated_at


def _since_pulled(image: Candidate) -> float:
    # A pull before the image was archived and restored counts no more.
    if image.pulled_at is None or (image.activated_at is not None and image.pulled_at < image.activated_at):
        return _since_pushed(image)
    return image.pulled_at


def _since_transitioned(image: Candidate) -> float:
    return float("inf") if image.archived_at is None else image.archived_at


_CLOCKS = {
    "sinceImagePushed": _since_pushed,
    "sinceImagePulled": _since_pulled,
    "sinceImageTransitioned": _since_transitioned,
}


def _order_time(image: Candidate) -> float:
    # [D] always ordered by pushed_at_time or transitioned_at_time, the older before the newer.
    if image.storage_class == "ARCHIVE" and image.archived_at is not None:
        return image.archived_at
    return _since_pushed(image)
