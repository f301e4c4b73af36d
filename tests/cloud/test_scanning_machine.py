"""The catalogue and the order of versions, compared with the programs that own them."""

from __future__ import annotations

import gzip
import importlib.metadata
import io
import itertools
import random
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from ecrlab.cloud.scanning import Package, builtin, scan
from ecrlab.cloud.scanning.versions import parse_version
from tests.cloud.scanning_images import layer
from tests.requires import require


def scanned(paths: list[Path]) -> tuple[Package, ...]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in paths:
            tar.add(path)
    report = scan([layer("sha256:0", gzip.compress(buffer.getvalue(), 1))], builtin())
    assert [problem for problem in report.problems if "release" not in problem] == []
    return report.packages


def test_when_this_machine_is_a_layer_then_its_packages_are_those_of_dpkg_query() -> None:
    require("dpkg-query")
    form = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"
    lines = subprocess.run(
        ["dpkg-query", "-W", "-f", form], capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()
    expected = {tuple(line.split("\t")[1:]) for line in lines if line[1] not in "nc"}

    found = scanned([Path("/var/lib/dpkg/status"), Path("/etc/os-release"), Path("/usr/lib/os-release")])

    assert len(expected) > 50
    assert {(p.name, p.version, p.architecture, p.source_name, p.source_version) for p in found} == expected


def test_when_this_python_is_a_layer_then_its_packages_are_those_of_importlib() -> None:
    site = Path(sysconfig.get_paths()["purelib"])
    expected = {
        (distribution.metadata["Name"], distribution.version)
        for distribution in importlib.metadata.distributions(path=[str(site)])
    }

    found = scanned(sorted({*site.glob("*.dist-info"), *site.glob("*.egg-info")}))

    assert len(expected) > 20
    assert {(package.name, package.version) for package in found} == expected


def version_pairs() -> list[tuple[str, str]]:
    """Pairs that try each rule of deb-version(7), and pairs put together by chance (always the same ones)."""
    ladder = """
        0~~ 0~~a 0~ 0~rc1 0 0+b1 0a 0.1 1~beta1~svn1245 1~beta1 1 1-0 1-0~1 1-1 1-1~bpo12+1 1-1+b1 1-1.1 1-1ubuntu1
        1.0 1.00 1.0-1 1.0-1+deb12u1 1.0-1+deb12u10 1.0-1+deb12u2 1.0+dfsg-1 1.0.1 1.a 1a 1A 1.10 1.9 2.36-9
        2.36-9+deb12u3 3.0.11-1~deb12u2 1:1.2.11.dfsg-4.1 1:0 2:0~ 10:0 9p1-2 1.0-1-1 1.0--1 1+~ 007 7 00:7
    """.split()  # noqa: SIM905
    chance = random.Random(6)
    alphabet = ["0", "1", "9", "10", "a", "Z", ".", "+", "~", "-", "rc", "deb12u"]
    made = ["1" + "".join(chance.choices(alphabet, k=chance.randint(0, 7))) for _ in range(60)]
    pairs = [*itertools.combinations(ladder, 2), *itertools.pairwise(made), *zip(made, reversed(made), strict=True)]
    return [(one.rstrip("-"), other.rstrip("-")) for one, other in pairs]


def test_when_debian_versions_are_ordered_then_dpkg_agrees() -> None:
    require("dpkg")
    pairs = version_pairs()
    assert len(pairs) >= 500
    script = """
while read -r one other; do
    if dpkg --compare-versions "$one" lt "$other"; then echo lt
    elif dpkg --compare-versions "$one" gt "$other"; then echo gt
    else echo eq; fi
done
"""
    answer = subprocess.run(
        ["sh", "-c", script],
        input="".join(f"{one} {other}\n" for one, other in pairs),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert answer.stderr == ""

    ours = []
    for one, other in pairs:
        left, right = parse_version("Debian:12", one), parse_version("Debian:12", other)
        ours.append("lt" if left < right else "gt" if right < left else "eq")

    different = [
        (pair, dpkg, own) for pair, dpkg, own in zip(pairs, answer.stdout.split(), ours, strict=True) if dpkg != own
    ]
    assert different == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from Linux's /proc")
def test_when_a_layer_is_large_then_memory_does_not_grow_with_it() -> None:
    program = """
import io, sys, tarfile, zlib
from ecrlab.cloud.scanning import Layer, builtin, scan

class Zeros(io.RawIOBase):
    def __init__(self, mebibytes):
        info = tarfile.TarInfo("large")
        info.size = mebibytes << 20
        self.pieces = iter([info.tobuf(), *[bytes(1 << 20)] * mebibytes])
        self.rest = b""
    def read(self, size=-1):
        while len(self.rest) < size and (piece := next(self.pieces, None)) is not None:
            self.rest += piece
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024

def run(mebibytes):
    report = scan([Layer("sha256:0", "application/vnd.oci.image.layer.v1.tar", lambda: Zeros(mebibytes))], builtin())
    assert report.status == "UNSUPPORTED_IMAGE", report

run(1)
before = peak()
run(1024)
print(peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)

    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 16
