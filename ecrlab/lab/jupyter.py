"""JupyterLab on the learner's workspace, as a child process that knows the lab."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from ecrlab.lab.environment import apply
from ecrlab.lab.errors import StartFailed
from ecrlab.lab.processes import Child, python_module, tail
from ecrlab.lab.state import Record, StateDir
from ecrlab.lab.terminal import shell_command

WELCOME = "notebooks/00-welcome.ipynb"


@dataclass(frozen=True)
class Address:
    """A running JupyterLab: its address, its token (a secret) and its workspace."""

    url: str
    token: str
    root: Path

    def __repr__(self) -> str:
        return f"Address(url={self.url!r})"

    @property
    def browser_url(self) -> str:
        """The URL to open in a browser; it holds the token."""
        page = f"lab/tree/{quote(WELCOME)}" if (self.root / WELCOME).exists() else "lab"
        return f"{self.url}{page}?token={self.token}"


@dataclass(frozen=True)
class Notebooks:
    """JupyterLab beside the lab: its workspace, its port (None: any) and who is told when it answers."""

    workspace: Path
    port: int | None
    ready: Callable[[Address], None]


class JupyterServer(Child):
    """JupyterLab with the lab's environment for its kernels and terminals, and no settings but its own."""

    def __init__(self, state: StateDir, record: Record, workspace: Path, port: int | None = None) -> None:
        self._runtime = state.jupyter / "runtime"
        environ = environment(state, record)
        terminal, extra = shell_command(state, record, Path(sys.executable).parent, environ)
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.root_dir": workspace,
            "ServerApp.open_browser": False,
            "ServerApp.terminado_settings": repr({"shell_command": terminal}),
            "LabApp.default_url": f"/lab/tree/{WELCOME}" if (workspace / WELCOME).exists() else "/lab",
            # No news and no questions about updates: the lab works offline.
            "LabApp.news_url": None,
            # Looking for language servers runs npm, which writes into the home folder.
            "LanguageServerManager.autodetect": False,
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        }
        if port:
            options |= {"ServerApp.port": port, "ServerApp.port_retries": 0}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # Without this Jupyter refuses to run in a container, where everybody is root.
            options["ServerApp.allow_root"] = True
        super().__init__(
            [*python_module("ecrlab.lab.jupyter_child"), *(f"--{name}={value}" for name, value in options.items())],
            state.logs / "jupyter.log",
            environ={**environ, **extra},
            cwd=workspace,
        )

    def wait_ready(self, timeout: float = 60.0) -> Address:
        """Wait until it answers.

        Raises StartFailed with the last lines of its log when it ends before or stays silent for ``timeout`` seconds.
        """
        limit = time.monotonic() + timeout
        while time.monotonic() < limit and self.alive():
            if (address := _answering(self._runtime / f"jpserver-{self.pid}.json")) is not None:
                return address
            time.sleep(0.05)
        ended = not self.alive()
        self.stop()
        said = tail(self.log, 5) or "it said nothing"
        raise StartFailed(
            f"JupyterLab {'ended at once' if ended else 'did not answer'}; the end of {self.log}:\n{said}"
        )


def environment(state: StateDir, record: Record) -> dict[str, str]:
    """The environment of JupyterLab: the lab's, with the folders of Jupyter and IPython below the state folder."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "JPY_")) or name == "JUPYTER_ALLOW_INSECURE_WRITES"
    }
    apply(state, record, environ)
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    for variable, name in folders.items():
        folder = state.jupyter / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        environ[variable] = str(folder)
    _answer_questions(Path(environ["JUPYTER_CONFIG_DIR"]))
    return environ


def _answer_questions(config: Path) -> None:
    """Answer what JupyterLab would ask a new learner, news and updates; an answer that is there stays."""
    settings = (
        config / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    )
    if not settings.exists():
        settings.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.write_text('{"fetchNews": "false", "checkForUpdates": false}\n')


def run_beside(state: StateDir, record: Record, notebooks: Notebooks) -> int:
    """Run JupyterLab for a lab of another process, until that one ends or we are asked to; returns the exit status."""
    asked = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: asked.set())
    server = JupyterServer(state, record, notebooks.workspace, notebooks.port)
    try:
        notebooks.ready(server.wait_ready())
        while server.alive() and state.holder() == record.pid and not asked.wait(0.2):
            continue
        status = server.process.poll()
    finally:
        server.stop()
    return 0 if not status else 1


def find(state: StateDir) -> Address | None:
    """The JupyterLab that runs for this state folder, if any."""
    for info in sorted((state.jupyter / "runtime").glob("jpserver-*.json")):
        if (address := _answering(info)) is not None:
            return address
    return None


def _answering(info: Path) -> Address | None:
    import http.client

    try:
        values = json.loads(info.read_text("utf-8"))
        address = Address(values["url"], values["token"], Path(values["root_dir"]))
    except (FileNotFoundError, ValueError, KeyError):
        # Not there yet, or half written.
        return None
    parts = urlsplit(address.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", f"{parts.path}api/status", headers={"Authorization": f"token {address.token}"})
        return address if connection.getresponse().status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
