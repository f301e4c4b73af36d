"""What `pip install` of a built ecrlab brings along."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, root: Path) -> zipfile.ZipFile:
    """The wheel that is built from the source distribution, so that both are known to be complete."""
    out = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(root)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-1000:]
    assert len(list(out.glob("*.tar.gz"))) == 1
    (path,) = out.glob("*-py3-none-any.whl")
    return zipfile.ZipFile(path)


def expected(files: list[Path], root: Path) -> set[str]:
    """Where each file of the package and of the course belongs in the wheel."""
    course = {"notebooks": "ecrlab/_material/notebooks", "exercises": "ecrlab/_material/exercises", "ecrlab": "ecrlab"}
    relative = [path.relative_to(root) for path in files]
    return {
        f"{course[path.parts[0]]}/{path.relative_to(path.parts[0]).as_posix()}"
        for path in relative
        if path.parts[0] in course
    }


def test_when_wheel_is_built_then_it_holds_the_package_and_the_course(
    wheel: zipfile.ZipFile, project_files: list[Path], root: Path
) -> None:
    assert expected(project_files, root) - set(wheel.namelist()) == set()


def test_when_wheel_is_built_then_samples_advisories_and_lessons_are_in_it(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert [name for name in names if name.startswith("ecrlab/samples/") and name.endswith("/oci-layout")]
    assert [name for name in names if name.startswith("ecrlab/cloud/scanning/") and name.endswith("advisories.json")]
    assert "ecrlab/_material/notebooks/00-welcome.ipynb" in names
    assert "ecrlab/_material/exercises/01-first-push.ipynb" in names


def test_when_wheel_is_built_then_it_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0].split("-")[0] for name in wheel.namelist()} == {"ecrlab"}
    assert [name for name in wheel.namelist() if "__pycache__" in name or "checkpoints" in name] == []


def test_when_wheel_is_read_then_it_names_command_dependencies_and_licence(
    wheel: zipfile.ZipFile, pyproject: dict[str, Any]
) -> None:
    info = f"ecrlab-{pyproject['project']['version']}.dist-info"
    metadata = message_from_bytes(wheel.read(f"{info}/METADATA"))
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    runtime = {str(requirement) for requirement in required if requirement.marker is None}
    assert runtime == {str(Requirement(text)) for text in pyproject["project"]["dependencies"]}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "ecrlab = ecrlab.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
