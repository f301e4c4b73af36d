"""What a lesson is made of: tasks, their solutions and likely mistakes, and quizzes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ecrlab.course.evidence import Evidence
from ecrlab.course.outcomes import Outcome, Verdict

Check = Callable[[Evidence], Verdict]

TASK_ID = re.compile(r"[0-9]{2}\.[0-9]{1,2}")


@dataclass(frozen=True)
class Mistake:
    """A likely wrong answer, and what its check must say.

    `source` is the content of the answer cell (Python, or a shell script that starts with ``%%bash``), `says` a part
    of the
    message that only this mistake gets.
    """

    name: str
    source: str
    says: str
    outcome: Outcome = Outcome.NOT_YET


@dataclass(frozen=True)
class Task:
    """One checked task. `hints` go from where to look, over which call or field, to nearly the code.

    `solution` is the content of the answer cell; `alternatives` are other right answers, which the tests run as well.
    """

    id: str
    title: str
    check: Check
    hints: tuple[str, str, str]
    solution: str
    alternatives: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    points: int = 1

    def __post_init__(self) -> None:
        if not TASK_ID.fullmatch(self.id):
            raise ValueError(f"the task id {self.id!r} is not of the form '01.1'")


@dataclass(frozen=True)
class Option:
    """One answer of a quiz with the message that it gets."""

    text: str
    feedback: str
    correct: bool = False


@dataclass(frozen=True)
class Question:
    """A quiz question of three or four options, one of them right."""

    id: str
    text: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        if not 3 <= len(self.options) <= 4:
            raise ValueError(f"quiz {self.id}: three or four options are needed, not {len(self.options)}")
        if sum(option.correct for option in self.options) != 1:
            raise ValueError(f"quiz {self.id}: exactly one option must be right")
        if len({option.feedback for option in self.options}) != len(self.options):
            raise ValueError(f"quiz {self.id}: each option needs a message of its own")


@dataclass(frozen=True)
class Lesson:
    """One lesson: the number in its notebooks' names, its tasks and its quizzes."""

    number: str
    title: str
    tasks: tuple[Task, ...] = ()
    questions: tuple[Question, ...] = ()
