"""JupyterLab as `ecrlab start` opens it, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.lab.labs import Labs
from tests.requires import require

pytestmark = pytest.mark.e2e

# What proves that a page is offline: every other name is not found.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
PATIENCE = 60_000  # ms that a condition may take on a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The one URL that `ecrlab start` prints."""
    labs = Labs(tmp_path_factory.mktemp("jupyter"))
    process = labs.start("start", "--no-browser", "--engine", "embedded")
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+/lab\S*", line):
            yield found[0]
            break
    else:
        raise AssertionError(said)
    labs.end()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test when it asks for anything beyond this machine or reports an error."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(PATIENCE)
    outside: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if not _is_local(request.url) else None)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert outside == []
    assert errors == []


def in_own_workspace(address: str, name: str) -> str:
    """Return the address with an empty workspace, so that no page restores what another one left."""
    return address.replace("/lab/", f"/lab/workspaces/{name}/", 1) + "&reset"


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def test_when_the_lab_opens_then_the_welcome_notebook_runs_from_top_to_bottom(address: str, page: Page) -> None:
    page.goto(in_own_workspace(address, "welcome"))
    heading = page.get_by_role("heading", name="Welcome to ecrlab")
    expect(heading).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    outputs = page.locator(".jp-OutputArea-output")
    expect(outputs.filter(has_text="arn:aws:iam::123456789012:user/administrator").first).to_be_attached(
        timeout=PATIENCE
    )
    # The quiz is the last cell with an output: every cell before it went through.
    expect(page.get_by_text("What does ecrlab put in the place of AWS on this computer?")).to_be_attached(
        timeout=PATIENCE
    )
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    # Nobody is asked about news or updates.
    assert page.get_by_text("Jupyter news").count() == 0
    assert page.locator(".jp-Dialog").count() == 0


def test_when_a_terminal_is_opened_then_aws_and_docker_reach_the_lab(address: str, page: Page, tmp_path: Path) -> None:
    require("docker")
    done = tmp_path / "done"
    page.goto(in_own_workspace(address, "terminal"))
    expect(page.get_by_role("heading", name="Welcome to ecrlab")).to_be_visible(timeout=PATIENCE)
    page.locator('[data-command="launcher:create"]').first.click()
    page.locator(".jp-LauncherCard", has_text="Terminal").click()
    terminal = page.locator(".jp-Terminal textarea")
    terminal.wait_for(state="attached")
    expect(page.locator(".jp-Terminal .xterm-screen")).to_be_visible(timeout=PATIENCE)
    terminal.focus()
    # What is typed before the shell listens is lost, so ask until it does.
    type_until(page, f"touch {tmp_path}/ready", tmp_path / "ready")
    command = (
        f"(aws sts get-caller-identity && docker pull -q ecrlab/simplehttp) > {done}.part 2>&1; mv {done}.part {done}"
    )
    type_until(page, command, done)
    said = done.read_text()
    assert "arn:aws:iam::123456789012:user/administrator" in said
    assert "docker.io/ecrlab/simplehttp:latest" in said


def type_until(page: Page, command: str, file: Path) -> None:
    """Type a command that makes a file until the file is there; the command may run more than once."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not file.exists():
        assert time.monotonic() < deadline, page.screenshot(path=file.with_suffix(".png")) and f"see {file}.png"
        page.locator(".jp-Terminal textarea").focus()
        page.keyboard.type(f"{command}\n")
        for _ in range(50):
            if not file.exists():
                page.wait_for_timeout(100)
