"""What the scanner of the cloud finds in the samples: lessons count on it."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

from ecrlab import samples
from ecrlab.cloud import scanning
from tests.samples.stored_samples import Stored

EXPECTED = {
    ("curl", "CVE-2023-38545"): "CRITICAL",
    ("glibc", "CVE-2023-4911"): "HIGH",
    ("glibc", "CVE-2023-6246"): "HIGH",
    ("glibc", "CVE-2024-2961"): "HIGH",
    ("openssh", "CVE-2023-48795"): "MEDIUM",
    ("openssh", "CVE-2024-6387"): "HIGH",
    ("jinja2", "CVE-2019-10906"): "HIGH",
    ("jinja2", "CVE-2024-22195"): "MEDIUM",
    ("jinja2", "CVE-2024-56326"): "HIGH",
    ("pyyaml", "CVE-2020-14343"): "CRITICAL",
    ("requests", "CVE-2018-18074"): "HIGH",
    ("requests", "CVE-2023-32681"): "MEDIUM",
    ("urllib3", "CVE-2021-33503"): "HIGH",
    ("urllib3", "CVE-2023-43804"): "HIGH",
    ("pip", "CVE-2023-5752"): "LOW",
}


def scan(stored: Stored, manifest: dict[str, Any]) -> scanning.Report:
    layers = [
        scanning.Layer(
            digest=layer["digest"],
            media_type=layer["mediaType"],
            open=lambda layer=layer: io.BytesIO(stored.read(layer)),
        )
        for layer in manifest["layers"]
    ]
    return scanning.scan(layers, scanning.builtin())


def test_when_the_outdated_shop_is_scanned_then_its_vulnerabilities_are_found() -> None:
    stored = Stored(samples.layout("outdated-shop"))
    for manifest in stored.manifests.values():
        report = scan(stored, manifest)
        assert (report.status, report.problems) == ("COMPLETE", ())
        found = {(item.package_name.lower(), item.name): item.severity for item in report.findings}
        assert len(found) == len(report.findings)
        assert found == EXPECTED
        assert {item.layer_digest for item in report.findings} == {layer["digest"] for layer in manifest["layers"][:2]}


def test_when_the_other_samples_are_scanned_then_nothing_is_found() -> None:
    for name in set(samples.names()) - {"outdated-shop"}:
        stored = Stored(samples.layout(name))
        for manifest in stored.manifests.values():
            report = scan(stored, manifest)
            assert (report.status, report.findings, report.problems) == ("COMPLETE", (), ())


def test_when_the_shops_are_compared_then_they_record_the_same_packages() -> None:
    recorded = []
    for name in ("outdated-shop", "patched-shop"):
        stored = Stored(samples.layout(name))
        packages = scan(stored, stored.manifests["amd64"]).packages
        recorded.append({(package.ecosystem, package.name.lower()) for package in packages})
    assert recorded[0] == recorded[1]
    assert Counter(ecosystem for ecosystem, _ in recorded[0]) == {"Debian:12": 5, "PyPI": 6}
