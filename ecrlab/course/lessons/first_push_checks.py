"""The checks of lesson 01: what a right answer leaves in the registry."""

from __future__ import annotations

from ecrlab.course.evidence import SEVERITIES, Evidence, Image, sample_in
from ecrlab.course.outcomes import Verdict, correct, not_attempted, not_yet

WEB = "practice/web"
SHOP = "practice/shop"
RELEASE = "1.0"
LABEL = "worst-severity"


def _absent(evidence: Evidence, name: str, looked_for: str) -> Verdict:
    """The verdict for a repository that is not there: a near name, another region, or no try at all."""
    if similar := evidence.similar_repository(name):
        return not_yet(
            looked_for=looked_for,
            found=f"no repository `{name}`, but one named `{similar}`",
            where="the name: it must be spelled exactly so, with the `/` that separates namespace and name",
        )
    if region := evidence.region_with_repository(name):
        return not_yet(
            looked_for=looked_for,
            found=f"the repository is in the region `{region}`; each region has a registry of its own",
            where=f"the region of the call: the lab works in `{evidence.region}`",
        )
    return not_attempted(looked_for=looked_for, found="no such repository so far", where="the cell above this check")


def check_repository(evidence: Evidence) -> Verdict:
    """Task 01.1: the repository stands, and scans what is pushed to it."""
    looked_for = f"a repository `{WEB}` with scan on push"
    repository = evidence.repository(WEB)
    if repository is None:
        return _absent(evidence, WEB, looked_for)
    if not repository.get("imageScanningConfiguration", {}).get("scanOnPush"):
        return not_yet(
            looked_for=looked_for,
            found="the repository is there, and `scanOnPush` is false",
            where=(
                "`imageScanningConfiguration`; `put_image_scanning_configuration` sets it on a repository that exists"
            ),
        )
    return correct(looked_for=looked_for, found=f"`{repository['repositoryUri']}`, scanned on push")


def check_push(evidence: Evidence) -> Verdict:
    """Task 01.2: the tag 1.0 of the repository is the sample image simplehttp."""
    looked_for = f"`ecrlab/simplehttp` in the repository `{WEB}`, with the tag `{RELEASE}`"
    repository = evidence.repository(WEB)
    if repository is None:
        return not_attempted(looked_for=looked_for, found=f"no repository `{WEB}`", where="task 01.1, which creates it")
    images = evidence.images(WEB)
    tagged = next((image for image in images if RELEASE in image.tags), None)
    if tagged is not None:
        sample = sample_in(tagged)
        if sample == "simplehttp":
            return correct(looked_for=looked_for, found=f"`{WEB}:{RELEASE}` is `{tagged.digest}`")
        return not_yet(
            looked_for=looked_for,
            found=f"the tag `{RELEASE}` is there, but it is {f'`ecrlab/{sample}`' if sample else 'another image'}",
            where="the image that you named before the push: `docker images` shows which names are one image",
        )
    # The images of an index have no tags of their own; the index has.
    if sent := sorted(
        (image for image in images if sample_in(image) == "simplehttp"), key=lambda image: not image.tags
    ):
        return not_yet(
            looked_for=looked_for,
            found=f"the right image, with {_tags_in_words(sent[0])}",
            where="the part after the colon, in the tag command and in the push",
        )
    if evidence.docker_has(f"{repository['repositoryUri']}:{RELEASE}"):
        return not_yet(
            looked_for=looked_for,
            found=(
                f"Docker holds the name `{repository['repositoryUri']}:{RELEASE}`, and the repository does not "
                f"hold the image"
            ),
            where="the push: a tag is only a name in Docker; nothing is sent before `push`",
        )
    if images:
        return not_yet(
            looked_for=looked_for,
            found="an image, but neither the right one nor the right tag",
            where="the image that you named before the push: it starts from `ecrlab/simplehttp`",
        )
    return not_attempted(looked_for=looked_for, found="an empty repository", where="the cell above this check")


def check_severity(evidence: Evidence) -> Verdict:
    """Task 01.3: outdated-shop is pushed and scanned, and its worst severity is recorded on the repository."""
    looked_for = f"`ecrlab/outdated-shop` in `{SHOP}`, scanned, and its worst severity in the resource tag `{LABEL}`"
    repository = evidence.repository(SHOP)
    if repository is None:
        return _absent(evidence, SHOP, looked_for)
    images = evidence.images(SHOP)
    shops = [image for image in images if sample_in(image) == "outdated-shop" and not image.is_index]
    if not shops:
        others = sorted({sample for image in images if (sample := sample_in(image))})
        held = f"it holds {', '.join(f'`ecrlab/{name}`' for name in others)}" if others else "the image is not in it"
        return not_yet(
            looked_for=looked_for,
            found=f"the repository is there, and {held}",
            where="the four steps of the lesson: log in, tag, push, describe",
        )
    scans = [scan for image in shops if (scan := evidence.scan(SHOP, image.digest))]
    if not scans:
        return not_yet(
            looked_for=looked_for,
            found="the image, which was never scanned",
            where="scan on push acts on images pushed after it was set; `start_image_scan` scans one that is there",
        )
    complete = next((scan for scan in scans if scan.status in ("COMPLETE", "ACTIVE")), None)
    if complete is None:
        return not_yet(
            looked_for=looked_for,
            found=f"a scan in the state {scans[0].status} {scans[0].description}".rstrip(),
            where="wait until it is complete: the waiter `image_scan_complete` does that",
        )
    recorded = evidence.resource_tags(repository).get(LABEL)
    if recorded is None:
        return not_yet(
            looked_for=looked_for,
            found=f"the image, scanned; the repository has no resource tag `{LABEL}`",
            where="`tag_resource`, which takes the repository's ARN; a resource tag is not an image tag",
        )
    if recorded not in SEVERITIES:
        return not_yet(
            looked_for=looked_for,
            found=f"the resource tag says `{recorded}`, which is no severity of ECR",
            where="the keys of `findingSeverityCounts`: use the word exactly as ECR spells it",
        )
    if recorded != complete.worst:
        return not_yet(
            looked_for=looked_for,
            found=f"the resource tag says `{recorded}`, and the scan's worst finding has another severity",
            where=(
                "`findingSeverityCounts` in `describe_image_scan_findings`; CRITICAL is worse than HIGH, and so on down"
            ),
        )
    return correct(looked_for=looked_for, found=f"the image, scanned, and `{LABEL}` = `{recorded}`")


def _tags_in_words(image: Image) -> str:
    if not image.tags:
        return "no tag"
    return f"the tag{'s' if len(image.tags) > 1 else ''} {', '.join(f'`{tag}`' for tag in image.tags)}"
