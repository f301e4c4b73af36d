from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from ecrlab.validation import Shape, lint
from tests.validation.planted import notebook_of, tagged

Write = Callable[..., Path]

CLEAN = ("md:# Push an image\n\nWhy it matters.", "md:## Step\n\nRun this.", "x = 1")


def rules(path: Path, shape: Shape = Shape.PAGE) -> list[tuple[str, int | None]]:
    return [(problem.rule, problem.cell_index) for problem in lint(path, shape)]


def test_when_a_notebook_is_clean_then_nothing_is_reported(write: Write) -> None:
    assert rules(write(*CLEAN)) == []


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("md:## No title\n\nText."), ["one-h1", "one-h1", "heading-levels"]),
        (("md:# One", "md:# Two"), ["one-h1"]),
        (("md:# One", "md:### Three"), ["heading-levels"]),
        (("md:# One\n\n```\n# a comment\n### and another\n```",), []),
        (("md:# One\n\nText.", "x = 1", "y = 2"), ["prose-before-code"]),
        (("md:# One", "x = 1"), ["prose-before-code"]),
        (("md:# One\n\n![](a.svg)",), ["alt-text"]),
        (("md:# One\n\n![A layer](a.svg)",), []),
        (("md:# One\n\n<img src='a.svg'>",), ["alt-text"]),
        (("md:# One\n\n<img src='a.svg' alt='A layer'>",), []),
        (("md:# One\n\nSee [here](a.html).",), ["link-text"]),
        (("md:# One\n\nSee https://example.com for more.",), ["link-text"]),
        (("md:# One\n\nSee [the exercise](../exercises/01-first-push.ipynb) and `https://example.com`.",), []),
        (("md:# One\n\nOpen /home/ada/lab.",), ["machine-path"]),
        (("md:# One\n\nAccount 111122223333.",), ["account-id"]),
        (("md:# One\n\nAccount 123456789012.",), []),
        (("md:# One\n\nText.", "%%bash\ntrue"), ["shell-status"]),
        (("md:# One\n\nText.", "%%bash -e\ntrue | true"), ["shell-status"]),
        (("md:# One\n\nText.", "%%bash -eo pipefail\ntrue"), []),
        (("md:# One\n\nText.", "!true"), ["trap"]),
        (("md:# One\n\nText.", "   "), ["empty-cell"]),
        (("md:# One\n\nText.", tagged("print(1)", "parameters")), ["parameters"]),
    ],
)
def test_when_a_rule_is_broken_then_that_rule_is_named(
    write: Write, cells: tuple[str, ...] | str, expected: list[str]
) -> None:
    cells = (cells,) if isinstance(cells, str) else cells
    assert [rule for rule, _ in rules(write(*cells))] == expected


@pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId")
def test_when_outputs_counts_or_another_kernel_are_stored_then_they_are_named(tmp_path: Path) -> None:
    notebook = notebook_of(*CLEAN, kernel="julia")
    notebook.cells[2].execution_count = 3
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="1")]
    notebook.metadata["widgets"] = {}
    notebook.cells[1].id = notebook.cells[0].id
    path = tmp_path / "stored.ipynb"
    path.write_text(nbformat.v4.nbjson.writes(notebook))
    found = {rule for rule, _ in rules(path)}
    # nbformat repairs the second use of an id while it reads, so cell-ids is not among them here.
    assert found == {"kernelspec", "stored-output", "execution-count"}


def test_when_the_format_has_no_cell_ids_then_it_is_named(tmp_path: Path) -> None:
    notebook = notebook_of(*CLEAN)
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        del cell["id"]
    path = tmp_path / "old.ipynb"
    path.write_text(nbformat.v4.nbjson.writes(notebook))
    assert rules(path) == [("cell-ids", None)]


def test_when_a_lesson_lacks_its_parts_then_each_is_named(write: Write) -> None:
    problems = [problem.text for problem in lint(write(*CLEAN), Shape.LESSON)]
    for part in ("At a glance", "Recall", "Recap", "Clean up", "parameters", "predict(", "expect_error(", "quiz("):
        assert any(part in text for text in problems), part


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("x = 1",), "without a check"),
        (("check('01.1')",), "needs one answer cell, and has 0"),
        (("# Task 01.1", "# Task 01.1: again", "check('01.1')"), "needs one answer cell, and has 2"),
        (("# Task 01.1", "check('01.1')", "check('01.1')"), "checked twice"),
        (("check('01.1')", "# Task 01.1"), "before its answer cell"),
        (("# Task 01.1", "# Task 01.2", "check('01.1')"), "an answer cell and no check"),
    ],
)
def test_when_tasks_and_checks_do_not_pair_then_it_is_said(write: Write, cells: tuple[str, ...], words: str) -> None:
    problems = [problem.text for problem in lint(write(*cells), Shape.EXERCISE) if problem.rule == "tasks"]
    assert any(words in text for text in problems), problems
