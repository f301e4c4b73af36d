"""What a validated notebook gives: errors are values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What kind of fault a notebook run has."""

    NOTEBOOK = "notebook"  # not readable, not valid, no kernel named
    FORBIDDEN = "forbidden"  # something that would let a failing notebook pass
    PARAMETER = "parameter"
    CELL = "cell"  # a cell raised
    TIMEOUT = "timeout"  # a cell ran longer than the limit
    KERNEL = "kernel"  # the kernel did not start, or died
    NOT_RUN = "not run"  # a code cell without an execution count
    CHECK = "check"  # a check() with another outcome than expected, or one that never answered
    SECRET = "secret"  # noqa: S105 - a kind of fault, not a secret


@dataclass(frozen=True)
class Failure:
    """One fault: a sentence for people, the traceback (or ""), and the index of the cell in the source notebook."""

    kind: Kind
    summary: str
    trace: str = ""
    cell_index: int | None = None


@dataclass(frozen=True)
class Answer:
    """What one check, prediction or quiz answered during the run; `seconds` is how long it took."""

    kind: str
    id: str
    outcome: str
    message: str
    seconds: float


@dataclass(frozen=True)
class Result:
    """One notebook run. It passed when `failures` is empty.

    `seconds` is the wall time, `answers` come in the order of the run, `executed` is the path of the notebook with its
    outputs (None when
    it was not kept, or did not run).
    """

    notebook: Path
    failures: tuple[Failure, ...]
    answers: tuple[Answer, ...]
    seconds: float
    executed: Path | None = None

    @property
    def ok(self) -> bool:
        """Whether the notebook passed."""
        return not self.failures

    @property
    def summary(self) -> str:
        """One line: the notebook, and how it went."""
        if self.ok:
            return f"{self.notebook.name}: passed in {self.seconds:.1f} s"
        more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
        return f"{self.notebook.name}: {self.failures[0].summary}{more}"
