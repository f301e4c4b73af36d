"""The lock files and environment.yml say the same as pyproject.toml."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

RUNTIME, TEST, BUILD = "requirements.lock", "requirements-test.lock", "requirements-build.lock"
LOCKS = (RUNTIME, TEST, BUILD)

PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}


def pins(lock: Path) -> list[Requirement]:
    return [Requirement(line.split(" \\")[0]) for line in lock.read_text().splitlines() if re.match(r"[a-z0-9]", line)]


def installed(lock: Path, python: str, system: str) -> dict[str, Version]:
    """The versions by name that an installer takes from the lock on such a machine."""
    machine = SYSTEMS[system] | {"python_version": python, "python_full_version": f"{python}.0"}
    chosen: dict[str, Version] = {}
    for pin in pins(lock):
        if pin.marker is None or pin.marker.evaluate(machine):
            name = canonicalize_name(pin.name)
            assert name not in chosen, f"{name} is pinned twice for Python {python} on {system}"
            (only,) = pin.specifier
            assert only.operator == "=="
            chosen[name] = Version(only.version)
    return chosen


def wanted(pyproject: dict[str, Any], lock: str) -> list[str]:
    if lock == BUILD:
        return [*pyproject["dependency-groups"]["install"], *pyproject["build-system"]["requires"]]
    extra = pyproject["project"]["optional-dependencies"]["test"] if lock == TEST else []
    return [*pyproject["project"]["dependencies"], *extra]


def unsatisfied(requirements: Iterable[str], versions: dict[str, Version]) -> list[str]:
    return [
        text
        for text in requirements
        if not (
            (version := versions.get(canonicalize_name((requirement := Requirement(text)).name)))
            and requirement.specifier.contains(version, prereleases=True)
        )
    ]


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_when_lock_is_installed_then_every_dependency_is_within_its_range(
    root: Path, pyproject: dict[str, Any], lock: str, python: str, system: str
) -> None:
    versions = installed(root / lock, python, system)
    assert unsatisfied(wanted(pyproject, lock), versions) == [], f"run `make lock`: {lock} is behind pyproject.toml"


@pytest.mark.parametrize("requirement", ["starlette>=99", "not-in-the-lock"])
def test_when_dependency_is_not_met_then_it_is_named(root: Path, requirement: str) -> None:
    assert unsatisfied(["boto3", requirement], installed(root / RUNTIME, "3.12", "linux")) == [requirement]


@pytest.mark.parametrize("lock", LOCKS)
def test_when_lock_is_read_then_every_pin_has_a_hash(root: Path, lock: str) -> None:
    text = (root / lock).read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(blocks) == len(pins(root / lock)) > 0
    assert [block.split()[0] for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", block)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_when_lock_is_read_then_it_names_no_address_and_no_path(root: Path, lock: str) -> None:
    text = (root / lock).read_text()
    assert re.findall(r".*(?:://|\bfile:|--(?:index|extra-index|find-links|trusted)|@ ).*", text) == []
    assert [line for line in text.splitlines() if re.search(r"(?:^|[\s=])[~.]?/|\b[A-Z]:\\\w", line)] == []


@pytest.mark.parametrize("smaller", [RUNTIME, BUILD])
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_when_two_locks_pin_a_package_then_the_version_is_the_same(
    root: Path, smaller: str, python: str, system: str
) -> None:
    everything = installed(root / TEST, python, system)
    part = installed(root / smaller, python, system)
    assert {name: version for name, version in part.items() if everything.get(name, version) != version} == {}
    assert smaller == BUILD or part.keys() <= everything.keys()


def test_when_conda_environment_is_read_then_it_has_the_dependencies_of_pyproject(
    root: Path, pyproject: dict[str, Any]
) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    *packages, project = pip["pip"]
    assert sorted(packages) == sorted(pyproject["project"]["dependencies"])
    assert project == "--editable ."
    python = next(Requirement(entry) for entry in conda if entry.startswith("python"))
    assert python.specifier == Requirement(f"python{pyproject['project']['requires-python']}").specifier
    assert "pip" in conda
