"""The picture of an image URI."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from ecrlab.widgets import anatomy

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        (f"{HOST}/app", ["account", "service", "region", "domain", "repository"]),
        (f"{HOST}/team/app:1.2", ["account", "service", "region", "domain", "repository", "tag"]),
        (f"{HOST}/app@{DIGEST}", ["account", "service", "region", "domain", "repository", "digest"]),
        (f"127.0.0.1:4510/app:v1@{DIGEST}", ["this machine", "repository", "tag", "digest"]),
    ],
)
def test_when_a_uri_is_drawn_then_each_part_stands_in_the_picture_and_in_the_text(uri: str, names: list[str]) -> None:
    picture = anatomy(uri)
    lines = repr(picture).splitlines()
    assert lines[0] == uri
    assert [line.split(": ")[0].rsplit("  ", 1)[-1] for line in lines[1:]] == names
    assert "".join(line.split()[0] for line in lines[1:]) == uri.replace("/", "", 1)
    drawn = ElementTree.fromstring(picture.svg)
    texts = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [text.split(": ")[0] for text in texts if ": " in text] == names
    assert all(name in drawn.attrib["aria-label"] for name in names)


def test_when_a_notebook_shows_it_then_the_text_twin_is_there() -> None:
    bundle = anatomy(f"{HOST}/app:v1")._repr_mimebundle_()
    assert bundle["text/plain"].startswith(f"{HOST}/app:v1\n")
    assert "<svg" in bundle["text/html"]
    assert "As text" in bundle["text/html"]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        (HOST, "a slash and the name of a repository"),
        ("1234.dkr.ecr.us-east-1.amazonaws.com/app", "12 digits"),
        ("123456789012.ecr.us-east-1.amazonaws.com/app", r"\.dkr\.ecr\."),
        (f"{HOST}/App", "no capital letters"),
        (f"{HOST}/app:-v1", "does not take"),
        ("<script>/x", "12 digits"),
    ],
)
def test_when_it_is_no_image_uri_then_the_error_says_why(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        anatomy(uri)
