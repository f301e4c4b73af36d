"""Reading notebooks, and naming places in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")


class NotebookError(Exception):
    """The file is not a notebook that can be run. The message is one sentence."""


def read(path: Path) -> NotebookNode:
    """Return the notebook as nbformat 4, with an id in every cell; raises NotebookError."""
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        notebook = nbformat.v4.upgrade(notebook)  # type: ignore[no-untyped-call]
        _, notebook = nbformat.validator.normalize(notebook)
        nbformat.validate(notebook)
    except FileNotFoundError as error:
        raise NotebookError(f"{path} does not exist") from error
    except OSError as error:
        raise NotebookError(f"{path} could not be read: {error.strerror or error}") from error
    except Exception as error:  # nbformat raises many kinds for one thing: this is no notebook
        raise NotebookError(f"{path} is not a valid notebook ({type(error).__name__})") from error
    return notebook


def tags(cell: NotebookNode) -> tuple[str, ...]:
    """Return the tags of a cell."""
    return tuple(cell.get("metadata", {}).get("tags", ()))


def code_cells(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Yield the index and the cell of each code cell that holds code."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            yield index, cell


def headings(markdown: str) -> Iterator[tuple[int, str]]:
    """Yield level and text of each heading of a Markdown text; lines in code fences are no headings."""
    for line in prose(markdown).splitlines():
        if found := _HEADING.match(line):
            yield len(found[1]), found[2]


def prose(markdown: str) -> str:
    """Return a Markdown text without its fenced code."""
    kept, fence = [], ""
    for line in markdown.splitlines():
        if mark := _FENCE.match(line):
            if not fence:
                fence = mark[1]
                continue
            if mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                continue
        if not fence:
            kept.append(line)
    return "\n".join(kept)


def place(notebook: NotebookNode, index: int) -> str:
    """Return a cell's place in words: its number, counted from 1, and the heading above it."""
    for cell in reversed(notebook.cells[: index + 1]):
        if cell.cell_type == "markdown" and (found := list(headings(cell.source))):
            return f"cell {index + 1}, under “{found[-1][1]}”"
    return f"cell {index + 1}"


def is_python(notebook: NotebookNode) -> bool:
    """Return whether the notebook's code is Python (the default when it does not say)."""
    metadata: Any = notebook.metadata
    language = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return (language or "python").lower() == "python"
