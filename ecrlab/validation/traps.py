"""What would let a failing notebook pass: found before the notebook runs.

Measured with papermill 2.7: it passes a notebook whose `!command` fails, whose shell script hides its exit status,
whose tagged cell
never raises, or whose parameter has a name that nobody reads.
"""

from __future__ import annotations

import ast
import shlex
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from ecrlab.validation.notebooks import code_cells, is_python, place, tags
from ecrlab.validation.result import Failure, Kind

PARAMETERS = "parameters"

_FORBIDDEN_TAGS = {
    "raises-exception": "a cell tagged raises-exception also passes when nothing is raised",
    "skip-execution": "a cell tagged skip-execution never runs",
}
_SHELL_CALLS = ("system", "getoutput", "getoutput_pexpect", "system_raw", "system_piped")
_SHELL_MAGICS = ("sx", "system", "!", "!!")
_SCRIPT_MAGICS = ("script", "bash", "sh")
_BLINDING = ("--no-raise-error", "--bg")


def traps(notebook: NotebookNode, parameters: Mapping[str, object], path: str | None = None) -> Iterator[Failure]:
    """Yield each construct that would make a green run mean nothing. `path` is the PATH of the run."""
    for index, cell in code_cells(notebook):
        for tag in tags(cell):
            if tag in _FORBIDDEN_TAGS:
                yield Failure(
                    Kind.FORBIDDEN, f"{place(notebook, index)}: {_FORBIDDEN_TAGS[tag]}; use expect_error", "", index
                )
        if is_python(notebook):
            for reason in _unchecked_commands(cell.source, path):
                yield Failure(Kind.FORBIDDEN, f"{place(notebook, index)}: {reason}", "", index)
    yield from _parameter_traps(notebook, parameters)


def parameter_names(source: str) -> frozenset[str]:
    """Return the names that a parameters cell assigns at its top level."""
    names = set()
    for statement in _parsed(source).body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


def check_calls(source: str) -> Iterator[str]:
    """Yield the task id of each `check("…")` call in a cell."""
    for node in ast.walk(_parsed(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
            if name == "check" and isinstance(node.args[0].value, str):
                yield node.args[0].value


def _parameter_traps(notebook: NotebookNode, parameters: Mapping[str, object]) -> Iterator[Failure]:
    tagged = [index for index, cell in enumerate(notebook.cells) if PARAMETERS in tags(cell)]
    if len(tagged) > 1:
        yield Failure(
            Kind.PARAMETER, f"{len(tagged)} cells are tagged {PARAMETERS}; only the first would be read", "", tagged[1]
        )
    if not parameters:
        return
    if not tagged:
        yield Failure(Kind.PARAMETER, f"parameters were given, and no cell is tagged {PARAMETERS}")
        return
    known = parameter_names(notebook.cells[tagged[0]].source)
    for name in parameters:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            yield Failure(Kind.PARAMETER, f"unknown parameter {name!r}; the notebook has: {there}", "", tagged[0])


def _unchecked_commands(source: str, path: str | None) -> Iterator[str]:
    for node in ast.walk(_parsed(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not _of_shell(node.func.value):
            continue
        call = node.func.attr
        if call in _SHELL_CALLS:
            yield "the exit status of a ! command is not checked; use %%bash -e"
        elif call in ("run_line_magic", "run_cell_magic"):
            words = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
            if len(words) == 2 and all(isinstance(word, str) for word in words):
                yield from _magic(str(words[0]), str(words[1]), path)


def _magic(name: str, line: str, path: str | None) -> Iterator[str]:
    if name in _SHELL_MAGICS:
        yield f"the exit status of %{name} is not checked; use %%bash -e"
    if name in _SCRIPT_MAGICS:
        words = [*([] if name == "script" else [name]), *_words(line)]
        for word in words:
            if word in _BLINDING:
                yield f"%%{name} {word} hides the exit status"
        program = next((word for word in words if not word.startswith("-")), None)
        if program and shutil.which(program, path=path) is None:
            # IPython prints "Couldn't find program" and goes on as if all were well.
            yield f"the program {program!r} of %%{name} is not installed"


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _of_shell(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"


def _parsed(source: str) -> ast.Module:
    """The syntax tree of a cell, its magics and ! commands turned into calls; empty when it is no Python."""
    try:
        code = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
        tree: Any = compile(
            code, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])  # the cell fails when it runs, with a better message than ours
    assert isinstance(tree, ast.Module)
    return tree
