"""The shape, the accessibility and the cleanness of a lesson, read from the notebook without running it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from nbformat import NotebookNode

from ecrlab.validation import notebooks, traps
from ecrlab.validation.answers import answer_cells


class Shape(Enum):
    """What a notebook has to hold: the headings of its second level."""

    PAGE = ()
    LESSON = ("At a glance", "Recall", "Recap", "Clean up")
    EXERCISE = ("At a glance", "Clean up")


@dataclass(frozen=True)
class Problem:
    """One departure from the rules: the rule's name, a sentence, the index of the cell (None: the whole notebook)."""

    rule: str
    text: str
    cell_index: int | None = None


_IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\(|!\[(?P<reference>[^\]]*)\]\[")
_TAG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(\"[^\"]*\S[^\"]*\"|'[^']*\S[^']*')", re.IGNORECASE)
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]*)")
_BARE_URL = re.compile(r"(?<![\w(\"'`<\[])https?://\S+")
_EMPTY_WORDS = {"", "here", "click here", "this", "this link", "link", "read more", "more"}
_MACHINE_PATH = re.compile(r"(?<![\w.])(?:/(?:home|root|Users|work|tmp|private/tmp)/\w|[A-Za-z]:\\Users\\)")
_ACCOUNT = re.compile(r"(?<![0-9a-f])[0-9]{12}(?![0-9a-f])")
_EXAMPLE_ACCOUNT = "123456789012"


def lint(path: Path, shape: Shape = Shape.PAGE) -> tuple[Problem, ...]:
    """Return what is not as `notebook-practices` wants it, in the order of the rules; empty for a clean notebook.

    Raises NotebookError when the file is no notebook.
    """
    notebook = notebooks.read(path)
    rules: tuple[Callable[[NotebookNode], Iterator[Problem]], ...] = (
        _metadata,
        _clean_cells,
        _headings,
        _prose_before_code,
        _pictures_and_links,
        _private_facts,
        _parameters,
        _shells,
    )
    found = [problem for rule in rules for problem in rule(notebook)]
    found += [Problem("trap", failure.summary, failure.cell_index) for failure in traps.traps(notebook, {})]
    found += _sections(notebook, shape)
    if shape is Shape.EXERCISE:
        found += _tasks(notebook)
    return tuple(found)


def _metadata(notebook: NotebookNode) -> Iterator[Problem]:
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield Problem("kernelspec", "the kernel must be python3, which every learner has")
    if "widgets" in notebook.metadata:
        yield Problem("stored-output", "the state of widgets is stored in the notebook")
    if notebook.metadata.get("orig_nbformat_minor", 5) < 5:
        yield Problem("cell-ids", "nbformat 4.5 or later is needed, for stable cell ids")


def _clean_cells(notebook: NotebookNode) -> Iterator[Problem]:
    seen = set()
    for index, cell in enumerate(notebook.cells):
        if cell.id in seen:
            yield Problem("cell-ids", f"the cell id {cell.id} is used twice", index)
        seen.add(cell.id)
        if not cell.source.strip():
            yield Problem("empty-cell", "an empty cell", index)
        if cell.cell_type == "code":
            if cell.outputs:
                yield Problem("stored-output", "outputs are stored", index)
            if cell.execution_count is not None:
                yield Problem("execution-count", "an execution count is stored", index)


def _headings(notebook: NotebookNode) -> Iterator[Problem]:
    levels = [
        (index, level)
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
        for level, _ in notebooks.headings(cell.source)
    ]
    ones = [index for index, level in levels if level == 1]
    if len(ones) != 1:
        yield Problem("one-h1", f"{len(ones)} headings of level 1; there must be one", ones[1] if ones[1:] else None)
    if levels and levels[0][1] != 1:
        yield Problem("one-h1", "the first heading must be the one of level 1", levels[0][0])
    before = 0
    for index, level in levels:
        if level > before + 1:
            yield Problem("heading-levels", f"from level {before} to level {level}", index)
        before = level


def _prose_before_code(notebook: NotebookNode) -> Iterator[Problem]:
    for index, _ in notebooks.code_cells(notebook):
        before = notebook.cells[index - 1] if index else None
        if before is None or before.cell_type != "markdown":
            yield Problem("prose-before-code", "a code cell that no text introduces", index)
        elif not any(line.strip() and not line.lstrip().startswith("#") for line in before.source.splitlines()):
            yield Problem("prose-before-code", "a code cell that only a heading introduces", index)


def _pictures_and_links(notebook: NotebookNode) -> Iterator[Problem]:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        text = re.sub(r"`[^`]*`", "", notebooks.prose(cell.source))
        if any(not (image["alt"] or image["reference"] or "").strip() for image in _IMAGE.finditer(text)):
            yield Problem("alt-text", "a picture without a text", index)
        if any(not _ALT.search(tag) for tag in _TAG.findall(text)):
            yield Problem("alt-text", "an <img> without a text", index)
        for link in _LINK.finditer(text):
            if link["text"].strip().casefold() in _EMPTY_WORDS:
                yield Problem("link-text", f"the link text {link['text']!r} does not name its target", index)
        if _BARE_URL.search(text):
            yield Problem("link-text", "an address in the text; make it a link with a name", index)


def _private_facts(notebook: NotebookNode) -> Iterator[Problem]:
    for index, cell in enumerate(notebook.cells):
        if _MACHINE_PATH.search(cell.source):
            yield Problem("machine-path", "a path of one machine", index)
        if any(number != _EXAMPLE_ACCOUNT for number in _ACCOUNT.findall(cell.source)):
            yield Problem("account-id", f"an account id other than {_EXAMPLE_ACCOUNT}", index)


def _parameters(notebook: NotebookNode) -> Iterator[Problem]:
    for index, cell in enumerate(notebook.cells):
        if traps.PARAMETERS in notebooks.tags(cell) and not traps.parameter_names(cell.source):
            yield Problem("parameters", "the parameters cell assigns nothing", index)


def _shells(notebook: NotebookNode) -> Iterator[Problem]:
    """Without -e only the last command of a script counts; without pipefail only the last of a pipe."""
    for index, cell in notebooks.code_cells(notebook):
        first = cell.source.lstrip().splitlines()[0]
        if re.match(r"%%(bash|sh|script)\b", first) and not re.search(
            r"-\w*e\w*o?\s+pipefail\b|-e.*-o\s+pipefail\b", first
        ):
            yield Problem("shell-status", "a shell cell must begin with %%bash -eo pipefail", index)


def _sections(notebook: NotebookNode, shape: Shape) -> Iterator[Problem]:
    present = [
        text
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for level, text in notebooks.headings(cell.source)
        if level == 2
    ]
    for wanted in shape.value:
        if wanted not in present:
            yield Problem("sections", f"the section {wanted!r} is missing")
    if shape is not Shape.PAGE and not any(traps.PARAMETERS in notebooks.tags(cell) for cell in notebook.cells):
        yield Problem("parameters", "one cell must be tagged parameters")
    if shape is Shape.LESSON:
        code = "\n".join(cell.source for _, cell in notebooks.code_cells(notebook))
        for verb, why in (("predict(", "a prediction"), ("expect_error(", "a real error"), ("quiz(", "a quiz")):
            if verb not in code:
                yield Problem("sections", f"{why} is missing: no call of {verb}…)")


def _tasks(notebook: NotebookNode) -> Iterator[Problem]:
    cells = answer_cells(notebook)
    checks: dict[str, int] = {}
    for index, cell in notebooks.code_cells(notebook):
        for task_id in traps.check_calls(cell.source):
            if task_id in checks:
                yield Problem("tasks", f"task {task_id} is checked twice", index)
            checks[task_id] = index
    for task_id in sorted({*cells, *checks}):
        places = cells.get(task_id, [])
        if len(places) != 1:
            yield Problem("tasks", f"task {task_id} needs one answer cell, and has {len(places)}", checks.get(task_id))
        elif task_id not in checks:
            yield Problem("tasks", f"task {task_id} has an answer cell and no check", places[0])
        elif checks[task_id] < places[0]:
            yield Problem("tasks", f"task {task_id} is checked before its answer cell", checks[task_id])
    if not checks:
        yield Problem("tasks", "an exercise without a check")
