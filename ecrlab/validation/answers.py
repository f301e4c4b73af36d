"""Puts answers into the blanks of an exercise notebook."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

from nbformat import NotebookNode

from ecrlab.validation.notebooks import NotebookError, code_cells

_MARK = re.compile(r"^#\s*Task\s+([0-9]{2}\.[0-9]{1,2})\b", re.MULTILINE)


def answer_cells(notebook: NotebookNode) -> dict[str, list[int]]:
    """Return the index of each answer cell by task id: the code cells that hold a comment line `# Task 01.1`."""
    found: dict[str, list[int]] = {}
    for index, cell in code_cells(notebook):
        if mark := _MARK.search(cell.source):
            found.setdefault(mark[1], []).append(index)
    return found


def with_answers(notebook: NotebookNode, sources: Mapping[str, str]) -> NotebookNode:
    """Return a copy of the notebook with `sources` (by task id) in its answer cells; other cells stay as they are.

    Raises NotebookError when a task has no answer cell, or more than one.
    """
    filled = copy.deepcopy(notebook)
    cells = answer_cells(notebook)
    for task_id, source in sources.items():
        places = cells.get(task_id, [])
        if len(places) != 1:
            raise NotebookError(
                f"task {task_id} needs one answer cell (a comment `# Task {task_id}`), not {len(places)}"
            )
        filled.cells[places[0]].source = source
    return filled
