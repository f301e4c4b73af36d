"""What a check can answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The four answers of a check. The value is the first word of the message that the learner sees."""

    CORRECT = "Correct"
    NOT_YET = "Not yet"
    NOT_ATTEMPTED = "Not attempted"
    COULD_NOT_CHECK = "Could not check"


@dataclass(frozen=True)
class Verdict:
    """The answer of one check: the outcome, what was looked for, what was found, and where to look next.

    Only the first failing point is told: a learner can mend one thing at a time.
    """

    outcome: Outcome
    looked_for: str
    found: str
    where: str = ""


def correct(*, looked_for: str, found: str) -> Verdict:
    """Return a verdict *Correct*."""
    return Verdict(Outcome.CORRECT, looked_for, found)


def not_yet(*, looked_for: str, found: str, where: str) -> Verdict:
    """Return a verdict *Not yet*: something was done, and one point is still open."""
    return Verdict(Outcome.NOT_YET, looked_for, found, where)


def not_attempted(*, looked_for: str, found: str, where: str) -> Verdict:
    """Return a verdict *Not attempted*: nothing in the registry shows a try."""
    return Verdict(Outcome.NOT_ATTEMPTED, looked_for, found, where)


def could_not_check(*, looked_for: str, found: str, where: str) -> Verdict:
    """Return a verdict *Could not check*: the fault is not in the learner's answer, and nothing is said about it."""
    return Verdict(Outcome.COULD_NOT_CHECK, looked_for, found, where)
