"""Finds a task or a quiz by its id."""

from __future__ import annotations

import difflib
from typing import TypeVar

from ecrlab.course.lessons import first_push, welcome
from ecrlab.course.tasks import Lesson, Question, Task

T = TypeVar("T")

LESSONS: tuple[Lesson, ...] = (welcome.LESSON, first_push.LESSON)


class UnknownIdError(LookupError):
    """No task or quiz has this id. The message names the ids that exist."""


def tasks() -> dict[str, Task]:
    """Return every task of the course by its id, in the order of the lessons."""
    return {task.id: task for lesson in LESSONS for task in lesson.tasks}


def questions() -> dict[str, Question]:
    """Return every quiz question of the course by its id, in the order of the lessons."""
    return {question.id: question for lesson in LESSONS for question in lesson.questions}


def task(task_id: str) -> Task:
    """Return the task with this id; raises UnknownIdError."""
    return _find("task", task_id, tasks())


def question(question_id: str) -> Question:
    """Return the quiz question with this id; raises UnknownIdError."""
    return _find("quiz", question_id, questions())


def _find(kind: str, wanted: str, known: dict[str, T]) -> T:
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(str(wanted), known, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownIdError(f"There is no {kind} {wanted!r}.{meant} There are: {', '.join(known)}.")
