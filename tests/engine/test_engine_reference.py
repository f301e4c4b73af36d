from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from ecrlab.engine import platforms
from ecrlab.engine import reference as references
from ecrlab.engine.endpoint import endpoint, login_domain
from ecrlab.engine.errors import InvalidParameter

DIGEST = "sha256:" + "a" * 64
LOCAL = "000699977340.dkr.ecr.eu-west-1.localhost"
ECR = "000699977340.dkr.ecr.us-east-2.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "full", "shown"),
    [
        ("alpine", "docker.io/library/alpine", "alpine"),
        ("alpine:3.20", "docker.io/library/alpine", "alpine:3.20"),
        ("ecrlab/simplehttp", "docker.io/ecrlab/simplehttp", "ecrlab/simplehttp"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine", "alpine"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:v1"),
        (f"{ECR}/team/app@{DIGEST}", f"{ECR}/team/app", f"{ECR}/team/app@{DIGEST}"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        ("a__b/c---d", "docker.io/a__b/c---d", "a__b/c---d"),
    ],
)
def test_when_a_reference_is_parsed_then_it_reads_as_in_docker(text: str, full: str, shown: str) -> None:
    reference = references.parse(text)

    assert reference.repository == full
    assert str(reference) == shown


@pytest.mark.parametrize(
    "text", ["", ":tag", "a//b", "a___b", "-a", "a:", "a:b:c", "a@sha256:12", "a:" + "t" * 129, "a b", "/a", "a\nb"]
)
def test_when_a_reference_is_malformed_then_the_error_is_dockers(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^invalid reference format"):
        references.parse(text)


def test_when_a_name_is_uppercase_then_the_error_says_lowercase() -> None:
    with pytest.raises(InvalidParameter, match="must be lowercase"):
        references.parse("127.0.0.1:5000/App")


def test_when_a_name_is_too_long_or_an_id_then_it_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="more than 255 characters"):
        references.parse("a/" + "b" * 300)
    with pytest.raises(InvalidParameter, match="64-byte hexadecimal"):
        references.parse("a" * 64)


@given(st.text(max_size=40))
def test_when_any_text_is_parsed_then_it_is_refused_or_reads_back_the_same(text: str) -> None:
    try:
        reference = references.parse(text)
    except InvalidParameter:
        return
    assert references.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("domain", "address", "host"),
    [
        (ECR, "http://127.0.0.1:4000/v2/", ECR),
        (
            LOCAL,
            "http://127.0.0.1:4000/v2/",
            LOCAL,
        ),
        ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/", None),
        ("localhost:5000", "http://localhost:5000/v2/", None),
        ("[::1]:5000", "http://[::1]:5000/v2/", None),
        ("docker.io", "https://registry-1.docker.io/v2/", None),
        (f"{ECR}.evil.com", f"https://{ECR}.evil.com/v2/", None),
        ("127.0.0.1.evil.com", "https://127.0.0.1.evil.com/v2/", None),
    ],
)
def test_when_a_registry_is_asked_then_the_request_goes_to_its_place(
    domain: str, address: str, host: str | None
) -> None:
    where = endpoint(domain, URL("http://127.0.0.1:4000"))

    assert str(where.url("/v2/")) == address
    assert where.host == host


def test_when_a_login_address_has_a_scheme_then_only_the_host_counts() -> None:
    assert login_domain("https://index.docker.io/v1/") == "docker.io"
    assert login_domain("") == "docker.io"
    assert login_domain(f"https://{ECR}/") == ECR


@pytest.mark.parametrize(
    ("wanted", "offered", "fits"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/amd64", "windows/amd64", False),
        ("arm64", "linux/arm64", True),
        ("linux/aarch64", "linux/arm64", True),
    ],
)
def test_when_a_platform_is_asked_for_then_only_what_it_runs_fits(wanted: str, offered: str, fits: bool) -> None:
    assert (platforms.parse(wanted).rank(platforms.parse(offered)) is not None) is fits


@pytest.mark.parametrize("text", ["", "linux/", "a/b/c/d", "bogus", "linux/a b"])
def test_when_a_platform_is_malformed_then_it_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        platforms.parse(text)
