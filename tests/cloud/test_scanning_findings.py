"""Which findings the advisories give for packages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ecrlab.cloud.scanning import AdvisoryError, AdvisoryTable, Finding, Report, builtin, scan
from tests.cloud.scanning_images import BOOKWORM, STATUS, Entry, image, metadata, paragraph


def debian(*paragraphs: str) -> list[Entry]:
    return [("etc/os-release", BOOKWORM), (STATUS, "".join(paragraphs))]


def python(name: str, version: str) -> list[Entry]:
    return [(f"lib/{name}.dist-info/METADATA", metadata(name, version))]


def advisory(**changes: Any) -> dict[str, Any]:
    record = {
        "id": "CVE-2030-0001",
        "modified": "2030-01-02T03:04:05Z",
        "summary": "A flaw.",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "My_Package"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
            }
        ],
    }
    return {**record, **changes}


def affected(*events: dict[str, str], **more: Any) -> list[dict[str, Any]]:
    package = {"ecosystem": "PyPI", "name": "my-package"}
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return [{"package": package, "ranges": ranges, **more}]


def reported(version: str, **changes: Any) -> Report:
    table = AdvisoryTable.from_records([advisory(**changes)], datetime(2030, 1, 1, tzinfo=UTC))
    return scan(image(python("my.package", version)), table)


def names(report: Report) -> set[str]:
    return {finding.name for finding in report.findings}


def test_when_a_debian_package_is_old_then_the_finding_names_source_fix_score_and_layer() -> None:
    below, upper = (
        debian(),
        debian(paragraph("libc6", "2.36-9+deb12u2", "glibc"), paragraph("libc-bin", "2.36-9", "glibc")),
    )
    report = scan(image(below, upper), builtin())

    found = {(finding.name, finding.package_version): finding for finding in report.findings}
    finding = found["CVE-2023-4911", "2.36-9+deb12u2"]
    assert (finding.package_name, finding.fixed_version) == ("glibc", "2.36-9+deb12u3")
    assert (finding.severity, finding.cvss_score) == ("HIGH", 7.8)
    assert finding.cvss_vector == "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"
    assert finding.uri == "https://security-tracker.debian.org/tracker/CVE-2023-4911"
    assert finding.layer_digest == "sha256:1"
    assert [package.name for package in finding.packages] == ["libc6"]
    assert ("CVE-2023-4911", "2.36-9") in found
    assert report.source_updated_at == datetime(2026, 11, 23, tzinfo=UTC)


def test_when_several_packages_come_from_one_source_then_they_are_one_finding() -> None:
    report = scan(image(debian(paragraph("libssl3", "3.0.7-1", "openssl"), paragraph("openssl", "3.0.7-1"))), builtin())

    assert [finding.name for finding in report.findings] == ["CVE-2023-0286"]
    assert [package.name for package in report.findings[0].packages] == ["libssl3", "openssl"]


def test_when_a_finding_is_stored_as_json_then_the_same_one_comes_back() -> None:
    report = scan(image(debian(paragraph("libssl3", "3.0.7-1", "openssl"))), builtin())

    (finding,) = report.findings
    assert Finding.from_json(json.loads(json.dumps(asdict(finding)))) == finding


@pytest.mark.parametrize(
    ("source", "old", "new", "cve"),
    [
        ("glibc", "2.36-9+deb12u2", "2.36-9+deb12u3", "CVE-2023-4911"),
        ("curl", "7.88.1-10+deb12u3", "7.88.1-10+deb12u4", "CVE-2023-38545"),
        ("zlib", "1:1.2.11.dfsg-4", "1:1.2.11.dfsg-4.1", "CVE-2022-37434"),
        ("openssh", "1:9.2p1-2+deb12u2", "1:9.2p1-2+deb12u3", "CVE-2024-6387"),
    ],
)
def test_when_a_debian_package_gets_its_fix_then_the_finding_goes(source: str, old: str, new: str, cve: str) -> None:
    assert cve in names(scan(image(debian(paragraph("x", old, source))), builtin()))
    assert cve not in names(scan(image(debian(paragraph("x", new, source))), builtin()))
    assert cve not in names(
        scan(image(debian(paragraph("x", old, source)), debian(paragraph("x", new, source))), builtin())
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "cve"),
    [
        ("PyYAML", "5.3.1", "5.4", "CVE-2020-14343"),
        ("Django", "3.2.13", "3.2.14", "CVE-2022-34265"),
        ("urllib3", "2.0.5", "2.0.6", "CVE-2023-43804"),
        ("urllib3", "1.26.16", "1.26.17", "CVE-2023-43804"),
        ("requests", "2.30.0", "2.31.0", "CVE-2023-32681"),
    ],
)
def test_when_a_python_package_gets_its_fix_then_the_finding_goes(name: str, old: str, new: str, cve: str) -> None:
    before, after = scan(image(python(name, old)), builtin()), scan(image(python(name, new)), builtin())

    assert {finding.fixed_version for finding in before.findings if finding.name == cve} == {new}
    assert cve not in names(after)


def test_when_a_release_is_another_one_then_its_own_advisories_count() -> None:
    buster = [
        ("etc/os-release", BOOKWORM.replace("12", "10")),
        (STATUS, paragraph("zlib1g", "1:1.2.11.dfsg-1", "zlib")),
    ]

    found = {finding.name: finding.fixed_version for finding in scan(image(buster), builtin()).findings}
    assert found["CVE-2018-25032"] == "1:1.2.11.dfsg-1+deb10u1"


def test_when_the_distribution_installed_a_python_package_then_its_advisories_speak_for_it() -> None:
    path = "usr/lib/python3/dist-packages/PyYAML-5.3.1.egg-info"
    packaged: list[Entry] = [
        *debian(paragraph("python3-yaml", "5.3.1-5", "pyyaml")),
        (path, metadata("PyYAML", "5.3.1")),
    ]
    alone: list[Entry] = [(path, metadata("PyYAML", "5.3.1"))]

    report = scan(image(packaged), builtin())
    assert report.findings == ()
    assert [package.from_distribution for package in report.packages if package.name == "PyYAML"] == [True]
    assert names(scan(image(alone), builtin())) == {"CVE-2020-14343"}


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        (
            [{"introduced": "0"}, {"fixed": "2.0"}],
            ["0", "0.dev0", "1.9.9", "2.0rc1"],
            ["2.0", "2.0.0", "2.0.post1", "10"],
        ),
        ([{"introduced": "1.0"}, {"last_affected": "2.0"}], ["1.0", "2", "2.0.0"], ["0.9", "2.0.post1", "2.0.1"]),
        ([{"introduced": "1.10"}], ["1.10", "1.11", "99"], ["1.9", "1.10b1"]),
        (
            [{"fixed": "1.5"}, {"introduced": "1.0"}, {"introduced": "2.0"}, {"fixed": "2.5"}],
            ["1.0", "1.4", "2.0", "2.4"],
            ["0.9", "1.5", "1.9", "2.5"],
        ),
        ([{"introduced": "0"}, {"limit": "3.0"}], ["2.9"], ["3.0", "4"]),
        ([{"introduced": "0"}, {"limit": "*"}], ["99"], []),
    ],
)
def test_when_events_make_a_range_then_the_versions_in_it_are_affected(
    events: list[dict[str, str]], inside: list[str], outside: list[str]
) -> None:
    assert [version for version in inside if not reported(version, affected=affected(*events)).findings] == []
    assert [version for version in outside if reported(version, affected=affected(*events)).findings] == []


def test_when_versions_are_listed_one_by_one_then_they_are_affected() -> None:
    listed = affected(versions=["1.0", "2004d"])

    assert reported("1.0", affected=listed).findings
    assert not reported("1.1", affected=listed).findings
    assert reported("2004d", affected=listed).findings


def test_when_a_python_version_cannot_be_ordered_then_it_is_not_evaluated_and_not_silently_safe() -> None:
    report = reported("2004d")

    assert report.findings == ()
    assert report.problems[-1] == (
        "my.package 2004d was not evaluated against CVE-2030-0001: '2004d' is not a version of PyPI"
    )


@pytest.mark.parametrize("version", ["v2.36", "2.36_9", "a.b", "x:1.0-1"])
def test_when_a_debian_version_cannot_be_ordered_then_it_is_not_evaluated(version: str) -> None:
    report = scan(image(debian(paragraph("libc6", version, "glibc"))), builtin())

    assert report.findings == ()
    assert any(
        problem.startswith(f"glibc {version} was not evaluated against CVE-2023-4911") for problem in report.problems
    )


def test_when_an_advisory_has_a_version_that_cannot_be_ordered_then_it_is_not_evaluated() -> None:
    report = reported("1.0", affected=affected({"introduced": "0"}, {"fixed": "next week"}))

    assert report.findings == ()
    assert any("'next week' is not a version of PyPI" in problem for problem in report.problems)


V2, V3 = "AV:N/AC:L/Au:N/C:P/I:P/A:P", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
V4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"


@pytest.mark.parametrize(
    ("changes", "severity", "vector", "score"),
    [
        ({}, "UNDEFINED", None, None),
        ({"database_specific": {"severity": "MODERATE"}}, "MEDIUM", None, None),
        ({"severity": [{"type": "CVSS_V2", "score": V2}]}, "HIGH", V2, 7.5),
        ({"severity": [{"type": "CVSS_V2", "score": V2}, {"type": "CVSS_V3", "score": V3}]}, "CRITICAL", V3, 9.8),
        ({"severity": [{"type": "CVSS_V4", "score": V4}]}, "CRITICAL", V4, 9.3),
        (
            {"severity": [{"type": "CVSS_V3", "score": V3.replace("C:H/I:H/A:H", "C:N/I:N/A:N")}]},
            "INFORMATIONAL",
            None,
            0,
        ),
        (
            {"severity": [{"type": "CVSS_V3", "score": V3}], "database_specific": {"severity": "low"}},
            "LOW",
            V3,
            9.8,
        ),
        (
            {
                "database_specific": {"severity": "HIGH"},
                "affected": affected({"introduced": "0"}, ecosystem_specific={"urgency": "unimportant"}),
            },
            "INFORMATIONAL",
            None,
            None,
        ),
    ],
)
def test_when_a_record_is_rated_then_its_own_word_counts_before_its_score(
    changes: dict[str, Any], severity: str, vector: str | None, score: float | None
) -> None:
    (finding,) = reported("1.0", **changes).findings

    assert (finding.severity, finding.cvss_score) == (severity, score)
    assert vector is None or finding.cvss_vector == vector


def test_when_a_vector_cannot_be_read_then_it_is_a_problem_and_the_next_one_counts() -> None:
    bad = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:?"}
    report = reported("1.0", severity=[bad, {"type": "CVSS_V2", "score": V2}])

    assert (report.findings[0].severity, report.findings[0].cvss_score) == ("HIGH", 7.5)
    assert any("the CVSS_V3 vector" in problem for problem in report.problems)


def test_when_two_records_name_one_cve_then_it_is_one_finding_and_knows_the_fix() -> None:
    without = advisory(id="GHSA-0000-0000-0000", aliases=["CVE-2030-0001"], affected=affected({"introduced": "0"}))
    report = scan(image(python("my-package", "1.0")), AdvisoryTable.from_records([without, advisory()]))

    assert [(finding.name, finding.fixed_version) for finding in report.findings] == [("CVE-2030-0001", "2.0")]


def test_when_a_record_is_withdrawn_or_about_commits_then_it_gives_no_finding() -> None:
    git = [{"package": {"ecosystem": "PyPI", "name": "my-package"}, "ranges": [{"type": "GIT", "events": []}]}]

    assert reported("1.0", withdrawn="2030-01-03T00:00:00Z", affected=affected({"introduced": "0"})).findings == ()
    assert reported("1.0", affected=git).findings == ()


def test_when_findings_are_listed_then_the_worst_come_first() -> None:
    packages = [*python("Django", "3.2.12"), *python("requests", "2.30.0"), *python("aiohttp", "3.9.0")]
    severities = [finding.severity for finding in scan(image(packages), builtin()).findings]

    assert severities == sorted(severities, key=["CRITICAL", "HIGH", "MEDIUM"].index)
    assert set(severities) == {"CRITICAL", "HIGH", "MEDIUM"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("text", "advisory number 1 is not an object"),
        ({}, "advisory number 1 has no id"),
        ({"id": "X-1"}, "advisory X-1: modified: None is not a date"),
        (advisory(modified="yesterday"), "advisory CVE-2030-0001: modified: 'yesterday' is not a date"),
        (advisory(affected={}), "advisory CVE-2030-0001: affected is not a list"),
        (advisory(affected=[{}]), "affected[0].package has no ecosystem"),
        (advisory(affected=affected({"fixed": "1"})), "affected[0].ranges[0] has no introduced event"),
        (advisory(affected=affected({"repaired": "1"})), "ranges[0].events[0] is not exactly one of introduced, fixed"),
        (advisory(affected=affected({"introduced": "1", "fixed": "2"})), "is not exactly one of"),
        (advisory(affected=affected(versions=[1])), "affected[0].versions holds something that is not text"),
        (advisory(severity=[{"type": "CVSS_V3"}]), "severity[0] has no score"),
        (advisory(database_specific=[]), "database_specific is not an object"),
    ],
)
def test_when_a_record_is_bad_then_the_error_says_which_and_where(record: Any, message: str) -> None:
    with pytest.raises(AdvisoryError, match=re.escape(message)):
        AdvisoryTable.from_records([record])


def test_when_a_file_is_loaded_then_its_three_forms_are_read_and_others_refused(tmp_path: Path) -> None:
    path = tmp_path / "advisories.json"
    for data in (advisory(), [advisory()], {"advisories": [advisory()], "updated_at": "2031-01-01T00:00:00Z"}):
        path.write_text(json.dumps(data))
        table = AdvisoryTable.load(path)
        assert len(table) == 1
        assert table.updated_at.year == (2031 if "advisories" in data else 2030)
    for text, message in [("{", "is not JSON"), ("3", "holds no list"), ("[]", "no date was given")]:
        path.write_text(text)
        with pytest.raises(AdvisoryError, match=message):
            AdvisoryTable.load(path)


def test_when_the_builtin_table_is_loaded_then_every_record_can_be_evaluated_and_rated() -> None:
    from ecrlab.cloud.scanning.severity import rate
    from ecrlab.cloud.scanning.versions import evaluate

    table = builtin()
    assert len(table) == 78
    assert table.updated_at == datetime(2026, 11, 23, tzinfo=UTC)
    evaluated = 0
    for entries in table._entries.values():
        for record, package in entries:
            rating = rate(record, package)
            assert rating.problem is None
            assert rating.severity in ("CRITICAL", "HIGH", "MEDIUM", "LOW")
            assert rating.score is not None
            assert record.description.endswith(".")
            assert record.references
            if package.ecosystem.startswith("Alpine"):
                continue  # until the scanner reads apk databases
            for span in package.ranges:
                first = span.events[0].version
                assert evaluate(package.ecosystem, first, [span]).affected
                evaluated += 1
                for event in span.events[1:]:
                    verdict = evaluate(package.ecosystem, event.version, [span])
                    assert verdict.affected is (event.kind == "last_affected")
    assert evaluated > 60


def test_when_scanning_is_imported_then_the_heavy_libraries_are_not() -> None:
    program = (
        "import sys, ecrlab.cloud.scanning as scanning; scanning.builtin();"
        "sys.exit(','.join({'univers', 'cvss', 'packageurl', 'attr'} & set(sys.modules)) or None)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stderr) == (0, "")
