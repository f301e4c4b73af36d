"""The package records of the samples: what dpkg and pip leave in an image, without the software itself.

Names and versions are those of real releases: the outdated shop has Debian 12.0 as released in June 2023 and Python
releases of 2018 to 2022; the others have Debian 12 and the Python Package Index of November 2026. tzdata and MarkupSafe
are of 2026 everywhere, so that each scan also meets packages without a finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .layers import File

_SITE_PACKAGES = "usr/local/lib/python3.11/site-packages"


@dataclass(frozen=True)
class DebianPackage:
    """A record of dpkg; source is the source package where its name is another."""

    name: str
    version: str
    summary: str
    source: str | None = None
    all_architectures: bool = False


@dataclass(frozen=True)
class PythonPackage:
    """An installed Python distribution; folder is its name as its own dist-info folder spells it."""

    name: str
    version: str
    folder: str
    summary: str


def base_packages(*, patched: bool) -> tuple[DebianPackage, ...]:
    """The Debian packages of every sample: by them a scanner takes the image for Debian 12."""
    return (
        DebianPackage("base-files", "12.4+deb12u15" if patched else "12.4", "base folders and files of the system"),
        DebianPackage("tzdata", "2026f-0+deb12u1", "time zones of the world", all_architectures=True),
    )


def shop_packages(*, patched: bool) -> tuple[DebianPackage, ...]:
    """The Debian packages of a shop."""

    def version(outdated: str, fixed: str) -> str:
        return fixed if patched else outdated

    return (
        *base_packages(patched=patched),
        DebianPackage("libc6", version("2.36-9", "2.36-9+deb12u14"), "C library", source="glibc"),
        DebianPackage(
            "libcurl4", version("7.88.1-10", "7.88.1-10+deb12u15"), "library for transfers by URL", source="curl"
        ),
        DebianPackage(
            "openssh-client", version("1:9.2p1-2", "1:9.2p1-2+deb12u10"), "secure shell client", source="openssh"
        ),
    )


def python_packages(*, patched: bool) -> tuple[PythonPackage, ...]:
    """The Python packages of a shop."""

    def package(name: str, summary: str, outdated: str, fixed: str, *, outdated_folder: str = "") -> PythonPackage:
        lower = name.lower()
        return PythonPackage(
            name, fixed if patched else outdated, lower if patched else outdated_folder or lower, summary
        )

    return (
        package("Jinja2", "template engine", "2.10", "3.1.6", outdated_folder="Jinja2"),
        package("MarkupSafe", "escaping of text for markup", "3.0.4", "3.0.4"),
        package("PyYAML", "YAML reader and writer", "5.3.1", "6.0.3", outdated_folder="PyYAML"),
        package("pip", "package installer", "22.3.1", "26.3"),
        package("requests", "HTTP client", "2.19.1", "2.34.2"),
        package("urllib3", "HTTP connections", "1.23", "2.8.0"),
    )


def debian_files(packages: Iterable[DebianPackage], architecture: str) -> dict[str, File]:
    """The files by which a scanner knows Debian 12 and its packages (dpkg's status file, os-release)."""
    release = {
        "PRETTY_NAME": '"Debian GNU/Linux 12 (bookworm)"',
        "NAME": '"Debian GNU/Linux"',
        "VERSION_ID": '"12"',
        "VERSION_CODENAME": "bookworm",
        "ID": "debian",
    }
    return {
        "etc/os-release": File(link="../usr/lib/os-release"),
        "usr/lib/os-release": File(_lines(f"{key}={value}" for key, value in release.items())),
        "var/lib/dpkg/status": File(_lines(_paragraph(package, architecture) for package in packages)),
    }


def python_files(packages: Iterable[PythonPackage]) -> dict[str, File]:
    """The metadata of installed Python distributions, one dist-info folder each."""
    return {
        f"{_SITE_PACKAGES}/{package.folder}-{package.version}.dist-info/METADATA": File(
            _lines(
                [
                    "Metadata-Version: 2.1",
                    f"Name: {package.name}",
                    f"Version: {package.version}",
                    f"Summary: {package.summary}",
                ]
            )
        )
        for package in packages
    }


def _paragraph(package: DebianPackage, architecture: str) -> str:
    fields = {
        "Package": package.name,
        "Status": "install ok installed",
        "Architecture": "all" if package.all_architectures else architecture,
        "Source": package.source,
        "Version": package.version,
        "Description": package.summary,
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")
