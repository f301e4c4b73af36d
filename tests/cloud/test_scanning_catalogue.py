"""What the catalogue finds in layers built in memory, and what it does with hostile ones."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrlab.cloud.scanning import AdvisoryTable, Layer, Limits, Report, builtin, scan
from tests.cloud.scanning_images import (
    BOOKWORM,
    GZIP,
    STATUS,
    Entry,
    archive,
    image,
    layer,
    member,
    metadata,
    paragraph,
)


def scanned(*layers: Sequence[Entry]) -> Report:
    return scan(image(*layers), builtin())


def installed(report: Report) -> dict[str, tuple[str, str]]:
    return {package.name: (package.version, package.layer_digest) for package in report.packages}


def test_when_an_image_has_dpkg_and_python_packages_then_each_is_listed_with_its_source_and_purl() -> None:
    report = scanned(
        [
            ("etc/os-release", BOOKWORM),
            (STATUS, paragraph("libc6", "2.36-9", "glibc") + paragraph("bash", "5.2-2+b1", "bash (5.2-2)")),
            ("venv/lib/python3.11/site-packages/Jinja2-2.10.dist-info/METADATA", metadata("Jinja2", "2.10")),
        ]
    )

    assert report.status == "COMPLETE"
    assert report.problems == ()
    libc, bash, jinja = report.packages
    assert (libc.name, libc.source_name, libc.source_version) == ("libc6", "glibc", "2.36-9")
    assert (bash.source_name, bash.source_version, bash.ecosystem) == ("bash", "5.2-2", "Debian:12")
    assert bash.purl == "pkg:deb/debian/bash@5.2-2%2Bb1?arch=amd64&distro=debian-12"
    assert (jinja.ecosystem, jinja.purl) == ("PyPI", "pkg:pypi/jinja2@2.10")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_when_paths_are_long_then_every_tar_format_is_read(form: int) -> None:
    deep = "/".join(["a-directory-with-a-rather-long-name"] * (6 if form == tarfile.USTAR_FORMAT else 20))
    content = archive([(f"{deep}/x-1.dist-info/METADATA", metadata("x", "1"))], form)

    report = scan([layer("sha256:0", content)], builtin())

    assert [package.path for package in report.packages] == [f"{deep}/x-1.dist-info/METADATA"]


def test_when_a_path_is_not_ascii_then_it_is_kept() -> None:
    report = scanned([("naïve/x-1.dist-info/METADATA", metadata("x", "1"))])

    assert [package.path for package in report.packages] == ["naïve/x-1.dist-info/METADATA"]


def test_when_metadata_has_any_of_the_known_forms_then_the_package_is_found() -> None:
    report = scanned(
        [
            ("a/one-1.dist-info/METADATA", metadata("one", "1")),
            ("a/two-2.egg-info/PKG-INFO", metadata("two", "2")),
            ("a/three-3-py3.11.egg-info", metadata("three", "3")),
            ("a/four-4-py3.11.egg/EGG-INFO/PKG-INFO", metadata("four", "4").replace("\n", "\r\n")),
            ("a/one-1.dist-info/RECORD", "Name: no\nVersion: 1\n"),
        ]
    )

    assert {package.name: package.version for package in report.packages} == {
        "one": "1",
        "two": "2",
        "three": "3",
        "four": "4",
    }


def test_when_packages_are_in_status_d_then_they_are_read_and_checksums_are_not() -> None:
    report = scanned(
        [
            ("usr/lib/os-release", BOOKWORM),
            ("var/lib/dpkg/status.d/libssl3", "Package: libssl3\nVersion: 3.0.7-1\nSource: openssl\n"),
            ("var/lib/dpkg/status.d/libssl3.md5sums", "0 usr/lib/libssl.so.3\n"),
        ]
    )

    assert installed(report) == {"libssl3": ("3.0.7-1", "sha256:0")}
    assert report.problems == ()


def test_when_a_package_is_removed_but_configured_then_it_is_not_installed() -> None:
    gone = paragraph("gone", "1", state="deinstall ok config-files") + paragraph(
        "never", "1", state="x ok not-installed"
    )
    report = scanned(
        [("etc/os-release", BOOKWORM), (STATUS, gone + paragraph("here", "1", state="install ok unpacked"))]
    )

    assert set(installed(report)) == {"here"}


def test_when_an_upper_layer_rewrites_the_status_file_then_each_package_keeps_the_layer_that_brought_it() -> None:
    report = scanned(
        [("etc/os-release", BOOKWORM), (STATUS, paragraph("a", "1") + paragraph("b", "1") + paragraph("c", "1"))],
        [(STATUS, paragraph("a", "1") + paragraph("b", "2"))],
        [(STATUS, paragraph("a", "1") + paragraph("b", "2") + paragraph("c", "1"))],
    )

    assert installed(report) == {"a": ("1", "sha256:0"), "b": ("2", "sha256:1"), "c": ("1", "sha256:2")}


PYTHON = "lib/x-1.dist-info"


@pytest.mark.parametrize(
    "upper",
    [
        member(f"{PYTHON}/.wh.METADATA"),
        member("lib/.wh.x-1.dist-info"),
        member(".wh.lib"),
        member("lib/.wh..wh..opq"),
        ("lib", "a file in the place of a directory"),
        member(PYTHON, tarfile.SYMTYPE, "elsewhere"),
        member(f"{PYTHON}/METADATA", tarfile.DIRTYPE),
    ],
)
def test_when_an_upper_layer_hides_a_package_then_it_and_no_other_is_gone(upper: Entry) -> None:
    lower = [(f"./{PYTHON}/METADATA", metadata("x", "1")), ("lib64/y.egg-info", metadata("y", "1"))]

    assert set(installed(scanned(lower, [upper]))) == {"y"}


def test_when_the_root_is_opaque_then_all_lower_layers_are_hidden() -> None:
    assert scanned([("x.egg-info", metadata("x", "1"))], [member(".wh..wh..opq")]).packages == ()


def test_when_a_layer_hides_and_brings_in_one_then_only_lower_layers_are_hidden() -> None:
    new = ("lib/y-1.dist-info/METADATA", metadata("y", "1"))
    opaque, whiteout = member("lib/.wh..wh..opq"), member("lib/.wh.y-1.dist-info")

    for upper in ([opaque, new], [new, opaque], [whiteout, new], [new, whiteout]):
        report = scanned([(f"{PYTHON}/METADATA", metadata("x", "1"))], upper)
        assert installed(report).get("y") == ("1", "sha256:1")


def test_when_a_directory_is_listed_again_by_an_upper_layer_then_it_keeps_what_it_held() -> None:
    report = scanned([(f"{PYTHON}/METADATA", metadata("x", "1"))], [member(PYTHON, tarfile.DIRTYPE)])

    assert set(installed(report)) == {"x"}


def test_when_an_archive_replaces_its_own_entries_then_the_last_one_counts() -> None:
    report = scanned(
        [
            ("a/x.egg-info", metadata("x", "1")),
            ("a/x.egg-info", metadata("x", "2")),
            ("b/y.egg-info", metadata("y", "1")),
            ("b", "a file"),
            ("c/z.egg-info", metadata("z", "1")),
            ("c", "a file"),
            ("c/z.egg-info", metadata("z", "2")),
        ]
    )

    assert installed(report) == {"x": ("2", "sha256:0"), "z": ("2", "sha256:0")}


def test_when_metadata_is_a_hard_link_then_the_linked_content_counts() -> None:
    link = member("./b/x-1.dist-info/METADATA", tarfile.LNKTYPE, "./a/x-1.dist-info/METADATA")
    lost = member("c/y-1.dist-info/METADATA", tarfile.LNKTYPE, "opt/y")
    report = scanned([("a/x-1.dist-info/METADATA", metadata("x", "1")), link, lost])

    assert [package.path for package in report.packages] == ["a/x-1.dist-info/METADATA", "b/x-1.dist-info/METADATA"]
    assert any("c/y-1.dist-info/METADATA is a hard link" in problem for problem in report.problems)


def test_when_os_release_is_a_symbolic_link_then_its_other_place_is_read() -> None:
    link = member("etc/os-release", tarfile.SYMTYPE, "../usr/lib/os-release")
    report = scanned([link, ("usr/lib/os-release", BOOKWORM), (STATUS, paragraph("a", "1"))])

    assert report.release is not None
    assert report.release.ecosystem == "Debian:12"
    assert report.problems == ()


def test_when_symbolic_links_form_a_loop_then_the_scan_ends_and_says_what_it_did_not_read() -> None:
    report = scanned(
        [
            member("var/lib/dpkg", tarfile.SYMTYPE, "../../loop"),
            member("loop", tarfile.SYMTYPE, "var/lib/dpkg"),
            member("etc/os-release", tarfile.SYMTYPE, "os-release"),
            member("a/x-1.dist-info/METADATA", tarfile.SYMTYPE, "METADATA"),
        ]
    )

    assert report.status == "UNSUPPORTED_IMAGE"
    assert "layer sha256:0: var/lib/dpkg is a symbolic link, not followed" in report.problems
    assert any("a/x-1.dist-info/METADATA is a symbolic link" in problem for problem in report.problems)


@pytest.mark.parametrize(
    ("name", "path"),
    [("/etc/x.egg-info", "etc/x.egg-info"), ("a/../b//./x.egg-info", "b/x.egg-info"), ("./x.egg-info", "x.egg-info")],
)
def test_when_a_path_is_odd_then_it_is_taken_below_the_root_of_the_image(name: str, path: str) -> None:
    assert [package.path for package in scanned([(name, metadata("x", "1"))]).packages] == [path]


def test_when_a_path_leads_out_of_the_image_then_it_is_not_read_and_reported() -> None:
    report = scanned([("../etc/os-release", BOOKWORM), ("a/../../x.egg-info", metadata("x", "1"))])

    assert report.packages == ()
    assert report.problems[0] == "layer sha256:0: an entry leads out of the image, not read"


def test_when_entries_are_malformed_then_the_others_are_kept_and_the_problems_named() -> None:
    report = scanned(
        [
            ("etc/os-release", BOOKWORM + "what is this\n"),
            (STATUS, paragraph("good", "1") + "Package: half\nStatus: install ok installed\n\nno field\n"),
            ("a/x-1.dist-info/METADATA", "Version: 1\n\n"),
            ("a/y-1.dist-info/METADATA", "Name: y\n\nVersion: 3\n"),
            ("a/z.egg-info", "Name: z\nVersion: " + "9" * 1000 + "\n"),
        ]
    )

    assert report.status == "COMPLETE"
    assert set(installed(report)) == {"good"}
    assert [problem.removeprefix("layer sha256:0: ") for problem in report.problems] == [
        "etc/os-release: the line 'what is this' is not KEY=value",
        "var/lib/dpkg/status: package half has no usable version",
        "var/lib/dpkg/status: paragraph 3 names no package",
        "a/x-1.dist-info/METADATA: no package name",
        "a/y-1.dist-info/METADATA: package y has no usable version",
        "a/z.egg-info: package z has no usable version",
    ]


def test_when_problems_are_many_then_the_first_are_kept_and_the_rest_counted() -> None:
    report = scan(image([(f"{n}.egg-info", "") for n in range(30)]), builtin(), Limits(problems=5))

    assert len(report.problems) == 6
    assert report.problems[-1].startswith("and ")


def test_when_bytes_are_not_text_then_the_scan_still_ends() -> None:
    report = scanned(
        [("etc/os-release", BOOKWORM), ("a.egg-info", "Name: x\udcff".encode("utf-8", "replace").decode())]
    )

    assert report.status == "UNSUPPORTED_IMAGE"


def summed(header: bytes, at: int, field: bytes) -> bytes:
    """Return a tar header with another field and the checksum that fits it."""
    changed = bytearray(header)
    changed[at : at + len(field)] = field
    changed[148:156] = b"%06o\0 " % (sum(changed[:148]) + sum(changed[156:512]) + 8 * 0x20)
    return bytes(changed)


WHOLE = gzip.compress(archive([("etc/os-release", BOOKWORM), (STATUS, paragraph("a", "1") * 500)]), mtime=0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (WHOLE[:-40], "its gzip data ends too early"),
        (WHOLE[:-4], "its gzip data ends too early"),
        (WHOLE[:-8] + bytes(8), "its gzip data is damaged"),
        (WHOLE[:100] + b"\xff" * 50 + WHOLE[150:], "its gzip data is damaged"),
        (WHOLE + b"garbage", "its gzip data is damaged"),
        (gzip.compress(archive([(STATUS, paragraph("a", "1"))])[:600], mtime=0), "ends in the middle of a file"),
        (gzip.compress(archive([(STATUS, paragraph("a", "1"))])[:100], mtime=0), "ends in the middle of a header"),
        (b"this is no archive" * 100, "it is not a tar archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "compressed with zstd"),
        (b"\xfd7zXZ\x00" + bytes(100), "compressed with xz"),
        (summed(member("a").tobuf(), 124, b"99999999999\0"), "bad number"),
        (summed(member("a").tobuf(), 124, b"\xff" * 12), "negative number"),
        (summed(member("a", b"x", size=1 << 30).tobuf(), 0, b"a"), "extended tar header"),
        (summed(member("a", b"x", size=512).tobuf(), 0, b"a") + b"99 path=x\n".ljust(512, b" "), "pax header"),
        (
            summed(member("a", b"x", size=512).tobuf(), 0, b"a")
            + b"11 size=ab\n".ljust(512, b"\0")
            + member("a").tobuf(),
            "bad size",
        ),
        (archive([("a", "b")])[:5] + b"x" + archive([("a", "b")])[6:], "checksum"),
    ],
)
def test_when_a_layer_is_damaged_then_the_scan_fails_with_the_reason_and_no_findings(
    content: bytes, reason: str
) -> None:
    report = scan([*image([("etc/os-release", BOOKWORM)]), layer("sha256:bad", content)], builtin())

    assert report.status == "FAILED"
    assert report.description.startswith("Layer sha256:bad cannot be read: ")
    assert reason in report.description
    assert (report.findings, report.packages) == ((), ())


def test_when_a_blob_is_missing_then_the_scan_fails_with_the_reason() -> None:
    def missing() -> io.BytesIO:
        raise FileNotFoundError("no such blob")

    report = scan([Layer("sha256:gone", GZIP, missing)], builtin())

    assert report.status == "FAILED"
    assert report.description == "Layer sha256:gone cannot be read: no such blob."


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(lambda tar: tar, id="plain"),
        pytest.param(lambda tar: gzip.compress(tar[:700], mtime=0) + gzip.compress(tar[700:]), id="two-members"),
        pytest.param(lambda tar: gzip.compress(tar, mtime=0) + bytes(512), id="zero-padding"),
        pytest.param(lambda tar: gzip.compress(tar.rstrip(b"\0") + bytes(-len(tar.rstrip(b"\0")) % 512)), id="no-end"),
    ],
)
def test_when_a_layer_is_packed_in_another_way_then_its_first_bytes_decide(packed: Callable[[bytes], bytes]) -> None:
    content = packed(archive([("etc/os-release", BOOKWORM), (STATUS, paragraph("a", "1"))]))

    assert installed(scan([layer("sha256:0", content)], builtin())) == {"a": ("1", "sha256:0")}


def test_when_a_layer_is_empty_then_it_brings_nothing() -> None:
    below = image([("etc/os-release", BOOKWORM), (STATUS, paragraph("a", "1"))])

    report = scan([*below, layer("sha256:1", b""), layer("sha256:2", gzip.compress(bytes(1024), mtime=0))], builtin())

    assert installed(report) == {"a": ("1", "sha256:0")}


def zeros(mebibytes: int) -> bytes:
    """A gzip stream of a tar with one file of zeros, without holding it uncompressed."""
    info = member("bomb", size=mebibytes << 20)
    head = info.tobuf(tarfile.GNU_FORMAT)
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    return packer.compress(head) + b"".join(packer.compress(block) for _ in range(mebibytes)) + packer.flush()


def test_when_a_layer_is_a_bomb_then_the_scan_fails_early() -> None:
    bomb = layer("sha256:bomb", zeros(300))

    report = scan([bomb], builtin())
    assert report.status == "FAILED"
    assert "unpacks to more than 200 times its size" in report.description

    report = scan([bomb], builtin(), Limits(ratio=10_000, uncompressed_bytes=100 << 20))
    assert report.status == "FAILED"
    assert f"unpacks to more than {100 << 20} bytes" in report.description


def test_when_entries_packages_or_files_are_over_a_bound_then_the_scan_fails_with_the_bound() -> None:
    many = image([("etc/os-release", BOOKWORM), *[(f"{n}.egg-info", metadata("x", str(n))) for n in range(20)]])
    big = image([("etc/os-release", BOOKWORM), (STATUS, paragraph("a", "1") * 20)])

    for layers, limits, reason in [
        (many, Limits(entries=20), "more than 20 archive entries"),
        (many, Limits(packages=10), "more than 10 packages"),
        (many, Limits(path_bytes=50), "too many or too long"),
        (big, Limits(packages=10), "more than 10 packages"),
        (big, Limits(file_bytes=100), "var/lib/dpkg/status is larger than 100 bytes"),
    ]:
        report = scan(layers, builtin(), limits)
        assert report.status == "FAILED"
        assert reason in report.description


def test_when_every_layer_rewrites_the_database_then_a_package_counts_once_against_the_bound() -> None:
    layers = image(*[[("etc/os-release", BOOKWORM), (STATUS, paragraph("a", "1") + paragraph("b", "1"))]] * 10)

    assert scan(layers, builtin(), Limits(packages=4)).status == "COMPLETE"


def test_when_a_path_is_longer_than_any_system_takes_then_the_scan_fails() -> None:
    report = scanned([("a/" * 3000 + "x.egg-info", metadata("x", "1"))])

    assert report.status == "FAILED"
    assert "over the bound" in report.description


def test_when_a_sparse_file_is_in_the_way_then_its_neighbours_are_read() -> None:
    header = member("var/lib/dpkg/status", b"S", size=512).tobuf(tarfile.GNU_FORMAT)
    sparse = summed(header, 482, b"\1")  # one more block of its map follows
    content = sparse + bytes(512) + b"D" * 512 + archive([("x.egg-info", metadata("x", "1"))])

    report = scan([layer("sha256:0", content)], builtin())

    assert set(installed(report)) == {"x"}
    assert any("is a sparse file" in problem for problem in report.problems)


def test_when_an_image_is_from_scratch_then_it_is_unsupported_in_the_words_of_ecr() -> None:
    report = scanned([("server", "a static program")])

    assert report.status == "UNSUPPORTED_IMAGE"
    assert report.description == (
        "UnsupportedImageError: The operating system and/or package manager are not supported."
    )
    assert report.problems == ("no operating system release was found",)


def test_when_no_package_can_be_evaluated_then_the_image_is_unsupported_and_never_clean() -> None:
    trixie = BOOKWORM.replace("12", "13")
    alpine = 'ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME="Alpine Linux v3.19"\n'
    empty = AdvisoryTable([], builtin().updated_at)
    debian = image([("etc/os-release", trixie), (STATUS, paragraph("openssl", "1"))])

    assert scan(debian, builtin()).status == "UNSUPPORTED_IMAGE"
    assert scan(debian, builtin()).problems == (
        "1 packages of Debian:13 were not evaluated: the advisories do not cover it",
    )
    assert scan(image([(STATUS, paragraph("openssl", "1"))]), builtin()).status == "UNSUPPORTED_IMAGE"
    assert scan(image([("etc/os-release", BOOKWORM), (STATUS, paragraph("a", "1"))]), empty).status == (
        "UNSUPPORTED_IMAGE"
    )
    report = scanned([("etc/os-release", alpine), ("lib/apk/db/installed", "P:musl\nV:1\n")])
    assert report.status == "UNSUPPORTED_IMAGE"
    assert report.problems == ("Alpine Linux v3.19: no package database that the scanner reads was found",)


def test_when_an_image_without_operating_system_has_python_packages_then_these_are_evaluated() -> None:
    report = scanned([("app/requests-2.19.0.dist-info/METADATA", metadata("requests", "2.19.0"))])

    assert report.status == "COMPLETE"
    assert {finding.name for finding in report.findings} == {"CVE-2018-18074", "CVE-2023-32681"}
    assert report.problems == ("no operating system release was found",)


def test_when_a_layer_is_no_file_system_then_it_is_passed_over() -> None:
    report = scan([layer("sha256:sbom", b"{}", "application/vnd.cyclonedx+json")], builtin())

    assert report.status == "UNSUPPORTED_IMAGE"
    assert "application/vnd.cyclonedx+json is no file system layer" in report.problems[0]


@pytest.mark.parametrize(
    ("text", "ecosystem"),
    [
        ("ID=debian\nVERSION_ID='12'", "Debian:12"),
        ("ID=debian", "Debian"),
        ('ID=ubuntu\nVERSION_ID="22.04"\nVERSION="22.04.3 LTS (Jammy Jellyfish)"', "Ubuntu:22.04:LTS"),
        ("ID=alpine\nVERSION_ID=3.19.1", "Alpine:v3.19"),
        ("# a comment\n\nID=elxr\nID_LIKE=debian\nVERSION_ID=12.9", "elxr:12.9"),
    ],
)
def test_when_a_release_is_read_then_its_ecosystem_is_that_of_osv(text: str, ecosystem: str) -> None:
    report = scanned([("usr/lib/os-release", text)])

    assert report.release is not None
    assert report.release.ecosystem == ecosystem


def test_when_a_release_has_no_usable_id_then_it_is_a_problem() -> None:
    report = scanned([("etc/os-release", 'ID="../../x y"\nVERSION_ID=1')])

    assert report.release is None
    assert "layer sha256:0: etc/os-release: no usable ID and VERSION_ID" in report.problems


PLAIN = archive(
    [
        ("etc/os-release", BOOKWORM),
        (STATUS, paragraph("a", "1") * 3),
        ("d" * 120 + "/x-1.dist-info/METADATA", metadata("x", "1")),
        member("b/x-1.dist-info/METADATA", tarfile.LNKTYPE, "d" * 120 + "/x-1.dist-info/METADATA"),
        member("etc/.wh..wh..opq"),
    ]
)


@given(
    changes=st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.binary(min_size=1, max_size=24)), max_size=6),
    length=st.integers(0, len(PLAIN)) | st.just(len(PLAIN)),
    packed=st.booleans(),
    summed_again=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_when_a_layer_is_any_bytes_then_the_scan_ends_with_a_status(
    changes: list[tuple[int, bytes]], length: int, packed: bool, summed_again: bool
) -> None:
    content = bytearray(PLAIN)
    for at, data in changes:
        content[at : at + len(data)] = data
        start = at - at % 512
        if summed_again and content[start + 257 : start + 262] == b"ustar":
            content[start : start + 512] = summed(bytes(content[start : start + 512]), 0, b"")
    stored = bytes(content[:length])

    report = scan([layer("sha256:0", gzip.compress(stored, 1, mtime=0) if packed else stored)], builtin())

    assert report.status in ("COMPLETE", "UNSUPPORTED_IMAGE", "FAILED")
    assert report.description.endswith(".")
