"""Starting, ending and wiping a lab from another process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from ecrlab.lab import control
from ecrlab.lab.environment import write_docker_config
from ecrlab.lab.errors import LabError, NotRunning, StartFailed
from ecrlab.lab.processes import python_module, tail
from ecrlab.lab.state import Record, StateDir

START_SECONDS = 60.0
STOP_SECONDS = 25.0  # JupyterLab and the engine each have ten seconds of grace

# Kept so that a finished child is reaped, and Python does not warn of a running one.
_started: list[subprocess.Popen[bytes]] = []


def running_or_none(state: StateDir, timeout: float = START_SECONDS) -> Record | None:
    """The record of the running lab, None when there is none. Waits while one is starting."""
    limit = time.monotonic() + timeout
    while (holder := state.holder()) is not None:
        if (record := state.running()) is not None:
            return record
        if time.monotonic() > limit:
            raise LabError(f"The lab of {state.path} (pid {holder}) does not get ready; end it with `ecrlab stop`.")
        time.sleep(0.03)
    return None


def running(state: StateDir) -> Record:
    """The record of the running lab.

    Raises NotRunning when there is none.
    """
    record = running_or_none(state)
    if record is None:
        raise NotRunning(f"No lab runs on {state.path}: start one with `ecrlab start` or `ecrlab serve`.")
    return record


def start(state: StateDir, engine: str) -> Record:
    """Start a lab that outlives this process, and wait until it is ready; its output goes to logs/lab.log.

    Raises StartFailed with the last lines of the log.
    """
    state.create()
    log = state.logs / "lab.log"
    with log.open("ab") as output:
        begin = output.tell()
        child = subprocess.Popen(
            [*python_module("ecrlab.cli"), "serve", "--state-dir", str(state.path), "--engine", engine],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=state.path,
            start_new_session=True,
        )
    _started.append(child)
    limit = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < limit:
        if (record := state.running()) is not None and record.pid == child.pid:
            return record
        time.sleep(0.03)
    if child.poll() is None:
        child.terminate()
        child.wait()
    elif (record := running_or_none(state)) is not None:
        # Somebody else was quicker: theirs is as good.
        return record
    raise StartFailed(f"The lab did not start; the end of {log}:\n{_said_since(log, begin) or tail(log, 5)}")


def _said_since(log: Path, begin: int) -> str:
    text = log.read_bytes()[begin:].decode("utf-8", "replace")
    return "\n".join([line for line in text.splitlines() if line.strip()][-8:])


def stop(state: StateDir) -> bool:
    """End the running lab and wait until it has ended; False when none runs."""
    pid = state.holder()
    if pid is None:
        return False
    # The holder of the lock is that very process, so the signal cannot hit another one with a reused pid.
    _signal(pid, signal.SIGTERM)
    limit = time.monotonic() + STOP_SECONDS
    while state.holder() == pid:
        if time.monotonic() > limit:
            # Nothing acknowledged is lost by this: storage is safe against a killed server.
            _signal(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            limit += STOP_SECONDS
        time.sleep(0.03)
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise LabError(f"The lab (pid {pid}) belongs to another user and cannot be ended from here.") from error


def reset(state: StateDir) -> list[str]:
    """Empty the registries, the embedded engine and the docker logins of the lab; keys and workspace are kept.

    Works on a running and on a stopped lab. Returns one sentence for each thing done.
    """
    record = running_or_none(state)
    if record is None:
        return _reset_stopped(state)
    control.reset(record)
    done = ["The registries are empty."]
    if record.engine.kind == "embedded" and record.engine.docker_host:
        done.append(f"{_remove_images(record.engine.docker_host)} images removed from the embedded engine.")
    elif record.engine.kind == "docker":
        done.append("The images of your own Docker Engine are left as they are.")
    write_docker_config(state)
    return [*done, "The docker logins are forgotten."]


def _reset_stopped(state: StateDir) -> list[str]:
    if not state.path.is_dir():
        raise LabError(f"There is no lab in {state.path}.")
    state.read()
    with state.lock():
        for folder in (state.cloud, state.engine, state.docker):
            if folder.exists():
                shutil.rmtree(folder)
    return ["The registries, the images of the embedded engine and the docker logins are gone."]


def _remove_images(docker_host: str) -> int:
    import docker

    client = docker.DockerClient(base_url=docker_host, version="auto")
    try:
        images = client.images.list(all=True)
        for image in images:
            client.images.remove(image.id, force=True)
        return len(images)
    except docker.errors.DockerException as error:
        raise LabError(f"The images of the embedded engine could not be removed ({error}).") from error
    finally:
        client.close()
