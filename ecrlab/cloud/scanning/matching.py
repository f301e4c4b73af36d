"""Packages against advisories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecrlab.cloud.scanning.advisories import Advisory, AdvisoryTable, Affected
from ecrlab.cloud.scanning.limits import Problems
from ecrlab.cloud.scanning.packages import Package
from ecrlab.cloud.scanning.severity import SEVERITIES, rate
from ecrlab.cloud.scanning.versions import Verdict, VersionError, evaluate

_TRACKERS = {
    "Debian": "https://security-tracker.debian.org/tracker/",
    "Ubuntu": "https://ubuntu.com/security/",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A known vulnerability in an image.

    As in ECR, the package is the source package for Debian and its kin ("openssh" for openssh-client);
    `packages` are the installed packages made from it. `fixed_version` is None when no fix is known, `cvss_score`
    goes from 0.0 to 10.0, `layer_digest` names the layer that brought the first of the packages.
    """

    name: str
    description: str
    uri: str
    severity: str
    ecosystem: str
    package_name: str
    package_version: str
    fixed_version: str | None
    cvss_vector: str | None
    cvss_score: float | None
    layer_digest: str
    packages: tuple[Package, ...]

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Finding:
        """Return the finding that `dataclasses.asdict` and a trip through JSON made into plain values."""
        return cls(**{**stored, "packages": tuple(Package(**package) for package in stored["packages"])})


@dataclass(frozen=True, slots=True)
class Matched:
    """Findings, the worst first, and how many packages the table could speak about."""

    findings: tuple[Finding, ...]
    evaluated: int


def match(packages: Iterable[Package], advisories: AdvisoryTable, problems: Problems) -> Matched:
    """Return the findings of the packages; what could not be evaluated is added to `problems`."""
    groups: dict[tuple[str, str, str], list[Package]] = {}
    evaluated = 0
    uncovered: Counter[str] = Counter()
    for package in packages:
        if package.from_distribution:
            continue  # distributions mend Python packages without changing their version
        if not advisories.covers(package.ecosystem):
            uncovered[package.ecosystem] += 1
            continue
        evaluated += 1
        groups.setdefault((package.ecosystem, package.source_name, package.source_version), []).append(package)
    for ecosystem, count in uncovered.items():
        of = ecosystem or "an unknown operating system"
        problems.add(f"{count} packages of {of} were not evaluated: the advisories do not cover it")
    findings: dict[tuple[str, str, str, str], Finding] = {}
    for (ecosystem, name, version), members in groups.items():
        for advisory, affected in advisories.lookup(ecosystem, name):
            verdict = _verdict(ecosystem, name, version, advisory, affected, problems)
            if not verdict.affected:
                continue
            key = (advisory.name, ecosystem, name, version)
            known = findings.get(key)
            if known is None or (known.fixed_version is None and verdict.fixed is not None):
                findings[key] = _finding(advisory, affected, verdict, members, problems)
    ordered = sorted(
        findings.values(),
        key=lambda finding: (
            SEVERITIES.index(finding.severity),
            finding.name,
            finding.package_name,
            finding.package_version,
        ),
    )
    return Matched(tuple(ordered), evaluated)


def _verdict(
    ecosystem: str, name: str, version: str, advisory: Advisory, affected: Affected, problems: Problems
) -> Verdict:
    listed = version in affected.versions
    try:
        verdict = evaluate(ecosystem, version, affected.ranges)
    except VersionError as error:
        if not listed:
            problems.add(f"{name} {version[:60]} was not evaluated against {advisory.name}: {error}")
        return Verdict(listed)
    return Verdict(verdict.affected or listed, verdict.fixed)


def _finding(
    advisory: Advisory, affected: Affected, verdict: Verdict, members: list[Package], problems: Problems
) -> Finding:
    first = members[0]
    rating = rate(advisory, affected)
    if rating.problem:
        problems.add(rating.problem)
    return Finding(
        name=advisory.name,
        description=advisory.description,
        uri=_uri(advisory, first.ecosystem),
        severity=rating.severity,
        ecosystem=first.ecosystem,
        package_name=first.source_name,
        package_version=first.source_version,
        fixed_version=verdict.fixed,
        cvss_vector=rating.vector,
        cvss_score=rating.score,
        layer_digest=first.layer_digest,
        packages=tuple(members),
    )


def _uri(advisory: Advisory, ecosystem: str) -> str:
    tracker = _TRACKERS.get(ecosystem.partition(":")[0])
    if tracker and advisory.name.startswith("CVE-"):
        return tracker + advisory.name
    if advisory.references:
        return advisory.references[0]
    return f"https://osv.dev/vulnerability/{advisory.id}"
