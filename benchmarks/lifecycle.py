"""Measure the evaluation of a lifecycle policy: 100,000 images of 5 tags each, 10 rules, one core.

    python benchmarks/lifecycle.py [--images N] [--runs N]

Prints the seconds of each run, their median, the median of processor time (which a busy machine does not change as
much), and images per second.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import time
from collections import Counter

from ecrlab.cloud.core.lifecycle import Candidate, Policy, evaluate, parse

DAY = 86_400
NOW = 1_800_000_000.0


def rule(priority: int, action: str, **selection: object) -> dict[str, object]:
    target = {"targetStorageClass": "archive"} if action == "transition" else {}
    return {"rulePriority": priority, "selection": selection, "action": {"type": action, **target}}


def make_policy() -> Policy:
    """Every count type and tag status, prefixes and patterns of every shape."""
    tagged = {"tagStatus": "tagged"}
    days = {"countUnit": "days"}
    count = {"countType": "imageCountMoreThan"}
    pushed = {"countType": "sinceImagePushed", **days}
    pulled = {"countType": "sinceImagePulled", **days}
    rules = [
        rule(1, "expire", **tagged, **count, tagPrefixList=["prod"], countNumber=500),
        rule(2, "expire", **tagged, **pushed, tagPatternList=["beta*"], countNumber=60),
        rule(3, "expire", **tagged, **count, tagPatternList=["*-rc*", "dev*"], countNumber=100),
        rule(4, "transition", **tagged, **pulled, tagPatternList=["*nightly"], countNumber=30),
        rule(5, "expire", **tagged, **pushed, tagPatternList=["feature-*-ui-*-wip"], countNumber=14),
        rule(6, "expire", **tagged, **count, tagPrefixList=["sha-0", "dev"], countNumber=1000),
        rule(7, "transition", **tagged, **pushed, tagPatternList=["sha-*7*"], countNumber=90),
        rule(8, "expire", tagStatus="untagged", **pushed, countNumber=7),
        rule(9, "expire", tagStatus="any", **count, countNumber=20_000),
        rule(
            10,
            "expire",
            tagStatus="any",
            storageClass="archive",
            countType="sinceImageTransitioned",
            **days,
            countNumber=365,
        ),
    ]
    return parse(json.dumps({"rules": rules}))


def make_images(count: int, tags_each: int = 5) -> list[Candidate]:
    """One image in 10 is archived, in 20 untagged, in 20 a child of an index, in 50 a referrer."""
    chance = random.Random(7)
    words = ("prod", "beta", "dev", "v1.2-rc", "build-nightly", "feature-x-ui-y-wip", "release", "main", "hotfix")
    images: list[Candidate] = []
    for number in range(count):
        digest = "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()
        pushed_at = NOW - chance.uniform(0, 400) * DAY
        archived = chance.random() < 0.1
        tags = [f"sha-{chance.getrandbits(28):07x}"]
        tags += [f"{chance.choice(words)}-{number}-{each}" for each in range(tags_each - 1)]
        images.append(
            Candidate(
                digest=digest,
                tags=() if chance.random() < 0.05 else tuple(tags),
                pushed_at=pushed_at,
                pulled_at=chance.choice([None, pushed_at + 5 * DAY]),
                storage_class="ARCHIVE" if archived else "STANDARD",
                archived_at=NOW - chance.uniform(0, 500) * DAY if archived else None,
                size=1_000_000,
                parents=(chance.choice(images).digest,) if images and chance.random() < 0.05 else (),
                subject=chance.choice(images).digest if images and chance.random() < 0.02 else None,
            )
        )
    return images


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=100_000)
    arguments.add_argument("--runs", type=int, default=5)
    chosen = arguments.parse_args()
    policy, images = make_policy(), make_images(chosen.images)
    times: list[float] = []
    processor: list[float] = []
    for _ in range(chosen.runs):
        start, busy = time.perf_counter(), time.process_time()
        result = evaluate(policy, images, NOW)
        times.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    median = statistics.median(times)
    actions = Counter(outcome.action for outcome in result.outcomes)
    print(f"{len(images)} images, {len(policy.rules)} rules: {dict(actions)}, {len(result.shadowed)} seen")
    print("runs:", " ".join(f"{seconds:.3f} s" for seconds in times))
    print(
        f"median: {median:.3f} s, {len(images) / median:,.0f} images/s; processor {statistics.median(processor):.3f} s"
    )


if __name__ == "__main__":
    main()
