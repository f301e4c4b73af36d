"""The operating system release of an image, from its os-release file (os-release(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

PATHS = ("etc/os-release", "usr/lib/os-release")
"""In the order in which they count."""
HEAD_BYTES = 64 * 1024
"""More of an os-release file is not read: real ones have some hundred bytes."""

_ID = re.compile(r"[a-z0-9._-]{1,64}")
_VERSION_ID = re.compile(r"[A-Za-z0-9._-]{0,64}")
_LINE = re.compile(r"""([A-Z][A-Z0-9_]*)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"']*))\s*""")


@dataclass(frozen=True, slots=True)
class Release:
    """What os-release says: `id` such as "debian", `version_id` such as "12" ("" for a rolling release)."""

    id: str
    version_id: str
    name: str
    long_term_support: bool = False

    @property
    def ecosystem(self) -> str:
        """The OSV ecosystem of the release's packages, such as "Debian:12" or "Alpine:v3.19"."""
        version = self.version_id
        if self.id == "debian":
            base, version = "Debian", version.partition(".")[0]
        elif self.id == "ubuntu":
            base, version = "Ubuntu", f"{version}:LTS" if self.long_term_support else version
        elif self.id == "alpine":
            base, version = "Alpine", "v" + ".".join(version.split(".")[:2]) if version else ""
        else:
            base = self.id
        return f"{base}:{version}" if version else base


def parse(path: str, content: bytes) -> tuple[Release | None, tuple[str, ...]]:
    """Return the release (None when the file names no ID) and the lines that could not be read."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for line in content.decode("utf-8", "replace").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if found := _LINE.fullmatch(line.strip()):
            key, double, single, bare = found.groups()
            values[key] = re.sub(r"\\(.)", r"\1", double) if double is not None else single or bare or ""
        else:
            problems.append(f"{path}: the line {line.strip()[:60]!r} is not KEY=value")
    own_id, version_id = values.get("ID", "").lower(), values.get("VERSION_ID", "")
    if not (_ID.fullmatch(own_id) and _VERSION_ID.fullmatch(version_id)):
        return None, (*problems, f"{path}: no usable ID and VERSION_ID")
    name = values.get("PRETTY_NAME", "")[:200] or f"{own_id} {version_id}".strip()
    return Release(own_id, version_id, name, "LTS" in values.get("VERSION", "")), tuple(problems)
