"""What a scan finds installed in an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """A package as its own package manager wrote it down, before the image's release is known."""

    name: str
    version: str
    source_name: str
    source_version: str
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A package installed in an image.

    `ecosystem` is an OSV ecosystem with its release ("Debian:12", "PyPI"), "" when the release is unknown.
    `layer_digest` names the layer that brought this version, `path` the file inside the image that records it.
    `from_distribution` is true for a Python package that the distribution's own package manager installed: the
    distribution's advisories speak for it.
    """

    ecosystem: str
    name: str
    version: str
    source_name: str
    source_version: str
    purl: str
    layer_digest: str
    architecture: str = ""
    path: str = ""
    from_distribution: bool = False
