"""What .ci/run decides, with stand-ins for the programs it looks for and for apt-get."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.requires import require

TOOLS = ("bash", "cat", "dirname", "grep", "mktemp", "rm", "sort", "touch", "chmod")
IN_DEBIAN = ("bash", "dpkg", "dpkg-query", "sh")
PROGRAMS = (
    "git",
    "dockerd",
    "docker",
    "docker-registry",
    "runc",
    "chromium",
    "fc-list",
    "fish",
    "ip",
    "ps",
    "unshare",
    "python3",
)

Run = Callable[[], subprocess.CompletedProcess[str]]


def program(folder: Path, name: str, body: str = "") -> None:
    path = folder / "bin" / name
    path.write_text(f'#!{shutil.which("bash")}\necho "{name} $*" >> "{folder}/calls"\n{body}\n')
    path.chmod(0o755)


@pytest.fixture
def run(tmp_path: Path, root: Path) -> Run:
    """.ci/run in a folder of its own, where every program is there and nothing has to be installed."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(root / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(require(tool))
    for name in PROGRAMS:
        program(tmp_path, name)
    program(tmp_path, "dpkg-query", "echo install ok installed")
    program(tmp_path, "make", 'echo "ECRLAB_REQUIRE_ALL=$ECRLAB_REQUIRE_ALL"')
    program(tmp_path, "apt-get")
    program(tmp_path, "sleep")

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tmp_path / ".ci" / "run"],
            env={"PATH": str(tmp_path / "bin"), "TMPDIR": str(tmp_path), "CI": "true"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start


def apt_calls(folder: Path) -> list[str]:
    return [call for call in (folder / "calls").read_text().splitlines() if call.startswith("apt-get")]


def test_when_everything_is_there_then_the_tests_run_at_once_and_nothing_may_be_skipped(
    run: Run, tmp_path: Path
) -> None:
    result = run()
    assert result.returncode == 0, result.stderr
    assert result.stdout == "ECRLAB_REQUIRE_ALL=1\n"
    assert apt_calls(tmp_path) == []
    assert "make test" in (tmp_path / "calls").read_text().splitlines()


def test_when_programs_are_missing_then_their_packages_are_installed_first(run: Run, tmp_path: Path) -> None:
    for name in ("chromium", "dockerd", "docker"):
        (tmp_path / "bin" / name).unlink()
    made = "".join(
        f'touch "{tmp_path}/bin/{name}"; chmod +x "{tmp_path}/bin/{name}"; '
        for name in ("chromium", "dockerd", "docker")
    )
    program(tmp_path, "apt-get", f'case "$*" in *install*) {made};; esac')
    result = run()
    assert result.returncode == 0, result.stderr
    update, install = apt_calls(tmp_path)
    assert update.endswith("update")
    assert install.endswith("chromium docker.io")
    assert result.stdout.endswith("ECRLAB_REQUIRE_ALL=1\n")


def test_when_the_docker_client_is_a_package_of_its_own_then_it_is_installed_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bin" / "docker").unlink()
    docker = tmp_path / "bin" / "docker"
    program(tmp_path, "apt-get", f'case "$*" in *docker-cli*) touch "{docker}"; chmod +x "{docker}";; esac')
    assert run().returncode == 0
    assert [call.split()[-1] for call in apt_calls(tmp_path)] == ["update", "docker.io", "docker-cli"]


def test_when_apt_fails_once_then_it_is_tried_again(run: Run, tmp_path: Path) -> None:
    chromium, failed = tmp_path / "bin" / "chromium", tmp_path / "failed"
    chromium.unlink()
    program(
        tmp_path,
        "apt-get",
        f'[ -e "{failed}" ] || {{ touch "{failed}"; exit 100; }}\n'
        f'case "$*" in *install*) touch "{chromium}"; chmod +x "{chromium}";; esac',
    )
    assert run().returncode == 0
    assert [call.split()[-1] for call in apt_calls(tmp_path)] == ["update", "update", "chromium"]


def test_when_apt_keeps_failing_then_its_words_are_shown_and_no_test_runs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bin" / "chromium").unlink()
    program(tmp_path, "apt-get", 'echo "E: no such package" >&2; exit 100')
    result = run()
    assert result.returncode != 0
    assert "E: no such package" in result.stderr
    assert len(apt_calls(tmp_path)) == 3
    assert "make test" not in (tmp_path / "calls").read_text()


def test_when_a_package_does_not_bring_its_program_then_it_is_named_and_no_test_runs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bin" / "runc").unlink()
    result = run()
    assert result.returncode != 0
    assert "runc is still missing" in result.stderr
    assert "make test" not in (tmp_path / "calls").read_text()


def test_when_tests_fail_then_so_does_the_run(run: Run, tmp_path: Path) -> None:
    program(tmp_path, "make", "exit 2")
    assert run().returncode == 2


def test_when_a_test_needs_a_program_then_ci_installs_it(root: Path) -> None:
    entries = re.findall(r"^    ([a-z-]+):[a-z.-]+$", (root / ".ci" / "run").read_text(), re.MULTILINE)
    needed = {
        name
        for path in (root / "tests").rglob("*.py")
        for name in re.findall(r"""\brequire\(["']([\w.-]+)["']\)""", path.read_text())
    }
    assert {"docker", "dockerd", "docker-registry", "chromium"} <= set(entries)
    assert needed - {*entries, *IN_DEBIAN} == set()
    assert os.access(root / ".ci" / "run", os.X_OK)
