"""What lifecycle policies do: AWS's documented examples, and each line of section 12 of ecr-semantics."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ecrlab.cloud.core.lifecycle import Action, Candidate, Evaluation, Outcome, Policy, Rule, Selection, evaluate, parse

DAY = 86_400.0
NOW = 1_800_000_000.0
ARCHIVE = {"type": "transition", "targetStorageClass": "archive"}
ARCHIVED = {"storageClass": "archive"}


def image(name: str, *tags: str, age: float = 1, **more: Any) -> Candidate:
    """An image pushed `age` days ago; the other times are given in days ago too."""
    times = {key: NOW - more.pop(key) * DAY for key in ("pulled_at", "archived_at", "activated_at") if key in more}
    return Candidate(name, tags, NOW - age * DAY, **times, **more)


def archived(name: str, *tags: str, for_days: float, age: float = 900, **more: Any) -> Candidate:
    return image(name, *tags, age=age, storage_class="ARCHIVE", archived_at=for_days, **more)


def count(number: int, *tags: str, status: str | None = None) -> dict[str, Any]:
    return selection("imageCountMoreThan", number, *tags, status=status)


def pushed(days: int, *tags: str, status: str | None = None) -> dict[str, Any]:
    return selection("sinceImagePushed", days, *tags, status=status)


def pulled(days: int, *tags: str, status: str | None = None) -> dict[str, Any]:
    return selection("sinceImagePulled", days, *tags, status=status)


def transitioned(days: int, *tags: str, status: str | None = None) -> dict[str, Any]:
    return selection("sinceImageTransitioned", days, *tags, status=status) | ARCHIVED


def selection(kind: str, number: int, *tags: str, status: str | None) -> dict[str, Any]:
    """`tags` are patterns if one has a `*`, otherwise prefixes; with none and no status: any."""
    lists = {"tagPatternList" if any("*" in tag for tag in tags) else "tagPrefixList": list(tags)} if tags else {}
    unit = {} if kind == "imageCountMoreThan" else {"countUnit": "days"}
    return {
        "tagStatus": status or ("tagged" if tags else "any"),
        **lists,
        "countType": kind,
        "countNumber": number,
        **unit,
    }


def policy(*rules: dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]) -> Policy:
    """Rules of priority 1, 2, … that expire, or do what is given with the selection."""
    items = [item if isinstance(item, tuple) else (item, {"type": "expire"}) for item in rules]
    return parse(
        json.dumps(
            {
                "rules": [
                    {"rulePriority": priority, "selection": chosen, "action": action}
                    for priority, (chosen, action) in enumerate(items, 1)
                ]
            }
        )
    )


def run(chosen: Policy, *images: Candidate) -> Evaluation:
    return evaluate(chosen, images, NOW)


def brief(evaluation: Evaluation) -> list[tuple[str, int | None]]:
    """Digests with the priorities of the rules, in order."""
    return [(item.image.digest, item.rule and item.rule.priority) for item in evaluation.outcomes]


ABC = (image("A", "beta-1", "prod-1", age=10), image("B", "beta-2", "prod-2", age=9), image("C", "beta-3", age=8))
SIX = (
    image("A", "alpha-1", age=12),
    image("B", "beta-1", age=11),
    image("C", "alpha-2", "beta-2", age=10),
    image("D", "alpha-3", age=4),
    image("E", "beta-3", age=3),
    image("F", "alpha-4", "beta-4", age=2),
)
GREEK = (
    image("A", "alpha-1", "beta-1", "gamma-1", age=10),
    image("B", "alpha-2", "beta-2", age=9),
    image("C", "alpha-3", "beta-3", "gamma-2", age=8),
)
MIXED = (image("A", "alpha-1", age=4), image("B", "beta-1", age=3), image("C", age=2), image("D", "alpha-2", age=1))
ALL_KINDS = (
    image("A", "alpha-1", "beta-1", age=4),
    image("B", age=3),
    image("C", "alpha-2", age=2),
    image("D", "git-hash", age=1),
    image("E", age=0.9),
)


@pytest.mark.parametrize(
    ("chosen", "images", "expected", "shadowed"),
    [
        pytest.param(
            policy(count(1, "prod*"), count(1, "beta*")),
            ABC,
            [("A", 1)],
            {"A": 1, "B": 1, "C": 2},
            id="multiple rules, example A: B is kept by rule 1 and so out of the reach of rule 2",
        ),
        pytest.param(
            policy(count(1, "beta*"), count(1, "prod*")),
            ABC,
            [("A", 1), ("B", 1)],
            {"A": 1, "B": 1, "C": 1},
            id="multiple rules, example B: rule 2 finds nothing that rule 1 has not seen",
        ),
        pytest.param(
            policy(pushed(5, "alpha*", "beta*")),
            SIX,
            [("C", 1)],
            {"C": 1, "F": 1},
            id="multiple tags, example A: all patterns must match",
        ),
        pytest.param(
            policy(count(1, "alpha*", "beta*")),
            GREEK,
            [("A", 1), ("B", 1)],
            {"A": 1, "B": 1, "C": 1},
            id="multiple tags, example B: tags are not exclusive",
        ),
        pytest.param(
            policy(count(1)),
            MIXED,
            [("A", 1), ("B", 1), ("C", 1)],
            {"A": 1, "B": 1, "C": 1, "D": 1},
            id="all images, example A",
        ),
        pytest.param(
            policy(count(1, "alpha*"), pushed(1, status="untagged"), count(1)),
            ALL_KINDS,
            [("A", 1), ("B", 2), ("D", 3)],
            {"A": 1, "B": 2, "C": 1, "D": 3, "E": 2},
            id="all images, example B: any cannot mark what earlier rules saw",
        ),
        pytest.param(
            policy((pushed(30), ARCHIVE), transitioned(365)),
            (image("A", age=31), image("B", age=29), archived("C", for_days=366), archived("D", for_days=364)),
            [("A", 1), ("C", 2)],
            {"A": 1, "B": 1, "C": 2, "D": 2},
            id="archive and expire: any in both classes, rule 1 does not shadow archived images",
        ),
    ],
)
def test_when_aws_documents_an_example_then_it_comes_out_so(
    chosen: Policy, images: tuple[Candidate, ...], expected: list[tuple[str, int]], shadowed: dict[str, int]
) -> None:
    evaluation = run(chosen, *images)
    assert brief(evaluation) == expected
    assert evaluation.shadowed == shadowed


@pytest.mark.parametrize(
    ("chosen", "images", "expected"),
    [
        # Lower rules count shadowed images "as if they haven't been expired".
        pytest.param(
            policy(count(1, "prod"), count(3, "beta")),
            (*ABC, image("D", "beta-4", age=11)),
            [("A", 1), ("D", 2)],
            id="the count is over all that match: D is the fourth youngest beta, though A is expiring",
        ),
        pytest.param(
            policy(pushed(5, "old"), count(1)),
            (image("A", "old", age=6), image("B", age=7), image("C", age=8)),
            [("A", 1), ("C", 2), ("B", 2)],
            id="any counts what an earlier rule marks: A is the one that it would keep",
        ),
        pytest.param(
            policy(pushed(500, status="untagged"), count(1)),
            (image("A", age=1), image("B", "x", age=2), image("C", age=3)),
            [("B", 2)],
            id="any counts tagged and untagged, and an untagged rule keeps its images from it",
        ),
        # Several prefixes or patterns: all must match, each by any tag.
        pytest.param(
            policy(pushed(1, "a", "ab")),
            (image("one", "abc", age=2), image("two", "a1", "ab1", age=2), image("none", "a1", "b1", age=2)),
            [("one", 1), ("two", 1)],
            id="one tag may meet two prefixes",
        ),
        pytest.param(
            policy(pushed(1, "prod*")),
            (
                image("p", "prod", age=2),
                image("p1", "prod1", age=2),
                image("team", "production-team1", age=2),
                image("repo", "repo-production", age=2),
                image("upper", "PROD", age=2),
            ),
            [("p", 1), ("p1", 1), ("team", 1)],
            id="prod* matches tags that begin with prod",
        ),
        pytest.param(
            policy(pushed(1, "*prod*")),
            (image("repo", "repo-production", age=2), image("team", "prod-team", age=2), image("pro", "pro-d", age=2)),
            [("repo", 1), ("team", 1)],
            id="*prod* matches tags that contain prod",
        ),
        pytest.param(
            policy(pushed(1, "*")),
            (image("tagged", "x", age=2), image("untagged", age=2)),
            [("tagged", 1)],
            id="* matches every tag, but no untagged image",
        ),
        pytest.param(
            policy(pushed(1, "v1.0")),
            (image("exact", "v1.0", age=2), image("longer", "v1.0-rc", age=2), image("dot", "v1x0", age=2)),
            [("exact", 1), ("longer", 1)],
            id="a dot in a prefix is a dot",
        ),
        # imageCountMoreThan: youngest first, all beyond the number.
        pytest.param(
            policy(count(2)),
            (image("A", age=1), image("B", age=4), image("C", age=2), image("D", age=3)),
            [("B", 1), ("D", 1)],
            id="the count keeps the youngest, the oldest goes first",
        ),
        pytest.param(policy(count(3)), (image("A"), image("B"), image("C")), [], id="as many as the count stay"),
        pytest.param(
            policy(count(1)),
            (image("B"), image("C"), image("A")),
            [("A", 1), ("B", 1)],
            id="of images of one moment the later digest counts as the younger",
        ),
        # since*: strictly older than N days.
        pytest.param(
            policy(pushed(7)),
            (image("edge", age=7), image("over", age=7 + 1 / DAY)),
            [("over", 1)],
            id="exactly N days old is not older than N days",
        ),
        pytest.param(
            policy((pulled(7), ARCHIVE)),
            (
                image("never, new", age=6),
                image("never, old", age=8),
                image("lately", age=8, pulled_at=1),
                image("long ago", age=30, pulled_at=8),
            ),
            [("long ago", 1), ("never, old", 1)],
            id="sinceImagePulled: never pulled counts from the push",
        ),
        # Restored images.
        pytest.param(
            policy(pushed(30)),
            (
                image("restored lately", age=400, archived_at=200, activated_at=10),
                image("restored long ago", age=400, archived_at=200, activated_at=31),
            ),
            [("restored long ago", 1)],
            id="a restored image counts from its restoration, not from its push",
        ),
        pytest.param(
            policy(count(1)),
            (image("restored", age=400, archived_at=200, activated_at=1), image("pushed later", age=50)),
            [("pushed later", 1)],
            id="a restored image is as young as its restoration in a count",
        ),
        pytest.param(
            policy((pulled(30), ARCHIVE)),
            (
                image("pulled before the archive", age=400, pulled_at=300, archived_at=200, activated_at=10),
                image("not pulled since", age=400, pulled_at=300, archived_at=200, activated_at=31),
                image("never pulled", age=400, archived_at=200, activated_at=10),
                image("pulled since, long ago", age=400, pulled_at=40, archived_at=200, activated_at=50),
                image("pulled since, lately", age=400, pulled_at=4, archived_at=200, activated_at=60),
            ),
            [("pulled since, long ago", 1), ("not pulled since", 1)],
            id="sinceImagePulled of a restored image: its pull since, or its restoration",
        ),
        # Storage classes.
        pytest.param(
            policy(pushed(7)),
            (image("A", age=8), archived("B", for_days=400)),
            [("A", 1)],
            id="a rule without storageClass selects the standard class only",
        ),
        pytest.param(
            policy(count(1)),
            (image("A", age=3), archived("B", for_days=1), archived("C", for_days=1)),
            [],
            id="archived images do not count in the standard class",
        ),
        pytest.param(
            policy(transitioned(90)),
            (
                image("restored", age=400, archived_at=300, activated_at=200),
                archived("under", for_days=89.9),
                archived("edge", for_days=90),
                archived("over", for_days=90.1),
                archived("longer", for_days=100),
            ),
            [("longer", 1), ("over", 1)],
            id="sinceImageTransitioned counts from the archival, archived images only, the first archived first",
        ),
        pytest.param(
            policy(transitioned(90)),
            (replace(archived("A", for_days=1), archived_at=None),),
            [],
            id="an archived image whose archival has no known time stays",
        ),
        pytest.param(
            policy(transitioned(100, "prod"), transitioned(90)),
            (archived("A", "prod-1", for_days=95), archived("B", for_days=95)),
            [("B", 2)],
            id="archived images are shadowed by rules of their class",
        ),
        # Children of an index.
        pytest.param(
            policy(pushed(1)),
            (image("index", "v1", age=2), image("child", age=3, parents=("index",))),
            [("index", 1)],
            id="the index goes first, its child cannot go in the same run",
        ),
        pytest.param(
            policy(pushed(1)),
            (image("child", age=3, parents=("gone",)),),
            [("child", 1)],
            id="a child goes when its index is gone",
        ),
        pytest.param(
            policy(pushed(1)),
            (image("other", "v2", age=0), image("child", age=3, parents=("gone", "other"))),
            [],
            id="a child stays while one of its indexes is there",
        ),
        pytest.param(
            policy(count(2)),
            (
                image("child", age=3, parents=("index",)),
                image("index", "v1", age=2),
                image("A", age=1),
                image("B", age=0),
            ),
            [("index", 1)],
            id="a child is counted like any image",
        ),
        pytest.param(
            policy((pushed(1), ARCHIVE)),
            (
                archived("index", for_days=1),
                image("child", age=3, parents=("index",)),
                image("standing", "v1", age=0),
                image("other child", age=3, parents=("index", "standing")),
            ),
            [("child", 1)],
            id="a child is archived when its indexes are archived",
        ),
        pytest.param(
            policy(pushed(1)),
            (archived("index", for_days=1), image("child", age=3, parents=("index",))),
            [],
            id="a child is not expired while its archived index can be restored",
        ),
        # Referrers follow their subjects.
        pytest.param(
            policy(count(1, "v"), pushed(1, status="untagged")),
            (
                image("old", "v1", age=9),
                image("new", "v2", age=8),
                image("old signature", age=9, subject="old"),
                image("new signature", age=8, subject="new"),
            ),
            [("old", 1), ("old signature", 1)],
            id="a referrer goes with its subject and by its subject's rule, never by its own",
        ),
        pytest.param(
            policy((pushed(5), ARCHIVE)),
            (
                image("A", "v1", age=9),
                image("signature", age=0, subject="A"),
                image("proof", age=0, subject="signature"),
            ),
            [("A", 1), ("proof", 1), ("signature", 1)],
            id="a referrer of a referrer follows too",
        ),
        pytest.param(
            policy(pushed(500)),
            (
                image("signature", age=0, subject="gone"),
                image("proof", age=0, subject="signature"),
                image("A", age=501),
            ),
            [("A", 1), ("proof", None), ("signature", None)],
            id="a referrer whose subject is gone goes, and no rule is the cause",
        ),
        pytest.param(
            policy(pushed(500)),
            (archived("A", for_days=1), image("signature", age=0, subject="A")),
            [("signature", None)],
            id="a referrer is archived when its subject was",
        ),
        pytest.param(
            policy(transitioned(90)),
            (
                archived("A", for_days=91),
                archived("signature", for_days=91, subject="A"),
                archived("late signature", for_days=89, subject="A"),
            ),
            [("A", 1), ("signature", 1)],
            id="a referrer archived under 90 days is not expired either",
        ),
        pytest.param(
            policy(pushed(5)),
            (
                image("A", "v1", age=9),
                image("listed", age=9, subject="A", parents=("index",)),
                image("index", "i", age=0),
            ),
            [("A", 1)],
            id="a referrer that an index names waits for the index",
        ),
        pytest.param(
            policy(pushed(1)),
            (image("self", age=9, subject="self"), image("A", age=9, subject="B"), image("B", age=9, subject="A")),
            [],
            id="referrers in a ring are left alone",
        ),
        pytest.param(
            policy(count(2)),
            (image("A", "v1", age=3), image("B", "v2", age=2), image("signature", age=1, subject="B")),
            [("A", 1)],
            id="a referrer is counted like any image",
        ),
        pytest.param(policy(count(1)), (), [], id="no images"),
    ],
)
def test_when_a_policy_is_evaluated_then_these_images_are_acted_on_in_this_order(
    chosen: Policy, images: tuple[Candidate, ...], expected: list[tuple[str, int | None]]
) -> None:
    assert brief(run(chosen, *images)) == expected
    assert brief(run(chosen, *reversed(images))) == expected


def test_when_images_are_expired_and_archived_then_the_outcome_says_how() -> None:
    standing, stored = image("A", "x", age=31, size=7), archived("B", for_days=400)
    signed = image("C", age=1, subject="A")
    chosen = policy((pushed(30), ARCHIVE), transitioned(365))
    assert run(chosen, stored, signed, standing).outcomes == (
        Outcome(standing, chosen.rules[0], "TRANSITION", "ARCHIVE"),
        Outcome(signed, chosen.rules[0], "TRANSITION", "ARCHIVE"),
        Outcome(stored, chosen.rules[1], "EXPIRE", None),
    )


def test_when_a_policy_was_not_parsed_then_the_archive_minimum_and_the_classes_still_hold() -> None:
    too_early = Selection("any", "sinceImageTransitioned", 1, storage_class="ARCHIVE")
    for action in (Action("EXPIRE"), Action("TRANSITION", "ARCHIVE")):
        chosen = Policy((Rule(1, too_early, action),))
        assert brief(run(chosen, archived("A", for_days=89))) == []
    assert brief(run(Policy((Rule(1, too_early, Action("EXPIRE")),)), archived("A", for_days=90))) == [("A", 1)]


def test_when_the_clock_advances_then_a_chain_of_index_child_and_archive_ends() -> None:
    """Run after run, each on what the last one left: the index is archived, then its child, then both expire."""
    chosen = policy((pushed(1), ARCHIVE), transitioned(90))
    images = {item.digest: item for item in (image("child", age=3, parents=("index",)), image("index", "v1", age=3))}
    history: list[tuple[float, str, str]] = []
    for day in range(100):
        now = NOW + day * DAY
        for outcome in evaluate(chosen, list(images.values()), now).outcomes:
            found = images.pop(outcome.image.digest)
            if outcome.action == "TRANSITION":
                images[found.digest] = replace(found, storage_class="ARCHIVE", archived_at=now)
            history.append((day, found.digest, outcome.action))
    assert history == [
        (0, "index", "TRANSITION"),
        (1, "child", "TRANSITION"),
        (91, "index", "EXPIRE"),
        (92, "child", "EXPIRE"),
    ]
