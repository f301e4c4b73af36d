"""Validation mode: what checks, predictions and quizzes answered, written where the notebook runner reads it.

The runner sets `ECRLAB_VALIDATION` to the path of a results file, one JSON object a line:
`{"kind": "task"|"prediction"|"quiz", "id", "outcome", "message", "seconds"}`. A check then raises unless its outcome
is the
one in `ECRLAB_VALIDATION_EXPECT` (default "Correct"), so that a notebook run cannot pass by only displaying "Not yet".
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ecrlab.course.outcomes import Outcome

RESULTS_VARIABLE = "ECRLAB_VALIDATION"
EXPECT_VARIABLE = "ECRLAB_VALIDATION_EXPECT"


class UnexpectedOutcomeError(AssertionError):
    """In validation mode, a check did not have the expected outcome. The message is the one that a learner sees."""


def results_file() -> Path | None:
    """Return the results file of the validation run under way, or None when a learner is at work."""
    path = os.environ.get(RESULTS_VARIABLE)
    return Path(path) if path else None


def expected_outcome() -> Outcome:
    """Return the outcome that every check of the validation run must have."""
    return Outcome(os.environ.get(EXPECT_VARIABLE) or Outcome.CORRECT)


def record(path: Path, *, kind: str, item: str, outcome: Outcome, message: str, seconds: float = 0.0) -> None:
    """Append one result. One write a line, so that two kernels on the same file do not mix their lines."""
    entry = {"kind": kind, "id": item, "outcome": outcome.value, "message": message, "seconds": round(seconds, 3)}
    line = json.dumps(entry, ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
