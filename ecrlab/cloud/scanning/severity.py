"""Severity and CVSS score of a finding.

ECR knows INFORMATIONAL, LOW, MEDIUM, HIGH, CRITICAL and UNDEFINED (ecr-semantics.md, section 13, and the model).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ecrlab.cloud.scanning.advisories import Advisory, Affected

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED")
"""From the worst on."""

_WORDS = {
    "critical": "CRITICAL",
    "high": "HIGH",
    "important": "HIGH",
    "medium": "MEDIUM",
    "moderate": "MEDIUM",
    "low": "LOW",
    "negligible": "INFORMATIONAL",
    "unimportant": "INFORMATIONAL",
    "informational": "INFORMATIONAL",
    "none": "INFORMATIONAL",
}
_CLASSES = {"CVSS_V3": "CVSS3", "CVSS_V2": "CVSS2", "CVSS_V4": "CVSS4"}
"""In the order in which a finding shows them: ECR's attributes are CVSS3_* or CVSS2_*."""


@dataclass(frozen=True, slots=True)
class Rating:
    """How bad a vulnerability is; `problem` says which vector could not be read."""

    severity: str
    vector: str | None = None
    score: float | None = None
    problem: str | None = None


def rate(advisory: Advisory, affected: Affected) -> Rating:
    """Return the severity the distribution gives, else the record's own, else that of the CVSS score."""
    own = _WORDS.get(affected.severity.lower()) or _WORDS.get(advisory.severity.lower())
    problem = None
    for kind in _CLASSES:
        if kind not in advisory.vectors:
            continue
        vector = advisory.vectors[kind]
        try:
            score, severity = _scored(kind, vector)
        except ValueError as error:
            problem = f"{advisory.id}: {error}"
            continue
        return Rating(own or severity, vector, score, problem)
    return Rating(own or "UNDEFINED", problem=problem)


@lru_cache(maxsize=8192)
def _scored(kind: str, vector: str) -> tuple[float, str]:
    import cvss  # 40 ms, which a starting cloud has no time for

    try:
        metrics = getattr(cvss, _CLASSES[kind])(vector)
    except cvss.CVSSError as error:
        raise ValueError(f"the {kind} vector {vector!r} cannot be read: {error}") from None
    score = float(metrics.base_score)
    if kind == "CVSS_V2":
        word = metrics.severities()[0]
    else:
        word = metrics.severities()[0] if kind == "CVSS_V3" else metrics.severity
    return score, _WORDS[word.lower()]
