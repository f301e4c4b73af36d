from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.validation.planted import notebook_of

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a notebook of these cells and return its path."""

    def _write(*cells: str | NotebookNode, kernel: str | None = "python3") -> Path:
        path = tmp_path / "planted.ipynb"
        nbformat.write(notebook_of(*cells, kernel=kernel), path)
        return path

    return _write
