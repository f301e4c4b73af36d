from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
import websocket

from ecrlab.lab.jupyter import WELCOME
from ecrlab.lab.state import Engine, StateDir, new_record
from ecrlab.lab.terminal import shell_command
from tests.lab.labs import Labs, wait_until


@dataclass(frozen=True)
class Notebook:
    """JupyterLab as a browser sees it."""

    labs: Labs
    process: subprocess.Popen[str]
    url: str

    @property
    def base(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.url).query)["token"][0]

    def call(self, path: str, values: object = None) -> Any:
        request = urllib.request.Request(
            self.base + path,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            data=None if values is None else json.dumps(values).encode(),
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return json.loads(answer.read())


def start(labs: Labs, *arguments: str, **environ: str) -> Notebook:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = labs.start(
        "start", "--no-browser", "--engine", "embedded", "--jupyter-port", str(port), *arguments, **environ
    )
    assert process.stdout is not None
    said = ""
    url = ""
    for line in process.stdout:
        said += line
        if match := re.match(r"JupyterLab\s+(http://\S+)", line):
            url = match[1]
        if "Ctrl-C" in line:
            return Notebook(labs, process, url)
    process.wait()
    assert process.stderr is not None
    if url:
        return Notebook(labs, process, url)
    raise AssertionError(said + process.stderr.read())


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    labs = Labs(tmp_path_factory.mktemp("lab"))
    (labs.home / ".bashrc").write_text("export PATH=/usr/bin:/bin AWS_PROFILE=work MINE=kept\n")
    yield start(labs, SHELL="/bin/bash", AWS_PROFILE="work", JUPYTER_CONFIG_DIR="/nonexistent")
    labs.end()


def connected(notebook: Notebook, path: str) -> websocket.WebSocket:
    return websocket.create_connection(
        f"{notebook.base.replace('http', 'ws', 1)}{path}",
        header=[f"Authorization: token {notebook.token}"],
        timeout=30,
        http_no_proxy=["127.0.0.1"],
    )


def in_kernel(notebook: Notebook, code: str) -> str:
    """What the code prints in a new kernel, over the same wire as a browser's."""
    kernel = notebook.call("/api/kernels", {"name": "python3"})["id"]
    request = {
        "channel": "shell",
        "header": {
            "msg_id": "1",
            "msg_type": "execute_request",
            "session": "s",
            "username": "",
            "version": "5.3",
            "date": "",
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "store_history": False, "allow_stdin": False},
    }
    said = ""
    with closing(connected(notebook, f"/api/kernels/{kernel}/channels")) as channels:
        channels.send(json.dumps(request))
        while True:
            message = json.loads(channels.recv())
            if message["parent_header"].get("msg_id") != "1":
                continue
            said += message["content"].get("text", "") + "\n".join(message["content"].get("traceback", []))
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return said


def test_when_started_then_the_lessons_open_at_the_welcome_page(notebook: Notebook) -> None:
    workspace = notebook.labs.home / "ecrlab"
    page = f"/lab/tree/{WELCOME}" if (workspace / WELCOME).exists() else "/lab"
    assert urlsplit(notebook.url).path == page
    assert notebook.call("/api/status")["kernels"] >= 0
    root = Path(__file__).resolve().parents[2]
    given = {str(path.relative_to(workspace)) for path in workspace.rglob("*.ipynb")}
    assert given >= {str(path.relative_to(root)) for path in (root / "notebooks").glob("*.ipynb")}


def test_when_a_kernel_runs_then_boto3_and_the_programs_of_the_lab_are_there(notebook: Notebook) -> None:
    code = (
        "import os, sys, shutil, boto3\n"
        "print(sys.executable)\n"
        "print(shutil.which('ecrlab'))\n"
        "print(boto3.client('sts').get_caller_identity()['Account'])\n"
        "print(os.environ.get('AWS_PROFILE'), os.environ['DOCKER_HOST'])\n"
        "import ecrlab; print(ecrlab.open().endpoint == os.environ['AWS_ENDPOINT_URL'])\n"
    )
    assert in_kernel(notebook, code).splitlines() == [
        sys.executable,
        str(Path(sys.executable).with_name("ecrlab")),
        "123456789012",
        f"None unix://{notebook.labs.state_dir}/engine.sock",
        "True",
    ]
    assert {path.name for path in notebook.labs.home.iterdir()} <= {"ecrlab", ".bashrc", ".bash_history"}


def test_when_a_terminal_opens_then_start_files_do_not_hide_the_lab(notebook: Notebook) -> None:
    name = notebook.call("/api/terminals", {})["name"]
    command = 'echo "<$MINE|$AWS_PROFILE|$(command -v ecrlab)|$AWS_ENDPOINT_URL>" | tr "<>" "[]"\r'
    said = ""
    with closing(connected(notebook, f"/terminals/websocket/{name}")) as terminal:
        terminal.send(json.dumps(["stdin", command]))
        while not (match := re.search(r"\[(kept\|[^\]]*)\]", said.replace("\r\n", ""))):
            kind, *rest = json.loads(terminal.recv())
            said += rest[0] if kind == "stdout" else ""
    endpoint = notebook.labs.record()["endpoint"]
    assert match[1] == f"kept||{Path(sys.executable).with_name('ecrlab')}|{endpoint}"


def test_when_the_lab_runs_then_start_prints_the_page_of_its_jupyterlab(notebook: Notebook) -> None:
    again = notebook.labs.run("start", "--no-browser", "--engine", "embedded")
    assert again.returncode == 0
    assert notebook.url in again.stdout
    status = notebook.labs.run("status")
    assert notebook.base in status.stdout
    assert notebook.token not in status.stdout


def test_when_the_lab_runs_with_other_options_then_start_names_them(notebook: Notebook) -> None:
    again = notebook.labs.run("start", "--no-browser", "--region", "eu-west-1")
    assert again.returncode == 2
    assert "--region" in again.stderr


def test_when_ctrl_c_is_pressed_then_jupyterlab_the_engine_and_the_cloud_end(labs: Labs) -> None:
    notebook = start(labs)
    children = psutil.Process(notebook.process.pid).children(recursive=True)
    assert len(children) >= 2
    notebook.process.send_signal(signal.SIGINT)
    assert notebook.process.wait(20) == 0
    assert [child for child in children if child.is_running()] == []


def test_when_a_lab_serves_already_then_start_adds_jupyterlab_and_stop_ends_both(labs: Labs) -> None:
    server = labs.serve()
    notebook = start(labs)
    assert notebook.call("/api/status")["started"]
    children = psutil.Process(notebook.process.pid).children()
    labs.stop()
    assert server.wait(10) == 0
    assert notebook.process.wait(20) == 0
    assert [child for child in children if child.is_running()] == []


def test_when_the_lab_is_killed_then_jupyterlab_ends_too(labs: Labs) -> None:
    notebook = start(labs)
    children = psutil.Process(notebook.process.pid).children()
    os.kill(notebook.process.pid, signal.SIGKILL)
    notebook.process.wait()
    wait_until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))


def test_when_the_port_of_jupyterlab_is_in_use_then_one_sentence_says_so(labs: Labs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        answer = labs.run("start", "--no-browser", "--jupyter-port", str(other.getsockname()[1]))
    assert answer.returncode == 2
    assert "--jupyter-port" in answer.stderr
    assert not labs.state_dir.joinpath("lab.json").exists()


@pytest.mark.parametrize(
    ("shell", "flag"),
    [("/bin/bash", "--rcfile"), ("/bin/zsh", "-i"), ("/usr/bin/fish", "--init-command"), ("/bin/sh", "-i")],
)
def test_when_the_learner_has_another_shell_then_its_start_file_is_the_labs(
    tmp_path: Path, shell: str, flag: str
) -> None:
    state = StateDir(tmp_path)
    state.create()
    record = replace(new_record(), endpoint="http://127.0.0.1:1", engine=Engine("embedded", "unix:///e"))
    command, _ = shell_command(state, record, Path("/venv/bin"), {"SHELL": shell, "HOME": "/home/learner"})
    assert command[0] == shell
    assert flag in command
    written = "".join(path.read_text() for path in (state.jupyter / "shell").iterdir())
    assert "AWS_ENDPOINT_URL" in written
    assert "/venv/bin" in written
    assert all(path.stat().st_mode & 0o077 == 0 for path in (state.jupyter / "shell").iterdir())


def test_when_the_shell_is_plain_sh_then_it_has_the_labs_variables(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "it's $HERE")
    state.create()
    record = replace(new_record(), endpoint="http://127.0.0.1:1", engine=Engine("embedded", "unix:///e"))
    command, extra = shell_command(state, record, Path("/venv/bin"), {"SHELL": "/bin/sh"})
    answer = subprocess.run(
        command,
        env={"PATH": "/usr/bin:/bin", **extra},
        input='echo "$AWS_ENDPOINT_URL $PATH"\nexit\n',
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert "http://127.0.0.1:1 /venv/bin:/usr/bin:/bin" in answer.stdout
