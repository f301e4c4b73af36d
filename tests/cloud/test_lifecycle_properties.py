"""Lifecycle evaluation against a slow reading of the same prose, and the laws that hold for every policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrlab.cloud.core.lifecycle import Candidate, Evaluation, Policy, Rule, Selection, evaluate, parse
from ecrlab.cloud.core.lifecycle.patterns import prefix, row, wildcard

DAY = 86_400
NOW = 1_800_000_000

Fate = tuple[str, int | None]  # the action, and the priority of the rule

# Few letters, few days and few digests, so that matches, ties and relations are frequent.
TAGS = st.sampled_from(["a", "b", "ab", "ba", "aba", "b-a"])
PATTERNS = st.sampled_from(["*", "a*", "*a", "*b*", "ab", "a*a", "*a*b*", "b*a*", "*-*"])
DIGESTS = st.sampled_from([f"d{number}" for number in range(8)])


def days_ago(lowest: int, highest: int) -> st.SearchStrategy[int]:
    return st.integers(lowest, highest).map(lambda days: NOW - days * DAY)


@st.composite
def repositories(draw: st.DrawFn) -> list[Candidate]:
    """Some standing, archived and restored images, some named by indexes, some that refer to others."""
    images = []
    for digest in draw(st.lists(DIGESTS, unique=True, min_size=draw(st.sampled_from([0, 3, 5, 7])))):
        archived = draw(st.sampled_from([False, False, True]))
        restored = not archived and draw(st.sampled_from([False, False, True]))
        related = draw(st.sampled_from(["parents", "subject", "neither", "neither"]))
        images.append(
            Candidate(
                digest=digest,
                tags=tuple(draw(st.lists(TAGS, unique=True, max_size=3))),
                pushed_at=draw(days_ago(0, 8)),
                pulled_at=draw(st.none() | days_ago(0, 8)),
                storage_class="ARCHIVE" if archived else "STANDARD",
                archived_at=draw(days_ago(88, 94)) if archived else NOW - 60 * DAY if restored else None,
                activated_at=draw(days_ago(0, 8)) if restored else None,
                parents=tuple(draw(st.lists(DIGESTS, unique=True, max_size=2))) if related == "parents" else (),
                subject=draw(DIGESTS) if related == "subject" else None,
            )
        )
    return images


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Rules of both storage classes, put together as the grammar asks; the text is really parsed."""
    rules: list[dict[str, Any]] = []
    for storage_class in ("standard", "archive"):
        statuses = draw(st.lists(st.just("tagged"), max_size=3))
        if draw(st.booleans()):
            statuses.insert(draw(st.integers(0, len(statuses))), "untagged")
        if draw(st.booleans()):
            statuses.append("any")
        chosen = [draw(bodies(storage_class, status)) for status in statuses]
        unused = draw(st.lists(st.sampled_from(["a", "b", "ab", "b-"]), unique=True))
        for body in chosen:
            if body["selection"]["tagStatus"] == "tagged":
                if unused and draw(st.booleans()):
                    body["selection"]["tagPrefixList"] = [unused.pop() for _ in unused[:2]]
                else:
                    body["selection"]["tagPatternList"] = draw(st.lists(PATTERNS, min_size=1, max_size=2))
        rules = draw(st.sampled_from([rules + chosen, chosen + rules]))
    rules = rules or [draw(bodies("standard", "any"))]
    for priority, rule in enumerate(rules, 1):
        rule["rulePriority"] = priority * 10
    return parse(json.dumps({"rules": rules}).ljust(100))


@st.composite
def bodies(draw: st.DrawFn, storage_class: str, status: str) -> dict[str, Any]:
    archive = {"type": "transition", "targetStorageClass": "archive"}
    if storage_class == "archive":
        kind, action, number = "sinceImageTransitioned", {"type": "expire"}, draw(st.integers(90, 92))
    else:
        kind = draw(
            st.sampled_from(["imageCountMoreThan", "imageCountMoreThan", "sinceImagePushed", "sinceImagePulled"])
        )
        action = draw(st.sampled_from([{"type": "expire"}, archive])) if kind != "sinceImagePulled" else archive
        number = draw(st.integers(1, 4))
    unit = {} if kind == "imageCountMoreThan" else {"countUnit": "days"}
    selection = {"tagStatus": status, "storageClass": storage_class, "countType": kind, "countNumber": number, **unit}
    return {"selection": selection, "action": action}


# ---- the slow reading ------------------------------------------------------------------------------------------------


def glob(pattern: str, tag: str) -> bool:
    if not pattern:
        return not tag
    if pattern[0] == "*":
        return any(glob(pattern[1:], tag[start:]) for start in range(len(tag) + 1))
    return tag[:1] == pattern[0] and glob(pattern[1:], tag[1:])


def identifies(selection: Selection, image: Candidate) -> bool:
    if image.storage_class != selection.storage_class:
        return False
    if selection.tag_status == "any":
        return True
    if selection.tag_status == "untagged":
        return image.tags == ()
    return all(any(tag.startswith(start) for tag in image.tags) for start in selection.prefixes) and all(
        any(glob(pattern, tag) for tag in image.tags) for pattern in selection.patterns
    )


def pushed(image: Candidate) -> float:
    return image.pushed_at if image.activated_at is None else image.activated_at


def marks(rule: Rule, image: Candidate, images: list[Candidate]) -> bool:
    number = rule.selection.count_number
    if rule.selection.count_type == "imageCountMoreThan":
        younger = [
            other
            for other in images
            if identifies(rule.selection, other) and (pushed(other), other.digest) > (pushed(image), image.digest)
        ]
        return len(younger) >= number
    if rule.selection.count_type == "sinceImagePushed":
        since = pushed(image)
    elif rule.selection.count_type == "sinceImageTransitioned":
        assert image.archived_at is not None
        since = image.archived_at
    else:
        pulls = [image.pulled_at] if image.pulled_at is not None else []
        if image.activated_at is not None:
            pulls = [pull for pull in pulls if pull >= image.activated_at]
        since = pulls[0] if pulls else pushed(image)
    return (NOW - since) / DAY > number


def may(action: str, image: Candidate, images: list[Candidate]) -> bool:
    parents = [other.storage_class for other in images if other.digest in image.parents]
    if action == "TRANSITION":
        return image.storage_class == "STANDARD" and "STANDARD" not in parents
    young = image.storage_class == "ARCHIVE" and (NOW - image.archived_at) / DAY < 90
    return not parents and not young


def slow_fate(image: Candidate, policy: Policy, images: list[Candidate], above: tuple[str, ...] = ()) -> Fate | None:
    if image.digest in above:
        return None  # a ring of referrers
    if image.subject is None:
        for rule in sorted(policy.rules, key=lambda rule: rule.priority):
            if identifies(rule.selection, image):
                acts = marks(rule, image, images) and may(rule.action.type, image, images)
                return (rule.action.type, rule.priority) if acts else None
        return None
    subjects = [other for other in images if other.digest == image.subject]
    if not subjects:
        cause: Fate | None = ("EXPIRE", None)
    else:
        cause = slow_fate(subjects[0], policy, images, (*above, image.digest))
        if cause is None and subjects[0].storage_class == "ARCHIVE" and not in_ring(image, images):
            cause = ("TRANSITION", None)
    return cause if cause and may(cause[0], image, images) else None


def in_ring(image: Candidate, images: list[Candidate]) -> bool:
    seen: list[str] = []
    found: Candidate | None = image
    while found is not None and found.subject is not None:
        if found.digest in seen:
            return True
        seen.append(found.digest)
        found = next((other for other in images if other.digest == found.subject), None)
    return False


# ---- the laws --------------------------------------------------------------------------------------------------------


def fates(evaluation: Evaluation) -> dict[str, Fate]:
    return {
        outcome.image.digest: (outcome.action, outcome.rule.priority if outcome.rule else None)
        for outcome in evaluation.outcomes
    }


@settings(deadline=None, max_examples=150)
@given(policy=policies(), images=repositories())
def test_when_the_prose_is_read_slowly_then_the_outcomes_are_the_same(policy: Policy, images: list[Candidate]) -> None:
    expected = {image.digest: slow_fate(image, policy, images) for image in images}
    evaluation = evaluate(policy, images, NOW)
    assert fates(evaluation) == {digest: fate for digest, fate in expected.items() if fate is not None}
    assert evaluation.shadowed == {
        image.digest: first[0]
        for image in images
        if (first := [rule.priority for rule in policy.rules if identifies(rule.selection, image)])
    }


@settings(deadline=None, max_examples=50)
@given(policy=policies(), images=repositories(), data=st.data())
def test_when_the_images_come_in_another_order_then_nothing_changes(
    policy: Policy, images: list[Candidate], data: st.DataObject
) -> None:
    assert evaluate(policy, data.draw(st.permutations(images)), NOW) == evaluate(policy, images, NOW)


@settings(deadline=None, max_examples=50)
@given(policy=policies(), images=repositories())
def test_when_a_policy_is_evaluated_then_each_image_has_one_outcome_at_most_in_the_stated_order(
    policy: Policy, images: list[Candidate]
) -> None:
    evaluation = evaluate(policy, images, NOW)
    digests = [outcome.image.digest for outcome in evaluation.outcomes]
    assert len(digests) == len(set(digests))
    assert {outcome.image for outcome in evaluation.outcomes} <= set(images)
    for outcome in evaluation.outcomes:
        if outcome.image.subject is None:
            assert outcome.rule
            assert evaluation.shadowed[outcome.image.digest] == outcome.rule.priority
        assert (outcome.action == "TRANSITION") == (outcome.target_storage_class == "ARCHIVE")
    order = [
        (
            outcome.rule.priority if outcome.rule else 10**9,
            outcome.image.archived_at if outcome.image.storage_class == "ARCHIVE" else pushed(outcome.image),
            outcome.image.digest,
        )
        for outcome in evaluation.outcomes
    ]
    assert order == sorted(order)


@settings(deadline=None, max_examples=50)
@given(policy=policies(), images=repositories())
def test_when_a_lower_rule_is_added_then_the_outcomes_of_the_higher_rules_stay(
    policy: Policy, images: list[Candidate]
) -> None:
    for upper in range(len(policy.rules)):
        higher = policy.rules[:upper]
        before = evaluate(Policy(higher), images, NOW)
        after = evaluate(Policy(policy.rules[: upper + 1]), images, NOW)
        kept = [outcome for outcome in after.outcomes if outcome.rule in higher]
        assert kept == [outcome for outcome in before.outcomes if outcome.rule is not None]
        assert before.shadowed.items() <= after.shadowed.items()


@settings(deadline=None, max_examples=50)
@given(policy=policies(), images=repositories())
def test_when_a_policy_is_applied_again_and_again_then_it_comes_to_rest_and_no_index_loses_a_child(
    policy: Policy, images: list[Candidate]
) -> None:
    standing = {image.digest: image for image in images}
    for _ in range(2 * len(images) + 1):
        outcomes = evaluate(policy, list(standing.values()), NOW).outcomes
        if not outcomes:
            break
        for outcome in outcomes:
            if outcome.action == "EXPIRE":
                assert not standing.keys() & set(outcome.image.parents) - {outcome.image.digest}
        for outcome in outcomes:
            if outcome.action == "EXPIRE":
                del standing[outcome.image.digest]
            else:
                standing[outcome.image.digest] = replace(outcome.image, storage_class="ARCHIVE", archived_at=NOW)
    else:
        raise AssertionError("the policy never comes to rest")


@settings(deadline=None, max_examples=200)
@given(
    pattern=st.text("ab*", max_size=6) | st.text("a.*", max_size=3),
    tags=st.lists(
        st.text("ab", min_size=1, max_size=4) | st.text("a.-", min_size=1, max_size=4), min_size=1, max_size=3
    ),
)
def test_when_tags_are_searched_together_then_each_pattern_finds_what_it_finds_in_one(
    pattern: str, tags: list[str]
) -> None:
    rows = [row(tags), *map(row, ([tag] for tag in tags))]
    everywhere = range(len(rows))
    each = [number for number, tag in enumerate(tags, 1) if glob(pattern, tag)]
    assert wildcard(pattern).select(rows, everywhere) == ([0] if each else []) + each
    each = [number for number, tag in enumerate(tags, 1) if tag.startswith(pattern)]
    assert prefix(pattern).select(rows, everywhere) == ([0] if each else []) + each


@pytest.mark.parametrize("requirement", [wildcard("a\0b"), wildcard("*\0*"), prefix("a\0b")])
def test_when_a_pattern_holds_the_separator_then_it_matches_nothing(requirement: Any) -> None:
    assert requirement.select([row(["a", "b"]), row(["a"])], [0, 1]) == []
