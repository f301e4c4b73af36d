"""Child processes of a lab: the embedded engine, and how a child is ended. Ports are chosen here too."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from ecrlab.lab.errors import LabError, StartFailed

GRACE_SECONDS = 10.0


def python_module(module: str) -> list[str]:
    """The command that runs a module with this Python; the current folder cannot shadow a package."""
    return [sys.executable, "-P", "-m", module]


def free_port(wanted: int | None, last: int | None, host: str = "127.0.0.1", option: str = "--port") -> int:
    """The port to serve on: the wanted one, else that of the last run, else any free one.

    Keeping the last one keeps shells and image names of an earlier run good. Raises LabError when ``wanted`` is in use.
    """
    if wanted:
        if _can_bind(host, wanted, option):
            return wanted
        raise LabError(f"Port {wanted} on {host} is in use by another program: choose another with {option}.")
    if last and _can_bind(host, last, option):
        return last
    with _listener(host) as probe:
        return int(probe.getsockname()[1])


def _listener(host: str, port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family)
    try:
        if os.name != "nt":
            # A connection of the last run in TIME_WAIT does not hold the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
    except BaseException:
        probe.close()
        raise
    return probe


def _can_bind(host: str, port: int, option: str) -> bool:
    try:
        _listener(host, port).close()
    except socket.gaierror as error:
        raise LabError(f"{host} is not an address of this machine: use --host 127.0.0.1.") from error
    except PermissionError as error:
        raise LabError(f"Port {port} may not be opened by this user: choose one above 1023 with {option}.") from error
    except OverflowError as error:
        raise LabError(f"{port} is not a port: choose one from 1 to 65535 with {option}.") from error
    except OSError:
        return False
    return True


class Child:
    """A child process that ends with this one: its standard input is a pipe that closes when we are gone."""

    def __init__(
        self, command: list[str], log: Path, *, environ: Mapping[str, str] | None = None, cwd: Path | None = None
    ):
        self.log = log
        with log.open("wb") as stderr:
            # A session of its own: Ctrl-C in the terminal comes to us alone, and we end our children in order.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environ,
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def wait(self) -> int:
        """Wait for its end; returns the exit status, negative for a signal."""
        assert self.process.stdout is not None
        for _ in self.process.stdout:
            continue
        return self.process.wait()

    def last_words(self) -> str:
        """The last line it wrote on stderr, for an error message."""
        return tail(self.log, 1)

    def stop(self) -> None:
        """End it: asked by SIGTERM, forced after a grace of ten seconds."""
        if self.alive():
            self.process.terminate()
        try:
            self.process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()


class EngineProcess(Child):
    """The embedded engine as a child process."""

    def __init__(self, socket_path: Path, root: Path, cloud_url: str, log: Path, tcp_port: int | None = None) -> None:
        socket_path.unlink(missing_ok=True)
        command = [*python_module("ecrlab.engine"), "--root", str(root), "--cloud-url", cloud_url, "--parent-pipe"]
        command += ["--tcp-port", str(tcp_port)] if tcp_port else ["--socket", str(socket_path)]
        super().__init__(command, log)

    def wait_ready(self, timeout: float = 30.0) -> str:
        """Wait until the engine answers; returns its DOCKER_HOST.

        Raises StartFailed with the engine's own sentence when it ends before or is not ready in ``timeout`` seconds.
        """
        assert self.process.stdout is not None
        limit = threading.Timer(timeout, self.process.kill)
        limit.start()
        try:
            for line in self.process.stdout:
                if line.startswith(b"ready "):
                    return line.decode().removeprefix("ready ").strip()
            status = self.process.wait()
        finally:
            limit.cancel()
        reason = self.last_words() or f"exit status {status}, nothing said"
        raise StartFailed(f"The embedded engine did not start: {reason}")


def tail(log: Path, lines: int) -> str:
    """The last non-empty lines of a log file, "" when there are none."""
    try:
        text = log.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


def end_with_parent() -> None:
    """In a child: end this process with SIGTERM when its standard input closes, that is, when the parent is gone."""
    import signal

    def watch() -> None:
        while os.read(0, 4096):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-pipe", daemon=True).start()
