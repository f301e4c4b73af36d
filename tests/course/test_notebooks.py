"""The lessons and exercises: their shape, and their run from the first cell to the last, with either engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from ecrlab.course import catalogue
from ecrlab.validation import Result, Shape, lint, run, with_answers
from ecrlab.validation.notebooks import code_cells, read
from ecrlab.validation.traps import check_calls

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = sorted((ROOT / "exercises").glob("*.ipynb"))
WELCOME = ROOT / "notebooks" / "00-welcome.ipynb"
FIRST_PUSH = ROOT / "notebooks" / "01-first-push.ipynb"
EXERCISE = ROOT / "exercises" / "01-first-push.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"


def shape(path: Path) -> Shape:
    if path.parent.name == "exercises":
        return Shape.EXERCISE
    return Shape.PAGE if path == WELCOME else Shape.LESSON


def run_in(lab: Any, path: Path, workspace: Path, **options: Any) -> Result:
    environment = {**lab.environment(), "ECRLAB_WORKSPACE": str(workspace)}
    return run(path, environment=environment, cwd=workspace, timeout=60, **options)


@pytest.mark.parametrize("path", [*LESSONS, *EXERCISES], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_when_a_notebook_is_linted_then_nothing_is_found(path: Path) -> None:
    assert lint(path, shape(path)) == ()


def test_when_an_exercise_checks_tasks_then_they_are_those_of_its_lesson() -> None:
    for path in EXERCISES:
        checked = [task for _, cell in code_cells(read(path)) for task in check_calls(cell.source)]
        lesson = next(lesson for lesson in catalogue.LESSONS if path.name.startswith(lesson.number))
        assert checked == [task.id for task in lesson.tasks]
        assert (ROOT / "notebooks" / path.name).exists()


def test_when_lessons_ask_quizzes_then_each_question_of_the_course_is_asked_once() -> None:
    code = "\n".join(cell.source for path in LESSONS for _, cell in code_cells(read(path)))
    for question_id in catalogue.questions():
        assert code.count(f'quiz("{question_id}")') == 1


@pytest.mark.e2e
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_when_a_lesson_runs_from_top_to_bottom_then_it_passes_and_leaves_nothing(
    path: Path, lab: Any, client_environment: dict[str, Any], tmp_path: Path
) -> None:
    result = run_in(lab, path, tmp_path, output=tmp_path / "executed.ipynb")
    assert result.ok, (result.summary, result.failures)
    assert client_environment["ecr"].describe_repositories()["repositories"] == []
    assert not (tmp_path / "progress.json").exists()
    outputs = [output for cell in read(tmp_path / "executed.ipynb").cells for output in cell.get("outputs", ())]
    panels = [output.data for output in outputs if WIDGET in output.get("data", {})]
    assert panels  # each lesson has a quiz, and each widget can be read as text
    assert all(panel["text/plain"].startswith("Question. ") for panel in panels)


def predicted(notebook: Any, path: Path, guesses: dict[str, Any]) -> Path:
    """Write the notebook with these guesses in its predictions."""
    for prediction_id, guess in guesses.items():
        (cell,) = [cell for _, cell in code_cells(notebook) if f'predict("{prediction_id}"' in cell.source]
        assert "guess=..." in cell.source
        cell.source = cell.source.replace("guess=...", f"guess={guess!r}")
    nbformat.write(notebook, path)
    return path


@pytest.mark.e2e
def test_when_a_learner_predicts_leaves_early_and_begins_again_then_the_first_lesson_passes_both_times(
    embedded_lab: Any, tmp_path: Path
) -> None:
    early = read(FIRST_PUSH)
    early.cells = early.cells[:-2]  # without the clean-up
    guesses = {"01.p1": "yes", "01.p2": 0, "01.p3": "CRITICAL"}
    result = run_in(embedded_lab, predicted(early, tmp_path / "early.ipynb", guesses), tmp_path)
    assert result.ok, (result.summary, result.failures)
    assert {answer.id: answer.outcome for answer in result.answers} == dict.fromkeys(guesses, "Correct")
    guesses = {"01.p1": "no", "01.p2": 3, "01.p3": "LOW"}
    result = run_in(embedded_lab, predicted(read(FIRST_PUSH), tmp_path / "again.ipynb", guesses), tmp_path)
    assert result.ok, (result.summary, result.failures)
    assert {answer.id: answer.outcome for answer in result.answers} == dict.fromkeys(guesses, "Not yet")


@pytest.mark.e2e
def test_when_the_parameters_of_the_first_lesson_change_then_it_passes(embedded_lab: Any, tmp_path: Path) -> None:
    result = run_in(embedded_lab, FIRST_PUSH, tmp_path, parameters={"repository_name": "team/web", "tag": "1.0"})
    assert result.ok, (result.summary, result.failures)


@pytest.mark.e2e
@pytest.mark.usefixtures("client_environment")
def test_when_the_exercise_is_blank_then_every_check_says_not_attempted(lab: Any, tmp_path: Path) -> None:
    result = run_in(lab, EXERCISE, tmp_path, expect="Not attempted")
    assert result.ok, (result.summary, result.failures)
    assert [answer.id for answer in result.answers] == ["01.1", "01.2", "01.3"]


@pytest.mark.e2e
def test_when_the_solutions_are_put_in_then_every_check_is_correct_and_the_clean_up_leaves_nothing(
    lab: Any, client_environment: dict[str, Any], tmp_path: Path
) -> None:
    solutions = {task.id: task.solution for task in catalogue.tasks().values()}
    path = tmp_path / "solved.ipynb"
    nbformat.write(with_answers(read(EXERCISE), solutions), path)
    result = run_in(lab, path, tmp_path, parameters={"clean_up_at_the_end": True})
    assert result.ok, (result.summary, result.failures)
    assert [answer.outcome for answer in result.answers] == ["Correct"] * 3
    assert client_environment["ecr"].describe_repositories()["repositories"] == []


@pytest.mark.e2e
@pytest.mark.usefixtures("client_environment")
def test_when_one_answer_is_a_mistake_then_the_run_fails_at_its_check(embedded_lab: Any, tmp_path: Path) -> None:
    task = catalogue.task("01.1")
    path = tmp_path / "mistaken.ipynb"
    nbformat.write(with_answers(read(EXERCISE), {"01.1": task.mistakes[0].source}), path)
    result = run_in(embedded_lab, path, tmp_path)
    assert "UnexpectedOutcomeError: Not yet. Task 01.1" in result.summary
    assert [answer.outcome for answer in result.answers] == ["Not yet"]
