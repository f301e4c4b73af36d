"""Python packages, from the metadata that installers leave (PyPA "Core metadata specifications")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ecrlab.cloud.scanning.packages import Record

SUFFIXES = (".dist-info/METADATA", ".egg-info/PKG-INFO", ".egg-info", ".egg/EGG-INFO/PKG-INFO")
HEAD_BYTES = 256 * 1024
"""Name and version stand in the first lines; the rest is the project's description."""

_FIELD = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254}[A-Za-z0-9])?")
_VERSION = re.compile(r"\S{1,256}")
_SEPARATORS = re.compile(r"[-_.]+")
_DISTRIBUTION = re.compile(r"usr/lib/(?:python\d[\d.]*|pypy\d*)/dist-packages/")


def parse(path: str, content: bytes) -> Iterator[Record | str]:
    """Yield the package that a metadata file describes, or a sentence on why it describes none."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    header = text.partition("\n\n")[0]
    fields: dict[str, str] = {}
    for key, value in _FIELD.findall(header):
        fields.setdefault(key, value)
    name, version = fields.get("Name", ""), fields.get("Version", "")
    if not _NAME.fullmatch(name):
        yield f"{path}: no package name"
    elif not _VERSION.fullmatch(version):
        yield f"{path}: package {name} has no usable version"
    else:
        yield Record(name, version, name, version)


def normal_name(name: str) -> str:
    """Return a project name as indexes compare it (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def is_from_distribution(path: str) -> bool:
    """Whether only the distribution's package manager installs there (Debian Python Policy, "Module Path").

    pip installs below /usr/local or into virtual environments, so a package here is one that the distribution patches.
    """
    return _DISTRIBUTION.match(path) is not None
