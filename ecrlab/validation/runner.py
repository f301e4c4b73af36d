"""Runs one notebook through papermill, so that a green run means something."""

from __future__ import annotations

import copy
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from ecrlab.validation import notebooks, secrets, traps
from ecrlab.validation.result import Answer, Failure, Kind, Result

DEFAULT_TIMEOUT = 120.0
START_TIMEOUT = 60

# The names that ecrlab.course.recording reads; the two packages do not know each other.
RESULTS_VARIABLE = "ECRLAB_VALIDATION"
EXPECT_VARIABLE = "ECRLAB_VALIDATION_EXPECT"

_ENGINE = "ecrlab"
# The path of a unix socket holds at most 103 bytes on macOS; jupyter_client adds "/kernel-ipc-1" and the like.
_LONGEST_SCRATCH = 80


def run(
    notebook: Path,
    *,
    parameters: Mapping[str, object] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    environment: Mapping[str, str] | None = None,
    expect: str = "Correct",
    cwd: Path | None = None,
    output: Path | None = None,
) -> Result:
    """Execute a notebook from its first to its last cell and return how it went; a fault of the notebook never raises.

    Parameters
    ----------
    notebook
        The notebook to run. It is not changed.
    parameters
        Values for the names in the cell tagged ``parameters``. An unknown name is refused.
    timeout
        The limit of each cell, in seconds, above 0. There is no run without a limit.
    environment
        Variables for the kernel, on top of the environment of this process.
    expect
        The outcome that every ``check()`` must have: "Correct", "Not yet" or "Not attempted".
    cwd
        The working directory of the kernel; the notebook's folder without it.
    output
        Where to write the executed notebook, also when it failed; nowhere without it.
    """
    if not timeout > 0 or math.isinf(timeout):
        raise ValueError(f"the limit of a cell must be a number of seconds above 0, not {timeout}")
    started = time.monotonic()

    def result(failures: list[Failure], answers: tuple[Answer, ...] = (), ran: bool = False) -> Result:
        return Result(notebook, tuple(failures), answers, time.monotonic() - started, output if ran else None)

    try:
        source = notebooks.read(notebook)
    except notebooks.NotebookError as error:
        return result([Failure(Kind.NOTEBOOK, str(error))])
    variables = {**os.environ, **(environment or {})}
    if found := list(traps.traps(source, parameters or {}, variables.get("PATH"))):
        return result(found)
    with tempfile.TemporaryDirectory(prefix="ecrlab-validation-") as scratch:
        results = Path(scratch) / "results.jsonl"
        variables |= {RESULTS_VARIABLE: str(results), EXPECT_VARIABLE: expect}
        session = _Session(variables, cwd or notebook.resolve().parent, Path(scratch))
        failures = list(_executed(source, dict(parameters or {}), timeout, session))
        answers, unreadable = _answers(results)
    executed = session.executed
    if executed is None:
        return result(failures, answers)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(executed, output)  # type: ignore[no-untyped-call]
    if not failures:
        failures += _not_run(source, executed)
        failures += _unanswered(source, answers, expect)
    failures += unreadable
    failures += secrets.leaks(executed, secrets.known(variables))
    return result(failures, answers, ran=True)


@dataclass
class _Session:
    """What one run hands to the papermill engine, and what it hears back."""

    variables: Mapping[str, str]
    cwd: Path
    scratch: Path
    executed: NotebookNode | None = None
    cell: NotebookNode | None = field(default=None)

    def started(self, cell: NotebookNode, **_: Any) -> None:
        self.cell = cell


class _Engine(NBClientEngine):  # type: ignore[misc]
    """papermill's own engine, but the run and not this process gives the kernel its environment and folder."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
        session: _Session = options["session"]
        client = PapermillNotebookClient(
            nb_man,
            kernel_name=kernel_name,
            timeout=options["execution_timeout"],
            startup_timeout=options["start_timeout"],
            shutdown_kernel="immediate",
            coalesce_streams=True,
            on_cell_start=session.started,
            config=_transport(session.scratch),
        )
        try:
            client.execute(env=dict(session.variables), cwd=str(session.cwd))
        finally:
            # A copy, because papermill puts cells of its own into the notebook when it reports an error.
            session.executed = copy.deepcopy(nb_man.nb)


papermill_engines.register(_ENGINE, _Engine)


def _transport(scratch: Path) -> Config:
    """Kernels on unix sockets: they race for no ports, and nobody else on this machine can read along."""
    config = Config()
    if os.name != "nt" and len(str(scratch)) <= _LONGEST_SCRATCH:
        config.KernelManager.transport = "ipc"
        config.KernelManager.connection_file = str(scratch / "kernel.json")
    return config


def _executed(
    source: NotebookNode, parameters: dict[str, object], timeout: float, session: _Session
) -> Iterator[Failure]:
    limit = math.ceil(timeout)
    try:
        papermill.execute_notebook(
            copy.deepcopy(source),
            None,
            parameters=parameters,
            engine_name=_ENGINE,
            progress_bar=False,
            start_timeout=START_TIMEOUT,
            execution_timeout=limit,
            session=session,
        )
    except PapermillExecutionError as error:
        said = str(error.evalue).strip()
        summary = f"{_place(source, session)}: {error.ename}: {said.splitlines()[0] if said else 'no message'}"
        yield Failure(Kind.CELL, summary, str(error), _index(source, session))
    except CellTimeoutError as error:
        summary = f"{_place(source, session)}: longer than the limit of {limit} s"
        yield Failure(Kind.TIMEOUT, summary, str(error), _index(source, session))
    except DeadKernelError as error:
        yield Failure(Kind.KERNEL, f"{_place(source, session)}: the kernel died", str(error), _index(source, session))
    except NoSuchKernel as error:
        yield Failure(Kind.NOTEBOOK, f"the notebook asks for the kernel {error.name!r}, which is not installed")
    except (RuntimeError, ValueError, OSError) as error:
        # What jupyter_client and papermill raise when a kernel does not start, or the notebook names none.
        yield Failure(Kind.KERNEL, f"the kernel did not run: {error}", "", _index(source, session))


def _index(source: NotebookNode, session: _Session) -> int | None:
    """The index in the source of the cell under way; papermill's injected cell counts as the parameters cell."""
    if session.cell is None:
        return None
    for index, cell in enumerate(source.cells):
        if cell.id == session.cell.id:
            return index
    return next((index for index, cell in enumerate(source.cells) if traps.PARAMETERS in notebooks.tags(cell)), None)


def _place(source: NotebookNode, session: _Session) -> str:
    index = _index(source, session)
    return "before the first cell" if index is None else notebooks.place(source, index)


def _answers(results: Path) -> tuple[tuple[Answer, ...], list[Failure]]:
    """The answers of the run, and a failure for a line that is none: a notebook may write anything anywhere."""
    answers: list[Answer] = []
    lines = results.read_text("utf-8", errors="replace").splitlines() if results.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            answer = Answer(**json.loads(line))
        except (ValueError, TypeError):
            return tuple(answers), [Failure(Kind.CHECK, f"line {number} of the results of the checks is damaged")]
        answers.append(answer)
    return tuple(answers), []


def _not_run(source: NotebookNode, executed: NotebookNode) -> Iterator[Failure]:
    """After `sys.exit(0)` the rest of a notebook never runs, and papermill is content."""
    counts = {cell.id: cell.get("execution_count") for cell in executed.cells}
    for index, cell in notebooks.code_cells(source):
        if counts.get(cell.id) is None:
            summary = f"{notebooks.place(source, index)}: this cell never ran; did the cell before it end the kernel?"
            yield Failure(Kind.NOT_RUN, summary, "", index)
            return


def _unanswered(source: NotebookNode, answers: tuple[Answer, ...], expect: str) -> Iterator[Failure]:
    """A check whose error the notebook caught itself, or that never wrote its result."""
    given = [answer for answer in answers if answer.kind == "task"]
    calls = {
        task_id: index for index, cell in notebooks.code_cells(source) for task_id in traps.check_calls(cell.source)
    }
    for answer in given:
        if answer.outcome != expect:
            index = calls.get(answer.id)
            where = f"{notebooks.place(source, index)}: " if index is not None else ""
            summary = f"{where}check({answer.id!r}) answered {answer.outcome}, not {expect}"
            yield Failure(Kind.CHECK, summary, answer.message, index)
    for task_id, index in calls.items():
        if task_id not in {answer.id for answer in given}:
            summary = f"{notebooks.place(source, index)}: check({task_id!r}) gave no answer"
            yield Failure(Kind.CHECK, summary, "", index)
