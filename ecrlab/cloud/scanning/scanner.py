"""The scan of an image: what is installed, and what is known to be vulnerable in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ecrlab.cloud.scanning.advisories import AdvisoryTable
from ecrlab.cloud.scanning.catalogue import Catalogue, ScanError, catalogue
from ecrlab.cloud.scanning.layers import Layer
from ecrlab.cloud.scanning.limits import Limits, Problems
from ecrlab.cloud.scanning.matching import Finding, match
from ecrlab.cloud.scanning.packages import Package
from ecrlab.cloud.scanning.release import Release

COMPLETE, UNSUPPORTED_IMAGE, FAILED = "COMPLETE", "UNSUPPORTED_IMAGE", "FAILED"

# ECR's own words: programs compare them (aws/containers-roadmap issues 970 and 2644).
_DONE = "The scan was completed successfully."
_UNSUPPORTED = "UnsupportedImageError: The operating system and/or package manager are not supported."


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a scan.

    `status` is COMPLETE, UNSUPPORTED_IMAGE or FAILED (model ScanStatus) and `description` its sentence. `problems` are
    entries passed over and packages not evaluated: nothing in them counts as safe. `source_updated_at` (UTC) is the
    date of the advisories.
    """

    status: str
    description: str
    findings: tuple[Finding, ...]
    packages: tuple[Package, ...]
    problems: tuple[str, ...]
    source_updated_at: datetime
    release: Release | None = None


def scan(layers: Sequence[Layer], advisories: AdvisoryTable, limits: Limits | None = None) -> Report:
    """Return what the advisories say about the image of these layers, the bottom one first.

    Never raises for what is in the layers: an image that cannot be read to its end gives FAILED with the reason and
    no findings, because half a catalogue would look like a clean one. An image of which no package can be evaluated
    (from scratch, an operating system that is not supported) gives UNSUPPORTED_IMAGE. An image without an operating
    system but with Python packages is evaluated for these: they are what can be attacked in it.
    """
    bounds = limits or Limits()
    try:
        contents = catalogue(layers, bounds)
    except ScanError as error:
        return Report(FAILED, str(error), (), (), (), advisories.updated_at)
    problems = Problems(bounds.problems)
    for problem in contents.problems:
        problems.add(problem)
    if missing := _missing(contents):
        problems.add(missing)
    matched = match(contents.packages, advisories, problems)
    complete = matched.evaluated > 0
    return Report(
        status=COMPLETE if complete else UNSUPPORTED_IMAGE,
        description=_DONE if complete else _UNSUPPORTED,
        findings=matched.findings,
        packages=contents.packages,
        problems=problems.all(),
        source_updated_at=advisories.updated_at,
        release=contents.release,
    )


def _missing(contents: Catalogue) -> str | None:
    """Return what the catalogue does not know about the operating system, if anything."""
    if contents.release is None:
        return "no operating system release was found"
    if all(package.ecosystem == "PyPI" for package in contents.packages):
        return f"{contents.release.name}: no package database that the scanner reads was found"
    return None
