"""The three verbs of an exercise: check, hint, solution."""

from __future__ import annotations

import time
import traceback as tracebacks

from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from ecrlab.course import catalogue, messages, progress, recording
from ecrlab.course.evidence import Evidence, environment_points_at
from ecrlab.course.messages import Message
from ecrlab.course.outcomes import Outcome, Verdict, could_not_check
from ecrlab.course.tasks import Task


def check(task_id: str, *, traceback: bool = False) -> None:
    """Look at the registry and say how far a task ("01.1") is: Correct, Not yet, Not attempted, Could not check.

    It changes nothing in the registry, and running it twice gives the same answer. `traceback=True` also shows where a
    check that could not be made broke off. Raises UnknownIdError; in validation mode UnexpectedOutcomeError.
    """
    task = catalogue.task(task_id)
    started = time.monotonic()
    verdict, trace = examine(task)
    seconds = time.monotonic() - started
    results = recording.results_file()
    notes = () if results else _saved("tasks", task_id, verdict.outcome)
    message = messages.of_verdict(task_id, task.title, verdict, notes=notes)
    message.show()
    if traceback and trace:
        print(trace)
    if results:
        recording.record(
            results, kind="task", item=task_id, outcome=verdict.outcome, message=str(message), seconds=seconds
        )
        if verdict.outcome is not recording.expected_outcome():
            raise recording.UnexpectedOutcomeError(str(message))


def hint(task_id: str, level: int = 1) -> None:
    """Show a hint for a task. Level 1 says where to look, 2 which call or field, 3 is nearly the code."""
    task = catalogue.task(task_id)
    if level not in (1, 2, 3):
        raise ValueError(f"there are hints of level 1, 2 and 3, not {level!r}")
    more = f'`hint("{task_id}", {level + 1})`' if level < 3 else f'`solution("{task_id}")`'
    Message("Hint", f"{level} of 3 for task {task_id}.", (("", task.hints[level - 1]), ("More", more))).show()


def solution(task_id: str) -> None:
    """Show one right answer to a task. Others pass as well: the check looks at the registry, not at the code."""
    task = catalogue.task(task_id)
    Message("Solution", f"One right answer to task {task_id}, {task.title}.", code=task.solution).show()


def examine(task: Task) -> tuple[Verdict, str]:
    """Return a task's verdict, and the traceback (or "") of a check that could not be made. Shows and saves nothing."""
    try:
        return task.check(Evidence()), ""
    except Exception as error:
        found, where = _obstacle(error, task.id)
        looked_for = f"the state of the registry after task {task.id}"
        return could_not_check(looked_for=looked_for, found=found, where=where), tracebacks.format_exc()


def _obstacle(error: Exception, task_id: str) -> tuple[str, str]:
    """What kept a check from being made, and where to look."""
    if isinstance(error, NoRegionError):
        return "no region is set", "open the lab first: `lab = ecrlab.open()`"
    if isinstance(error, ClientError):
        problem = error.response.get("Error", {})
        said = f"{problem.get('Code', 'an error')}: {problem.get('Message', 'no message')}"
        found = f"{environment_points_at()} refused {error.operation_name} with {said}"
        return found, "the keys in the environment; `lab = ecrlab.open()` sets those of the lab"
    if isinstance(error, BotoCoreError):
        found = f"no answer from {environment_points_at()} ({type(error).__name__})"
        return found, "is the lab running? `lab = ecrlab.open()` starts it; then check again"
    found = f"the check itself broke off ({type(error).__name__}: {error})"
    return found, f'this is a fault of ecrlab, not yours; `check("{task_id}", traceback=True)` shows where'


def _saved(section: str, item: str, outcome: Outcome) -> tuple[tuple[str, str], ...]:
    try:
        note = progress.save(section, item, outcome)
    except progress.ProgressError as error:
        note = str(error)
    return (("Note", note),) if note else ()
