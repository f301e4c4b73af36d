"""The shell of JupyterLab's terminals, with the lab's environment set after the learner's own start files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from ecrlab.lab.environment import shell_lines
from ecrlab.lab.state import Record, StateDir, write_private


def shell_command(
    state: StateDir, record: Record, programs: Path, environ: Mapping[str, str] = os.environ
) -> tuple[list[str], dict[str, str]]:
    """The command of a terminal and the variables it needs.

    A login shell, or a line in ~/.bashrc, may set PATH or AWS_PROFILE anew: so the lab's lines come last.
    ``programs`` is the folder that comes first in PATH.
    """
    folder = state.jupyter / "shell"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shell = environ.get("SHELL") or "/bin/sh"
    name = Path(shell).name
    if os.name == "nt":  # pragma: no cover
        script = folder / "lab.ps1"
        write_private(
            script, shell_lines(state, record, "powershell", environ) + f"$env:Path = '{programs};' + $env:Path\n"
        )
        return ["powershell.exe", "-NoExit", "-ExecutionPolicy", "Bypass", "-File", str(script)], {}
    if name == "fish":
        script = folder / "lab.fish"
        write_private(
            script, shell_lines(state, record, "fish", environ) + f"set -gx PATH {shlex.quote(str(programs))} $PATH\n"
        )
        return [shell, "--init-command", f"source {shlex.quote(str(script))}"], {}
    lines = shell_lines(state, record, "sh", environ) + f'export PATH={shlex.quote(str(programs))}:"$PATH"\n'
    if name == "bash":
        script = folder / "bashrc"
        write_private(script, f'[ -f "$HOME/.bashrc" ] && . "$HOME/.bashrc"\n{lines}')
        return [shell, "--rcfile", str(script), "-i"], {}
    if name == "zsh":
        own = shlex.quote(environ.get("ZDOTDIR") or environ.get("HOME") or "~")
        write_private(
            folder / ".zshenv", f"[ -f {own}/.zshenv ] && . {own}/.zshenv\nZDOTDIR={shlex.quote(str(folder))}\n"
        )
        write_private(folder / ".zshrc", f"ZDOTDIR={own}\n[ -f {own}/.zshrc ] && . {own}/.zshrc\n{lines}")
        return [shell, "-i"], {"ZDOTDIR": str(folder)}
    script = folder / "shrc"
    write_private(script, lines)
    # The shell expands the value of ENV, so a path may not stand in it as it is.
    return [shell, "-i"], {"ENV": "$ECRLAB_SHELL_START", "ECRLAB_SHELL_START": str(script)}
