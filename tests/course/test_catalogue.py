from __future__ import annotations

import re
from itertools import combinations

import pytest

from ecrlab.course import catalogue
from ecrlab.course.outcomes import Outcome
from ecrlab.course.tasks import Option, Question, Task

TASKS = list(catalogue.tasks().values())
QUESTIONS = list(catalogue.questions().values())
# Jargon, haste and blame have no place in a message.
UNKIND = re.compile(r"\b(wrong|incorrect|bad|failed|fail|obviously|simply|just)\b", re.IGNORECASE)


@pytest.mark.parametrize("lesson", catalogue.LESSONS, ids=lambda lesson: lesson.number)
def test_when_a_lesson_holds_items_then_their_ids_begin_with_its_number(lesson) -> None:
    items = [item.id for item in (*lesson.tasks, *lesson.questions)]
    assert all(item.startswith(f"{lesson.number}.") for item in items)
    assert len(set(items)) == len(items)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_when_a_task_is_written_then_it_has_three_mistakes_each_with_its_own_message(task: Task) -> None:
    assert len(task.mistakes) >= 3
    assert task.alternatives
    for one, other in combinations(task.mistakes, 2):
        assert one.says not in other.says
        assert one.source != other.source
    assert all(mistake.outcome is Outcome.NOT_YET for mistake in task.mistakes)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_when_a_task_gives_hints_then_the_first_holds_no_code_and_none_is_the_solution(task: Task) -> None:
    assert "`" not in task.hints[0]
    assert all(task.solution not in hint for hint in task.hints)
    assert not any(UNKIND.search(hint) for hint in task.hints)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_when_a_quiz_is_answered_then_no_feedback_blames(question: Question) -> None:
    assert not any(UNKIND.search(option.feedback) for option in question.options)
    assert not any("all of the above" in option.text.lower() for option in question.options)


def test_when_an_id_is_unknown_then_the_error_names_the_known_ones() -> None:
    with pytest.raises(
        catalogue.UnknownIdError, match=r"no task '01\.9'\. Did you mean '01\..'\? There are: 01\.1, 01"
    ):
        catalogue.task("01.9")
    with pytest.raises(catalogue.UnknownIdError, match=r"no quiz 'x'\. There are"):
        catalogue.question("x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((Option("a", "1", True), Option("b", "2")), "three or four"),
        ((Option("a", "1"), Option("b", "2"), Option("c", "3")), "exactly one"),
        ((Option("a", "1", True), Option("b", "2", True), Option("c", "3")), "exactly one"),
        ((Option("a", "1", True), Option("b", "2"), Option("c", "2")), "message of its own"),
    ],
)
def test_when_a_quiz_is_built_carelessly_then_it_is_refused(options: tuple[Option, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Question("01.q9", "?", options)
