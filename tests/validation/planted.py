"""Notebooks built in memory, with a fault planted in them."""

from __future__ import annotations

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def notebook_of(*cells: str | NotebookNode, kernel: str | None = "python3") -> NotebookNode:
    """A notebook in memory: each string is a code cell, or a Markdown cell when it begins with `md:`."""
    made = []
    for index, cell in enumerate(cells):
        if isinstance(cell, str):
            make = new_markdown_cell if cell.startswith("md:") else new_code_cell
            cell = make(cell.removeprefix("md:"), id=f"cell-{index}")
        made.append(cell)
    kernelspec = {"name": kernel, "display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(cells=made, metadata={"kernelspec": kernelspec} if kernel else {})


def tagged(source: str, *tags: str) -> NotebookNode:
    return new_code_cell(source, metadata={"tags": list(tags)}, id=f"tagged-{'-'.join(tags)}")
