"""README, CONTRIBUTING and CHANGELOG speak of what there is."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ecrlab.cli.commands import app

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
REMOTE = ("http://", "https://", "mailto:", "#")


def links(text: str) -> list[str]:
    """The targets of links and images that are files of the repository."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith(REMOTE)]


def house_map(text: str) -> Iterator[tuple[str, str]]:
    """Each path of the map in CONTRIBUTING, put together from its indentation, and what is said about it."""
    block = text.split("## The map of the house\n\n")[1].split("\n\n")[0]
    folders: dict[int, str] = {}
    for line in block.splitlines():
        name, _, about = line.strip().partition(" ")
        depth = len(line) - len(line.lstrip())
        above = [folder for indent, folder in sorted(folders.items()) if indent < depth]
        folders = {indent: folder for indent, folder in folders.items() if indent < depth} | {depth: name}
        yield "".join([*above, name]), about.strip()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_when_document_links_to_a_file_then_the_file_is_there(root: Path, document: str) -> None:
    assert [target for target in links((root / document).read_text()) if not (root / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_when_document_names_a_make_target_then_the_makefile_has_it(root: Path, document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", (root / document).read_text(), re.MULTILINE))
    assert named - targets == set()
    assert document == "CHANGELOG.md" or {"lab", "test"} & named


@pytest.mark.parametrize("document", DOCUMENTS)
def test_when_document_names_a_command_then_ecrlab_has_it(root: Path, document: str) -> None:
    named = set(re.findall(r"(?:`|^ {4}|until |\(|/)ecrlab ([a-z]+)\b", (root / document).read_text(), re.MULTILINE))
    assert named - commands().keys() == set()


def test_when_ecrlab_has_a_command_then_the_readme_explains_it(root: Path) -> None:
    rows = set(re.findall(r"^\| `ecrlab ([a-z]+)` \|", (root / "README.md").read_text(), re.MULTILINE))
    assert rows == set(commands())


def test_when_readme_names_an_option_of_the_lab_then_a_command_has_it(root: Path) -> None:
    text = re.sub(r"^ {4}(?!ecrlab|make).*$", "", (root / "README.md").read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    known = {name for command in commands().values() for option in command.params for name in option.opts}
    known |= {name for command in commands().values() for option in command.params for name in option.secondary_opts}
    assert named - known == set()


def test_when_contributing_draws_the_house_then_every_room_is_there(root: Path) -> None:
    rooms = dict(house_map((root / "CONTRIBUTING.md").read_text()))
    assert "ecrlab/cloud/core/" in rooms
    assert [room for room, about in rooms.items() if not (root / room).exists() or not about] == []


def test_when_the_house_has_a_room_then_contributing_draws_it(root: Path) -> None:
    rooms = dict(house_map((root / "CONTRIBUTING.md").read_text()))
    packages = [
        f"{path.relative_to(root).as_posix()}/"
        for folder in (root / "ecrlab", root / "ecrlab" / "cloud")
        for path in sorted(folder.iterdir())
        if len([module for module in path.glob("*.py") if module.read_text().strip()]) > 0
    ]
    assert [package for package in packages if package not in rooms] == []


def test_when_changelog_is_read_then_it_has_the_version_of_the_project(root: Path, pyproject: dict[str, Any]) -> None:
    version = re.escape(pyproject["project"]["version"])
    assert re.search(rf"^## \[{version}\]", (root / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_when_picture_is_read_then_it_has_a_text_twin_and_two_themes(root: Path) -> None:
    text = (root / "docs" / "overview.svg").read_text()
    picture = ElementTree.fromstring(text)
    namespace = "{http://www.w3.org/2000/svg}"
    assert picture.findtext(f"{namespace}title")
    assert len(picture.findtext(f"{namespace}desc") or "") > 100
    assert "@media (prefers-color-scheme: dark)" in text


def commands() -> dict[str, Any]:
    return dict(get_command(app).commands)  # type: ignore[attr-defined]
