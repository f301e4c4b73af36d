"""`%%terminal`: the lines of a cell, run as if typed in a terminal, and no failure passed over.

IPython's own `%%bash` goes on after a command that failed in the middle, and passes silently when there is no bash at
all.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from typing import IO

from ecrlab.course import recording
from ecrlab.course.errors import ExpectedErrorMissingError, matches
from ecrlab.course.messages import Message

_COMMAND = re.compile(r"(?:^|[|;&({]|\$\()[ \t]*(aws|docker)\b", re.MULTILINE)


class CommandError(Exception):
    """A command of the cell ended with an exit status other than 0; its own words are above, in the output."""

    def _render_traceback_(self) -> list[str]:
        return [f"CommandError: {self}"]  # IPython shows this in the place of a page of traceback


def terminal(line: str, cell: str) -> None:
    """Run a cell's lines in bash, stop at the first command that fails, and raise CommandError.

    `%%terminal --fails TEXT` runs a cell that must fail, with TEXT in its output; otherwise ExpectedErrorMissingError
    is raised.
    Where a program of the cell is not installed, the cell is not run and says so; in validation mode that is an error.
    """
    expected = _expected(line)
    missing = [program for program in ("bash", *_COMMAND.findall(cell)) if shutil.which(program) is None]
    if missing:
        said = f"The command `{missing[0]}` is not installed on this computer; the Python cell has done the same step."
        if recording.results_file():
            raise CommandError(f"{missing[0]} is not installed")
        Message("Not run", said, (("Where to look", "`ecrlab doctor` in a terminal says how to install it"),)).show()
        return
    status, output = _run(cell)
    if expected is None:
        if status != 0:
            raise CommandError(f"exit status {status}; the command's own words are above")
        return
    if status == 0:
        raise ExpectedErrorMissingError(f"expected the error {expected!r}, but every command succeeded")
    if not matches(expected, CommandError(), "", output):
        raise ExpectedErrorMissingError(f"expected the error {expected!r}, but the commands failed with another one")
    Message("Expected error", f"`{expected}`. The last lines above are the words of the tool.").show()


def _expected(line: str) -> str | None:
    words = shlex.split(line)
    if not words:
        return None
    if len(words) == 2 and words[0] == "--fails" and words[1].strip():
        return words[1]
    raise ValueError(f"%%terminal takes --fails and one text, not {line!r}")


def _run(script: str) -> tuple[int, str]:
    # One stream for output and errors keeps their order; an empty input keeps a command from waiting for ever.
    # No session of its own: whoever interrupts or kills the kernel's process group reaches the commands as well.
    process = subprocess.Popen(
        ["bash", "-eo", "pipefail", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    try:
        output = _echoed(process.stdout)
        return process.wait(), output
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
        process.stdout.close()


def _echoed(stream: IO[str]) -> str:
    lines = []
    for text in stream:
        lines.append(text)
        print(text, end="", flush=True)
    return "".join(lines)
