"""What could keep a lab from working on this machine."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from ecrlab.lab import control
from ecrlab.lab.dockerd import find
from ecrlab.lab.environment import path_with_programs
from ecrlab.lab.errors import LabError
from ecrlab.lab.state import StateDir

ENOUGH_DISK_BYTES = 1 << 30
OLDEST_DOCKER_CLIENT = (20, 10)
OLDEST_JUPYTERLAB = (4, 4)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: "ok", "note" (works without it) or "problem", what was found and what to do."""

    verdict: Literal["ok", "note", "problem"]
    subject: str
    found: str
    advice: str = ""

    def text(self) -> str:
        """One line; the verdict is a word and not a colour."""
        return f"{self.verdict:<8} {self.subject}: {self.found}" + (f" -> {self.advice}" if self.advice else "")


def examine(state: StateDir) -> list[Finding]:
    """Look at this machine and the state folder; changes nothing."""
    return [
        _python(),
        _jupyterlab(),
        _program("docker", r"version (\d+)\.(\d+)", "install the docker command-line client for the terminal lessons"),
        _program("aws", r"aws-cli/(\d+)\.(\d+)", "reinstall ecrlab: it brings the aws command"),
        _docker_engine(),
        _disk(state),
        _folder(state),
        _lab(state),
        _ports(),
    ]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("ok", "Python", found)
    return Finding("problem", "Python", found, "use Python 3.11, 3.12 or 3.13")


def _jupyterlab() -> Finding:
    try:
        found = version("jupyterlab")
    except PackageNotFoundError:
        return Finding("problem", "JupyterLab", "not installed", "reinstall ecrlab")
    if tuple(map(int, re.findall(r"\d+", found)[:2])) >= OLDEST_JUPYTERLAB:
        return Finding("ok", "JupyterLab", found)
    return Finding("problem", "JupyterLab", found, "update it: pip install --upgrade jupyterlab")


def _program(name: str, pattern: str, advice: str) -> Finding:
    path = shutil.which(name, path=path_with_programs(os.environ.get("PATH", "")))
    if path is None:
        return Finding("problem", f"{name} command", "not found", advice)
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("problem", f"{name} command", f"{path} does not run ({error})", advice)
    said = (answer.stdout + answer.stderr).strip()
    match = re.search(pattern, said)
    if answer.returncode != 0 or match is None:
        return Finding("problem", f"{name} command", f"{path} does not tell its version", advice)
    if name == "docker" and (int(match[1]), int(match[2])) < OLDEST_DOCKER_CLIENT:
        return Finding("problem", "docker command", f"{path}, {match[0]}", "update it to 20.10 or newer")
    return Finding("ok", f"{name} command", f"{path}, {said.split(',')[0].split(' Python')[0]}")


def _docker_engine() -> Finding:
    search = find()
    if search.engine is not None:
        return Finding("ok", "Docker Engine", search.reason)
    return Finding("note", "Docker Engine", f"{search.reason} The embedded engine is used.")


def _disk(state: StateDir) -> Finding:
    folder = next(parent for parent in (state.path, *state.path.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free >= ENOUGH_DISK_BYTES:
        return Finding("ok", "disk", found)
    return Finding("problem", "disk", found, "make room, or choose another disk with --state-dir")


def _folder(state: StateDir) -> Finding:
    path = state.path
    if not path.exists():
        parent = next(parent for parent in path.parents if parent.exists())
        if os.access(parent, os.W_OK):
            return Finding("ok", "state folder", f"{path} is made at the first start")
        return Finding("problem", "state folder", f"{path} cannot be made", "choose another with --state-dir")
    if not path.is_dir() or not os.access(path, os.W_OK):
        return Finding("problem", "state folder", f"{path} cannot be written", "choose another with --state-dir")
    try:
        state.read()
    except LabError as error:
        return Finding("problem", "state folder", str(error))
    for file in (path, state.record_file):
        if os.name != "nt" and file.exists() and (mode := file.stat().st_mode & 0o777) & 0o077:
            right = "700" if file.is_dir() else "600"
            return Finding("problem", "state folder", f"{file} is open to others ({mode:o})", f"chmod {right} '{file}'")
    return Finding("ok", "state folder", str(path))


def _lab(state: StateDir) -> Finding:
    pid = state.holder()
    if pid is None:
        return Finding("ok", "lab", "none runs on this state folder")
    try:
        record = state.running()
    except LabError as error:
        return Finding("problem", "lab", str(error))
    if record is not None and control.health(record) is not None:
        return Finding("ok", "lab", f"runs (pid {pid}) at {record.endpoint}")
    return Finding(
        "problem", "lab", f"pid {pid} holds the state folder and does not answer", "end it with `ecrlab stop`"
    )


def _ports() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5):
            return Finding("ok", "loopback", "programs on 127.0.0.1 can talk to each other")
    except OSError as error:
        return Finding("problem", "loopback", f"127.0.0.1 does not work ({error})", "look at your firewall's rules")
