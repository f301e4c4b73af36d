"""Packages of Debian and its derivatives, from dpkg's status database (deb822(5), dpkg(1) "Package states")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ecrlab.cloud.scanning.packages import Record

STATUS = "var/lib/dpkg/status"
STATUS_DIRECTORY = "var/lib/dpkg/status.d/"
"""Distroless images have one file per package here, and no status field in them."""

_FIELD = re.compile(r"^(Package|Version|Status|Source|Architecture):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~-]{0,255}")
_VERSION = re.compile(r"\S{1,256}")
_SOURCE = re.compile(r"(\S{1,256})(?:\s+\(([^()\s]{1,256})\))?")
_WITHOUT_FILES = ("not-installed", "config-files")


def parse(path: str, content: bytes) -> Iterator[Record | str]:
    """Yield the installed packages of a status file, and a sentence for each paragraph that is none."""
    if path.endswith(".md5sums"):
        return
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    for number, paragraph in enumerate(_paragraphs(text), start=1):
        if not paragraph.strip():
            continue
        fields = dict(_FIELD.findall(paragraph))
        state = fields.get("Status", "").split()
        if state and state[-1] in _WITHOUT_FILES:
            continue
        name, version = fields.get("Package", ""), fields.get("Version", "")
        if not _NAME.fullmatch(name):
            yield f"{path}: paragraph {number} names no package"
            continue
        if not _VERSION.fullmatch(version):
            yield f"{path}: package {name} has no usable version"
            continue
        source = _SOURCE.fullmatch(fields.get("Source") or name)
        if source is None:
            yield f"{path}: package {name} has a bad Source field; its own name is taken"
        source_name, source_version = source.groups() if source else (name, None)
        yield Record(name, version, source_name, source_version or version, fields.get("Architecture", "")[:64])


def _paragraphs(text: str) -> Iterator[str]:
    start = 0
    for gap in _PARAGRAPH.finditer(text):
        yield text[start : gap.start()]
        start = gap.end()
    yield text[start:]
